"""django-hordak recording the same movement: from what a user has to what was used. A process of its own, for it wants
settings in which it is installed: ``python -m fluxori.devtools.bench.hordak <repeats> <seconds>`` prints the rates as
JSON.
"""

import json
import sys
from itertools import cycle
from typing import Any

import django
from django.core.management import call_command
from django.db import transaction

from fluxori.devtools.embedded_postgres import provide, wanted

_ACCOUNTS = 100


def main() -> None:
    if wanted():
        provide()
    django.setup()
    from hordak.models import Account, AccountType, Leg, Transaction  # noqa: PLC0415
    from moneyed import Money  # noqa: PLC0415

    from fluxori.devtools.bench.sections.in_process import rate  # noqa: PLC0415 (needs the settings)

    call_command("migrate", "hordak", verbosity=0, interactive=False)
    used: Any = Account.objects.create(name="Used", type=AccountType.income, currencies=["EUR"])
    purses = [
        Account.objects.create(name=f"Purse {number}", type=AccountType.liability, currencies=["EUR"])
        for number in range(_ACCOUNTS)
    ]
    around = cycle(purses)

    @transaction.atomic
    def record() -> int:
        moved = Transaction.objects.create(description="bench")
        Leg.objects.create(transaction=moved, account=next(around), debit=Money(9, "EUR"))
        Leg.objects.create(transaction=moved, account=used, credit=Money(9, "EUR"))
        return 1

    repeats, seconds = int(sys.argv[1]), float(sys.argv[2])
    json.dump([rate(record, seconds) for _ in range(repeats)], sys.stdout)


if __name__ == "__main__":
    main()
