import io

from fluxori.core.command_line import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


class TestProgress:
    def test_writes_lines_where_there_is_no_terminal(self):
        log = io.StringIO()

        with Progress("balances", stream=log, total=2000, every=0) as progress:
            progress.advance(500)
            progress.advance(500)

        assert log.getvalue().splitlines() == [
            "500 of 2,000 balances (25%) after 0 s",
            "1,000 of 2,000 balances (50%) after 0 s",
        ]

    def test_keeps_quiet_until_it_is_time(self):
        log = io.StringIO()

        with Progress("balances", stream=log, every=60) as progress:
            progress.advance()

        assert not log.getvalue()

    def test_draws_a_bar_on_a_terminal(self, capsys):
        terminal = Terminal()

        with Progress("balances", stream=terminal, total=2) as progress:
            progress.advance(2)

        assert not terminal.getvalue()
        assert "balances" in capsys.readouterr().err
