"""The project's settings with django-hordak installed, for ``fluxori.devtools.bench.hordak``."""

from fluxori.settings import *  # noqa: F403
from fluxori.settings import INSTALLED_APPS as PROJECT_APPS

INSTALLED_APPS = [*PROJECT_APPS, "mptt", "hordak"]
