"""The tables of the ledger: columns, constraints, indexes and triggers only.

Only ``credits.operations`` and ``credits.engine`` write them; staff edit features and prices in the admin. Invariants
that one row can show are CHECK constraints or keys; ``credits.verification`` checks the others.
"""

from credits.models.balance import CreditBalance
from credits.models.feature import Feature, FeaturePrice
from credits.models.grant import CreditGrant
from credits.models.hold import CreditHold, CreditPin
from credits.models.identity import LedgerIdentity
from credits.models.limit import SpendingLimit
from credits.models.rejected_attempt import RejectedAttempt
from credits.models.repair import BalanceRepair
from credits.models.request import CreditRequest
from credits.models.transaction import CreditEntry, CreditTransaction
from credits.models.usage import AggregationRun, CreditRollup, CreditTotal, UsageWatermark
from credits.models.verification import VerificationRun

__all__ = [
    "AggregationRun",
    "BalanceRepair",
    "CreditBalance",
    "CreditEntry",
    "CreditGrant",
    "CreditHold",
    "CreditPin",
    "CreditRequest",
    "CreditRollup",
    "CreditTotal",
    "CreditTransaction",
    "Feature",
    "FeaturePrice",
    "LedgerIdentity",
    "RejectedAttempt",
    "SpendingLimit",
    "UsageWatermark",
    "VerificationRun",
]
