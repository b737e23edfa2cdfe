"""The URL configuration of the project, and the no-op endpoint of the benchmarks."""

from django.urls import path

from fluxori.devtools.bench.noop_endpoint import NoopViewSet
from fluxori.urls import handler400, handler403, handler404, handler500
from fluxori.urls import urlpatterns as project_urlpatterns

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]

urlpatterns = [path("api/bench/noop", NoopViewSet.as_view({"post": "noop"})), *project_urlpatterns]
