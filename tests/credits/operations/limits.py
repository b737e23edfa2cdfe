"""What the tests of spending limits share: windows, an organization with members, and the state of the limits."""

from datetime import UTC, datetime

from credits import queries
from credits.models import SpendingLimit
from tests.credits.operations.verbs import make_rich_balance
from tests.support.factories.identity import MembershipFactory, OrganizationFactory
from tests.support.times import NOON

# The ends of the windows that contain NOON.
MIDNIGHT = datetime(2025, 3, 4, tzinfo=UTC)
APRIL = datetime(2025, 4, 1, tzinfo=UTC)


def make_pool(members=2):
    """Return the balance of a new organization, followed by its members."""
    organization = OrganizationFactory.create()
    users = [MembershipFactory.create(organization=organization).user for _ in range(members)]
    return make_rich_balance(organization), *users


def used_of_limits(balance, at=NOON):
    """Return the used credits of each limit as a read at ``at`` shows them, the oldest limit first."""
    statuses = queries.limit_statuses(queries.get_limits(owner=balance.owner), at=at)
    return [status.used for status in reversed(statuses)]


def stored_counters(balance):
    """Return (used, start of the window) of each limit as stored, the oldest limit first."""
    limits = SpendingLimit.objects.filter(balance=balance, removed_at=None).order_by("pk")
    return [(limit.used, limit.window_starts_at) for limit in limits]


def limit_facts(error):
    """Return (limit, used, resets_at) of a SpendingLimitReachedError."""
    return tuple(error.value.facts[name] for name in ("limit", "used", "resets_at"))
