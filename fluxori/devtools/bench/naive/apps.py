from django.apps import AppConfig


class NaiveConfig(AppConfig):
    name = "fluxori.devtools.bench.naive"
    label = "naive"
