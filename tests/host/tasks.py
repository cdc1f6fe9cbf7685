"""What the project does: each task leaves one line."""

import os

from celery import shared_task


@shared_task(name="host.mark")
def mark(number: int) -> None:
    """Append a number to the file `HOST_MARKS`, as eight bytes in a single write."""
    file = os.open(os.environ["HOST_MARKS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, b"%07d\n" % number)
    finally:
        os.close(file)
