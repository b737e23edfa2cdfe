"""The invariants of subscriptions, changes of tier and allocations, as SQL rules for ``credits.verification``.

Each rule returns the rows that break it, in the same form as the rules of the ledger; the files are in ``rules/``.
"""

from pathlib import Path

RULES = tuple(path.read_text(encoding="utf-8") for path in sorted((Path(__file__).parent / "rules").glob("*.sql")))
