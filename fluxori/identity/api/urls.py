"""URL patterns of the identity endpoints."""

from django.urls import path

from fluxori.identity.api import views

members = "organizations/<uuid:organization_id>/members"

urlpatterns = [
    path("auth/token", views.LoginViewSet.as_view({"post": "token"})),
    path("auth/token/refresh", views.TokenViewSet.as_view({"post": "refresh"})),
    path("auth/token/verify", views.TokenViewSet.as_view({"post": "verify"})),
    path("auth/logout", views.TokenViewSet.as_view({"post": "logout"})),
    path("auth/logout-all", views.AccountViewSet.as_view({"post": "end_sessions"})),
    path("auth/password", views.AccountViewSet.as_view({"post": "change_password"})),
    path("auth/password/reset", views.PasswordResetViewSet.as_view({"post": "request_reset"})),
    path("auth/password/reset/confirm", views.PasswordResetViewSet.as_view({"post": "confirm"})),
    path("auth/email", views.AccountViewSet.as_view({"post": "request_email_change"})),
    path("auth/email/confirm", views.AccountViewSet.as_view({"post": "confirm_email"})),
    path("me", views.MeViewSet.as_view({"get": "retrieve"})),
    path("users", views.UserViewSet.as_view({"get": "list", "post": "create"})),
    path("users/<uuid:user_id>", views.UserViewSet.as_view({"patch": "partial_update"})),
    path("organizations", views.OrganizationViewSet.as_view({"post": "create"})),
    path(members, views.MemberViewSet.as_view({"get": "list", "post": "create"})),
    path(f"{members}/<uuid:user_id>", views.MemberViewSet.as_view({"put": "update", "delete": "destroy"})),
]
