"""Doors that exist only to try the floor: they echo what they understood, or fail as they are told."""

from django.db import OperationalError, connection
from django.urls import path
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.views import APIView

from fluxori.api import access, idempotency, problems
from fluxori.api.fields import Choice, Flag, Id, Metadata, Rand, Text, Timestamp, WholeNumber
from fluxori.api.serializers import In, Query
from fluxori.core import errors
from fluxori.core.errors import FieldError, InvalidRequestError

handler400 = problems.bad_request
handler403 = problems.permission_denied
handler404 = problems.page_not_found
handler500 = problems.server_error


class InnerIn(In):
    credit_count = WholeNumber()


class EverythingIn(In):
    amount = WholeNumber(min_value=1, max_value=10**12)
    description = Text(max_length=500, required=False)
    reference_id = Text(max_length=255, required=False)
    expires_at = Timestamp(required=False)
    unit_price = Rand(required=False)
    owner_id = Id(required=False)
    kind = Choice(["usage", "refund"], required=False)
    send_now = Flag(required=False)
    metadata = Metadata(required=False)
    inner = InnerIn(required=False)
    priority = WholeNumber(default=50)


class EverythingQuery(Query):
    from_ = Timestamp(required=False)
    group_by = Choice(["day", "type"], default="day")
    amount = WholeNumber(min_value=1, required=False)
    send_now = Flag(required=False)
    user_id = Id(required=False)


class OwnerIn(In):
    organization_id = Id(required=False)
    user_id = Id(required=False)


class Echo(APIView):
    permission_classes = (AllowAny,)

    def post(self, request):
        return Response({"understood": EverythingIn.read(request.data)})

    def get(self, request):
        return Response({"understood": EverythingQuery.read(request.query_params)})


class Roomy(Echo):
    max_body = 1024 * 1024


class Keyed(APIView):
    permission_classes = (AllowAny,)

    def post(self, request):
        return idempotency.answer({"key": idempotency.key_of(request)}, 201, replayed=True)


class BalanceAccess(APIView):
    def post(self, request, how):
        asked = OwnerIn.read(request.data)
        acting = getattr(access, how)(request, asked)
        return Response({"id": acting.owner.id, "kind": acting.owner.kind, "member": acting.member})


class Named(APIView):
    def post(self, request):
        return Response({"id": access.named_owner(OwnerIn.read(request.data)).id})


class Managed(APIView):
    def post(self, request):
        return Response({"id": access.managing(request, OwnerIn.read(request.data)).id})


class Visible(APIView):
    def get(self, request):
        seen = access.visible_balances(request)
        return Response({"ids": None if seen is None else sorted(map(str, seen))})


class NoFundsError(errors.PaymentRequiredError):
    code = "no_funds"
    title = "There is nothing in it"


class FaultyView(APIView):
    permission_classes = (AllowAny,)

    def get(self, request, how):
        match how:
            case "secret":
                raise RuntimeError("the password is hunter2")
            case "facts":
                raise NoFundsError(left_over=3)
            case "fields":
                raise InvalidRequestError(
                    [FieldError("expires_at", "in_past", "Too late."), FieldError("amount", "required", "?")]
                )
            case "slow":
                with connection.cursor() as cursor:
                    cursor.execute("SET LOCAL statement_timeout = 1; SELECT pg_sleep(1)")
            case "gone":
                raise OperationalError("server closed the connection unexpectedly")
        return Response(status=204)


urlpatterns = [
    path("api/echo", Echo.as_view()),
    path("api/roomy", Roomy.as_view()),
    path("api/keyed", Keyed.as_view()),
    path("api/acting/<how>", BalanceAccess.as_view()),
    path("api/named", Named.as_view()),
    path("api/managed", Managed.as_view()),
    path("api/visible", Visible.as_view()),
    path("api/faulty/<how>", FaultyView.as_view()),
]
