"""The addresses of the caught mails. `admin_view` asks for staff, and forbids storing the page."""

from django.contrib import admin
from django.urls import path

from opsconsole.mailcatcher import views

app_name = "mailcatcher"
urlpatterns = [
    path("", admin.site.admin_view(views.mails), name="list"),
    path("<str:name>/", admin.site.admin_view(views.mail), name="mail"),
]
