"""Benchmark of django-hordak, a ledger from PyPI, for comparison: one transaction with two legs.

It needs settings in which hordak is installed, so it runs in a separate process:
``python -m fluxori.devtools.bench.hordak <repeats> <seconds>`` prints the rates as JSON.
"""

import json
import sys
from itertools import cycle
from typing import Any

import django
from django.core.management import call_command
from django.db import transaction

from fluxori.devtools.embedded_postgres import is_wanted, provide

_ACCOUNTS = 100


def main() -> None:
    if is_wanted():
        provide()
    django.setup()
    from hordak.models import Account, AccountType, Leg, Transaction  # noqa: PLC0415
    from moneyed import Money  # noqa: PLC0415

    from fluxori.devtools.bench.sections.in_process import rate  # noqa: PLC0415 (needs the settings)

    call_command("migrate", "hordak", verbosity=0, interactive=False)
    used: Any = Account.objects.create(name="Used", type=AccountType.income, currencies=["EUR"])
    accounts = [
        Account.objects.create(name=f"Account {number}", type=AccountType.liability, currencies=["EUR"])
        for number in range(_ACCOUNTS)
    ]
    next_account = cycle(accounts)

    @transaction.atomic
    def record() -> int:
        row = Transaction.objects.create(description="bench")
        Leg.objects.create(transaction=row, account=next(next_account), debit=Money(9, "EUR"))
        Leg.objects.create(transaction=row, account=used, credit=Money(9, "EUR"))
        return 1

    repeats, seconds = int(sys.argv[1]), float(sys.argv[2])
    json.dump([rate(record, seconds) for _ in range(repeats)], sys.stdout)


if __name__ == "__main__":
    main()
