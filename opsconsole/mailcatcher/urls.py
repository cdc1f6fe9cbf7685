"""The URLs of the caught emails. `admin_view` requires staff and disables caching."""

from django.contrib import admin
from django.urls import path

from opsconsole.mailcatcher import views

app_name = "mailcatcher"
urlpatterns = [
    path("", admin.site.admin_view(views.email_list), name="list"),
    path("<str:name>/", admin.site.admin_view(views.email_detail), name="detail"),
]
