"""The command that measures the pages of the console."""

import json

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from credits.models import CreditTransaction
from fluxori.identity.models import User
from tests.support.factories.credits import deduct, make_balance
from tests.support.ledger import table_digests

pytestmark = pytest.mark.django_db


@pytest.fixture
def superuser():
    deduct(make_balance(), 5, reference_id="order-7")
    return User.objects.create_superuser("superuser@example.test")


class TestTimeConsole:
    @pytest.mark.slow
    def test_every_page_is_opened_and_measured(self, superuser, capsys):
        before = table_digests()

        call_command("time_console", "--as", superuser.email, "--json", "--limit", "600")

        seconds = json.loads(capsys.readouterr().out)["pages"]
        assert {"dashboard", "busiest account", "credit transactions: the last page", "search order-7"} <= set(seconds)
        assert all(0 < page["best"] <= page["first"] for page in seconds.values())
        assert table_digests() == before

    @pytest.mark.slow
    def test_a_slow_page_makes_the_command_fail(self, superuser):
        with pytest.raises(CommandError) as error:
            call_command("time_console", "--as", superuser.email, "--limit", "0.000001")

        assert error.value.returncode == 2

    def test_the_user_must_be_a_superuser(self):
        User.objects.create_user("staff@example.test", is_staff=True)

        with pytest.raises(CommandError, match="no superuser"):
            call_command("time_console", "--as", "staff@example.test")

    @pytest.mark.slow
    def test_an_empty_ledger_can_be_measured(self, capsys):
        superuser = User.objects.create_superuser("superuser@example.test")
        assert not CreditTransaction.objects.exists()

        call_command("time_console", "--as", superuser.email, "--limit", "600")

        assert "dashboard" in capsys.readouterr().out
