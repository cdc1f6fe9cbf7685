"""The console's errors. Their texts are written for the person who sees them."""


class ConsoleError(Exception):
    """An action was refused. `str(error)` states what happened, why, and what to do next."""

    #: The HTTP status of a response that reports the error.
    status = 400


class NotAllowed(ConsoleError):
    """The actor lacks the permission."""


class NothingToDo(ConsoleError):
    """None of the selected rows qualifies."""


class SelectionChanged(ConsoleError):
    """The rows that match now are not the ones that the confirmation page showed."""


class WrongState(ConsoleError):
    """The current state of the operation does not permit the action."""


class WrongArguments(ConsoleError):
    """A task does not accept these arguments. `problems`: a message for each argument's name."""

    def __init__(self, problems: "dict[str, str]") -> None:
        super().__init__(" ".join(f"{name}: {problem}" for name, problem in problems.items()))
        self.problems = problems


class BrokerUnreachable(ConsoleError):
    """The broker did not accept the messages, or did not confirm that it had."""


class QueueFull(BrokerUnreachable):
    """The broker rejected a message of one queue; other queues may have room."""


class DeliveryRejected(ConsoleError):
    """The server rejected a delivery permanently. The text contains no address."""


class DeliveryDeferred(ConsoleError):
    """The server did not accept a delivery now. The text contains no address.

    `uncertain`: the server did not reply, so it may have accepted the delivery nevertheless.
    """

    def __init__(self, message: str, *, uncertain: bool = False) -> None:
        super().__init__(message)
        self.uncertain = uncertain


class OutcomeNotStored(ConsoleError):
    """The work was done, but the database was unavailable when its outcome was to be stored."""


class LinkInvalid(ConsoleError):
    """The link of a reset email is malformed, or its signature does not match."""


class LinkExpired(LinkInvalid):
    """The link is older than `RESET_TIMEOUT`."""

    status = 410


class LinkUsed(LinkInvalid):
    """The link was used or replaced by a newer one, or its account was changed or deleted."""

    status = 410


class RateLimited(ConsoleError):
    """More attempts than the rate limit allows."""

    status = 429
