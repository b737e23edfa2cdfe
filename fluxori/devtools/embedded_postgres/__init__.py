"""The database you get when ``DATABASE_URL`` is unset: a real PostgreSQL that the project starts and stops itself.

``manage.py`` and the pytest plugin call :func:`provide`; settings never do. Standard library only until a server
answers, so that importing this package costs nothing. Why it is as it is: docs/decisions/0001-embedded-postgres.md.
"""

from fluxori.devtools.embedded_postgres.errors import EmbeddedPostgresError
from fluxori.devtools.embedded_postgres.provision import provide, wanted

__all__ = ["EmbeddedPostgresError", "provide", "wanted"]
