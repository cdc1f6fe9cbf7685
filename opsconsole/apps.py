"""Replaces Django's default admin site by the console's."""

from django.contrib.admin.apps import AdminConfig


class ConsoleAdminConfig(AdminConfig):
    """`django.contrib.admin` with `ConsoleSite` as the default site."""

    default_site = "opsconsole.site.ConsoleSite"
