"""URL patterns of the ledger's endpoints."""

from django.urls import path

from credits.api import batch, corrections, holds, limits, transfers, usage, views

urlpatterns = [
    path("credits/balance", views.BalanceViewSet.as_view({"get": "retrieve"})),
    path("credits/balance/preview", views.BalanceViewSet.as_view({"get": "preview"})),
    path("credits/check", views.BalanceViewSet.as_view({"get": "check"})),
    path("credits/deduct", views.BalanceViewSet.as_view({"post": "deduct"})),
    path("credits/deduct/batch", batch.BatchViewSet.as_view({"post": "deduct"})),
    path("credits/history", views.TransactionViewSet.as_view({"get": "list"})),
    path("credits/transactions/<uuid:transaction_id>", views.TransactionViewSet.as_view({"get": "retrieve"})),
    path("credits/grants", views.GrantViewSet.as_view({"get": "list"})),
    path("credits/features", views.FeatureViewSet.as_view({"get": "list"})),
    path("credits/usage", usage.UsageViewSet.as_view({"get": "retrieve"})),
    path("credits/forecast", usage.UsageViewSet.as_view({"get": "forecast"})),
    path("credits/balances", views.BalanceListViewSet.as_view({"get": "list"})),
    path("credits/holds", holds.HoldViewSet.as_view({"get": "list", "post": "place"})),
    path("credits/holds/<uuid:hold_id>", holds.HoldViewSet.as_view({"get": "retrieve"})),
    path("credits/holds/<uuid:hold_id>/capture", holds.HoldViewSet.as_view({"post": "capture"})),
    path("credits/holds/<uuid:hold_id>/release", holds.HoldViewSet.as_view({"post": "release"})),
    path("credits/holds/<uuid:hold_id>/extend", holds.HoldViewSet.as_view({"post": "extend"})),
    path("credits/limits", limits.LimitViewSet.as_view({"get": "list", "put": "update"})),
    path("credits/limits/<uuid:limit_id>", limits.LimitViewSet.as_view({"delete": "destroy"})),
    path(
        "credits/transactions/<uuid:transaction_id>/refund",
        corrections.RefundViewSet.as_view({"post": "refund"}),
    ),
    path(
        "credits/transactions/<uuid:transaction_id>/reverse",
        corrections.CorrectionViewSet.as_view({"post": "reverse"}),
    ),
    path("credits/grants/<uuid:grant_id>/void", corrections.CorrectionViewSet.as_view({"post": "void"})),
    path("credits/grants/<uuid:grant_id>/extend", corrections.CorrectionViewSet.as_view({"post": "extend"})),
    path("credits/adjust", corrections.CorrectionViewSet.as_view({"post": "adjust"})),
    path("credits/transfers", transfers.TransferViewSet.as_view({"post": "transfer"})),
    path("credits/add", views.AddCreditsViewSet.as_view({"post": "add"})),
]
