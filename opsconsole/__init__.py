"""The standalone project: settings, Celery app, URLs, development server and mail catcher."""

from opsconsole.celery import app as celery_app

__all__ = ["celery_app"]
