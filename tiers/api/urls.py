"""Where the API of this app is found."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
