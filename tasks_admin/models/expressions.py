"""What stands inside the texts of a result, in SQL that an index can be made of.

Constants are written out: SQLite takes an index on an expression only for the very same text.
"""

from typing import Any

from django.db.models import CharField, F, Func

from tasks_admin.models.dialects import ARGUMENTS_PREFIX_LENGTH, dialect_of

#: How a result's `meta` and `result` begin when there is a queue, or an exception, in it.
QUEUE_AT, RAISED_AT = '{"queue": "', '{"exc_type": "'


class _Quoted(Func):
    """The text from character `start` up to the next quotation mark."""

    output_field = CharField()
    start: int

    def as_sql(self, compiler: Any, connection: Any, *args: Any, **options: Any) -> Any:
        """See `Dialect.quoted_text`."""
        template = dialect_of(connection).quoted_text("%(expressions)s", self.start)
        return super().as_sql(compiler, connection, *args, **options | {"template": template})


class QueueName(_Quoted):
    """The queue of a result of ours."""

    start = len(QUEUE_AT) + 1

    def __init__(self) -> None:
        super().__init__(F("meta"))


class Raised(_Quoted):
    """The class of the exception that a task raised."""

    start = len(RAISED_AT) + 1

    def __init__(self) -> None:
        super().__init__(F("result"))


class BriefArguments(Func):
    """The beginning of the arguments: all of them, for a task that takes a key."""

    output_field = CharField()
    template = f"SUBSTR(%(expressions)s, 1, {ARGUMENTS_PREFIX_LENGTH})"

    def __init__(self) -> None:
        super().__init__(F("task_args"))
