"""Where the doors of credits are found."""

from django.urls import path

from credits.api import views

urlpatterns = [
    path("credits/balance", views.BalanceViewSet.as_view({"get": "retrieve"})),
    path("credits/check", views.BalanceViewSet.as_view({"get": "check"})),
    path("credits/deduct", views.BalanceViewSet.as_view({"post": "deduct"})),
    path("credits/history", views.TransactionViewSet.as_view({"get": "list"})),
    path("credits/transactions/<uuid:transaction_id>", views.TransactionViewSet.as_view({"get": "retrieve"})),
    path("credits/grants", views.GrantViewSet.as_view({"get": "list"})),
    path("credits/features", views.FeatureViewSet.as_view({"get": "list"})),
    path("credits/balances", views.BalancesViewSet.as_view({"get": "list"})),
    path("credits/add", views.GivingViewSet.as_view({"post": "add"})),
]
