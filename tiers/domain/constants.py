"""The bounds and choices of tiers, as the models, the operations and the HTTP API use them."""

ROLLOVER_UNLIMITED = "unlimited"
ROLLOVER_CAPPED = "capped"
ROLLOVER_NONE = "none"

# Of the monthly credits, in percent.
MAX_CAP_PERCENT = 1000
MAX_ROLLOVER_MONTHS = 120

MAX_TIER_CODE = 64

EFFECTIVE = ("now", "nextPeriod")
PRORATION = ("none", "difference")

# The kinds of entries in the history of a subscription.
KIND_CHANGE = "change"
KIND_START = "start"
KIND_END = "end"
KIND_PAUSE = "pause"
KIND_RESUME = "resume"

# Why a period was not allocated.
NOT_SKIPPED = ""
SKIPPED_OVER = "over"
SKIPPED_PAUSED = "paused"
SKIPPED_INACTIVE = "inactive"
