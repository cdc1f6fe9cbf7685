"""The app's settings: `TASKS_ADMIN_<NAME>` in Django's settings, read live, defaults below."""

from typing import Any

from django.conf import settings as django_settings


class Settings:
    """One attribute a setting. Times are in seconds."""

    #: How long the link in a reset mail works (NIST allows a day, OWASP asks for "short").
    RESET_TIMEOUT: int = 3600
    #: Staff don't mail a person again who was sent a reset mail within this time.
    RESET_INTERVAL: int = 3600
    #: The user model's field that holds a language code, where it has one.
    USER_LANGUAGE_FIELD: str = "language"
    #: The `request.META` key with the client's address, for installations behind a proxy.
    CLIENT_ADDRESS_KEY: str = "REMOTE_ADDR"
    #: Attempts allowed per scope: (how many, in how many seconds).
    LIMITS: dict[str, tuple[int, int]] = {
        "request.user": (3, 3600),
        "request.address": (3, 3600),
        "request.client": (20, 3600),
        "choose.link": (10, 3600),
        "choose.client": (30, 3600),
    }

    #: How often a failure that may pass is tried, the first attempt included.
    MAX_TRIES: int = 15
    #: Exponential back-off with full jitter: random(0, min(cap, base * 2 ** tries)).
    BACKOFF_BASE: float = 4.0
    BACKOFF_CAP: float = 900.0
    #: A task whose process died this often while it ran is given up.
    MAX_CRASHES: int = 3
    #: A worker has its task's time limit and this much more to finish a target it claimed,
    LEASE_MARGIN: float = 5.0
    #: or this long, where the task has no time limit.
    LEASE_UNLIMITED: float = 3600.0
    #: A published message that nobody claimed may be lost after this time (it is looked into),
    QUEUE_LEASE: float = 20.0
    #: and is taken for lost after this, whatever the broker says.
    QUEUE_LEASE_MAX: float = 900.0
    #: Messages in flight per operation.
    WINDOW: int = 1000
    #: Operations with more targets than this wait for a second person's approval; None: never.
    APPROVAL_ABOVE: int | None = None
    #: Who started an operation is told by mail when it has ended.
    MAIL_SUMMARY: bool = True
    #: Operations are deleted so many days after their end; None: never.
    OPERATION_EXPIRES_DAYS: int | None = 365
    #: Seconds after which a task that has no end may be lost: longer than the time for which Redis
    #: keeps the messages of a worker that died (`visibility_timeout`).
    LOST_AFTER: float = 3600.0
    #: A task that was revoked must not be queued for longer than so many days.
    REVOCATION_EXPIRES_DAYS: int = 90
    #: Results are stored from the moment of publishing, for every task of the project.
    STORE_PENDING: bool = True
    #: Arguments longer than this are not stored exactly, and can't be retried without an edit.
    ARGUMENTS_MAX_BYTES: int = 1_000_000
    #: A result is on the disk before its task counts as done. False is faster on PostgreSQL: when
    #: its machine crashes, the last half second of results of tasks without a target is lost.
    RESULTS_DURABLE: bool = True
    #: Bytes allowed for an import file, and rows in it.
    IMPORT_MAX_BYTES: int = 5_000_000
    IMPORT_MAX_ROWS: int = 20_000
    #: What stands under these names is masked: whole words, in any spelling.
    MASKED_NAMES: tuple[str, ...] = (
        "password", "passwd", "pwd", "passphrase", "secret", "token", "authorization", "auth",
        "api_key", "apikey", "access_key", "private_key", "secret_key", "credential",
        "credentials", "cookie", "cookies", "passwords", "secrets", "session", "session_id",
        "sessionid", "otp", "pin", "cvv",
    )  # fmt: skip
    #: A count stops here and says "10,000+".
    COUNT_BOUND: int = 10_000
    #: Of several filters of the results one is read off an index; the others are looked for among
    #: so many of its rows at a time, newest first.
    SEARCH_BOUND: int = 20_000
    #: Workers write a row of their own every ten seconds.
    WORKER_PRESENCE: bool = True
    #: A worker that was not seen for so many days is no longer listed.
    WORKER_EXPIRES_DAYS: int = 7
    #: The greatest size that staff can give to a worker's pool.
    POOL_MOST: int = 64
    #: What Prometheus sends as its bearer token to `/metrics`; empty: staff with the permission
    #: alone may look.
    METRICS_TOKEN: str = ""
    #: The version of the project, as its workers tell it; empty: they tell none.
    APP_VERSION: str = ""
    #: What was purged from a queue is kept for so many days.
    QUARANTINE_EXPIRES_DAYS: int = 30
    #: Seconds that a page waits for the workers to answer.
    CONTROL_TIMEOUT: float = 1.0

    def __getattribute__(self, name: str) -> Any:
        """Prefer the project's setting, so that `override_settings` just works."""
        default = super().__getattribute__(name)
        if not name.isupper():
            return default
        return getattr(django_settings, f"TASKS_ADMIN_{name}", default)


settings = Settings()
