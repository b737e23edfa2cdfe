from django.apps import AppConfig


class IdentityConfig(AppConfig):
    name = "fluxori.identity"
    label = "identity"
    verbose_name = "People and organizations"
