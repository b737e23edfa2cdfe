"""The project's settings, with the doors of the bench beside the others."""

from fluxori.settings import *  # noqa: F403 - all of them

ROOT_URLCONF = "fluxori.devtools.bench.urls"
