"""Verification of the ledger: every invariant and the hash chain, as SQL rules over ranges of balances.

``verify_balance`` and ``verify_all`` read one snapshot for each range; they neither write nor lock. The rules are in
``rules/``, one file for each subject; ``run.py`` runs them.
"""

from credits.verification.run import (
    RULES,
    WHOLE_RULES,
    Difference,
    Findings,
    verify_all,
    verify_balance,
    verify_range,
    verify_whole,
)

__all__ = [
    "RULES",
    "WHOLE_RULES",
    "Difference",
    "Findings",
    "verify_all",
    "verify_balance",
    "verify_range",
    "verify_whole",
]
