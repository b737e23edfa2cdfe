from datetime import timedelta

import pytest

from credits import operations, queries
from credits.models import CreditHold, CreditPin, CreditRequest, FeaturePrice
from credits.verification import verify_balance
from fluxori.core.ids import uuid7
from tests.support.factories.credits import deduct, make_balance, make_user
from tests.support.operations import captured_statements, check_sums, unchanged
from tests.support.times import DAY, HOUR, MINUTE, NOON, SECOND

MOST = 10**12
MICROSECOND = timedelta(microseconds=1)
QUARTER = 15 * MINUTE

pytestmark = pytest.mark.django_db


def place(balance, amount=60, at=NOON, **asked):
    return operations.place_hold(owner=balance.owner, amount=amount, description="Work", at=at, **asked)


def capture(held, amount=None, at=NOON, **said):
    return operations.capture_hold(hold_id=held.pk, amount=amount, at=at, **said)


def release(held, at=NOON, **said):
    return operations.release_hold(hold_id=held.pk, at=at, **said)


def extend(held, seconds=3600, at=NOON, **said):
    return operations.extend_hold(hold_id=held.pk, expires_in_seconds=seconds, at=at, **said)


def owed(balance, amount):
    """Let the balance owe: what was bought is taken back after it was spent."""
    bought = operations.add_credits(owner=balance.owner, amount=amount, type="purchase", priority=0, at=NOON)
    deduct(balance, amount)
    return operations.reverse_purchase(transaction_id=bought.transaction.id, reason="Chargeback", at=NOON)


def faults_of(refusal):
    return [(fault.field, fault.code) for fault in refusal.value.errors]


def pins_of(held):
    return [(pin.grant_id, pin.amount) for pin in held.pins.all()]


def free(balance):
    return list(balance.grants.order_by("pk").values_list("remaining", "held"))


def sound(balance):
    check_sums(balance)
    assert verify_balance(balance.pk).differences == ()


def looks(held):
    """Everything an answer says."""
    columns = {field.attname: getattr(held, field.attname) for field in CreditHold._meta.concrete_fields}
    return columns, pins_of(held), held.after, held.alongside


class TestPlaceHold:
    def test_pins_grants_in_burn_order_without_a_transaction(self):
        balance = make_balance(grants=[(50, None), (20, DAY)])
        lasting, fleeting = balance.grants.order_by("pk")

        held = place(balance, 30)

        assert pins_of(held) == [(fleeting.pk, 20), (lasting.pk, 10)]
        assert pins_of(CreditHold.objects.get()) == pins_of(held)
        assert (held.hold.status, held.hold.amount, held.hold.captured, held.hold.closed_at) == ("open", 30, 0, None)
        assert free(balance) == [(40, 10), (0, 20)]
        assert (held.balance.balance, held.balance.held, held.balance.available) == (70, 30, 40)
        assert balance.transactions.count() == 2
        sound(balance)

    def test_lasts_a_quarter_of_an_hour_unless_told(self):
        balance = make_balance()

        assert place(balance, 1).hold.expires_at == NOON + QUARTER
        assert place(balance, 1, expires_in_seconds=1).hold.expires_at == NOON + SECOND
        assert place(balance, 1, expires_in_seconds=24 * 3600).hold.expires_at == NOON + DAY

    def test_may_take_everything(self):
        balance = make_balance()

        assert place(balance, 100).balance.available == 0
        sound(balance)

    def test_fixes_the_price_now(self):
        balance = make_balance()
        FeaturePrice.objects.create(feature_id="realtime-ai-dashboard", credits=5, effective_from=NOON + MINUTE)

        held = place(balance, None, feature="realtime-ai-dashboard", quantity=4)
        done = capture(held, at=NOON + 2 * MINUTE)

        assert (held.hold.amount, held.hold.feature_id, held.hold.quantity) == (12, "realtime-ai-dashboard", 4)
        assert (done.transaction.amount, done.transaction.price_id) == (-12, held.hold.price_id)
        sound(balance)

    def test_remembers_what_it_is_for(self):
        balance, actor, member = make_balance(), make_user(), make_user()

        held = place(balance, actor=actor, member=member, reference_id="r-1", metadata={"b": 1, "a": 2})
        held.refresh_from_db()

        assert (held.hold.actor_id, held.hold.member_id, held.hold.reference_id) == (actor.pk, member.pk, "r-1")
        assert (held.hold.description, held.hold.metadata) == ("Work", '{"a":2,"b":1}')

    def test_uses_what_a_lapsed_one_gives_back(self):
        balance = make_balance()
        earlier = place(balance, 100)

        later = place(balance, 100, at=NOON + QUARTER)

        earlier.refresh_from_db()
        assert (earlier.hold.status, earlier.hold.closed_at) == ("lapsed", NOON + QUARTER)
        assert later.balance.held == 100
        sound(balance)

    def test_does_not_pin_what_has_expired(self):
        balance = make_balance(grants=[(20, DAY), (50, None)])

        with unchanged(), pytest.raises(operations.InsufficientCreditsError) as refusal:
            place(balance, 51, at=NOON + DAY)

        assert refusal.value.facts == {"required": 51, "available": 50, "held": 0, "shortfall": 1}

    @pytest.mark.parametrize(
        ("asked", "fault"),
        [
            ({"amount": 0}, ("amount", "out_of_range")),
            ({"amount": -1}, ("amount", "out_of_range")),
            ({"amount": MOST + 1}, ("amount", "out_of_range")),
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
    def test_refuses_arguments_that_could_never_be_right(self, asked, fault):
        balance = make_balance()

        with unchanged(), pytest.raises(operations.InvalidArgumentError) as refusal:
            place(balance, **asked)

        assert fault in faults_of(refusal)

    def test_names_every_fault_at_once(self):
        with pytest.raises(operations.InvalidArgumentError) as refusal:
            place(make_balance(), 0, expires_in_seconds=0)

        assert faults_of(refusal) == [("amount", "out_of_range"), ("expires_in_seconds", "out_of_range")]

    def test_needs_a_balance(self):
        with unchanged(), pytest.raises(operations.BalanceNotFoundError):
            operations.place_hold(owner=make_user(), amount=1, description="Work", at=NOON)

    def test_refuses_in_the_order_it_says(self):
        balance = make_balance()
        place(balance, 1, idempotency_key="k")
        operations.suspend_spending(owner=balance.owner, at=NOON)

        with unchanged():
            with pytest.raises(operations.IdempotencyKeyReusedError):
                place(balance, None, feature="no-such", idempotency_key="k")
            with pytest.raises(operations.FeatureNotFoundError):
                place(balance, None, feature="no-such")
            with pytest.raises(operations.SpendingSuspendedError):
                place(balance, 1000)
        operations.resume_spending(owner=balance.owner, at=NOON)
        with unchanged(), pytest.raises(operations.InsufficientCreditsError):
            place(balance, 1000)

    def test_answers_the_same_key_as_it_did_whatever_has_become_of_it(self):
        balance, actor = make_balance(), make_user()
        first = place(balance, actor=actor, idempotency_key="k", alongside={"tier": "pro"})
        operations.extend_hold(hold_id=first.hold.id, expires_in_seconds=3600, at=NOON)
        capture(first, 25, at=NOON + MINUTE)

        with unchanged():
            again = place(balance, actor=actor, idempotency_key="k", at=NOON + DAY)

        assert (first.replayed, again.replayed) == (False, True)
        assert looks(again) == looks(first)
        assert (again.hold.status, again.hold.expires_at) == ("open", NOON + QUARTER)

    def test_takes_three_statements(self):
        balance = make_balance()

        with captured_statements() as run:
            place(balance, None, feature="simple-ai-insight", idempotency_key="k")

        assert len(run) == 3


class TestCaptureHold:
    def test_spends_all_that_is_held(self):
        balance, actor, member = make_balance(), make_user(), make_user()
        held = place(balance, member=member, reference_id="r-1", metadata={"a": 1})

        done = capture(held, actor=actor, at=NOON + MINUTE)

        recorded = done.transaction
        assert (recorded.type, recorded.amount, recorded.timestamp) == ("usage", -60, NOON + MINUTE)
        assert (recorded.hold_id, recorded.description, recorded.reference_id) == (held.hold.id, "Work", "r-1")
        assert (recorded.member_id, recorded.actor_id, recorded.metadata) == (member.pk, actor.pk, '{"a":1}')
        assert (done.hold.status, done.hold.captured, done.hold.closed_at) == ("captured", 60, NOON + MINUTE)
        assert (recorded.after.balance, recorded.after.held, recorded.after.available) == (40, 0, 40)
        assert done.hold.after == recorded.after
        sound(balance)

    def test_gives_back_first_what_would_burn_last(self):
        balance = make_balance(grants=[(50, None), (20, DAY), (20, 2 * DAY)])
        held = place(balance, 60)

        done = capture(held, 25)

        assert free(balance) == [(50, 0), (0, 0), (15, 0)]
        assert [part.amount for part in done.transaction.entries.all()] == [-20, -5]
        assert [part.remaining_after for part in done.transaction.entries.all()] == [0, 15]
        assert CreditPin.objects.filter(hold=held.hold.id).count() == 3
        sound(balance)

    def test_says_what_its_grant_has_left_with_the_rest_back(self):
        balance = make_balance()

        [entry] = capture(place(balance), 25).transaction.entries.all()

        assert (entry.amount, entry.remaining_after) == (-25, 75)
        assert free(balance) == [(75, 0)]

    def test_takes_an_excess_from_what_is_available_in_one_usage(self):
        balance = make_balance(grants=[(50, None), (20, DAY), (20, 2 * DAY)])
        held = place(balance, 30)
        make_balance(balance.owner, grants=[(20, HOUR)])

        done = capture(held, 70)

        entries = [(part.grant.expires_at, part.amount) for part in done.transaction.entries.all()]
        assert entries == [(NOON + HOUR, -20), (NOON + DAY, -20), (NOON + 2 * DAY, -20), (None, -10)]
        assert (done.hold.amount, done.hold.captured) == (30, 70)
        sound(balance)

    def test_refuses_an_excess_that_is_not_available_and_keeps_the_hold(self):
        balance = make_balance()
        held = place(balance)

        with unchanged(), pytest.raises(operations.InsufficientCreditsError) as refusal:
            capture(held, 101)

        assert refusal.value.facts == {"required": 41, "available": 40, "held": 60, "shortfall": 1}
        assert capture(held, 100).transaction.after.balance == 0

    def test_needs_spending_not_suspended_only_for_an_excess(self):
        balance = make_balance()
        held = place(balance)
        operations.suspend_spending(owner=balance.owner, at=NOON)

        with unchanged(), pytest.raises(operations.SpendingSuspendedError):
            capture(held, 200)
        assert capture(held, 60).transaction.amount == -60

    def test_of_nothing_is_a_release(self):
        balance = make_balance()

        done = capture(place(balance), 0)

        assert (done.transaction, done.hold.status, done.hold.captured) == (None, "released", 0)
        assert done.hold.after.available == 100
        sound(balance)

    def test_can_spend_pins_of_a_grant_that_has_expired(self):
        balance = make_balance(grants=[(60, MINUTE)])
        held = place(balance)

        assert capture(held, at=NOON + MINUTE).transaction.amount == -60
        sound(balance)

    def test_can_spend_pins_of_a_grant_that_was_voided(self):
        balance = make_balance(grants=[(60, None)])
        held = place(balance, 50)
        operations.void_grant(grant_id=balance.grants.get().pk, reason="By mistake", at=NOON)

        done = capture(held, 30)

        assert list(balance.transactions.order_by("sequence").values_list("type", "amount"))[1:] == [
            ("void", -10),
            ("usage", -30),
            ("void", -20),
        ]
        assert done.transaction.after.balance == 0
        sound(balance)

    def test_lets_the_rest_repay_debt(self):
        balance = make_balance(grants=[(60, None)])
        held = place(balance)
        owed(balance, 50)

        done = capture(held, 25)

        assert (done.transaction.after.debt, done.transaction.after.available) == (15, 0)
        assert balance.transactions.latest("sequence").type == "reversal"
        sound(balance)

    def test_is_possible_to_the_last_microsecond(self):
        balance = make_balance()
        held = place(balance)

        with unchanged(), pytest.raises(operations.HoldClosedError):
            capture(held, at=NOON + QUARTER)
        assert capture(held, at=NOON + QUARTER - MICROSECOND).hold.status == "captured"

    @pytest.mark.parametrize("amount", [-1, MOST + 1, 2.0, True, "5"])
    def test_refuses_an_amount_that_could_never_be_right(self, amount):
        held = place(make_balance())

        with unchanged(), pytest.raises(operations.InvalidArgumentError):
            capture(held, amount)

    def test_refuses_in_the_order_it_says(self):
        balance = make_balance()
        held = place(balance)
        capture(held, 5, idempotency_key="k")

        with unchanged():
            with pytest.raises(operations.InvalidArgumentError):
                operations.capture_hold(hold_id=uuid7(), amount=-1, at=NOON)
            with pytest.raises(operations.HoldNotFoundError):
                operations.capture_hold(hold_id=uuid7(), idempotency_key="k", at=NOON)
            with pytest.raises(operations.IdempotencyKeyReusedError):
                capture(held, 6, idempotency_key="k")
            with pytest.raises(operations.HoldClosedError):
                capture(held, 5)

    @pytest.mark.parametrize("amount", [None, 25, 80, 0])
    def test_answers_the_same_key_as_it_did(self, amount):
        balance = make_balance()
        held = place(balance)
        first = capture(held, amount, idempotency_key="k", alongside={"tier": "pro"})
        deduct(balance, 10)

        with unchanged():
            again = capture(held, amount, idempotency_key="k", at=NOON + DAY)

        assert looks(again.hold) == looks(first.hold)
        assert again.hold.replayed
        if amount == 0:
            assert (first.transaction, again.transaction) == (None, None)
        else:
            assert again.transaction == first.transaction
            assert again.transaction.after == first.transaction.after
            assert [part.pk for part in again.transaction.entries.all()] == [
                part.pk for part in first.transaction.entries.all()
            ]

    def test_of_everything_equals_a_deduction(self):
        held_first, at_once = make_balance(grants=[(50, None), (20, DAY)]), make_balance(grants=[(50, None), (20, DAY)])

        capture(place(held_first, 30))
        deduct(at_once, 30)

        assert free(held_first) == free(at_once)
        mine, other = queries.get_balance(owner=held_first.owner), queries.get_balance(owner=at_once.owner)
        assert (mine.balance, mine.available, mine.sequence) == (other.balance, other.available, other.sequence)


class TestReleaseHold:
    def test_gives_everything_back(self):
        balance = make_balance(grants=[(50, None), (20, DAY)])
        held = place(balance, 30)

        done = release(held, at=NOON + MINUTE)

        assert (done.hold.status, done.hold.captured, done.hold.closed_at) == ("released", 0, NOON + MINUTE)
        assert free(balance) == [(50, 0), (20, 0)]
        assert (done.balance.held, done.balance.available, done.balance.sequence) == (0, 70, 2)
        sound(balance)

    def test_lets_what_comes_back_repay_debt(self):
        balance = make_balance(grants=[(60, None)])
        held = place(balance)
        owed(balance, 50)

        done = release(held)

        assert (done.balance.debt, done.balance.available, done.balance.balance) == (0, 10, 10)
        sound(balance)

    def test_refuses_in_the_order_it_says(self):
        balance = make_balance()
        held = place(balance)
        release(held, idempotency_key="k")

        with unchanged():
            with pytest.raises(operations.HoldNotFoundError):
                operations.release_hold(hold_id=uuid7(), idempotency_key="k", at=NOON)
            with pytest.raises(operations.IdempotencyKeyReusedError):
                capture(held, idempotency_key="k")
            with pytest.raises(operations.HoldClosedError):
                release(held)

    def test_refuses_one_that_has_lapsed_though_nobody_wrote_it(self):
        held = place(make_balance())

        with unchanged(), pytest.raises(operations.HoldClosedError):
            release(held, at=NOON + QUARTER)

    def test_answers_the_same_key_as_it_did(self):
        balance = make_balance()
        held = place(balance)
        first = release(held, idempotency_key="k")
        deduct(balance, 100)

        with unchanged():
            again = release(held, idempotency_key="k", at=NOON + DAY)

        assert looks(again) == looks(first)
        assert again.replayed
        assert again.balance.available == 100


class TestExtendHold:
    def test_lets_it_last_from_now(self):
        balance = make_balance()
        held = place(balance)

        longer = extend(held, 24 * 3600, at=NOON + MINUTE)

        assert (longer.hold.status, longer.hold.expires_at) == ("open", NOON + MINUTE + DAY)
        assert pins_of(longer) == pins_of(held)
        assert capture(held, at=NOON + DAY).hold.status == "captured"
        sound(balance)

    def test_never_shortens_it(self):
        held = place(make_balance())

        assert extend(held, 1).hold.expires_at == NOON + QUARTER

    def test_may_be_repeated(self):
        held = place(make_balance())
        for hour in range(1, 30):
            held = extend(held, 3601, at=NOON + (hour - 1) * HOUR if hour > 1 else NOON)

        assert held.hold.expires_at == NOON + 29 * HOUR + SECOND

    @pytest.mark.parametrize("seconds", [0, -1, 24 * 3600 + 1, 1.5, None, True])
    def test_refuses_seconds_that_could_never_be_right(self, seconds):
        held = place(make_balance())

        with unchanged(), pytest.raises(operations.InvalidArgumentError) as refusal:
            extend(held, seconds)

        assert [field for field, _ in faults_of(refusal)] == ["expires_in_seconds"]

    def test_refuses_in_the_order_it_says(self):
        held = place(make_balance())
        extend(held, idempotency_key="k")
        release(held)

        with unchanged():
            with pytest.raises(operations.InvalidArgumentError):
                operations.extend_hold(hold_id=uuid7(), expires_in_seconds=0, at=NOON)
            with pytest.raises(operations.HoldNotFoundError):
                operations.extend_hold(hold_id=uuid7(), expires_in_seconds=1, idempotency_key="k", at=NOON)
            with pytest.raises(operations.IdempotencyKeyReusedError):
                extend(held, 3601, idempotency_key="k")
            with pytest.raises(operations.HoldClosedError):
                extend(held)

    def test_refuses_one_that_has_lapsed(self):
        held = place(make_balance())

        with unchanged(), pytest.raises(operations.HoldClosedError):
            extend(held, at=NOON + QUARTER)

    def test_answers_the_same_key_as_it_did(self):
        held = place(make_balance())
        first = extend(held, idempotency_key="k")
        extend(held, 7200)
        capture(held)

        with unchanged():
            again = extend(held, idempotency_key="k", at=NOON + DAY)

        assert looks(again) == looks(first)
        assert (again.hold.status, again.hold.expires_at) == ("open", NOON + HOUR)
        assert CreditRequest.objects.get().operation == "extend_hold"
