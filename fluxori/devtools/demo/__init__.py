"""``manage.py demo``: sample data, a tour of the API, and a running server to explore.

The data are created by the public operations, so they are a valid ledger. The demo never runs in production. Read next:
``management/commands/demo.py``.
"""
