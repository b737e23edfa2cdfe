"""The Django app of the staff console."""

from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    name = "fluxori.console"
    label = "console"
    default_auto_field = "django.db.models.BigAutoField"
