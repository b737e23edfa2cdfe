"""Benchmarks: ``manage.py bench`` measures the system, ``manage.py seed_ledger`` creates a large ledger.

The benchmarks run in a throw-away database and compare figures of the same run with each other. Read next:
``session.py``, then ``sections/``.
"""
