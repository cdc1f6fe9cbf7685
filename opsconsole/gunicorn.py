"""How gunicorn serves the console. The access log names paths, never queries: those hold tokens."""

from typing import Any
from urllib.parse import quote

from gunicorn.glogging import Logger

from opsconsole.environment import places


class OneLine(Logger):  # type: ignore[misc]
    """Writes paths quoted, as they came: decoded, they could hold a line of somebody's making."""

    def atoms(self, *args: Any) -> dict[str, Any]:
        """What a line of the access log is made of."""
        atoms: dict[str, Any] = super().atoms(*args)
        return atoms | {"U": quote(str(atoms.get("U", "")), safe="/:@!$&'()*+,;=~")}


bind = f"127.0.0.1:{places().port}"
workers = 2
worker_class = "gthread"
threads = 8
timeout = 60
graceful_timeout = 3
logger_class = OneLine
accesslog = "-"
access_log_format = '%(h)s "%(m)s %(U)s" %(s)s %(b)s %(M)sms'
proc_name = "opsconsole"
control_socket_disable = True
