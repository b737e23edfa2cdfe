from datetime import datetime
from typing import Any

import pytest

from credits import operations as ledger
from fluxori.core.errors import DomainError
from tests.support.factories.credits import make_balance, make_user
from tests.support.factories.tiers import (
    APRIL,
    MAY,
    MID_APRIL,
    change_tier,
    make_capped_tier,
    make_subscribed_balance,
    month,
    run_allocation,
)
from tests.support.ledger import table_digests
from tests.support.tier_tables import assert_nothing_written
from tests.support.times import DAY
from tiers import operations, queries
from tiers.operations import preview_subscription_tier

pytestmark = pytest.mark.django_db


class TestPreview:
    REQUESTS = [
        {"tier": "pro"},
        {"tier": "explorer"},
        {"tier": "growth"},
        {"tier": "pro", "proration": "difference"},
        {"tier": "explorer", "proration": "difference"},
        {"tier": "explorer", "effective": "nextPeriod"},
        {"tier": "growth", "effective": "nextPeriod"},
        {"tier": "capped", "proration": "difference"},
    ]

    @pytest.mark.parametrize("arguments", REQUESTS)
    @pytest.mark.parametrize("at", [MID_APRIL, MAY, month(3, APRIL) + DAY])
    @pytest.mark.parametrize("scheduled", [None, "enterprise"])
    def test_predicts_the_change_and_writes_nothing(self, arguments, at, scheduled):
        make_capped_tier(3000, percent=50)
        balance = make_subscribed_balance(tier="growth", at=APRIL)
        make_balance(balance.owner, [(50, 20 * DAY)], at=APRIL)
        if scheduled:
            change_tier(balance, scheduled, at=APRIL, effective="nextPeriod")

        before = table_digests()
        preview = preview_subscription_tier(owner=balance.owner, at=at, **arguments)
        assert table_digests() == before

        held = queries.tier_facts(owner=balance.owner, at=at).tier
        result = change_tier(balance, at=at, **arguments)
        assert (preview.from_tier, preview.to_tier) == (held, arguments["tier"])
        assert preview.grant_now == (result.transaction.amount if result.transaction else 0)
        assert preview.balance_after == result.balance.balance
        pending = result.tier_facts.pending_tier
        assert preview.effective_at == (pending.at if pending else at)
        assert result.tier_facts.tier == (held if pending else arguments["tier"])
        assert preview.next_allocation is not None
        begins, amount = preview.next_allocation
        assert begins == result.tier_facts.next_allocation_at
        run_allocation([balance], at=max(at, begins))
        assert balance.allocations.order_by("period").values_list("credits", flat=True)[0] == amount

    def test_next_allocation_skips_a_period_allocated_on_request(self):
        balance = make_subscribed_balance(tier="growth", at=APRIL)
        operations.add_monthly_allocation(owner=balance.owner, at=month(2, APRIL))
        run_allocation([balance], at=MAY)

        preview = preview_subscription_tier(owner=balance.owner, tier="pro", at=month(2, APRIL))

        assert preview.next_allocation == (month(3, APRIL), 7000)

    def test_paused_subscription_has_no_next_allocation(self):
        balance = make_subscribed_balance(tier="growth", at=APRIL)
        operations.pause_subscription(owner=balance.owner, at=APRIL)

        assert preview_subscription_tier(owner=balance.owner, tier="pro", at=MID_APRIL).next_allocation is None

    def test_rejects_what_the_change_rejects(self):
        balance, untiered = make_subscribed_balance(at=APRIL), make_balance()
        rejected: list[tuple[dict[str, Any], type[DomainError]]] = [
            ({"owner": balance.owner, "tier": "pro", "effective": "later"}, ledger.InvalidArgumentError),
            ({"owner": balance.owner, "tier": "pro", "at": datetime(2025, 4, 1)}, ledger.InvalidArgumentError),  # noqa: DTZ001
            ({"owner": make_user(), "tier": "no-such"}, ledger.BalanceNotFoundError),
            ({"owner": untiered.owner, "tier": "no-such"}, operations.TierNotFoundError),
            ({"owner": untiered.owner, "tier": "pro"}, operations.NoSubscriptionError),
        ]

        for arguments, expected in rejected:
            with assert_nothing_written(), pytest.raises(expected):
                preview_subscription_tier(**{"at": MID_APRIL, **arguments})
