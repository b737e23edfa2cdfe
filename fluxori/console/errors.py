"""Why the console refuses an act, beyond what the ledger refuses. Nobody meets these over HTTP's API."""

from datetime import datetime
from typing import Any

from fluxori.core.errors import ConflictError, ForbiddenError, KeyReusedError


class FormReusedError(KeyReusedError):
    code = "form_reused"
    title = "This form was sent before with other words in it. Begin again"


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
    """All counts are whole credits: what the act gives, the most one act may give, what is left of the day."""

    code = "ceiling_exceeded"
    title = "More credits than you may give by hand"

    def __init__(self, *, credits: int, per_act: int, per_day: int, left_today: int) -> None:
        super().__init__(credits=credits, per_act=per_act, per_day=per_day, left_today=left_today)

    @property
    def detail(self) -> str:
        facts: dict[str, Any] = self.facts
        if facts["credits"] > facts["per_act"]:
            return f"These are {facts['credits']:,} credits, and you may give {facts['per_act']:,} in one act."
        return (
            f"These are {facts['credits']:,} credits, and of the {facts['per_day']:,} that you may give in a day"
            f" {facts['left_today']:,} are left."
        )


class OwnRequestError(ForbiddenError):
    code = "own_request"
    title = "Nobody decides on a request of their own"


class NotYourRequestError(ForbiddenError):
    code = "not_your_request"
    title = "Only who asked may withdraw a request"


class RequestDecidedError(ConflictError):
    """``status`` is approved, declined or withdrawn."""

    code = "request_decided"
    title = "This request has been decided already"

    def __init__(self, *, status: str, by: str, at: datetime) -> None:
        super().__init__(status=status, by=by, at=at)

    @property
    def detail(self) -> str:
        return f"This request was {self.facts['status']} by {self.facts['by']} already."


class FilterTooLongError(ConflictError):
    code = "filter_too_long"
    title = "This filter is too long to be saved"


class FilterNameTakenError(ConflictError):
    code = "filter_name_taken"
    title = "Another of your filters of this list has that name"

    def __init__(self, *, name: str) -> None:
        super().__init__(name=name)

    @property
    def detail(self) -> str:
        return f"Another of your filters of this list is called \u201c{self.facts['name']}\u201d."


class TooManyFiltersError(ConflictError):
    code = "too_many_filters"
    title = "You have saved as many filters as one person may"

    def __init__(self, *, most: int) -> None:
        super().__init__(most=most)

    @property
    def detail(self) -> str:
        return f"You have {self.facts['most']} saved filters, as many as one person may. Delete one first."
