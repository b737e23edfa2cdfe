"""The bounds of the ledger, written once. Credits are whole numbers; sizes are characters unless the name says bytes.

Serializers, validation, models and SQL checks take their limits from here.
"""

from fluxori.core import constants as shared

MAX_CREDITS = 10**12
MAX_FEATURE_CODE = 64
MAX_DESCRIPTION = 500
MAX_REASON = 500
MAX_REFERENCE_ID = 255
MAX_IDEMPOTENCY_KEY = shared.MAX_IDEMPOTENCY_KEY
MAX_PRIORITY = 100
DEFAULT_PRIORITY = 50
ROLLOVER_PRIORITY = 40
UNIT_PRICE_DIGITS = 18
UNIT_PRICE_PLACES = 6
MAX_BATCH = 500
DEFAULT_HOLD_SECONDS = 15 * 60
MAX_HOLD_SECONDS = 24 * 60 * 60
# How long a hold may last in all, with every extension.
MAX_HOLD_TOTAL_SECONDS = 7 * 24 * 60 * 60
# How far the instant of a request may be ahead of the clock: the clocks of two processes differ.
MAX_SECONDS_AHEAD = 5 * 60
HASH_VERSION = 1
