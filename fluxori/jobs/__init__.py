"""Background jobs and periodic jobs: a queue on PostgreSQL, worked off by ``manage.py procrastinate worker``.

The jobs call commands and operations; they contain no rule themselves. ``schedule`` lists what runs periodically, and
``fluxori.db.jobs`` adds a job to the queue from any layer.
"""
