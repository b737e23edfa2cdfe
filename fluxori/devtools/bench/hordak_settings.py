"""The project's settings, with django-hordak installed: for the process that measures it."""

from fluxori.settings import *  # noqa: F403 - all of them
from fluxori.settings import INSTALLED_APPS as OURS

INSTALLED_APPS = [*OURS, "mptt", "hordak"]
