"""Serializers of spending limits."""

from credits.api.serializers.common import Count, OwnerRequest
from credits.domain.limits import PERIODS
from fluxori.api.fields import Choice, Id, Timestamp, WholeNumber
from fluxori.api.serializers import ResponseSerializer


class SetLimitRequest(OwnerRequest):
    """A limit of a whole balance or, in an organization's pool, of one member."""

    member_id = Id(required=False, allow_null=True)
    period = Choice(PERIODS, help_text="A calendar day or month, UTC.")
    amount = Count(min_value=0, help_text="The most credits that can be used in each period.")


class LimitResponse(ResponseSerializer):
    id = Id()
    member_id = Id(allow_null=True, help_text="Null: the whole balance.")
    period = Choice(PERIODS)
    amount = WholeNumber()
    used = WholeNumber(help_text="In the current day or month: usage and open holds, less refunds.")
    resets_at = Timestamp(help_text="The start of the next period.")
