"""What the console refuses, each as an exception whose text can be shown to a person."""


class ConsoleError(Exception):
    """Something was refused. `str(error)` says what, why, and what to do next."""


class NotAllowed(ConsoleError):
    """The actor lacks the permission."""


class NothingToDo(ConsoleError):
    """Nothing is left after those that must be left out."""


class SelectionChanged(ConsoleError):
    """The rows that match are no longer those that were shown."""


class WrongState(ConsoleError):
    """The operation is not in a state in which this can be done."""


class WrongArguments(ConsoleError):
    """A task does not take these arguments. `problems`: what is wrong, by the argument's name."""

    def __init__(self, problems: "dict[str, str]") -> None:
        said = " ".join(f"{name}: {words}" for name, words in problems.items())
        super().__init__(said)
        self.problems = problems


class BrokerUnreachable(ConsoleError):
    """The broker did not take the messages, or did not say so."""


class QueueFull(BrokerUnreachable):
    """The broker answers, and refused a message: there may be room in other queues."""


class EmailRejected(ConsoleError):
    """The mail server refused the message for good. Holds no address."""


class EmailDeferred(ConsoleError):
    """The mail server could not take the message now. Holds no address.

    `unsure`: it did not say so, so it may have taken it all the same.
    """

    def __init__(self, said: str, *, uncertain: bool = False) -> None:
        super().__init__(said)
        self.uncertain = uncertain


class OutcomeNotStored(ConsoleError):
    """Something was done, and the database was away when that was to be written down."""


class LinkRefused(ConsoleError):
    """A reset link can't be used. `status` is the HTTP status to answer with."""

    status = 400


class LinkExpired(LinkRefused):
    """The link is too old."""

    status = 410


class LinkUsed(LinkRefused):
    """The link was used, or replaced by a newer one, or its account changed or is gone."""

    status = 410


class RateLimited(ConsoleError):
    """Tried too often; try again later."""
