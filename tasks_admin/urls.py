"""The addresses outside the admin."""

from django.urls import path

from tasks_admin.views import health, metrics, resets

app_name = "tasks_admin"
urlpatterns = [
    path("user/reset/password/", resets.ChooseView.as_view(), name="choose"),
    path("user/reset/password/done/", resets.DoneView.as_view(), name="chosen"),
    path("user/reset/password/request/", resets.RequestView.as_view(), name="request"),
    path("healthz", health.healthz, name="healthz"),
    path("metrics", metrics.show, name="metrics"),
    path("readyz", health.readyz, name="readyz"),
]
