"""A credit service as most Django teams would write it, to compare with: no grants, no hash, no expiry.

It has Django's default security and common middleware, Django REST framework, SimpleJWT and one serializer. A deduction
locks the balance with ``select_for_update``, looks for the key, checks, saves and creates one row. It runs in processes
of its own, with its own settings and database, under the same server as the project.
"""
