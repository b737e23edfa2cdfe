"""The ledger and the model do the same, whatever is asked of them in whatever order.

A bounded run with the other tests; a long one with ``--model-steps``, which says how many steps it ran.
"""

import sys
import time

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model.machine import STEPS, LedgerMachine

STEPS_OF_ONE_STORY = 50
BOUNDED = 500


def run(seed_of_it: int, stories: int) -> None:
    told = settings(
        max_examples=stories,
        stateful_step_count=STEPS_OF_ONE_STORY,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    run_state_machine_as_test(seed(seed_of_it)(type("Ledger", (LedgerMachine,), {})), settings=told)


@pytest.mark.django_db(transaction=True)
class TestLedgerAndModel:
    def test_agree_after_every_step(self, pytestconfig, capsys):
        wanted, first = pytestconfig.getoption("model_steps"), pytestconfig.getoption("model_seed")
        STEPS["run"] = 0
        began = time.monotonic()
        number = first
        while STEPS["run"] < wanted:
            run(number, stories=min(max((wanted - STEPS["run"]) // STEPS_OF_ONE_STORY, 1), 100))
            number += 1
        took = time.monotonic() - began
        if wanted > BOUNDED:
            with capsys.disabled():
                said = f"{STEPS['run']:,} steps without a difference, seeds {first} to {number - 1}, {took:.0f} s"
                sys.stdout.write(f"\n{said}\n")
