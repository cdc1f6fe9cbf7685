"""How gunicorn serves the console. The access log names paths, never queries: those hold tokens."""

from opsconsole.environment import places

bind = f"127.0.0.1:{places().port}"
workers = 2
worker_class = "gthread"
threads = 8
timeout = 60
graceful_timeout = 3
accesslog = "-"
access_log_format = '%(h)s "%(m)s %(U)s" %(s)s %(b)s %(M)sms'
proc_name = "opsconsole"
control_socket_disable = True
