"""The console's admin site in the place of Django's."""

from django.contrib.admin.apps import AdminConfig


class ConsoleAdminConfig(AdminConfig):
    """`django.contrib.admin`, with the console's site as the default one."""

    default_site = "opsconsole.site.ConsoleSite"
