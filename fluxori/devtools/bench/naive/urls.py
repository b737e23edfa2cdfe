"""A plain view, a no-op with authentication and a serializer, and a deduction."""

from typing import Any

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from fluxori.devtools.bench.naive.models import Balance, Movement


class DeductionSerializer(serializers.Serializer[Any]):
    feature = serializers.CharField(max_length=64)
    referenceId = serializers.CharField(max_length=255, required=False)  # noqa: N815 - the name in JSON


class NoopView(APIView):
    def post(self, request: Request) -> Response:
        serializer = DeductionSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        return Response(serializer.data)


class DeductView(APIView):
    def post(self, request: Request) -> Response:
        serializer = DeductionSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        price, key = 9, request.headers["Idempotency-Key"]
        with transaction.atomic():
            balance = Balance.objects.select_for_update().get(user=request.user.pk)
            movement = Movement.objects.filter(balance=balance, key=key).first()
            if movement is None:
                if balance.credits < price:
                    return Response({"code": "insufficient_credits"}, status=402)
                balance.credits -= price
                balance.save()
                movement = Movement.objects.create(balance=balance, amount=-price, key=key)
        return Response({"id": movement.pk, "balance": balance.credits, **serializer.data})


@csrf_exempt
def plain(_request: HttpRequest) -> HttpResponse:
    return HttpResponse(b'{"status":"ok"}', "application/json")


urlpatterns = [
    path("plain", plain),
    path("noop", NoopView.as_view()),
    path("deduct", DeductView.as_view()),
    path("health/ready", plain),
]
