"""A real PostgreSQL server that the project starts and stops itself when ``DATABASE_URL`` is not set.

``manage.py`` and the pytest plugin call :func:`provide`; the settings never do. The server runs as long as a process
uses it, and it stops when the last one ends, even if that one is killed. Only the standard library is imported until a
connection is opened. Read next: ``provision.py``, then ``cluster.py``.
"""

from fluxori.devtools.embedded_postgres.errors import EmbeddedPostgresError
from fluxori.devtools.embedded_postgres.provision import is_wanted, provide

__all__ = ["EmbeddedPostgresError", "is_wanted", "provide"]
