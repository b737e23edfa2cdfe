import pytest

from credits import operations
from credits.models import CreditHold, FeaturePrice
from tests.credits.operations.verbs import (
    capture_hold,
    change_tier,
    place_hold,
    remaining_and_held_of_grants,
    resume_spending,
    subscribe,
    suspend_spending,
)
from tests.support.factories.credits import make_balance, make_user
from tests.support.operations import (
    captured_statements,
    check_balance,
    check_replay,
    field_errors,
    statement_kinds,
    unchanged,
)
from tests.support.times import DAY, HOUR, MINUTE, NOON, SECOND

MAXIMUM = 10**12

pytestmark = pytest.mark.django_db


class TestPlaceHold:
    def test_pins_grants_in_burn_order_without_a_transaction(self):
        balance = make_balance(grants=[(50, None), (20, DAY)])
        lasting, expiring = balance.grants.order_by("pk")

        result = place_hold(balance, 30)

        placed = result.hold
        assert placed.pins == [(expiring.pk, 20), (lasting.pk, 10)]
        assert list(CreditHold.objects.get().pins.order_by("position").values_list("grant_id", "amount")) == placed.pins
        assert (placed.status, placed.amount, placed.captured, placed.closed_at) == ("open", 30, 0, None)
        assert remaining_and_held_of_grants(balance) == [(40, 10), (0, 20)]
        assert (result.balance.balance, result.balance.held, result.balance.available) == (70, 30, 40)
        assert balance.transactions.count() == 2
        check_balance(balance)

    def test_lapses_after_15_minutes_by_default_and_after_24_hours_at_most(self):
        balance = make_balance()

        assert place_hold(balance, 1).hold.expires_at == NOON + 15 * MINUTE
        assert place_hold(balance, 1, expires_in_seconds=1).hold.expires_at == NOON + SECOND
        assert place_hold(balance, 1, expires_in_seconds=24 * 3600).hold.expires_at == NOON + DAY

    def test_can_hold_all_available_credits(self):
        balance = make_balance()

        assert place_hold(balance, 100).balance.available == 0
        check_balance(balance)

    def test_fixes_the_price_of_the_feature(self):
        balance = make_balance()
        FeaturePrice.objects.create(feature_id="realtime-ai-dashboard", credits=5, effective_from=NOON + MINUTE)

        placed = place_hold(balance, None, feature="realtime-ai-dashboard", quantity=4).hold
        usage = capture_hold(placed, at=NOON + 2 * MINUTE).transaction

        assert (placed.amount, placed.feature_id, placed.quantity) == (12, "realtime-ai-dashboard", 4)
        assert (usage.amount, usage.details.price_id) == (-12, placed.price_id)
        check_balance(balance)

    def test_stores_the_actor_the_member_the_reference_and_the_metadata(self):
        balance, actor, member = make_balance(), make_user(), make_user()

        placed = place_hold(balance, actor=actor, member=member, reference_id="r-1", metadata={"b": 1, "a": 2}).hold

        for stored in (placed, CreditHold.objects.get(pk=placed.id)):
            assert (stored.actor_id, stored.member_id, stored.reference_id) == (actor.pk, member.pk, "r-1")
            assert (stored.description, stored.metadata) == ("Work", '{"a":2,"b":1}')

    def test_can_hold_credits_from_the_instant_an_earlier_hold_lapses(self):
        balance = make_balance()
        earlier = place_hold(balance, 100).hold

        later = place_hold(balance, 100, at=NOON + 15 * MINUTE)

        lapsed = CreditHold.objects.get(pk=earlier.id)
        assert (lapsed.status, lapsed.closed_at) == ("lapsed", NOON + 15 * MINUTE)
        assert later.balance.held == 100
        check_balance(balance)

    def test_cannot_hold_credits_of_an_expired_grant(self):
        balance = make_balance(grants=[(20, DAY), (50, None)])

        with unchanged(), pytest.raises(operations.InsufficientCreditsError) as error:
            place_hold(balance, 51, at=NOON + DAY)

        assert error.value.facts == {"required": 51, "available": 50, "held": 0, "shortfall": 1}

    def test_runs_four_statements_lock_load_tier_facts_write(self):
        balance = make_balance()

        with captured_statements() as run:
            place_hold(balance, None, feature="simple-ai-insight", idempotency_key="k")

        assert statement_kinds(run) == ["lock", "load", "tier facts", "write"]

    @pytest.mark.parametrize(
        ("arguments", "error"),
        [
            ({"amount": 0}, ("amount", "out_of_range")),
            ({"amount": -1}, ("amount", "out_of_range")),
            ({"amount": MAXIMUM + 1}, ("amount", "out_of_range")),
            ({"amount": 1.5}, ("amount", "wrong_type")),
            ({"amount": None}, ("amount", "required")),
            ({"feature": "simple-ai-insight"}, ("amount", "invalid_choice")),
            ({"expires_in_seconds": 0}, ("expires_in_seconds", "out_of_range")),
            ({"expires_in_seconds": 24 * 3600 + 1}, ("expires_in_seconds", "out_of_range")),
            ({"expires_in_seconds": 60.0}, ("expires_in_seconds", "wrong_type")),
            ({"metadata": []}, ("metadata", "wrong_type")),
            ({"idempotency_key": ""}, ("idempotency_key", "wrong_type")),
        ],
    )
    def test_rejects_an_invalid_argument(self, arguments, error):
        balance = make_balance()

        with unchanged(), pytest.raises(operations.InvalidArgumentError) as raised:
            place_hold(balance, **arguments)

        assert error in field_errors(raised)

    def test_reports_all_invalid_arguments_at_once(self):
        with pytest.raises(operations.InvalidArgumentError) as error:
            place_hold(make_balance(), 0, expires_in_seconds=0)

        assert field_errors(error) == [("amount", "out_of_range"), ("expires_in_seconds", "out_of_range")]

    def test_rejects_an_owner_without_a_balance(self):
        with unchanged(), pytest.raises(operations.BalanceNotFoundError):
            operations.place_hold(owner=make_user(), amount=1, description="Work", at=NOON)

    def test_raises_the_documented_errors_in_order(self):
        balance = make_balance()
        place_hold(balance, 1, idempotency_key="k")
        suspend_spending(balance)

        with unchanged():
            with pytest.raises(operations.IdempotencyKeyReusedError):
                place_hold(balance, None, feature="no-such", idempotency_key="k")
            with pytest.raises(operations.FeatureNotFoundError):
                place_hold(balance, None, feature="no-such")
            with pytest.raises(operations.SpendingSuspendedError):
                place_hold(balance, 1000)
        resume_spending(balance)
        with unchanged(), pytest.raises(operations.InsufficientCreditsError):
            place_hold(balance, 1000)

    def test_returns_the_first_result_for_the_same_key_after_the_hold_and_the_tier_changed(self):
        balance, actor = make_balance(), make_user()
        subscribe(balance, "growth")
        first = place_hold(balance, actor=actor, idempotency_key="k")
        operations.extend_hold(hold_id=first.hold.id, expires_in_seconds=3600, at=NOON)
        capture_hold(first.hold, 25, at=NOON + MINUTE)
        change_tier(balance, "pro")

        with unchanged():
            repeated = place_hold(balance, actor=actor, idempotency_key="k", at=NOON + DAY)

        check_replay(first, repeated)
        assert (repeated.hold.status, repeated.hold.expires_at) == ("open", NOON + 15 * MINUTE)
        assert repeated.tier_facts.tier == "growth"
        assert place_hold(balance, 1, at=NOON + HOUR).tier_facts.tier == "pro"

    def test_runs_no_write_for_a_replay(self):
        balance = make_balance()
        place_hold(balance, idempotency_key="k")

        with captured_statements() as run:
            place_hold(balance, idempotency_key="k")

        assert statement_kinds(run) == ["lock", "load", "read credits_credithold", "read credits_creditpin"]
