"""The Authorization header."""

from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from fluxori.identity import tokens
from fluxori.identity.errors import TokenNotValidError
from fluxori.identity.models import User


class BearerAuthentication(BaseAuthentication):
    """``Authorization: Bearer <token>``; without the header the request is anonymous, with a bad one it is refused."""

    def authenticate(self, request: Request) -> tuple[User, str] | None:
        header: str = request.META.get("HTTP_AUTHORIZATION", "")
        if not header:
            return None
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer":
            raise TokenNotValidError
        return tokens.user_of(token.strip()), token

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002 - the framework's signature
        return "Bearer"
