"""What stands inside the texts of a result, in SQL that an index can be made of.

Constants are written out: SQLite takes an index on an expression only for the very same text.
"""

from typing import Any

from django.db.models import CharField, F, Func

#: How a result's `meta` and `result` begin when there is a queue, or an exception, in it.
QUEUE_AT, RAISED_AT = '{"queue": "', '{"exc_type": "'


class _Quoted(Func):
    """The text up to the next quotation mark, from a place on; some 200 characters at most."""

    output_field = CharField()
    start: int

    def as_sqlite(self, compiler: Any, connection: Any, **more: Any) -> Any:
        """In SQLite's words."""
        text = f"SUBSTR(%(expressions)s, {self.start}, 200)"
        more["template"] = f"SUBSTR({text}, 1, INSTR({text} || '\"', '\"') - 1)"
        return super().as_sql(compiler, connection, **more)

    def as_postgresql(self, compiler: Any, connection: Any, **more: Any) -> Any:
        """In PostgreSQL's words."""
        more["template"] = f"SPLIT_PART(SUBSTR(%(expressions)s, {self.start}, 200), '\"', 1)"
        return super().as_sql(compiler, connection, **more)


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
    template = "SUBSTR(%(expressions)s, 1, 40)"

    def __init__(self) -> None:
        super().__init__(F("task_args"))
