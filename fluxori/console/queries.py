"""Reads of staff actions, approval requests and ceilings. Nothing here writes or locks."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from django.db.models import Max, Q, QuerySet, Sum

from fluxori.console.models import ApprovalRequest, ManualCreditCeiling, StaffAction
from fluxori.identity.models import User


@dataclass(frozen=True, slots=True)
class Ceiling:
    """How many whole credits a member of staff may give. Superusers are ``unlimited``."""

    per_action: int
    per_day: int
    given_today: int
    unlimited: bool = False

    @property
    def left_today(self) -> int:
        return max(self.per_day - self.given_today, 0)

    def allows(self, credits: int) -> bool:
        return self.unlimited or (credits <= self.per_action and credits <= self.left_today)


def get_ceiling(staff: User, *, at: datetime) -> Ceiling:
    """Return the highest ceiling of the groups of ``staff``, and the credits given on the UTC day of ``at``."""
    since = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    actions = StaffAction.objects.filter(authority=staff, credits__gt=0, created_at__gte=since)
    given: int = actions.aggregate(given=Sum("credits"))["given"] or 0
    ceilings = ManualCreditCeiling.objects.filter(group__user=staff)
    highest = ceilings.aggregate(per_action=Max("per_action"), per_day=Max("per_day"))
    return Ceiling(highest["per_action"] or 0, highest["per_day"] or 0, given, unlimited=staff.is_superuser)


def pending_requests() -> QuerySet[ApprovalRequest]:
    """Return the pending approval requests, oldest first."""
    return ApprovalRequest.objects.filter(status=ApprovalRequest.Status.PENDING).order_by("id")


def pending_requests_for(owner_id: UUID) -> list[ApprovalRequest]:
    """Return the pending approval requests for one owner, with their requesters."""
    requests = pending_requests().filter(Q(user=owner_id) | Q(organization=owner_id))
    return list(requests.select_related("requested_by"))


def staff_actions_on(balance_id: UUID) -> QuerySet[StaffAction]:
    """Return the staff actions on a balance, newest first, with actors and approvers."""
    return StaffAction.objects.filter(balance=balance_id).select_related("actor", "approver").order_by("-id")
