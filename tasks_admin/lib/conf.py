"""The app's settings: `TASKS_ADMIN_<NAME>` in Django's settings, read live, defaults below."""

from typing import Any

from django.conf import settings as django_settings


class Settings:
    """One attribute for each setting. Times are in seconds unless stated otherwise."""

    #: The lifetime of the link in a reset email (NIST allows a day, OWASP recommends "short").
    RESET_TIMEOUT: int = 3600
    #: Staff cannot send a user another reset email within this time.
    RESET_INTERVAL: int = 3600
    #: The field of the user model that contains a language code, if there is one.
    USER_LANGUAGE_FIELD: str = "language"
    #: The key in `request.META` of the client's IP address, for installations behind a proxy.
    CLIENT_ADDRESS_KEY: str = "REMOTE_ADDR"
    #: The rate limit of each scope: (number of attempts, seconds).
    LIMITS: dict[str, tuple[int, int]] = {
        "request.user": (3, 3600),
        "request.address": (3, 3600),
        "request.client": (20, 3600),
        "choose.link": (10, 3600),
        "choose.client": (30, 3600),
    }

    #: The maximum number of attempts after temporary errors, including the first.
    MAX_TRIES: int = 15
    #: Exponential backoff with full jitter: random(0, min(cap, base * 2 ** tries)).
    BACKOFF_BASE: float = 4.0
    BACKOFF_CAP: float = 900.0
    #: The number of crashes of its process after which a target fails.
    MAX_CRASHES: int = 3
    #: The lease of a claimed target is the time limit of its task plus this margin,
    LEASE_MARGIN: float = 5.0
    #: or this, if the task has no time limit.
    LEASE_UNLIMITED: float = 3600.0
    #: After this time, the dispatcher checks whether an unclaimed message has been lost,
    QUEUE_LEASE: float = 20.0
    #: and after this time it considers the message lost, whatever the broker reports.
    QUEUE_LEASE_MAX: float = 900.0
    #: The maximum number of messages in flight per operation.
    WINDOW: int = 1000
    #: Operations with more targets than this require a second user's approval; None: never.
    APPROVAL_ABOVE: int | None = None
    #: Send an email to the user who started an operation when it has finished.
    MAIL_SUMMARY: bool = True
    #: Days after which finished operations are deleted; None: never.
    OPERATION_EXPIRES_DAYS: int | None = 365
    #: The time after which an unfinished task may be lost. It must exceed `visibility_timeout`, for
    #: which Redis keeps the unacknowledged messages of a dead worker.
    LOST_AFTER: float = 3600.0
    #: Days for which a revocation is kept. A revoked task must not stay queued for longer.
    REVOCATION_EXPIRES_DAYS: int = 90
    #: Store a result as soon as a task is published, for all tasks of the project.
    STORE_PENDING: bool = True
    #: Longer arguments are not stored exactly, and can only be retried after an edit.
    ARGUMENTS_MAX_BYTES: int = 1_000_000
    #: Wait until a result is on disk. False is faster on PostgreSQL, but if the database server
    #: crashes, the last half second of results of tasks without a target is lost.
    RESULTS_DURABLE: bool = True
    #: The maximum size of an import file, and the maximum number of its rows.
    IMPORT_MAX_BYTES: int = 5_000_000
    IMPORT_MAX_ROWS: int = 20_000
    #: Values with these names are masked. Names are matched as whole words, in any spelling.
    MASKED_NAMES: tuple[str, ...] = (
        "password", "passwd", "pwd", "passphrase", "secret", "token", "authorization", "auth",
        "api_key", "apikey", "access_key", "private_key", "secret_key", "credential",
        "credentials", "cookie", "cookies", "passwords", "secrets", "session", "session_id",
        "sessionid", "otp", "pin", "cvv",
    )  # fmt: skip
    #: The maximum of a count; larger ones are shown as "10,000+".
    COUNT_BOUND: int = 10_000
    #: If results are filtered by several conditions, one uses an index; the others are applied to
    #: at most this many of its rows at a time, newest first.
    SEARCH_BOUND: int = 20_000
    #: Workers write a heartbeat to their row every ten seconds.
    WORKER_PRESENCE: bool = True
    #: Days after its last heartbeat for which a worker is listed.
    WORKER_EXPIRES_DAYS: int = 7
    #: The maximum size of a worker's pool that staff can set.
    POOL_MOST: int = 64
    #: The bearer token that Prometheus sends to `/metrics`; empty: only staff with the permission
    #: have access.
    METRICS_TOKEN: str = ""
    #: The version of the project, which its workers report; empty: none.
    APP_VERSION: str = ""
    #: Days for which purged messages are kept in quarantine.
    QUARANTINE_EXPIRES_DAYS: int = 30
    #: The time that a page waits for replies of workers.
    CONTROL_TIMEOUT: float = 1.0

    def __getattribute__(self, name: str) -> Any:
        """Return the project's setting or the default, uncached, so `override_settings` works."""
        default = super().__getattribute__(name)
        if not name.isupper():
            return default
        return getattr(django_settings, f"TASKS_ADMIN_{name}", default)


settings = Settings()
