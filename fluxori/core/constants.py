"""Bounds that the HTTP API and the ledger share. ``fluxori.core.input_rules`` applies them."""

MAX_IDEMPOTENCY_KEY = 255  # characters
MAX_METADATA_BYTES = 4096  # of canonical JSON in UTF-8
