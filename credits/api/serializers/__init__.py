"""Request and response serializers of the ledger's endpoints, one module for each resource.

Amounts of credits are whole numbers throughout. ``common`` has what several resources share.
"""
