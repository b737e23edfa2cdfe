"""The ledger as staff see it: glass to look through, and acts that go through the same operations as everyone's."""

from credits.admin import features, ledger, refused

__all__ = ["features", "ledger", "refused"]
