"""The ledger's tables: shape, constraints and querysets, nothing else. Only ``credits.operations`` writes them."""

from credits.models.balance import CreditBalance
from credits.models.feature import Feature, FeaturePrice
from credits.models.grant import CreditGrant
from credits.models.hold import CreditHold, CreditPin
from credits.models.limit import SpendingLimit
from credits.models.rejected_attempt import RejectedAttempt
from credits.models.request import CreditRequest
from credits.models.transaction import CreditEntry, CreditTransaction
from credits.models.usage import AggregationRun, CreditRollup, CreditTotal, UsageWatermark

__all__ = [
    "AggregationRun",
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
    "RejectedAttempt",
    "SpendingLimit",
    "UsageWatermark",
]
