"""How fast it is: a ledger as large as one wants to measure on, and everything measured side by side."""
