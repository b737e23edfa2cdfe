"""Admin pages of the ledger: read-only lists and details, and forms for features and their prices.

Staff change balances with staff actions in ``fluxori.console``, which call the same operations as the API.
"""

from credits.admin import features, ledger, rejected_attempts

__all__ = ["features", "ledger", "rejected_attempts"]
