"""Values inside the texts of a result, as SQL expressions that an index can contain.

Constants are written out: SQLite uses an index on an expression only for the very same text.
"""

from typing import Any

from django.db.models import CharField, F, Func

from tasks_admin.models import result_meta, stored_exceptions
from tasks_admin.models.dialects import ARGUMENTS_PREFIX_LENGTH, dialect_of


class _Quoted(Func):
    """The text from character `start` up to the next quotation mark."""

    output_field = CharField()
    start: int

    def as_sql(self, compiler: Any, connection: Any, *args: Any, **options: Any) -> Any:
        """See `Dialect.quoted_text`."""
        template = dialect_of(connection).quoted_text("%(expressions)s", self.start)
        return super().as_sql(compiler, connection, *args, **options | {"template": template})


class QueueName(_Quoted):
    """The queue, in `meta` as `result_meta` writes it."""

    start = result_meta.QUEUE_START

    def __init__(self) -> None:
        super().__init__(F("meta"))


class ExceptionClass(_Quoted):
    """The class of the exception of a failed task, in `result`."""

    start = stored_exceptions.CLASS_START

    def __init__(self) -> None:
        super().__init__(F("result"))


class ArgumentsPrefix(Func):
    """The beginning of the arguments: all of them, for a task that takes one key."""

    output_field = CharField()
    template = f"SUBSTR(%(expressions)s, 1, {ARGUMENTS_PREFIX_LENGTH})"

    def __init__(self) -> None:
        super().__init__(F("task_args"))
