"""Every door of the house, and the one that does nothing."""

from django.urls import path

from fluxori.devtools.bench.noop_endpoint import NothingViewSet
from fluxori.urls import handler400, handler403, handler404, handler500
from fluxori.urls import urlpatterns as doors

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]

urlpatterns = [path("api/bench/nothing", NothingViewSet.as_view({"post": "nothing"})), *doors]
