"""Changes of the ledger, below the operations: locks, the load, idempotency, and the write.

Read in the order of one request: ``locked_balance`` (lock, load, plan), ``idempotency`` (keys and stored results),
``spending`` (price, suspension, limits, funds), ``rows`` and ``write`` (one statement), ``results`` (what callers get).
``operation_queue`` joins concurrent requests into one transaction.
"""
