"""Gunicorn's settings. The access log contains paths without query strings, which hold tokens."""

from typing import Any
from urllib.parse import quote

from gunicorn.glogging import Logger

from opsconsole.environment import read_instance


class QuotedPathLogger(Logger):  # type: ignore[misc]
    """Logs paths percent-encoded, so that a request cannot inject a line into the log."""

    def atoms(self, *args: Any) -> dict[str, Any]:
        """Return the values for a line of the access log."""
        atoms: dict[str, Any] = super().atoms(*args)
        return atoms | {"U": quote(str(atoms.get("U", "")), safe="/:@!$&'()*+,;=~")}


bind = f"127.0.0.1:{read_instance().port}"
workers = 2
worker_class = "gthread"
threads = 8
timeout = 60
graceful_timeout = 3
logger_class = QuotedPathLogger
accesslog = "-"
access_log_format = '%(h)s "%(m)s %(U)s" %(s)s %(b)s %(M)sms'
proc_name = "opsconsole"
control_socket_disable = True
