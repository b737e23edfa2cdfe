"""The ledger and the model agree after every step of random sequences of operations.

The default run is short; ``--model-steps`` sets a number of steps, and a long run prints how many it ran.
"""

import sys
import time

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model.machine import STEPS, LedgerMachine

STEPS_PER_EXAMPLE = 50
BOUNDED = 500


def run(seed_number: int, examples: int) -> None:
    options = settings(
        max_examples=examples,
        stateful_step_count=STEPS_PER_EXAMPLE,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    run_state_machine_as_test(seed(seed_number)(type("Ledger", (LedgerMachine,), {})), settings=options)


@pytest.mark.django_db(transaction=True)
class TestLedgerAndModel:
    def test_agree_after_every_step(self, pytestconfig, capsys):
        wanted, first = pytestconfig.getoption("model_steps"), pytestconfig.getoption("model_seed")
        STEPS["run"] = 0
        began = time.monotonic()
        number = first
        while STEPS["run"] < wanted:
            run(number, examples=min(max((wanted - STEPS["run"]) // STEPS_PER_EXAMPLE, 1), 100))
            number += 1
        took = time.monotonic() - began
        if wanted > BOUNDED:
            with capsys.disabled():
                summary = f"{STEPS['run']:,} steps without a difference, seeds {first} to {number - 1}, {took:.0f} s"
                sys.stdout.write(f"\n{summary}\n")
