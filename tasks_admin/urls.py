"""The URLs outside the admin."""

from django.urls import path

from tasks_admin.accounts.views import (
    RequestResetEmailView,
    SetPasswordDoneView,
    SetPasswordView,
)
from tasks_admin.admin.monitoring import health
from tasks_admin.admin.monitoring.views import show as show_metrics

app_name = "tasks_admin"
urlpatterns = [
    path("user/reset/password/", SetPasswordView.as_view(), name="set_password"),
    path("user/reset/password/done/", SetPasswordDoneView.as_view(), name="set_password_done"),
    path(
        "user/reset/password/request/",
        RequestResetEmailView.as_view(),
        name="request_reset_email",
    ),
    path("healthz", health.healthz, name="healthz"),
    path("metrics", show_metrics, name="metrics"),
    path("readyz", health.readyz, name="readyz"),
]
