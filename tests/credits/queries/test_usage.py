from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from credits import operations
from credits.models import CreditRollup, CreditTotal, UsageWatermark
from credits.queries import usage
from credits.verification import verify_balance, verify_global
from fluxori.identity.owner import Owner
from tests.support.factories.credits import capture, deduct, hold, make_balance, make_user
from tests.support.factories.identity import MembershipFactory
from tests.support.operations import captured_statements
from tests.support.times import DAY, HOUR, MINUTE, NOON

pytestmark = pytest.mark.django_db

MIDNIGHT = datetime(2025, 3, 3, tzinfo=UTC)
WEEK: dict[str, Any] = {"from_": MIDNIGHT, "to": MIDNIGHT + 7 * DAY, "at": MIDNIGHT + 7 * DAY}


def fold(*balances, most=10**6):
    return operations.aggregate_usage(balance_ids=[balance.pk for balance in balances], most=most)


def by(group, balance, **arguments):
    """Return (key, used, refunded, count) of each share."""
    result = usage.get_usage(owner=balance.owner, group_by=group, **{**WEEK, **arguments})
    return [(share.key, share.used, share.refunded, share.count) for share in result.results]


def refund(recorded, amount, at):
    return operations.refund_usage(transaction_id=recorded.transaction.id, amount=amount, reason="It failed", at=at)


@pytest.fixture(params=[False, True], ids=["read_live", "folded"])
def shares(request):
    """Return :func:`by`, which reads from the ledger alone, and then from roll-ups."""

    def read(group, balance, **arguments):
        if request.param:
            fold(balance)
        return by(group, balance, **arguments)

    return read


class TestGetUsage:
    def test_day_groups_contain_every_day_of_the_period(self, shares):
        balance = make_balance()
        deduct(balance, 5)
        deduct(balance, 6, at=NOON + HOUR)
        deduct(balance, 7, at=NOON + 2 * DAY)

        days = shares("day", balance, to=MIDNIGHT + 4 * DAY)

        assert days == [
            ("2025-03-03", 11, 0, 2),
            ("2025-03-04", 0, 0, 0),
            ("2025-03-05", 7, 0, 1),
            ("2025-03-06", 0, 0, 0),
        ]

    def test_period_is_half_open(self, shares):
        balance = make_balance()
        for hours, amount in enumerate([1, 2, 4, 8]):
            deduct(balance, amount, at=NOON + hours * HOUR)

        assert shares("day", balance, from_=NOON + HOUR, to=NOON + 3 * HOUR) == [("2025-03-03", 6, 0, 2)]

    def test_period_may_start_and_end_within_a_day(self, shares):
        balance = make_balance()
        for day in range(4):
            deduct(balance, 1, at=NOON + day * DAY - HOUR + HOUR * (day == 0))
            deduct(balance, 10, at=NOON + day * DAY + HOUR)

        days = shares("day", balance, from_=NOON + MINUTE, to=NOON + 3 * DAY)

        assert days == [
            ("2025-03-03", 10, 0, 1),
            ("2025-03-04", 11, 0, 2),
            ("2025-03-05", 11, 0, 2),
            ("2025-03-06", 1, 0, 1),
        ]

    def test_refund_counts_at_its_own_time_for_the_refunded_feature(self, shares):
        balance = make_balance()
        insight = operations.deduct_credits(owner=balance.owner, feature="simple-ai-insight", at=NOON)
        refund(insight, 4, at=NOON + DAY)

        assert shares("day", balance, to=MIDNIGHT + 2 * DAY) == [("2025-03-03", 9, 0, 1), ("2025-03-04", 0, 4, 0)]
        assert shares("feature", balance) == [("simple-ai-insight", 9, 4, 1)]

    def test_feature_groups_are_sorted_by_usage_with_none_for_amounts(self, shares):
        balance = make_balance()
        operations.deduct_credits(owner=balance.owner, feature="simple-ai-insight", at=NOON)
        operations.deduct_credits(owner=balance.owner, feature="ai-generated-report", at=NOON)
        capture(hold(balance, 20), 9)

        assert shares("feature", balance) == [
            ("ai-generated-report", 40, 0, 1),
            ("simple-ai-insight", 9, 0, 1),
            (None, 9, 0, 1),
        ]

    def test_member_groups_of_a_pool(self, shares):
        seat = MembershipFactory.create()
        balance = make_balance(seat.organization)
        mine = deduct(balance, 30, member=seat.user)
        deduct(balance, 5)
        refund(mine, 30, at=NOON)

        assert shares("member", balance) == [(str(seat.user.pk), 30, 30, 1), (None, 5, 0, 1)]

    def test_usage_of_a_user_counts_for_that_user(self, shares):
        balance = make_balance()
        deduct(balance, 5)
        deduct(balance, 6, member=balance.user)

        assert shares("member", balance) == [(str(balance.pk), 11, 0, 2)]

    def test_type_groups_contain_the_amounts_of_all_types(self, shares):
        balance = make_balance(grants=[(100, HOUR), (50, None)])
        used = deduct(balance, 30)
        operations.adjust_credits(owner=balance.owner, amount=7, reason="r", at=NOON)
        operations.adjust_credits(owner=balance.owner, amount=-2, reason="r", at=NOON)
        refund(used, 10, at=NOON)
        operations.expire_credits(balance_ids=[balance.pk], at=NOON + HOUR)

        types = shares("type", balance)
        balance.refresh_from_db()

        # 100 - 30 - 2 + 10 expired.
        assert types == [
            ("usage", 30, 0, 1),
            ("expiry", 0, 0, 1),
            ("adjustment", 0, 0, 2),
            ("refund", 0, 10, 1),
            ("promotion", 0, 0, 2),
        ]
        by_type = usage.get_usage(owner=balance.owner, group_by="type", **WEEK)
        assert {share.key: share.amount for share in by_type.results} == {
            "usage": -30,
            "expiry": -78,
            "adjustment": 5,
            "refund": 10,
            "promotion": 150,
        }
        assert by_type.total.amount == balance.balance

    @pytest.mark.parametrize("group", usage.GROUPS)
    def test_total_has_the_same_usage_for_every_dimension(self, group):
        balance = make_balance(grants=[(100, HOUR), (50, None)])
        refund(deduct(balance, 30), 10, at=NOON)

        total = usage.get_usage(owner=balance.owner, group_by=group, **WEEK).total

        assert (total.used, total.refunded, total.net) == (30, 10, 20)

    def test_total_is_the_sum_of_the_groups(self):
        balance = make_balance()
        refund(deduct(balance, 30), 10, at=NOON)

        total = usage.get_usage(owner=balance.owner, group_by="day", **WEEK).total

        assert (total.used, total.refunded, total.net, total.count) == (30, 10, 20, 1)

    def test_default_period_is_the_last_thirty_days(self):
        balance = make_balance()
        deduct(balance, 5)
        deduct(balance, 6, at=NOON + MINUTE)

        result = usage.get_usage(owner=balance.owner, at=NOON + MINUTE + 30 * DAY)

        assert (result.from_, result.to, result.group_by) == (NOON + MINUTE, NOON + MINUTE + 30 * DAY, "day")
        assert result.total.used == 6
        assert len(result.results) == 31

    def test_owner_without_a_balance_has_no_usage(self):
        nobody = make_user()

        assert usage.get_usage(owner=nobody, group_by="feature", at=NOON).results == []
        assert {share.used for share in usage.get_usage(owner=nobody, at=NOON).results} == {0}

    @pytest.mark.parametrize(
        ("arguments", "field", "code"),
        [
            ({"group_by": "hour"}, "group_by", "invalid_choice"),
            ({"from_": datetime(2025, 3, 3)}, "from_", "wrong_type"),  # noqa: DTZ001
            ({"to": datetime(2025, 3, 3)}, "to", "wrong_type"),  # noqa: DTZ001
            ({"from_": NOON + MINUTE, "to": NOON + HOUR}, "from_", "in_future"),
            ({"from_": NOON - HOUR, "to": NOON - HOUR}, "to", "out_of_range"),
            ({"from_": NOON, "to": NOON - HOUR}, "to", "out_of_range"),
            ({"from_": NOON - 366 * DAY - timedelta(microseconds=1)}, "from_", "out_of_range"),
            ({"from_": datetime.min.replace(tzinfo=timezone(HOUR))}, "from_", "out_of_range"),
            ({"to": datetime.max.replace(tzinfo=timezone(-HOUR))}, "to", "out_of_range"),
        ],
    )
    def test_rejects_an_invalid_period(self, arguments, field, code):
        with pytest.raises(operations.InvalidArgumentError) as error:
            usage.get_usage(owner=make_user(), at=NOON, **arguments)

        assert [(error.field, error.code) for error in error.value.errors] == [(field, code)]

    def test_period_of_a_leap_year_is_allowed(self):
        balance = make_balance()

        result = usage.get_usage(owner=balance.owner, from_=NOON - 366 * DAY, at=NOON)
        month = usage.get_usage(owner=balance.owner, from_=NOON, to=NOON + 28 * DAY, at=NOON)

        assert len(result.results) == 367
        assert len(month.results) == 29

    def test_runs_one_query(self):
        balance = make_balance()

        with captured_statements() as run:
            usage.get_usage(owner=balance.owner, at=NOON)

        assert len(run) == 1

    @pytest.mark.parametrize(
        ("arguments", "from_rollups"),
        [
            ({}, True),
            ({"from_": NOON - MINUTE}, True),  # nothing before it that day
            ({"to": NOON + 2 * HOUR}, True),  # nothing after it that day
            ({"from_": NOON + MINUTE}, False),
            ({"to": NOON + HOUR}, False),
        ],
    )
    def test_reads_full_days_from_the_rollups(self, arguments, from_rollups):
        balance = make_balance()
        for hours in range(2):
            deduct(balance, 1, at=NOON + hours * HOUR)
        fold(balance)
        CreditRollup.objects.filter(balance=balance, type="usage").update(credits_out=1000)

        result = usage.get_usage(owner=balance.owner, **{**WEEK, **arguments})

        assert result.total.used == (1000 if from_rollups else 1)


instants = st.integers(0, 6 * 24 * 60).map(lambda minutes: MIDNIGHT + minutes * MINUTE)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("use"), st.integers(1, 9), st.sampled_from([None, "simple-ai-insight"])),
        st.tuples(st.just("refund"), st.integers(1, 9), st.integers(0, 9)),
        st.tuples(st.just("wait"), st.integers(1, 40), st.none()),
        st.tuples(st.just("fold"), st.integers(1, 4), st.none()),
    ),
    max_size=25,
)


class TestUsageDuringAggregation:
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(steps, st.lists(st.tuples(instants, instants), min_size=1, max_size=5))
    def test_usage_is_exact_wherever_the_aggregation_stopped(self, steps, periods):
        balance = make_balance(grants=[(1000, None)], at=MIDNIGHT)
        at, usages, moves = MIDNIGHT, [], []
        for kind, amount, detail in steps:
            if kind == "wait":
                at += amount * HOUR / 2
            elif kind == "fold":
                fold(balance, most=amount)
            elif kind == "use":
                arguments = {"feature": detail} if detail else {"amount": amount, "description": "d"}
                recorded = operations.deduct_credits(owner=balance.owner, at=at, **arguments)
                usages.append([recorded, -recorded.transaction.amount])
                moves.append((at, detail, -recorded.transaction.amount, 0, 1))
            elif usages:
                one = usages[detail % len(usages)]
                given_back = min(amount, one[1])
                if given_back:
                    refund(one[0], given_back, at)
                    one[1] -= given_back
                    moves.append((at, one[0].transaction.details.feature_id, 0, given_back, 0))

        for one, other in periods:
            from_, to = min(one, other), max(one, other) + MINUTE
            within = [move for move in moves if from_ <= move[0] < to]
            by_day: dict[Any, Any] = {}
            by_feature: dict[Any, Any] = {}
            for moved_at, feature, used, refunded, count in within:
                for sums, key in ((by_day, str(moved_at.date())), (by_feature, feature)):
                    was = sums.get(key, (0, 0, 0))
                    sums[key] = (was[0] + used, was[1] + refunded, was[2] + count)
            arguments = {"from_": from_, "to": to, "at": MIDNIGHT + 99 * DAY}
            days = {key: sums for key, *sums in by("day", balance, **arguments) if any(sums)}
            assert days == {key: list(sums) for key, sums in by_day.items()}
            assert {key: tuple(sums) for key, *sums in by("feature", balance, **arguments)} == by_feature
        assert verify_balance(balance.pk).differences == ()


class TestAggregateUsage:
    def test_rollups_are_sums_by_day_type_feature_and_member(self):
        seat = MembershipFactory.create()
        balance = make_balance(seat.organization)
        deduct(balance, 5, member=seat.user)
        deduct(balance, 6, member=seat.user)
        operations.deduct_credits(owner=balance.owner, feature="simple-ai-insight", member=seat.user, at=NOON + DAY)

        assert fold(balance) == {balance.pk: 4}

        rows = CreditRollup.objects.filter(balance=balance).order_by("day", "type")
        assert list(rows.values_list("day", "type", "feature", "member", "credits_in", "credits_out", "count")) == [
            (NOON.date(), "promotion", None, None, 100, 0, 1),
            (NOON.date(), "usage", None, seat.user.pk, 0, 11, 2),
            ((NOON + DAY).date(), "usage", "simple-ai-insight", seat.user.pk, 0, 9, 1),
        ]
        assert UsageWatermark.objects.get(balance=balance).sequence == 4

    def test_second_aggregation_adds_nothing(self):
        balance = make_balance()
        fold(balance)
        before = list(CreditRollup.objects.values())

        assert fold(balance) == {}
        assert list(CreditRollup.objects.values()) == before

    def test_limited_aggregation_continues_where_it_stopped(self):
        one, other = sorted((make_balance(grants=[(1, None)] * 3) for _ in range(2)), key=lambda balance: balance.pk)

        counts = [fold(one, other, most=2) for _ in range(4)]

        assert counts == [{one.pk: 2}, {one.pk: 1, other.pk: 1}, {other.pk: 2}, {}]
        assert set(CreditRollup.objects.values_list("credits_in", "count")) == {(3, 3)}
        assert verify_global().differences == ()

    def test_rollups_contain_the_value_of_sold_credits(self):
        balance = make_balance(grants=[(10, None)], type="purchase", unit_price=Decimal("0.125"))
        make_balance(balance.owner, grants=[(5, None)])
        deduct(balance, 12)  # 5 given, then 7 bought

        fold(balance)

        spent = CreditRollup.objects.get(balance=balance, type="usage")
        assert (spent.value, spent.unpriced) == (Decimal("-0.875"), -5)
        assert CreditRollup.objects.get(balance=balance, type="purchase").value == Decimal("1.25")

    def test_debt_counts_as_unpriced(self):
        balance = make_balance(grants=[(10, None)], type="purchase", unit_price=Decimal(1))
        deduct(balance, 4)
        operations.reverse_purchase(
            transaction_id=balance.transactions.get(sequence=1).pk, reason="Chargeback", at=NOON
        )

        fold(balance)

        reversed_ = CreditRollup.objects.get(balance=balance, type="reversal")
        assert (reversed_.credits_out, reversed_.value, reversed_.unpriced) == (10, Decimal(-6), -4)


class TestTotals:
    def test_totals_are_sums_of_all_balances_by_day_type_and_feature(self):
        seat = MembershipFactory.create()
        pool, own = make_balance(seat.organization), make_balance(unit_price=Decimal("0.5"))
        deduct(pool, 5, member=seat.user)
        deduct(pool, 6)
        deduct(own, 7)
        deduct(own, 1, at=NOON + DAY)
        fold(pool)
        fold(own)

        rows = usage.totals(from_=NOON.date(), to=NOON.date() + DAY).rows

        assert [(row.type, row.feature_id, row.credits_in, row.credits_out, row.count) for row in rows] == [
            ("promotion", None, 200, 0, 2),
            ("usage", None, 0, 18, 3),
        ]
        assert (rows[1].value, rows[1].unpriced) == (Decimal("-3.5"), -11)

    def test_as_of_is_the_start_of_the_last_complete_run(self):
        assert usage.totals(from_=date.min, to=date.max) == usage.Totals(None, [])

        for hours, busy in ((1, 0), (2, 3)):
            operations.finish_aggregation(
                started_at=NOON + hours * HOUR, finished_at=NOON + hours * HOUR + MINUTE, transactions=0, busy=busy
            )

        assert usage.totals(from_=date.min, to=date.max).as_of == NOON + HOUR

    def test_totals_are_rebuilt_after_truncation(self):
        balance = make_balance()
        deduct(balance, 5)
        fold(balance)
        before = list(CreditTotal.objects.values_list("day", "type", "credits_in", "credits_out", "count"))

        for model in (CreditRollup, CreditTotal, UsageWatermark):
            model.objects.all().delete()
        assert by("feature", balance) == [(None, 5, 0, 1)]
        fold(balance)

        assert list(CreditTotal.objects.values_list("day", "type", "credits_in", "credits_out", "count")) == before
        assert by("feature", balance) == [(None, 5, 0, 1)]


class TestUnaggregatedBalances:
    def test_returns_balances_beyond_their_watermark_by_id(self):
        balances = sorted((make_balance() for _ in range(4)), key=lambda balance: balance.pk)
        ids = [balance.pk for balance in balances]
        fold(*balances[:2])
        deduct(balances[1], 1)

        assert usage.unaggregated_balances(after=None, limit=9) == ids[1:]
        assert usage.unaggregated_balances(after=ids[1], limit=1) == [ids[2]]
        fold(*balances)
        assert usage.unaggregated_balances(after=None, limit=9) == []


class TestOwnerArgument:
    def test_accepts_an_owner_object(self):
        balance = make_balance()
        deduct(balance, 5)

        assert usage.get_usage(owner=Owner.user(balance.pk), **WEEK).total.used == 5
