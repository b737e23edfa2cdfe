"""Endpoints for tests of ``fluxori.api``: they return the parsed request, or raise the requested error."""

from django.db import OperationalError, connection
from django.urls import path
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.views import APIView

from fluxori.api import access, problems
from fluxori.api.fields import Choice, Flag, Id, Metadata, Rand, Text, Timestamp, WholeNumber
from fluxori.api.idempotency import idempotent_response, key_from
from fluxori.api.serializers import QuerySerializer, RequestSerializer
from fluxori.core import errors
from fluxori.core.errors import FieldError, InvalidRequestError

handler400 = problems.bad_request
handler403 = problems.permission_denied
handler404 = problems.page_not_found
handler500 = problems.server_error


class NestedRequest(RequestSerializer):
    credit_count = WholeNumber()


class EveryFieldRequest(RequestSerializer):
    amount = WholeNumber(min_value=1, max_value=10**12)
    description = Text(max_length=500, required=False)
    reference_id = Text(max_length=255, required=False)
    expires_at = Timestamp(required=False)
    unit_price = Rand(required=False)
    owner_id = Id(required=False)
    kind = Choice(["usage", "refund"], required=False)
    send_now = Flag(required=False)
    metadata = Metadata(required=False)
    inner = NestedRequest(required=False)
    priority = WholeNumber(default=50)


class EveryFieldQuery(QuerySerializer):
    from_ = Timestamp(required=False)
    group_by = Choice(["day", "type"], default="day")
    amount = WholeNumber(min_value=1, required=False)
    send_now = Flag(required=False)
    user_id = Id(required=False)


class OwnerRequest(RequestSerializer):
    organization_id = Id(required=False)
    user_id = Id(required=False)


class EchoView(APIView):
    """Returns the parsed body or query."""

    permission_classes = (AllowAny,)

    def post(self, request):
        return Response({"payload": EveryFieldRequest.parse(request.data)})

    def get(self, request):
        return Response({"payload": EveryFieldQuery.parse(request.query_params)})


class LargeBodyView(EchoView):
    max_body = 1024 * 1024


class IdempotencyKeyView(APIView):
    permission_classes = (AllowAny,)

    def post(self, request):
        return idempotent_response({"key": key_from(request)}, 201, replayed=True)


class ResolveView(APIView):
    """Returns the balance that a request may read or spend from."""

    def post(self, request, purpose):
        resolve = {"read": access.resolve_for_read, "spend": access.resolve_for_spend}[purpose]
        balance_access = resolve(request, OwnerRequest.parse(request.data))
        owner = balance_access.owner
        return Response({"id": owner.id, "kind": owner.kind, "member": balance_access.member})


class ResolveForManageView(APIView):
    def post(self, request):
        return Response({"id": access.resolve_for_manage(request, OwnerRequest.parse(request.data)).id})


class NamedOwnerView(APIView):
    def post(self, request):
        return Response({"id": access.named_owner(OwnerRequest.parse(request.data)).id})


class VisibleBalancesView(APIView):
    def get(self, request):
        balance_ids = access.visible_balances(request)
        return Response({"ids": None if balance_ids is None else sorted(map(str, balance_ids))})


class NoFundsError(errors.PaymentRequiredError):
    code = "no_funds"
    title = "The balance is empty"


class InvalidArgumentView(APIView):
    """Calls an operation that rejects its arguments."""

    permission_classes = (AllowAny,)

    def post(self, request):
        raise InvalidRequestError([FieldError("member_id", "in_past", "Why."), FieldError("from_", "in_past", "Why.")])

    get = delete = post


class FailingView(APIView):
    """Raises the error that the path names."""

    permission_classes = (AllowAny,)

    def get(self, request, failure):
        match failure:
            case "unexpected":
                raise RuntimeError("the password is hunter2")
            case "domain-error":
                raise NoFundsError(left_over=3)
            case "field-errors":
                raise InvalidRequestError(
                    [FieldError("expires_at", "in_past", "Too late."), FieldError("amount", "required", "?")]
                )
            case "statement-timeout":
                with connection.cursor() as cursor:
                    cursor.execute("SET LOCAL statement_timeout = 1; SELECT pg_sleep(1)")
            case "lost-connection":
                raise OperationalError("server closed the connection unexpectedly")
        return Response(status=204)


urlpatterns = [
    path("api/echo", EchoView.as_view()),
    path("api/large-body", LargeBodyView.as_view()),
    path("api/idempotency-key", IdempotencyKeyView.as_view()),
    path("api/resolve-for-manage", ResolveForManageView.as_view()),
    path("api/resolve-for-<purpose>", ResolveView.as_view()),
    path("api/named-owner", NamedOwnerView.as_view()),
    path("api/visible-balances", VisibleBalancesView.as_view()),
    path("api/invalid-argument", InvalidArgumentView.as_view()),
    path("api/failing/<failure>", FailingView.as_view()),
]
