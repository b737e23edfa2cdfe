"""Errors of identity, one class for each reason, with stable codes."""

from fluxori.core.errors import ConflictError, DomainError, ForbiddenError, NotFoundError, UnavailableError


class UnauthenticatedError(DomainError):
    """The caller is not authenticated."""


class InvalidCredentialsError(UnauthenticatedError):
    code = "invalid_credentials"
    title = "The e-mail address or the password is wrong"


class TokenNotValidError(UnauthenticatedError):
    """Expired, revoked, of the wrong type, not signed by an accepted issuer, or its user is deactivated."""

    code = "token_not_valid"
    title = "The token is not valid"


class OneTimeTokenError(DomainError):
    """A token that was sent by e-mail cannot be used any more."""


class TokenUsedError(OneTimeTokenError):
    code = "token_used"
    title = "This link was used already, or a later change made it invalid"


class TokenExpiredError(OneTimeTokenError):
    code = "token_expired"
    title = "This link has expired; request a new one"


class PermissionDeniedError(ForbiddenError):
    code = "permission_denied"
    title = "You may not do this"


class UserNotFoundError(NotFoundError):
    code = "user_not_found"
    title = "There is no such user"


class OrganizationNotFoundError(NotFoundError):
    code = "organization_not_found"
    title = "There is no such organization"


class EmailTakenError(ConflictError):
    code = "email_taken"
    title = "Another user has this e-mail address"


class ExternalIdTakenError(ConflictError):
    code = "external_id_taken"
    title = "This external id is already in use"


class LastOwnerError(ConflictError):
    code = "last_owner"
    title = "An organization keeps at least one owner"


class IssuerUnavailableError(UnavailableError):
    code = "busy"
    title = "The issuer of this token cannot be reached"


class LoginBusyError(UnavailableError):
    code = "busy"
    title = "Too many passwords are being checked; try again in a moment"


class LoginLockedError(DomainError):
    """Too many attempts failed. ``retry_after`` is the number of seconds until the next one is allowed."""

    code = "throttled"
    title = "Too many attempts failed"

    def __init__(self, *, retry_after: int) -> None:
        super().__init__(retry_after=retry_after)


class LastAdminError(ConflictError):
    code = "last_admin"
    title = "At least one active administrator must remain"
