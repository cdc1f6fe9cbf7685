"""Django's settings. Settings that differ between installations come from the environment."""

from urllib.parse import urlsplit
from zoneinfo import available_timezones

import django
import django_stubs_ext
from django.http.request import split_domain_port
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _
from kombu import Queue

from opsconsole.env_settings import read_env_settings
from opsconsole.environment import (
    BASE_DIR,
    read_bool,
    read_broker_url,
    read_choice,
    read_client_address_key,
    read_database,
    read_email,
    read_from_email,
    read_host_url,
    read_instance,
    read_list,
    read_secret_key,
    read_string,
)

django_stubs_ext.monkeypatch()  # makes generics such as `ModelAdmin[User]` work at runtime

INSTANCE = read_instance()
DATA_DIR = INSTANCE.data_dir

SECRET_KEY = read_secret_key(DATA_DIR)
SECRET_KEY_FALLBACKS = read_list("SECRET_KEY_FALLBACKS")
DEBUG = read_bool("DEBUG")
HOST_URL = read_host_url(f"http://127.0.0.1:{INSTANCE.port}")
HTTPS = HOST_URL.startswith("https://")
ALLOWED_HOSTS = read_list(
    "ALLOWED_HOSTS",
    default=["127.0.0.1", "localhost", "[::1]", split_domain_port(urlsplit(HOST_URL).netloc)[0]],
)

INSTALLED_APPS = [
    "opsconsole.apps.ConsoleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_celery_results",
    "django_htmx",
    "import_export",
    "csp",
    "tasks_admin",
    "opsconsole.mailcatcher",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "tasks_admin.admin.middleware.DatabaseUnavailableMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]
ROOT_URLCONF = "opsconsole.urls"
WSGI_APPLICATION = "opsconsole.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

DATABASES = {"default": read_database(DATA_DIR)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

LANGUAGE_CODE = read_choice("LANGUAGE_CODE", {"en", "zh-hans"}, "en")
LANGUAGES = [("en", _("English")), ("zh-hans", _("Simplified Chinese"))]
LOCALE_PATHS = [BASE_DIR / "tasks_admin" / "locale"]
TIME_ZONE = read_choice("TIME_ZONE", available_timezones(), "UTC")
USE_TZ = True
FORMAT_MODULE_PATH = ["opsconsole.formats"]

STATIC_URL = "static/"
STATIC_ROOT = DATA_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

# Email. Without EMAIL_URL, the mail catcher receives all messages.
MAIL_CATCHER_DIR = None if read_string("EMAIL_URL") else DATA_DIR / "mail"
_email = read_email(f"smtp://127.0.0.1:{INSTANCE.smtp_port}")
MAIL_OPTIONS = {
    "host": _email["EMAIL_HOST"],
    "port": _email["EMAIL_PORT"],
    "username": _email.get("EMAIL_HOST_USER") or "",
    "password": _email.get("EMAIL_HOST_PASSWORD") or "",
    "use_tls": _email.get("EMAIL_USE_TLS", False),
    "use_ssl": _email.get("EMAIL_USE_SSL", False),
    "timeout": 10,
}
if django.VERSION >= (6, 1):
    MAILERS = {"default": {"BACKEND": _email["EMAIL_BACKEND"], "OPTIONS": MAIL_OPTIONS}}
else:
    EMAIL_BACKEND = _email["EMAIL_BACKEND"]
    EMAIL_HOST, EMAIL_PORT = MAIL_OPTIONS["host"], MAIL_OPTIONS["port"]
    EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = MAIL_OPTIONS["username"], MAIL_OPTIONS["password"]
    EMAIL_USE_TLS, EMAIL_USE_SSL = MAIL_OPTIONS["use_tls"], MAIL_OPTIONS["use_ssl"]
    EMAIL_TIMEOUT = MAIL_OPTIONS["timeout"]
DEFAULT_FROM_EMAIL = read_from_email("console@localhost")

# Celery. The embedded broker requires a password that is derived from SECRET_KEY.
EMBEDDED_BROKER = not read_string("CELERY_BROKER_URL")
# Not named BROKER_…: Celery reads those as its own settings and adds them to any broker URL.
VALKEY_USER = "console"
VALKEY_PASSWORD = salted_hmac("opsconsole.broker", "", SECRET_KEY, algorithm="sha256").hexdigest()
CELERY_BROKER_URL = read_broker_url(
    f"redis://{VALKEY_USER}:{VALKEY_PASSWORD}@127.0.0.1:{INSTANCE.broker_port}/0"
)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_TIMEOUT = 3
CELERY_BROKER_TRANSPORT_OPTIONS = (
    {"confirm_publish": True, "read_timeout": 5, "write_timeout": 5, "confirm_timeout": 5}
    if urlsplit(CELERY_BROKER_URL).scheme in {"amqp", "amqps", "pyamqp"}
    else {
        "socket_timeout": 5,
        "socket_connect_timeout": 3,
        "health_check_interval": 25,
        "visibility_timeout": 900,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
    }
)
CELERY_TASK_DEFAULT_QUEUE = "celery"
CELERY_TASK_QUEUES = (
    Queue("celery", routing_key="celery"),
    Queue("mail", routing_key="mail"),
)
# The tasks of the console that send emails have a queue of their own.
CELERY_TASK_ROUTES = {
    "tasks_admin.send_*": {"queue": "mail"},
    "tasks_admin.notify_*": {"queue": "mail"},
}
CELERY_TASK_SERIALIZER = CELERY_RESULT_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = CELERY_RESULT_ACCEPT_CONTENT = ["json"]
CELERY_TASK_PUBLISH_RETRY = False
# The start time is stored with the outcome: storing STARTED would cost a second write per task.
CELERY_TASK_TRACK_STARTED = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
# A task keeps running when the connection is lost: if it is delivered again, the claim fails.
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_RESULT_BACKEND = "tasks_admin.backend:DatabaseBackend"
CELERY_RESULT_EXTENDED = True
CELERY_RESULT_EXPIRES = 30 * 86_400
CELERY_RESULT_BACKEND_ALWAYS_RETRY = True
CELERY_RESULT_BACKEND_MAX_SLEEP_BETWEEN_RETRIES_MS = 2_000
CELERY_DB_REUSE_MAX = 1_000_000  # otherwise Celery closes Django's connections around every task
CELERY_BEAT_SCHEDULE_FILENAME = str(DATA_DIR / "beat-schedule")
CELERY_BEAT_SCHEDULE = {
    "housekeeping": {"task": "tasks_admin.housekeeping", "schedule": 3600.0},
}

# Restrictions for browsers.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
        "form-action": ["'self'"],
    }
}
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
CSRF_TRUSTED_ORIGINS = [HOST_URL]
TASKS_ADMIN_CLIENT_ADDRESS_KEY = read_client_address_key()
globals().update(read_env_settings())
SESSION_ENGINE = "opsconsole.sessions"
# Cookies ignore the port: two instances on one host need different names.
SESSION_COOKIE_NAME = f"console_{INSTANCE.port}"
CSRF_COOKIE_NAME = f"console_csrf_{INSTANCE.port}"
X_FRAME_OPTIONS = "DENY"
LOGIN_URL = "admin:login"

DATA_UPLOAD_MAX_NUMBER_FIELDS = (
    20_000  # each selected row of a changelist is a field; a page has up to 5,000
)
IMPORT_EXPORT_IMPORT_PERMISSION_CODE = "import"
IMPORT_EXPORT_EXPORT_PERMISSION_CODE = "export"
IMPORT_EXPORT_ESCAPE_FORMULAE_ON_EXPORT = True

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
}
