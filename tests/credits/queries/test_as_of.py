"""A read of the past equals the read at that time: reads are recorded on the way, and compared at the end."""

import random
from dataclasses import asdict
from datetime import timedelta

import pytest

from credits import operations, queries
from credits.models import CreditBalance, CreditGrant, CreditHold
from credits.verification import verify_balance
from fluxori.core.errors import DomainError
from tests.support.factories.credits import deduct, make_user
from tests.support.times import DAY, HOUR, MINUTE, NOON

pytestmark = pytest.mark.django_db


class RecordedReads:
    """One balance and the reads of it, by instant."""

    def __init__(self, clock_at):
        self.clock_at = clock_at
        self.owner = make_user()
        self.reads = {}
        self.act = operations.add_credits(owner=self.owner, amount=100, type="purchase", expires_at=NOON + DAY, at=NOON)
        self.balance = CreditBalance.objects.get(pk=self.owner.pk)
        self.read(NOON)

    def read(self, at):
        """Record a read of the balance at ``at``, while the clock is there."""
        self.clock_at(at)
        self.reads[at] = asdict(queries.get_balance(owner=self.owner))

    def do(self, at, act):
        self.clock_at(at)
        result = act(at)
        self.read(at)
        return result

    def place(self, at, amount, seconds):
        return operations.place_hold(
            owner=self.owner, amount=amount, description="Work", expires_in_seconds=seconds, at=at
        )

    def check(self, *but):
        """Compare every read with a read of its instant now. The version differs: it counts writes."""
        self.clock_at(max(self.reads) + 99 * DAY)
        assert verify_balance(self.balance.pk).differences == ()
        for at, then in self.reads.items():
            now = asdict(queries.get_balance(owner=self.owner, at=at))
            differing = {name: (now[name], then[name]) for name in then if now[name] != then[name]}
            assert (at, {name for name in differing if name not in ("version", *but)}) == (at, set()), differing


class TestGetBalanceAsOf:
    def test_equals_earlier_reads_through_holds_corrections_and_expiries(self, clock_at):
        diary = RecordedReads(clock_at)
        owner, purchase = diary.owner, diary.act
        at = [NOON + HOUR * n for n in range(60)]

        held = diary.do(at[1], lambda t: diary.place(t, 60, 7200))
        diary.read(at[2] - MINUTE)
        result = diary.do(at[2], lambda t: operations.capture_hold(hold_id=held.hold.id, amount=25, at=t))
        diary.do(at[3], lambda t: diary.place(t, 30, 3600))
        diary.read(at[4] - MINUTE)
        diary.read(at[4])
        diary.read(at[5])
        diary.do(at[6], lambda t: operations.adjust_credits(owner=owner, amount=50, reason="r", at=t))
        released_hold = diary.do(at[7], lambda t: diary.place(t, 90, 3600))
        diary.do(at[7] + MINUTE, lambda t: operations.release_hold(hold_id=released_hold.hold.id, at=t))
        used = result.transaction.id
        diary.do(at[8], lambda t: operations.refund_usage(transaction_id=used, amount=5, reason="r", at=t))
        pinned = diary.do(at[23], lambda t: diary.place(t, 60, 7200))
        diary.read(at[24] - MINUTE)
        diary.read(at[24])
        diary.read(at[24] + MINUTE)
        diary.do(at[24] + 2 * MINUTE, lambda t: operations.capture_hold(hold_id=pinned.hold.id, amount=10, at=t))
        diary.do(
            at[26],
            lambda t: operations.refund_usage(transaction_id=used, reason="r", expires_at=t + 5 * HOUR, at=t),
        )
        revived = CreditGrant.objects.get(expires_at=at[31])
        diary.do(at[27], lambda t: operations.extend_grant(grant_id=revived.pk, expires_at=at[40], reason="r", at=t))
        diary.read(at[31])
        last = diary.do(at[32], lambda t: diary.place(t, 65, 3600))
        diary.do(
            at[32] + MINUTE,
            lambda t: operations.reverse_purchase(transaction_id=purchase.transaction.id, reason="r", at=t),
        )
        diary.read(at[32] + 2 * MINUTE)
        diary.read(at[33])
        diary.read(at[34])
        bought = diary.do(
            at[35], lambda t: operations.add_credits(owner=owner, amount=100, type="purchase", expires_at=at[50], at=t)
        )
        diary.do(at[36], lambda t: diary.place(t, 20, 7200))
        given = CreditGrant.objects.get(transaction=bought.transaction.id)
        diary.do(at[37], lambda t: operations.void_grant(grant_id=given.pk, reason="r", at=t))
        diary.read(at[38] - MINUTE)
        diary.read(at[38])
        diary.do(at[55], lambda t: operations.expire_credits(balance_ids=[owner.pk], at=t))

        assert CreditHold.objects.get(pk=last.hold.id).status == "lapsed"
        diary.check()

    def test_equals_earlier_reads_after_a_hold_was_extended(self, clock_at):
        diary = RecordedReads(clock_at)
        held = diary.do(NOON + HOUR, lambda t: diary.place(t, 60, 3600))
        diary.do(
            NOON + 90 * MINUTE,
            lambda t: operations.extend_hold(hold_id=held.hold.id, expires_in_seconds=2 * 3600, at=t),
        )
        for minutes in (119, 120, 121, 209, 210, 211):
            diary.read(NOON + minutes * MINUTE)

        # Until when a hold lasted before it was extended is not kept.
        diary.check("last_updated")

    def test_is_zero_before_the_balance_existed(self, clock_at):
        diary = RecordedReads(clock_at)

        before = queries.get_balance(owner=diary.owner, at=NOON - timedelta(microseconds=1))

        assert (before.balance, before.held, before.available, before.debt, before.sequence) == (0, 0, 0, 0, 0)

    @pytest.mark.parametrize("seed", range(3))
    def test_equals_earlier_reads_for_random_histories(self, clock_at, seed):
        chance = random.Random(seed)
        diary = RecordedReads(clock_at)
        at = NOON

        for _ in range(120):
            at += chance.choice([timedelta(microseconds=1), MINUTE, 7 * MINUTE, HOUR, 5 * HOUR])
            diary.read(at)
            at += chance.choice([timedelta(0), MINUTE])
            try:
                wander(diary, chance, at)
            except DomainError:
                continue
            finally:
                diary.read(at)

        assert diary.balance.transactions.count() > 15
        diary.check()


def wander(diary, chance, at):
    """Do something, whatever it is; it may be rejected."""
    owner, balance = diary.owner, diary.balance
    amount = chance.randint(1, 60)

    def one_of(rows):
        found = list(rows.order_by("pk"))
        return chance.choice(found).pk if found else owner.pk

    def until():
        return chance.choice([None, at + 3 * HOUR, at + DAY])

    acts = [
        lambda: operations.add_credits(
            owner=owner, amount=amount, type=chance.choice(["purchase", "promotion"]), expires_at=until(), at=at
        ),
        lambda: deduct(balance, amount, at=at),
        lambda: diary.place(at, amount, chance.choice([60, 600, 7200])),
        lambda: diary.place(at, amount, chance.choice([60, 600, 7200])),
        lambda: operations.capture_hold(
            hold_id=one_of(CreditHold.objects.filter(status="open")), amount=chance.choice([None, amount]), at=at
        ),
        lambda: operations.release_hold(hold_id=one_of(CreditHold.objects.filter(status="open")), at=at),
        lambda: operations.refund_usage(
            transaction_id=one_of(balance.transactions.filter(type="usage")),
            amount=chance.choice([None, 5]),
            expires_at=until(),
            reason="r",
            at=at,
        ),
        lambda: operations.reverse_purchase(
            transaction_id=one_of(balance.transactions.filter(type="purchase")), reason="r", at=at
        ),
        lambda: operations.void_grant(grant_id=one_of(balance.grants.filter(live=True)), reason="r", at=at),
        lambda: operations.extend_grant(
            grant_id=one_of(balance.grants.filter(live=True)), expires_at=at + 9 * HOUR, reason="r", at=at
        ),
        lambda: operations.adjust_credits(owner=owner, amount=chance.choice([amount, -amount]), reason="r", at=at),
        lambda: operations.expire_credits(balance_ids=[owner.pk], at=at),
    ]
    chance.choice(acts)()
