"""What becomes of a period's unspent credits, by the policy of the tier that gave them."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from credits import operations as ledger
from credits import queries as ledger_queries
from credits.domain.records import Entry
from credits.models import CreditBalance, CreditGrant
from fluxori.identity.owner import Owner
from tests.credits.operations.verbs import refund_usage
from tests.model.machine import allocate
from tests.support.factories.credits import deduct, hold, make_balance, make_user
from tests.support.factories.tiers import (
    change_tier,
    make_capped_tier,
    make_expiring_tier,
    make_subscribed_balance,
    month,
    periods_of,
    run_allocation,
    spendable_grants,
)
from tests.support.tier_tables import check_ledger
from tests.support.times import DAY, NOON, SECOND
from tiers import operations
from tiers.models import Tier

pytestmark = pytest.mark.django_db

MICROSECOND = timedelta(microseconds=1)


def terms_of(balance):
    """Return (expiry, cap, end of the rolled credits) of the balance's newest grant."""
    grant = balance.grants.latest("id")
    return grant.expires_at, grant.roll_cap, grant.roll_until


def available_at(balance, at):
    return ledger_queries.load_settled_balance(balance.owner, at=at).available


def balance_at(balance, at):
    return ledger_queries.load_settled_balance(balance.owner, at=at).balance


class TestAllocationTerms:
    def test_unlimited_has_no_expiry(self):
        assert terms_of(make_subscribed_balance()) == (None, None, None)

    def test_none_expires_at_the_end_of_the_period(self):
        make_expiring_tier()

        assert terms_of(make_subscribed_balance(tier="fleeting")) == (month(1), None, None)

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
    def test_capped_uses_the_smaller_cap(self, caps, expected):
        make_capped_tier(**caps)

        assert terms_of(make_subscribed_balance(tier="capped")) == (month(1), expected, None)

    def test_percent_cap_is_of_the_monthly_credits(self):
        make_capped_tier(percent=50)

        assert terms_of(make_subscribed_balance(tier="capped", initial_balance=7)) == (month(1), 50, None)

    @pytest.mark.parametrize("period", [0, 1])
    def test_rollover_months_are_counted_from_the_anchor(self, period):
        make_capped_tier(cap=10, months=1)
        last_of_january = NOON.replace(month=1, day=31)
        balance = make_subscribed_balance(tier="capped", at=last_of_january)

        operations.add_monthly_allocation(owner=balance.owner, at=month(period, last_of_january))

        assert terms_of(balance) == (
            month(period + 1, last_of_january),
            10,
            month(period + 2, last_of_january),
        )

    def test_terms_of_earlier_grants_do_not_change(self):
        tier = make_capped_tier(cap=10)
        balance = make_subscribed_balance(tier="capped")
        tier.rollover, tier.rollover_cap_credits = Tier.Rollover.NONE, None
        tier.save()

        run_allocation([balance], at=month(1))

        assert spendable_grants(balance, month(1)) == [
            ("rollover", 10, None),
            ("allocation", 100, month(2)),
        ]
        assert tier.history.latest().rollover == "none"


class TestCapped:
    def test_rolls_over_up_to_the_cap_and_burns_that_first(self):
        make_capped_tier(cap=30, months=3)
        balance = make_subscribed_balance(tier="capped")
        deduct(balance, 20)

        run_allocation([balance], at=month(1))
        spent = deduct(balance, 40, at=month(1))

        assert [(source_of(part), part.amount) for part in spent.transaction.entries] == [
            ("rollover", -30),
            ("allocation", -10),
        ]
        assert balance_at(balance, month(1)) == 90
        check_ledger()

    def test_expires_the_oldest_rollovers_beyond_the_cap(self):
        make_capped_tier(cap=150, months=3)
        balance = make_subscribed_balance(tier="capped")

        for k in (1, 2):
            run_allocation([balance], at=month(k))

        assert spendable_grants(balance, month(2)) == [
            ("rollover", 50, month(4)),
            ("rollover", 100, month(5)),
            ("allocation", 100, month(3)),
        ]
        check_ledger()

    def test_purchases_do_not_expire(self):
        make_capped_tier(cap=10)
        balance = make_subscribed_balance(tier="capped")
        make_balance(balance.owner, [(500, None)], type="purchase")

        run_allocation([balance], at=month(3))

        assert ("purchase", 500, None) in spendable_grants(balance, month(3))
        assert balance_at(balance, month(3)) == 500 + 10 + 100

    def test_prorated_credits_roll_over_with_the_allocation(self):
        make_capped_tier(100, code="small", cap=80)
        make_capped_tier(1100, code="large", cap=500)
        balance = make_subscribed_balance(tier="small", at=NOON)
        operations.update_subscription_tier(owner=balance.owner, tier="large", proration="difference", at=NOON)

        assert spendable_grants(balance, NOON) == [
            ("allocation", 100, month(1)),
            ("allocation", 1000, month(1)),
        ]
        assert balance_at(balance, month(1)) == 500
        ledger.expire_credits(balance_ids=[balance.pk], at=month(1))
        check_ledger()


class TestCreditsThatComeBack:
    """Under a capped tier, what comes back at or after the end of its period returns up to the cap."""

    @pytest.mark.parametrize("after", [-MICROSECOND, timedelta(0), MICROSECOND, DAY])
    def test_refund_restores_what_was_used(self, after):
        make_capped_tier(400, cap=500)
        balance = make_subscribed_balance(tier="capped")
        usage = deduct(balance, 100).transaction

        refund_usage(usage, at=month(1) + after)

        assert available_at(balance, month(1) + DAY) == 400
        check_ledger()

    @pytest.mark.parametrize("after", [-MICROSECOND, timedelta(0), MICROSECOND, DAY])
    def test_release_restores_what_was_held(self, after):
        make_capped_tier(400, cap=500)
        balance = make_subscribed_balance(tier="capped")
        placed = hold(balance, 100, at=NOON, expires_in=month(2) - NOON)

        ledger.release_hold(hold_id=placed.pk, at=month(1) + after)

        assert available_at(balance, month(1) + DAY) == 400
        check_ledger()

    @pytest.mark.parametrize("after", [-MICROSECOND, timedelta(0), MICROSECOND, DAY])
    def test_refund_at_the_rollover_does_not_trim_the_credits_of_another_grant(self, after):
        owner = make_user()
        for amount, terms in ((100, {"roll_cap": 80}), (40, {"priority": 1, "roll_cap": 30})):
            allocate(
                owner=Owner.of(owner),
                type="allocation",
                amount=amount,
                actor=None,
                idempotency_key=None,
                at=NOON,
                expires_at=NOON + DAY,
                **terms,
            )
        balance = CreditBalance.objects.get(pk=owner.pk)
        usage = deduct(balance, 5).transaction

        refund_usage(usage, at=NOON + DAY + after)

        assert available_at(balance, NOON + 3 * DAY) == 80
        check_ledger()


class TestNextExpiry:
    def test_contains_what_the_cap_will_remove(self):
        make_capped_tier(400, cap=500)
        balance = make_subscribed_balance(tier="capped")
        deduct(balance, 100, at=NOON + DAY)
        run_allocation([balance], at=month(1))

        assert ledger_queries.get_balance(owner=balance.owner, at=month(1)).next_expiry == (200, month(2))
        assert available_at(balance, month(1)) - available_at(balance, month(2)) == 200

    def test_contains_what_grants_lose_that_share_a_cap(self):
        make_capped_tier(100, "a", cap=50)
        make_capped_tier(200, "z", cap=50)
        balance = make_subscribed_balance(tier="a")
        change_tier(balance, "z", at=NOON, proration="difference")
        deduct(balance, 40)

        assert ledger_queries.get_balance(owner=balance.owner, at=NOON).next_expiry == (110, month(1))
        assert available_at(balance, NOON) - available_at(balance, month(1)) == 110


class TestMissedPeriodThatIsOver:
    """Under ``capped`` it brings what would have rolled over if it had come in time and had not been spent."""

    def test_is_granted_as_rollover(self):
        make_capped_tier(cap=30, months=2)
        balance = make_subscribed_balance(tier="capped", initial_balance=0)

        result = run_allocation([balance], at=month(2))

        assert periods_of(balance) == [(1, 30), (2, 100)]
        assert spendable_grants(balance, month(2)) == [
            ("rollover", 30, month(4)),
            ("allocation", 100, month(3)),
        ]
        assert (result.allocated, result.skipped, result.credits) == ({"capped": 2}, {}, {"capped": 130})
        story = balance.transactions.order_by("sequence").values_list("type", "amount", "description")
        assert list(story) == [
            ("allocation", 30, "Capped: 3 April 2025 to 3 May 2025"),
            ("rollover", 0, "Credits rolled over"),
            ("allocation", 100, "Capped: 3 May 2025 to 3 June 2025"),
        ]
        check_ledger()

    def test_shares_the_cap_with_earlier_rollovers(self):
        make_capped_tier(cap=150)
        balance = make_subscribed_balance(tier="capped")

        run_allocation([balance], at=month(4))

        assert spendable_grants(balance, month(4)) == [
            ("rollover", 50, None),
            ("rollover", 100, None),
            ("allocation", 100, month(5)),
        ]
        check_ledger()

    def test_is_skipped_if_the_rollover_would_have_expired(self):
        make_capped_tier(cap=30, months=1)
        balance = make_subscribed_balance(tier="capped", initial_balance=0)

        result = run_allocation([balance], at=month(3))

        assert periods_of(balance) == [(1, 0), (2, 30), (3, 100)]
        assert (result.allocated, result.skipped) == ({"capped": 2}, {"capped": 1})

    def test_is_skipped_if_the_cap_is_0(self):
        make_capped_tier(99, percent=1)
        balance = make_subscribed_balance(tier="capped", initial_balance=0)

        run_allocation([balance], at=month(2))

        assert periods_of(balance) == [(1, 0), (2, 99)]

    def test_repays_debt_first(self):
        make_capped_tier(cap=30)
        balance = make_subscribed_balance(tier="capped", initial_balance=0)
        bought = ledger.add_credits(owner=balance.owner, amount=50, type="purchase", at=NOON)
        deduct(balance, 50)
        ledger.reverse_purchase(transaction_id=bought.transaction.id, reason="Charged back", at=NOON)

        run_allocation([balance], at=month(2) + DAY)

        assert (balance_at(balance, month(2) + DAY), spendable_grants(balance, month(2) + DAY)) == (
            80,
            [("allocation", 80, month(3))],
        )
        check_ledger()

    def test_is_granted_in_full_until_its_last_instant(self):
        make_capped_tier(cap=30)
        balance = make_subscribed_balance(tier="capped", initial_balance=0)

        run_allocation([balance], at=month(2) - SECOND)

        assert periods_of(balance) == [(1, 100)]


class TestTier:
    @pytest.mark.parametrize(
        ("change", "constraint"),
        [
            ({"rollover": "capped"}, "tiers_tier_caps_match_policy"),
            ({"rollover": "capped", "rollover_months": 1}, "tiers_tier_caps_match_policy"),
            ({"rollover": "none", "rollover_cap_credits": 5}, "tiers_tier_caps_match_policy"),
            ({"rollover_cap_percent": 5}, "tiers_tier_caps_match_policy"),
            ({"rollover_months": 5}, "tiers_tier_caps_match_policy"),
            ({"rollover": "capped", "rollover_cap_credits": 0}, "tiers_tier_caps_in_range"),
            ({"rollover": "capped", "rollover_cap_percent": 1001}, "tiers_tier_caps_in_range"),
            ({"rollover": "capped", "rollover_cap_credits": 1, "rollover_months": 0}, "tiers_tier_caps_in_range"),
            ({"rollover": "some"}, "tiers_tier_rollover_valid"),
        ],
    )
    def test_caps_match_the_policy(self, change, constraint):
        with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
            Tier.objects.filter(pk="growth").update(**change)


def source_of(entry: Entry) -> str:
    """Return the source of the grant that an entry changes."""
    assert entry.grant_id is not None
    return CreditGrant.objects.get(pk=entry.grant_id).source
