"""The project's settings with the URL configuration of the benchmarks."""

from fluxori.settings import *  # noqa: F403

ROOT_URLCONF = "fluxori.devtools.bench.urls"
