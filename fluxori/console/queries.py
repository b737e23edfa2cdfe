"""Questions about what staff did, asked for, and may give. Nothing here writes or locks."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from django.db.models import Max, Q, QuerySet, Sum

from fluxori.console.models import ApprovalRequest, ManualCreditCeiling, StaffAction
from fluxori.identity.models import User


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What somebody may give by hand, in whole credits; ``unlimited`` for superusers."""

    per_act: int
    per_day: int
    given_today: int
    unlimited: bool = False

    @property
    def left_today(self) -> int:
        return max(self.per_day - self.given_today, 0)

    def allows(self, credits: int) -> bool:
        return self.unlimited or (credits <= self.per_act and credits <= self.left_today)


def ceiling_of(staff: User, *, at: datetime) -> Ceiling:
    """Return the highest ceiling of the groups of ``staff``, and what counted against it on the day of ``at``, UTC."""
    since = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    acts = StaffAction.objects.filter(authority=staff, credits__gt=0, created_at__gte=since)
    given: int = acts.aggregate(given=Sum("credits"))["given"] or 0
    ceilings = ManualCreditCeiling.objects.filter(group__user=staff)
    highest = ceilings.aggregate(per_act=Max("per_act"), per_day=Max("per_day"))
    return Ceiling(highest["per_act"] or 0, highest["per_day"] or 0, given, unlimited=staff.is_superuser)


def pending_requests() -> QuerySet[ApprovalRequest]:
    """Return the requests that wait for a second person, the oldest first."""
    return ApprovalRequest.objects.filter(status=ApprovalRequest.Status.PENDING).order_by("id")


def staff_acts_of(balance_id: UUID) -> QuerySet[StaffAction]:
    """Return what staff did to a balance, newest first, with who did and who approved."""
    return StaffAction.objects.filter(balance=balance_id).select_related("actor", "approver").order_by("-id")


def pending_of(owner_id: UUID) -> list[ApprovalRequest]:
    """Return the requests about one owner that wait for a second person."""
    return list(pending_requests().filter(Q(user=owner_id) | Q(organization=owner_id)).select_related("asked_by"))
