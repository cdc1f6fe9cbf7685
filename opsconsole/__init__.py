"""The project: settings, the Celery app, addresses, and what `make run` starts."""

from opsconsole.celery import app as celery_app

__all__ = ["celery_app"]
