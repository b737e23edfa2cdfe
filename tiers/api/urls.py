"""The URLs of tiers."""

from django.urls import path

from tiers.api import views

urlpatterns = [
    path("tiers", views.TierViewSet.as_view({"get": "list"})),
    path("credits/initialize", views.SubscriptionViewSet.as_view({"post": "initialize"})),
    path("credits/tier", views.SubscriptionViewSet.as_view({"put": "update", "delete": "end"})),
    path("credits/tier/preview", views.SubscriptionViewSet.as_view({"post": "preview"})),
    path("credits/tier/scheduled", views.SubscriptionViewSet.as_view({"delete": "cancel"})),
    path("credits/tier/pause", views.SubscriptionViewSet.as_view({"post": "pause"})),
    path("credits/tier/resume", views.SubscriptionViewSet.as_view({"post": "resume"})),
    path("credits/monthly-allocation", views.SubscriptionViewSet.as_view({"post": "allocate"})),
]
