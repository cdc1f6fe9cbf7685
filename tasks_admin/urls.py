"""The addresses outside the admin."""

from django.urls import path

from tasks_admin.accounts import views
from tasks_admin.admin.monitoring import health
from tasks_admin.admin.monitoring.views import show as show_metrics

app_name = "tasks_admin"
urlpatterns = [
    path("user/reset/password/", views.ChooseView.as_view(), name="choose"),
    path("user/reset/password/done/", views.DoneView.as_view(), name="chosen"),
    path("user/reset/password/request/", views.RequestView.as_view(), name="request"),
    path("healthz", health.healthz, name="healthz"),
    path("metrics", show_metrics, name="metrics"),
    path("readyz", health.readyz, name="readyz"),
]
