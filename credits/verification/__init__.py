"""Verification of the ledger: every invariant and the hash chain, as SQL rules over ranges of balances.

``verify_balance`` and ``verify_all`` neither write nor lock. The rules are in ``rules/``, one file per subject, and in
``rules/global/`` for sums over all balances. ``run.py`` runs them.
"""

from credits.verification.run import (
    GLOBAL_RULES,
    RULES,
    Difference,
    Findings,
    verify_all,
    verify_balance,
    verify_global,
    verify_range,
)

__all__ = [
    "GLOBAL_RULES",
    "RULES",
    "Difference",
    "Findings",
    "verify_all",
    "verify_balance",
    "verify_global",
    "verify_range",
]
