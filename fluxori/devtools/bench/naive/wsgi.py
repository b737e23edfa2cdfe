"""The WSGI application of the naive service."""

import os

from django.core.wsgi import get_wsgi_application

os.environ["DJANGO_SETTINGS_MODULE"] = "fluxori.devtools.bench.naive.settings"

application = get_wsgi_application()
