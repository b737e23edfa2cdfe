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
def boss():
    deduct(make_balance(), 5, reference_id="order-7")
    return User.objects.create_superuser("boss@example.test")


class TestTimeConsole:
    def test_opens_every_page_and_says_how_long_each_took(self, boss, capsys):
        before = table_digests()

        call_command("time_console", "--as", boss.email, "--json", "--limit", "600")

        taken = json.loads(capsys.readouterr().out)
        assert {"dashboard", "busiest account", "credit transactions: the last page", "find order-7"} <= set(taken)
        assert all(0 < page["best"] <= page["first"] for page in taken.values())
        assert table_digests() == before

    def test_fails_where_something_is_slower_than_it_may_be(self, boss):
        with pytest.raises(CommandError) as slow:
            call_command("time_console", "--as", boss.email, "--limit", "0.000001")

        assert slow.value.returncode == 2

    def test_looks_through_a_superusers_eyes_only(self):
        User.objects.create_user("staff@example.test", is_staff=True)

        with pytest.raises(CommandError, match="no superuser"):
            call_command("time_console", "--as", "staff@example.test")

    def test_opens_what_there_is_on_an_empty_ledger(self, capsys):
        boss = User.objects.create_superuser("boss@example.test")
        assert not CreditTransaction.objects.exists()

        call_command("time_console", "--as", boss.email, "--limit", "600")

        assert "dashboard" in capsys.readouterr().out
