"""The project's URLs."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    # Django's login page shows a link if a URL has this name.
    path(
        "admin/password_reset/",
        RedirectView.as_view(pattern_name="tasks_admin:request_reset_email"),
        name="admin_password_reset",
    ),
    path("admin/mail/", include("opsconsole.mailcatcher.urls")),
    path("admin/", admin.site.urls),
    path("", include("tasks_admin.urls")),
]
