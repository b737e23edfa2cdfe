"""Authentication by the Authorization header."""

from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from fluxori.api.headers import single_value
from fluxori.core import request_context
from fluxori.identity import tokens
from fluxori.identity.errors import TokenNotValidError
from fluxori.identity.models import User


class BearerAuthentication(BaseAuthentication):
    """Reads ``Authorization: Bearer <token>``. Without the header the request is anonymous.

    :raises InvalidInputError: the header has several values
    :raises TokenNotValidError: another scheme, or a token that is not valid
    :raises IssuerUnavailableError: the keys of the external issuer cannot be fetched
    """

    def authenticate(self, request: Request) -> tuple[User, str] | None:
        header = single_value(request.META, "Authorization")
        if not header:
            return None
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer":
            raise TokenNotValidError
        user = tokens.user_from_access_token(token.strip())
        request_context.add_log_facts(caller=user.role, caller_id=str(user.pk))
        return user, token

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002 - the framework's signature
        return "Bearer"
