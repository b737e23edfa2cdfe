"""Errors of the console, in addition to those of the ledger. They appear on admin pages, never in the HTTP API."""

from datetime import datetime
from typing import Any

from fluxori.core.errors import ConflictError, ForbiddenError, KeyReusedError


class FormReusedError(KeyReusedError):
    code = "form_reused"
    title = "This form was sent before with different contents. Start again with a new form"


class NothingToDoError(ConflictError):
    code = "nothing_to_do"
    title = "There is nothing to do"

    def __init__(self, *, why: str) -> None:
        super().__init__(why=why)

    @property
    def detail(self) -> str:
        return f"{self.facts['why']} There is nothing to do."


class StaffPermissionError(ForbiddenError):
    """``permission`` is the permission that the member of staff lacks, like ``console.approve_requests``."""

    code = "staff_permission_denied"
    title = "This member of staff may not do this"

    def __init__(self, *, staff: str, permission: str) -> None:
        super().__init__(staff=staff, permission=permission)

    @property
    def detail(self) -> str:
        return f"{self.facts['staff']} may not do this: the permission {self.facts['permission']} is missing."


class CeilingExceededError(ForbiddenError):
    """All numbers are whole credits: what the action gives, the ceiling per action and per day, the rest of the day."""

    code = "ceiling_exceeded"
    title = "These credits exceed your ceiling"

    def __init__(self, *, credits: int, per_action: int, per_day: int, left_today: int) -> None:
        super().__init__(credits=credits, per_action=per_action, per_day=per_day, left_today=left_today)

    @property
    def detail(self) -> str:
        facts: dict[str, Any] = self.facts
        if facts["credits"] > facts["per_action"]:
            return (
                f"This action gives {facts['credits']:,} credits. The ceiling is {facts['per_action']:,} credits"
                " per action."
            )
        return (
            f"This action gives {facts['credits']:,} credits. Of the ceiling of {facts['per_day']:,} credits per day,"
            f" {facts['left_today']:,} are left."
        )


class OwnRequestError(ForbiddenError):
    code = "own_request"
    title = "You cannot decide on your own request"


class NotYourRequestError(ForbiddenError):
    code = "not_your_request"
    title = "Only the requester may withdraw a request"


class RaiseChangedError(ConflictError):
    code = "raise_changed"
    title = "This increase is not waiting any more. Look at the ceiling again"


class RequestDecidedError(ConflictError):
    """``status`` is approved, declined or withdrawn."""

    code = "request_decided"
    title = "This request is already decided"

    def __init__(self, *, status: str, by: str, at: datetime) -> None:
        super().__init__(status=status, by=by, at=at)

    @property
    def detail(self) -> str:
        return f"This request was already {self.facts['status']} by {self.facts['by']}."


class FilterTooLongError(ConflictError):
    code = "filter_too_long"
    title = "This filter is too long to be saved"


class FilterNameTakenError(ConflictError):
    code = "filter_name_taken"
    title = "You already have a filter with this name for this list"

    def __init__(self, *, name: str) -> None:
        super().__init__(name=name)

    @property
    def detail(self) -> str:
        return f"You already have a filter called \u201c{self.facts['name']}\u201d for this list."


class TooManyFiltersError(ConflictError):
    code = "too_many_filters"
    title = "You have the maximum number of saved filters"

    def __init__(self, *, maximum: int) -> None:
        super().__init__(maximum=maximum)

    @property
    def detail(self) -> str:
        return f"You have {self.facts['maximum']} saved filters, the maximum. Delete one first."
