import json
from io import StringIO
from uuid import uuid4

import pytest
from django.core.management import CommandError, ManagementUtility, call_command

from credits import operations
from credits.models import CreditTransaction
from tests.support.factories.credits import deduct, make_balance
from tests.support.factories.identity import AdminFactory, MembershipFactory, UserFactory
from tests.support.ledger import table_digests
from tests.support.times import DAY, NOON

pytestmark = pytest.mark.django_db


def explain(transaction_id, *arguments):
    out = StringIO()
    call_command("explain_transaction", str(transaction_id), *arguments, stdout=out)
    return out.getvalue()


@pytest.fixture
def ann():
    """Somebody with a story: a purchase, a report charged by a hold and refunded, and the purchase reversed."""
    ann = UserFactory.create(email="ann@example.com")
    operations.add_credits(owner=ann, amount=60, type="promotion", expires_at=NOON + DAY, at=NOON)
    bought = operations.add_credits(owner=ann, amount=100, type="purchase", metadata={"order": "4711 ü"}, at=NOON)
    held = operations.place_hold(owner=ann, feature="ai-generated-report", quantity=2, actor=ann, at=NOON)
    spent = operations.capture_hold(hold_id=held.hold.id, actor=ann, idempotency_key="report", at=NOON).transaction
    assert spent
    operations.refund_usage(transaction_id=spent.id, amount=15, reason="A page was missing", actor=ann, at=NOON)
    operations.reverse_purchase(transaction_id=bought.transaction.id, reason="Chargeback", at=NOON)
    return ann


class TestExplainTransaction:
    def test_prints_every_fact_of_a_usage(self, ann):
        _, bought, spent, refund, _ = CreditTransaction.objects.order_by("sequence")
        first, second = spent.entries.order_by("position")

        assert explain(spent.pk).splitlines() == [
            f"usage        -80 credits, transaction {spent.pk}",
            f"number       3 of user {ann.pk} (ann@example.com)",
            "balance      160 before, 80 after",
            "when         2025-03-03T12:00:00Z",
            "feature      2 of ai-generated-report",
            "price        40 credits each, in force from 2020-01-01T00:00:00Z",
            f"entry        -60 on grant {first.grant_id}, promotion until 2025-03-04T12:00:00Z; 0 remain free",
            f"entry        -20 on grant {second.grant_id}, purchase without expiry; 80 remain free",
            f"actor        ann@example.com, user, {ann.pk}",
            f"hold         {spent.hold_id}",
            "key          report",
            f"reversed by  {refund.pk}",
            f"hash         {bytes(spent.hash).hex()}",
            f"predecessor  {bytes(bought.hash).hex()}",
        ]

    def test_prints_corrected_transaction_reason_and_debt(self, ann):
        _, bought, spent, refund, reversal = CreditTransaction.objects.order_by("sequence")

        returned, taken = explain(refund.pk), explain(reversal.pk)

        assert f"reverses     {spent.pk}\n" in returned
        assert "reason       A page was missing\n" in returned
        assert f"reverses     {bought.pk}\n" in taken
        assert "entry        -5 on debt\n" in taken
        assert "actor        none" in taken
        assert 'metadata     {"order": "4711 ü"}\n' in explain(bought.pk)

    def test_prints_the_member_of_a_pool(self):
        seat = MembershipFactory.create()
        spent = deduct(make_balance(seat.organization), 5, member=seat.user)

        output = explain(spent.transaction.id)

        assert f"number       2 of organization {seat.organization.pk} ({seat.organization.name})\n" in output
        assert f"member       {seat.user.pk}\n" in output

    def test_json_equals_the_response_of_the_api(self, api, ann):
        admin = api(AdminFactory.create())
        recorded = list(CreditTransaction.objects.order_by("sequence"))

        assert [each.type for each in recorded] == ["promotion", "purchase", "usage", "refund", "reversal"]
        for transaction in recorded:
            answer = admin.get(f"/api/credits/transactions/{transaction.pk}").json()
            assert json.loads(explain(transaction.pk, "--json")) == answer

    def test_writes_nothing(self, ann):
        before = table_digests()

        explain(CreditTransaction.objects.earliest("sequence").pk)

        assert table_digests() == before

    def test_unknown_transaction_exits_with_1(self):
        with pytest.raises(CommandError, match="no such transaction") as error:
            call_command("explain_transaction", str(uuid4()))

        assert error.value.returncode == 1

    @pytest.mark.parametrize("arguments", [["7"], []])
    def test_rejects_an_invalid_id(self, arguments, capsys):
        with pytest.raises(SystemExit) as ended:
            ManagementUtility(["manage.py", "explain_transaction", *arguments]).execute()

        assert ended.value.code == 2
        assert "usage:" in capsys.readouterr().err
