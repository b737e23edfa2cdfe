import io

import pytest
from django.core.management.base import CommandError

from fluxori.core import clock
from fluxori.core.command_line import Progress, reject_future
from tests.support.times import HOUR, NOON


class FakeTerminal(io.StringIO):
    def isatty(self):
        return True


class TestProgress:
    def test_writes_lines_if_the_stream_is_not_a_terminal(self):
        log = io.StringIO()

        with Progress("balances", stream=log, total=2000, every=0) as progress:
            progress.advance(500)
            progress.advance(500)

        assert log.getvalue().splitlines() == [
            "500 of 2,000 balances (25%) after 0 s",
            "1,000 of 2,000 balances (50%) after 0 s",
        ]

    def test_writes_nothing_before_the_interval_has_passed(self):
        log = io.StringIO()

        with Progress("balances", stream=log, every=60) as progress:
            progress.advance()

        assert not log.getvalue()

    def test_draws_a_bar_if_the_stream_is_a_terminal(self, capsys):
        terminal = FakeTerminal()

        with Progress("balances", stream=terminal, total=2) as progress:
            progress.advance(2)

        assert not terminal.getvalue()
        assert "balances" in capsys.readouterr().err


class TestRejectFuture:
    @pytest.mark.parametrize("production", [True, False])
    def test_rejects_a_future_time_in_every_environment(self, settings, production):
        settings.PRODUCTION = production

        with pytest.raises(CommandError, match="is in the future"):
            reject_future(clock.now() + HOUR, dry_run=False)

    def test_accepts_a_future_time_in_a_dry_run(self):
        reject_future(clock.now() + HOUR, dry_run=True)

    def test_accepts_the_present_and_the_past(self):
        with clock.fixed(NOON):
            for at in (NOON, NOON - HOUR):
                reject_future(at, dry_run=False)
