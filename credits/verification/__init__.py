"""Verification of the ledger: every invariant and the hash chain, as SQL rules over ranges of balances.

``verify_balance`` and ``verify_all`` neither write nor lock. The rules are in ``rules/``, one file per subject, and in
``rules/global/`` for sums over all balances. ``run.py`` runs them. ``anchors.py`` compares the hash chains with a
file that is kept outside the database.
"""

from credits.verification.anchor_file import Anchor, AnchorError
from credits.verification.anchors import ledger_id, read_anchor, verify_anchor, write_anchor
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
    "Anchor",
    "AnchorError",
    "Difference",
    "Findings",
    "ledger_id",
    "read_anchor",
    "verify_all",
    "verify_anchor",
    "verify_balance",
    "verify_global",
    "verify_range",
    "write_anchor",
]
