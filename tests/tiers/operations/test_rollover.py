"""What becomes of a period's unspent credits, by the policy of the tier that gave them."""

import pytest
from django.db import IntegrityError, transaction

from credits import operations as ledger
from credits import queries as ledger_queries
from tests.support.factories.credits import deduct, make_balance
from tests.support.factories.tiers import capped, fleeting, left_of, month, periods_of, run_over, subscribed
from tests.support.tier_tables import check_ledger
from tests.support.times import DAY, NOON, SECOND
from tiers import operations
from tiers.models import Tier

pytestmark = pytest.mark.django_db


def terms_of(balance):
    """Return (expiry, cap, end of the rolled credits) of the balance's newest grant."""
    grant = balance.grants.latest("id")
    return grant.expires_at, grant.roll_cap, grant.roll_until


def balance_at(balance, at):
    return ledger_queries.settled(balance.owner, at=at).balance


class TestTermsOfAnAllocation:
    def test_under_unlimited_are_none(self):
        assert terms_of(subscribed()) == (None, None, None)

    def test_under_none_are_the_end_of_the_period(self):
        fleeting()

        assert terms_of(subscribed(tier="fleeting")) == (month(1), None, None)

    @pytest.mark.parametrize(
        ("caps", "expected"),
        [
            ({"cap": 70}, 70),
            ({"percent": 50}, 50),
            ({"percent": 33, "monthly_credits": 101}, 33),
            ({"percent": 200}, 200),
            ({"percent": 1, "monthly_credits": 99}, 0),
            ({"cap": 70, "percent": 50}, 50),
            ({"cap": 30, "percent": 50}, 30),
        ],
    )
    def test_under_capped_are_the_smaller_of_the_caps(self, caps, expected):
        capped(**caps)

        assert terms_of(subscribed(tier="capped")) == (month(1), expected, None)

    def test_under_capped_count_the_share_of_the_tier_whatever_is_granted(self):
        capped(percent=50)

        assert terms_of(subscribed(tier="capped", initial_balance=7)) == (month(1), 50, None)

    @pytest.mark.parametrize("period", [0, 1])
    def test_let_rolled_credits_last_by_months_counted_from_the_anchor(self, period):
        capped(cap=10, months=1)
        last_of_january = NOON.replace(month=1, day=31)
        balance = subscribed(tier="capped", at=last_of_january)

        operations.add_monthly_allocation(owner=balance.owner, at=month(period, last_of_january))

        assert terms_of(balance) == (month(period + 1, last_of_january), 10, month(period + 2, last_of_january))

    def test_stay_as_they_were_when_the_policy_changes(self):
        tier = capped(cap=10)
        balance = subscribed(tier="capped")
        tier.rollover, tier.rollover_cap_credits = Tier.Rollover.NONE, None
        tier.save()

        run_over([balance], at=month(1))

        assert left_of(balance, month(1)) == [("rollover", 10, None), ("allocation", 100, month(2))]
        assert tier.history.latest().rollover == "none"


class TestCapped:
    def test_rolls_over_up_to_the_cap_and_spends_that_first(self):
        capped(cap=30, months=3)
        balance = subscribed(tier="capped")
        deduct(balance, 20)

        run_over([balance], at=month(1))
        spent = deduct(balance, 40, at=month(1))

        assert [(part.grant.source, part.amount) for part in spent.entries.all()] == [
            ("rollover", -30),
            ("allocation", -10),
        ]
        assert balance_at(balance, month(1)) == 90
        check_ledger()

    def test_trims_the_oldest_of_what_was_rolled_over_before(self):
        capped(cap=150, months=3)
        balance = subscribed(tier="capped")

        for k in (1, 2):
            run_over([balance], at=month(k))

        assert left_of(balance, month(2)) == [
            ("rollover", 50, month(4)),
            ("rollover", 100, month(5)),
            ("allocation", 100, month(3)),
        ]
        check_ledger()

    def test_never_touches_what_was_bought(self):
        capped(cap=10)
        balance = subscribed(tier="capped")
        make_balance(balance.owner, [(500, None)], type="purchase")

        run_over([balance], at=month(3))

        assert ("purchase", 500, None) in left_of(balance, month(3))
        assert balance_at(balance, month(3)) == 500 + 10 + 100

    def test_rolls_the_difference_of_a_change_over_together_with_the_allocation(self):
        capped(100, code="small", cap=80)
        capped(1100, code="large", cap=500)
        balance = subscribed(tier="small", at=NOON)
        operations.update_subscription_tier(owner=balance.owner, tier="large", proration="difference", at=NOON)

        assert left_of(balance, NOON) == [("allocation", 100, month(1)), ("allocation", 1000, month(1))]
        assert balance_at(balance, month(1)) == 500
        ledger.expire_credits(balance_ids=[balance.pk], at=month(1))
        check_ledger()


class TestAMissedPeriodThatIsOver:
    """Under ``capped`` it brings what would have rolled over if it had come in time and had not been spent."""

    def test_is_given_rolled_over(self):
        capped(cap=30, months=2)
        balance = subscribed(tier="capped", initial_balance=0)

        done = run_over([balance], at=month(2))

        assert periods_of(balance) == [(1, 30), (2, 100)]
        assert left_of(balance, month(2)) == [("rollover", 30, month(4)), ("allocation", 100, month(3))]
        assert (done.allocated, done.skipped, done.credits) == ({"capped": 2}, {}, {"capped": 130})
        story = balance.transactions.order_by("sequence").values_list("type", "amount", "description")
        assert list(story) == [
            ("allocation", 30, "Capped: 3 April 2025 to 3 May 2025"),
            ("rollover", 0, "Credits rolled over"),
            ("allocation", 100, "Capped: 3 May 2025 to 3 June 2025"),
        ]
        check_ledger()

    def test_shares_the_cap_with_what_was_rolled_over_before(self):
        capped(cap=150)
        balance = subscribed(tier="capped")

        run_over([balance], at=month(4))

        assert left_of(balance, month(4)) == [
            ("rollover", 50, None),
            ("rollover", 100, None),
            ("allocation", 100, month(5)),
        ]
        check_ledger()

    def test_is_skipped_where_even_rolled_credits_would_be_gone(self):
        capped(cap=30, months=1)
        balance = subscribed(tier="capped", initial_balance=0)

        done = run_over([balance], at=month(3))

        assert periods_of(balance) == [(1, 0), (2, 30), (3, 100)]
        assert (done.allocated, done.skipped) == ({"capped": 2}, {"capped": 1})

    def test_is_skipped_where_the_share_comes_to_nothing(self):
        capped(99, percent=1)
        balance = subscribed(tier="capped", initial_balance=0)

        run_over([balance], at=month(2))

        assert periods_of(balance) == [(1, 0), (2, 99)]

    def test_repays_debt_before_it_rolls(self):
        capped(cap=30)
        balance = subscribed(tier="capped", initial_balance=0)
        bought = ledger.add_credits(owner=balance.owner, amount=50, type="purchase", at=NOON)
        deduct(balance, 50)
        ledger.reverse_purchase(transaction_id=bought.pk, reason="Charged back", at=NOON)

        run_over([balance], at=month(2) + DAY)

        assert (balance_at(balance, month(2) + DAY), left_of(balance, month(2) + DAY)) == (
            80,
            [("allocation", 80, month(3))],
        )
        check_ledger()

    def test_is_whole_until_its_last_instant(self):
        capped(cap=30)
        balance = subscribed(tier="capped", initial_balance=0)

        run_over([balance], at=month(2) - SECOND)

        assert periods_of(balance) == [(1, 100)]


class TestTier:
    @pytest.mark.parametrize(
        ("change", "constraint"),
        [
            ({"rollover": "capped"}, "tiers_tier_capped_has_a_cap"),
            ({"rollover": "capped", "rollover_months": 1}, "tiers_tier_capped_has_a_cap"),
            ({"rollover": "none", "rollover_cap_credits": 5}, "tiers_tier_capped_has_a_cap"),
            ({"rollover_cap_percent": 5}, "tiers_tier_capped_has_a_cap"),
            ({"rollover_months": 5}, "tiers_tier_capped_has_a_cap"),
            ({"rollover": "capped", "rollover_cap_credits": 0}, "tiers_tier_caps_in_bounds"),
            ({"rollover": "capped", "rollover_cap_percent": 1001}, "tiers_tier_caps_in_bounds"),
            ({"rollover": "capped", "rollover_cap_credits": 1, "rollover_months": 0}, "tiers_tier_caps_in_bounds"),
            ({"rollover": "some"}, "tiers_tier_rollover_known"),
        ],
    )
    def test_has_caps_where_they_belong(self, change, constraint):
        with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
            Tier.objects.filter(pk="growth").update(**change)
