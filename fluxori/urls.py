"""The URL configuration: every entry point of the project.

Unknown paths under ``/api`` and ``/health`` get a problem document, in development too.
"""

from collections.abc import Callable

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import include, path, re_path
from django.views.decorators.csrf import csrf_exempt
from django.views.generic import RedirectView, TemplateView
from drf_spectacular.views import SpectacularSwaggerSplitView

from fluxori.api import health, metrics, problems
from fluxori.api.schema import schema_view
from fluxori.console.login.two_factor import two_factor_view, verify_view
from fluxori.console.saved_filters.pages import delete_filter_view, save_filter_view
from fluxori.console.search.pages import search_view
from fluxori.identity.admin import own_password_view

# The pages are public: a token is not read, also if it is not valid.
docs_view = SpectacularSwaggerSplitView.as_view(url_name="schema", authentication_classes=())


def account_page(name: str) -> Callable[[HttpRequest], HttpResponse]:
    """Return the view of a page to which the links in mails lead."""
    return problems.public_page(TemplateView.as_view(template_name=f"account/{name}.html"))


urlpatterns = [
    path("", RedirectView.as_view(pattern_name="docs")),
    path("admin", RedirectView.as_view(pattern_name="admin:index")),
    path("api/", include("fluxori.identity.api.urls")),
    path("api/", include("credits.api.urls")),
    path("api/", include("tiers.api.urls")),
    path("api/schema", schema_view, name="schema"),
    path("api/docs", problems.public_page(docs_view), name="docs"),
    path("account/password", account_page("password")),
    path("account/email", account_page("email")),
    path("health/live", health.live),
    path("health/ready", health.ready),
    path("metrics", metrics.metrics),
    path("admin/find/", admin.site.admin_view(search_view), name="console_search"),
    path("admin/filters/<uuid:key>/delete/", admin.site.admin_view(delete_filter_view), name="delete_filter"),
    path("admin/filters/<slug:app>/<slug:model>/", admin.site.admin_view(save_filter_view), name="save_filter"),
    path("admin/password_change/", admin.site.admin_view(own_password_view)),
    path("admin/two-factor/", admin.site.admin_view(two_factor_view), name="two_factor"),
    path("admin/two-factor/verify/", admin.site.admin_view(verify_view), name="verify_two_factor"),
    # Django's short cut from a row to its page on the site: no row has one.
    re_path(r"^admin/r/.*$", admin.site.admin_view(problems.page_not_found)),
    path("admin/", admin.site.urls),
    re_path(r"^(?:api|health)(?:/.*)?$", csrf_exempt(problems.page_not_found)),
]

handler400 = problems.bad_request
handler403 = problems.permission_denied
handler404 = problems.page_not_found
handler500 = problems.server_error
