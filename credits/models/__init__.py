"""The ledger's tables: shape, constraints and querysets, nothing else. Only ``credits.operations`` writes them."""

from credits.models.balance import CreditBalance
from credits.models.feature import Feature, FeaturePrice
from credits.models.grant import CreditGrant
from credits.models.hold import CreditHold, CreditPin
from credits.models.limit import SpendingLimit
from credits.models.refusal import RefusedAttempt
from credits.models.request import CreditRequest
from credits.models.transaction import CreditEntry, CreditTransaction
from credits.models.usage import CreditFold, CreditRollup, CreditTotal, FoldRun

__all__ = [
    "CreditBalance",
    "CreditEntry",
    "CreditFold",
    "CreditGrant",
    "CreditHold",
    "CreditPin",
    "CreditRequest",
    "CreditRollup",
    "CreditTotal",
    "CreditTransaction",
    "Feature",
    "FeaturePrice",
    "FoldRun",
    "RefusedAttempt",
    "SpendingLimit",
]
