"""A task of the project."""

import os

from celery import shared_task


@shared_task(name="host.record")
def record(number: int) -> None:
    """Append the number to the file `HOST_EXECUTIONS`, as eight bytes in a single write."""
    path = os.environ["HOST_EXECUTIONS"]
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, b"%07d\n" % number)
    finally:
        os.close(file)
