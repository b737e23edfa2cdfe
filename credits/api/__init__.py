"""HTTP endpoints of the ledger. Each view parses the request, calls one operation or query, and renders the result."""
