"""Users, organizations, memberships and tokens.

``models`` and ``errors`` are the lowest modules, then ``owner`` and ``queries``, then ``operations`` and ``tokens``.
The HTTP endpoints (``api``) and the admin pages (``admin``) are entry points above them.
"""
