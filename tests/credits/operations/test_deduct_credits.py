from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from credits import operations, queries
from credits.models import CreditBalance, CreditRequest, Feature, FeaturePrice
from tests.support.factories.credits import deduct, hold, make_balance, make_user
from tests.support.operations import captured_statements, check_sums, unchanged
from tests.support.times import DAY, HOUR, NOON

MOST = 10**12
MICROSECOND = timedelta(microseconds=1)

pytestmark = pytest.mark.django_db


def use(balance, feature="simple-ai-insight", at=NOON, **said):
    return operations.deduct_credits(owner=balance.owner, feature=feature, at=at, **said)


def remaining_of(balance):
    return list(balance.grants.order_by("pk").values_list("remaining", flat=True))


def faults_of(refusal):
    return [(fault.field, fault.code) for fault in refusal.value.errors]


def suspend(balance):
    CreditBalance.objects.filter(pk=balance.pk).update(suspended_at=NOON, version=balance.version + 1)


class TestDeductCredits:
    def test_takes_from_the_grant_that_expires_first(self):
        balance = make_balance(grants=[(50, None)])
        make_balance(balance.owner, grants=[(20, DAY)])

        recorded = deduct(balance, 30)

        lasting, fleeting = balance.grants.order_by("effective_at", "-expires_at")
        assert {lasting.expires_at: lasting.remaining, fleeting.expires_at: fleeting.remaining} == {
            None: 40,
            NOON + DAY: 0,
        }
        assert (recorded.transaction.type, recorded.transaction.amount, recorded.transaction.balance_after) == (
            "usage",
            -30,
            40,
        )
        check_sums(balance)

    def test_says_which_grants_paid_in_burn_order(self):
        balance = make_balance(grants=[(20, None)], type="purchase")
        make_balance(balance.owner, grants=[(20, None)], type="allocation")
        make_balance(balance.owner, grants=[(20, 2 * DAY)], type="purchase")
        make_balance(balance.owner, grants=[(20, DAY)], type="purchase")
        make_balance(balance.owner, grants=[(20, None)], type="purchase", priority=0)

        recorded = deduct(balance, 90)

        stored = recorded.entries.model.objects.filter(transaction=recorded.transaction.id).order_by("position")
        paid = [(part.grant.priority, part.grant.expires_at, part.grant.source, part.amount) for part in stored]
        assert paid == [
            (0, None, "purchase", -20),
            (50, NOON + DAY, "purchase", -20),
            (50, NOON + 2 * DAY, "purchase", -20),
            (50, None, "allocation", -20),
            (50, None, "purchase", -10),
        ]
        assert [part.pk for part in recorded.transaction.entries] == [part.pk for part in stored]

    def test_may_take_everything(self):
        balance = make_balance(grants=[(10, None), (20, DAY)])

        recorded = deduct(balance, 30)

        assert (recorded.balance.balance, recorded.balance.available) == (0, 0)
        assert not balance.grants.filter(live=True).exists()

    def test_takes_all_or_nothing(self):
        balance = make_balance(grants=[(10, None), (20, DAY)])

        with unchanged(), pytest.raises(operations.InsufficientCreditsError) as refusal:
            deduct(balance, 31)

        assert refusal.value.facts == {"required": 31, "available": 30, "held": 0, "shortfall": 1}

    def test_leaves_what_is_set_aside(self):
        balance = make_balance()
        hold(balance, 60)

        with unchanged(), pytest.raises(operations.InsufficientCreditsError) as refusal:
            deduct(balance, 41)

        assert refusal.value.facts == {"required": 41, "available": 40, "held": 60, "shortfall": 1}

    def test_has_back_what_was_set_aside_when_the_hold_lapses(self):
        balance = make_balance()
        hold(balance, 60, expires_in=HOUR)

        with pytest.raises(operations.InsufficientCreditsError):
            deduct(balance, 100, at=NOON + HOUR - MICROSECOND)
        recorded = deduct(balance, 100, at=NOON + HOUR)

        assert (recorded.balance.balance, recorded.balance.held) == (0, 0)
        assert balance.holds.get().status == "lapsed"
        check_sums(balance)

    def test_pays_with_a_grant_up_to_the_last_microsecond(self):
        balance = make_balance(grants=[(20, DAY)])

        assert deduct(balance, 20, at=NOON + DAY - MICROSECOND).transaction.balance_after == 0

    def test_ignores_a_grant_at_the_instant_it_expires(self):
        balance = make_balance(grants=[(20, DAY)])

        with unchanged(), pytest.raises(operations.InsufficientCreditsError) as refusal:
            deduct(balance, 1, at=NOON + DAY)

        assert refusal.value.facts == {"required": 1, "available": 0, "held": 0, "shortfall": 1}

    def test_writes_what_expired_before_it(self):
        balance = make_balance(grants=[(20, DAY), (50, None)])

        recorded = deduct(balance, 30, at=NOON + 3 * DAY)

        said = balance.transactions.order_by("sequence").values_list("type", "amount", "timestamp", "balance_after")
        assert list(said)[2:] == [("expiry", -20, NOON + DAY, 50), ("usage", -30, NOON + 3 * DAY, 20)]
        assert recorded.transaction.sequence == 4
        check_sums(balance)

    def test_is_priced_by_the_server_where_a_feature_is_named(self):
        balance = make_balance()

        recorded = use(balance, "realtime-ai-dashboard", quantity=4)

        assert (
            recorded.transaction.amount,
            recorded.transaction.details.feature_id,
            recorded.transaction.details.quantity,
        ) == (-12, "realtime-ai-dashboard", 4)
        assert queries.get_transaction(transaction_id=recorded.transaction.id).price.credits == 3

    def test_uses_the_price_in_force_at_its_instant(self):
        balance = make_balance()
        FeaturePrice.objects.create(feature_id="simple-ai-insight", credits=11, effective_from=NOON + HOUR)

        before = use(balance, at=NOON + HOUR - MICROSECOND)
        after = use(balance, at=NOON + HOUR)

        assert (before.transaction.amount, after.transaction.amount) == (-9, -11)

    def test_asks_the_price_of_the_last_change_where_the_clock_lags_behind_it(self):
        balance = make_balance()
        FeaturePrice.objects.create(feature_id="simple-ai-insight", credits=11, effective_from=NOON + HOUR)
        deduct(balance, 1, at=NOON + HOUR)

        recorded = use(balance, at=NOON)

        assert (recorded.transaction.amount, recorded.transaction.timestamp) == (-11, NOON + HOUR)

    def test_never_dates_a_change_before_the_last(self):
        balance = make_balance(at=NOON)

        recorded = [deduct(balance, 1, at=at) for at in (NOON + HOUR, NOON, NOON - DAY, NOON + 2 * HOUR)]

        assert [said.transaction.timestamp - NOON for said in recorded] == [HOUR, HOUR, HOUR, 2 * HOUR]
        assert [said.transaction.sequence for said in recorded] == [2, 3, 4, 5]

    def test_does_not_bring_expired_credits_back_by_going_back_in_time(self):
        balance = make_balance(grants=[(20, DAY), (50, None)])
        deduct(balance, 1, at=NOON + DAY)

        with pytest.raises(operations.InsufficientCreditsError) as refusal:
            deduct(balance, 50, at=NOON)

        assert refusal.value.facts["available"] == 49

    def test_keeps_who_asked_and_whom_it_was_for(self):
        balance, caller, member = make_balance(), make_user(), make_user()

        recorded = deduct(balance, 1, actor=caller, member=member.pk, reference_id="job-7", metadata={"n": 1})

        stored = queries.get_transaction(transaction_id=recorded.transaction.id)
        assert (stored.actor_id, stored.member_id) == (caller.pk, member.pk)
        assert (stored.reference_id, stored.metadata) == ("job-7", '{"n":1}')

    @pytest.mark.parametrize("with_key", [None, "k"])
    def test_asks_the_database_three_times(self, with_key):
        balance = make_balance(grants=[(1, DAY)] * 5 + [(100, None)])
        hold(balance, 2, expires_in=HOUR)

        with captured_statements() as run:
            use(balance, idempotency_key=with_key, at=NOON + 2 * HOUR)

        assert len(run) == 3

    def test_carries_the_balance_in_every_statement_of_a_replay(self):
        balance = make_balance()
        use(balance, idempotency_key="k")

        with captured_statements() as run:
            use(balance, idempotency_key="k")

        named = (str(balance.pk), balance.pk.hex)
        assert [sql for sql in run if not any(name in sql for name in named)] == []


class TestDeductCreditsRefuses:
    @pytest.mark.parametrize("amount", [0, -1, MOST + 1, 2**63])
    def test_an_amount_out_of_bounds(self, amount):
        balance = make_balance()

        with unchanged(), pytest.raises(operations.InvalidArgumentError) as refusal:
            deduct(balance, amount)

        assert faults_of(refusal) == [("amount", "out_of_range")]

    @pytest.mark.parametrize("amount", [True, False, 9.0, 9.5, "9", Decimal(9)])
    def test_what_is_not_a_whole_number(self, amount):
        balance = make_balance()

        with unchanged(), pytest.raises(operations.InvalidArgumentError) as refusal:
            deduct(balance, amount)

        assert faults_of(refusal) == [("amount", "wrong_type")]

    def test_nothing_within_bounds(self):
        balance = make_balance(grants=[(MOST, None), (1, None)])

        assert [deduct(balance, amount).transaction.balance_after for amount in (1, MOST)] == [MOST, 0]

    @pytest.mark.parametrize(
        ("said", "fault"),
        [
            ({}, ("amount", "required")),
            ({"amount": 1, "feature": "simple-ai-insight", "description": "x"}, ("amount", "invalid_choice")),
            ({"amount": 1}, ("description", "required")),
            ({"amount": 1, "description": "  "}, ("description", "required")),
            ({"amount": 1, "description": None}, ("description", "wrong_type")),
            ({"amount": 1, "description": "x" * 501}, ("description", "too_long")),
            ({"amount": 1, "description": "x", "quantity": 2}, ("quantity", "invalid_choice")),
            ({"feature": ""}, ("feature", "required")),
            ({"feature": 9}, ("feature", "wrong_type")),
            ({"feature": "a\x00b"}, ("feature", "wrong_type")),
            ({"feature": "simple-ai-insight", "quantity": 0}, ("quantity", "out_of_range")),
            ({"feature": "simple-ai-insight", "quantity": True}, ("quantity", "wrong_type")),
            ({"feature": "simple-ai-insight", "quantity": 1.0}, ("quantity", "wrong_type")),
            ({"feature": "simple-ai-insight", "quantity": MOST // 9 + 1}, ("quantity", "out_of_range")),
            ({"feature": "simple-ai-insight", "reference_id": "x" * 256}, ("reference_id", "too_long")),
            ({"feature": "simple-ai-insight", "metadata": "{}"}, ("metadata", "wrong_type")),
            ({"feature": "simple-ai-insight", "idempotency_key": "x" * 300}, ("idempotency_key", "key_too_long")),
        ],
    )
    def test_what_could_never_be_right(self, said, fault):
        balance = make_balance()

        with unchanged(), pytest.raises(operations.InvalidArgumentError) as refusal:
            operations.deduct_credits(owner=balance.owner, at=NOON, **said)

        assert faults_of(refusal) == [fault]

    def test_an_owner_without_a_balance(self):
        with unchanged(), pytest.raises(operations.BalanceNotFoundError):
            operations.deduct_credits(owner=make_user(), amount=1, description="x", at=NOON)

    def test_an_organization_by_the_id_of_a_user(self):
        balance = make_balance()

        with unchanged(), pytest.raises(operations.BalanceNotFoundError):
            operations.deduct_credits(
                owner=operations.Owner.organization(balance.pk), amount=1, description="x", at=NOON
            )

    @pytest.mark.parametrize("feature", ["no-such-thing", "not-yet-priced"])
    def test_a_feature_without_a_price(self, feature):
        balance = make_balance()
        Feature.objects.create(code="not-yet-priced", name="Soon", unit="piece")
        FeaturePrice.objects.create(feature_id="not-yet-priced", credits=1, effective_from=NOON + MICROSECOND)

        with unchanged(), pytest.raises(operations.FeatureNotFoundError) as refusal:
            use(balance, feature)

        assert refusal.value.facts == {"feature": feature}

    def test_while_spending_is_suspended(self):
        balance = make_balance()
        suspend(balance)

        with unchanged(), pytest.raises(operations.SpendingSuspendedError):
            deduct(balance, 1)

    def test_in_the_documented_order(self):
        balance = make_balance(grants=[(1, None)])
        deduct(balance, 1, idempotency_key="k")
        balance.refresh_from_db()
        suspend(balance)
        # Each of these is wrong in every way that comes after the one it is refused for.
        stranger = operations.Owner.user(make_user().pk)
        tried: list[Any] = [
            (operations.InvalidArgumentError, stranger, {"feature": "nothing", "quantity": 0, "idempotency_key": "k"}),
            (operations.BalanceNotFoundError, stranger, {"feature": "nothing", "idempotency_key": "k"}),
            (operations.IdempotencyKeyReusedError, balance.owner, {"feature": "nothing", "idempotency_key": "k"}),
            (operations.FeatureNotFoundError, balance.owner, {"feature": "nothing"}),
            (operations.SpendingSuspendedError, balance.owner, {"feature": "simple-ai-insight"}),
        ]

        for kind, owner, said in tried:
            with unchanged(), pytest.raises(kind):
                operations.deduct_credits(owner=owner, at=NOON, **said)


class TestDeductCreditsTwice:
    def test_takes_once(self):
        balance = make_balance()
        first = deduct(balance, 30, idempotency_key="k")

        with unchanged():
            again = deduct(balance, 30, idempotency_key="k", at=NOON + DAY)

        assert (again.transaction.id, again.balance, again.replayed, first.replayed) == (
            first.transaction.id,
            first.balance,
            True,
            False,
        )
        assert [(part.pk, part.amount) for part in again.transaction.entries] == [
            (part.pk, part.amount) for part in first.transaction.entries
        ]

    def test_replays_after_the_balance_has_emptied(self):
        balance = make_balance(grants=[(30, DAY), (70, None)])
        first = deduct(balance, 40, idempotency_key="k")
        deduct(balance, 60)

        with unchanged():
            again = deduct(balance, 40, idempotency_key="k", at=NOON + 9 * DAY)

        assert (again.balance, again.balance.available) == (first.balance, 60)

    def test_replays_while_spending_is_suspended(self):
        balance = make_balance()
        first = deduct(balance, 40, idempotency_key="k")
        balance.refresh_from_db()
        suspend(balance)

        assert deduct(balance, 40, idempotency_key="k").transaction.id == first.transaction.id

    def test_replays_at_the_price_it_had(self):
        balance = make_balance()
        first = use(balance, idempotency_key="k")
        FeaturePrice.objects.create(feature_id="simple-ai-insight", credits=11, effective_from=NOON + HOUR)

        again = use(balance, idempotency_key="k", at=NOON + HOUR)

        assert (again.transaction.id, again.transaction.amount) == (first.transaction.id, -9)

    @pytest.mark.parametrize(
        "other",
        [
            {"amount": 31},
            {"description": "Something else"},
            {"reference_id": "another"},
            {"metadata": {}},
            {"amount": None, "feature": "simple-ai-insight"},
        ],
    )
    def test_refuses_another_request_with_the_key(self, other):
        balance = make_balance()
        deduct(balance, 30, idempotency_key="k")

        with unchanged(), pytest.raises(operations.IdempotencyKeyReusedError):
            deduct(balance, **{"amount": 30, "idempotency_key": "k", **other})

    def test_refuses_the_key_for_another_member(self):
        balance = make_balance()
        deduct(balance, 30, idempotency_key="k", member=make_user())

        with unchanged(), pytest.raises(operations.IdempotencyKeyReusedError):
            deduct(balance, 30, idempotency_key="k", member=make_user())

    def test_refuses_the_key_of_another_operation(self):
        balance = make_balance(idempotency_key="k")

        with unchanged(), pytest.raises(operations.IdempotencyKeyReusedError):
            deduct(balance, 100, idempotency_key="k")

    def test_lets_each_caller_have_the_key(self):
        balance, one, other = make_balance(), make_user(), make_user()

        made = {deduct(balance, 10, actor=actor, idempotency_key="k").transaction.id for actor in (None, one, other)}

        assert len(made) == 3

    def test_does_not_use_the_key_up_when_it_refuses(self):
        balance = make_balance(grants=[(10, None)])
        with pytest.raises(operations.InsufficientCreditsError):
            deduct(balance, 30, idempotency_key="k")
        assert not CreditRequest.objects.exists()
        make_balance(balance.owner, grants=[(20, None)])

        assert deduct(balance, 30, idempotency_key="k").replayed is False

    def test_keeps_the_facts_that_were_said_alongside(self):
        balance = make_balance()
        deduct(balance, 1, idempotency_key="k", alongside={"tier": "growth"})

        assert deduct(balance, 1, idempotency_key="k", alongside={"tier": "pro"}).tier_facts == {"tier": "growth"}
