from django.apps import AppConfig


class BenchConfig(AppConfig):
    name = "fluxori.devtools.bench"
    label = "bench"
    default_auto_field = "django.db.models.BigAutoField"
