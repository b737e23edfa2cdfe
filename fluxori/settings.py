"""Django's settings, for development and production.

Everything that differs between installations comes from environment variables. Invalid variables are reported together
at the end of this file. ``docs/reference/settings.md`` describes each variable.
"""

import os
from datetime import timedelta
from pathlib import Path

import django_stubs_ext
from corsheaders.defaults import default_headers
from django.templatetags.static import static
from django.urls import reverse_lazy

from fluxori.console.sidebar import NAVIGATION
from fluxori.core.log_config import log_config
from fluxori.env import Reader, is_weak

# Makes Django's generic classes subscriptable at run time, for annotations such as ModelAdmin[Any].
django_stubs_ext.monkeypatch()

BASE_DIR = Path(__file__).resolve().parent.parent

env = Reader(os.environ)

ENVIRONMENT = env.choice("ENVIRONMENT", ("development", "production"), "development")
PRODUCTION = ENVIRONMENT == "production"

# The key for development is fixed, so that sessions and tokens survive a restart.
SECRET_KEY = env.string("SECRET_KEY", None if PRODUCTION else "development only: not a secret, never for production")
if PRODUCTION and SECRET_KEY and is_weak(SECRET_KEY, minimum=50):
    env.add_error("SECRET_KEY must be a random text of at least 50 characters in production")
DEBUG = env.flag("DEBUG", False)
if PRODUCTION and DEBUG:
    env.add_error("DEBUG must be off in production")
ALLOWED_HOSTS = env.string_list(
    "ALLOWED_HOSTS", None if PRODUCTION else ("localhost", "127.0.0.1", "[::1]", "testserver")
)
CSRF_TRUSTED_ORIGINS = env.string_list("CSRF_TRUSTED_ORIGINS", ())
CORS_ALLOWED_ORIGINS = env.string_list("CORS_ALLOWED_ORIGINS", ())
CORS_URLS_REGEX = r"^/api/"
CORS_ALLOW_HEADERS = [*default_headers, "idempotency-key", "x-request-id"]
CORS_EXPOSE_HEADERS = ["X-Request-Id", "Idempotency-Replayed", "Retry-After"]

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "unfold.contrib.simple_history",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "corsheaders",
    "django_filters",
    "django_otp",
    "django_otp.plugins.otp_static",
    "django_otp.plugins.otp_totp",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "pgtrigger",
    "procrastinate.contrib.django",
    "rest_framework",
    "rest_framework_simplejwt.token_blacklist",
    "simple_history",
    "fluxori.db",
    "fluxori.identity",
    "credits",
    "tiers",
    "fluxori.console",
    "fluxori.jobs",
]
if not PRODUCTION:
    # Sample data and benchmarks. The production image does not contain them.
    INSTALLED_APPS += ["fluxori.devtools.bench", "fluxori.devtools.demo"]

MIDDLEWARE = [
    "fluxori.api.middleware.RequestIdMiddleware",
    "fluxori.api.middleware.RequestLogMiddleware",
    "fluxori.api.middleware.ContentSecurityMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    # Checks the Host header, and sets Content-Length.
    "django.middleware.common.CommonMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    # From here on for the pages of the admin only.
    "fluxori.console.middleware.SessionMiddleware",
    "fluxori.console.middleware.CsrfViewMiddleware",
    "fluxori.console.middleware.AuthenticationMiddleware",
    "fluxori.console.middleware.OTPMiddleware",
    "fluxori.console.middleware.TwoFactorMiddleware",
    "fluxori.console.middleware.MessageMiddleware",
    "fluxori.console.middleware.HistoryMiddleware",
    "fluxori.console.middleware.TimeZoneMiddleware",
]

ROOT_URLCONF = "fluxori.urls"
WSGI_APPLICATION = "fluxori.wsgi.application"
APPEND_SLASH = False

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# If DATABASE_URL is not set, manage.py starts a database server and sets it. Commands that need no database use the
# placeholder.
_database = env.database(
    "DATABASE_URL",
    None if PRODUCTION else {"ENGINE": "django.db.backends.postgresql", "NAME": "fluxori", "OPTIONS": {}},
)
LOCK_TIMEOUT_MS = env.integer("LOCK_TIMEOUT_MS", 5_000, minimum=1)
STATEMENT_TIMEOUT_MS = env.integer("STATEMENT_TIMEOUT_MS", 30_000, minimum=1)
# A session that holds locks while its client is silent is ended by the server.
IDLE_IN_TRANSACTION_TIMEOUT_MS = env.integer("IDLE_IN_TRANSACTION_TIMEOUT_MS", 60_000, minimum=1)
# JIT compilation takes longer than these statements run: milliseconds. Server-side parameters occur only in the
# prepared statements of ``fluxori.db.statements``, and their plans do not depend on the parameter values.
_session = (
    "-c jit=off -c plan_cache_mode=force_generic_plan"
    f" -c lock_timeout={LOCK_TIMEOUT_MS} -c statement_timeout={STATEMENT_TIMEOUT_MS}"
    f" -c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_TIMEOUT_MS}"
    # With another time zone Django would set it by a statement of its own on each new connection.
    " -c TimeZone=UTC"
)
# The number of deductions that may wait in the group commit queue of one process. Further ones receive 503.
OPERATION_QUEUE_LIMIT = env.integer("OPERATION_QUEUE_LIMIT", 256, minimum=1)
# The most debt, in credits, that a balance may have after a capture that allows debt. 0 allows none.
CAPTURE_DEBT_LIMIT = env.integer("CAPTURE_DEBT_LIMIT", 1000, minimum=0)
# Turn this off behind a connection pooler that does not support prepared statements, such as PgBouncer before 1.21.
PREPARED_STATEMENTS = env.flag("PREPARED_STATEMENTS", True)
DATABASES = {
    "default": {
        **_database,
        "ATOMIC_REQUESTS": False,
        "CONN_MAX_AGE": env.integer("CONN_MAX_AGE", 60),
        "OPTIONS": {
            "options": _session,
            "connect_timeout": 10,
            # A peer that vanished without closing the connection is noticed by the kernel. Both ends of a Unix socket
            # are on one machine, and libpq ignores these options there.
            "keepalives_idle": 30,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": STATEMENT_TIMEOUT_MS + 5_000,
            # Django's default is None, and psycopg then prepares no statement at all.
            "prepare_threshold": 5 if PREPARED_STATEMENTS else None,
            **_database.get("OPTIONS", {}),  # type: ignore[dict-item]
        },
    }
}
# This check looks for CsrfViewMiddleware by its name, and would not find the subclass for the admin.
SILENCED_SYSTEM_CHECKS = ["security.W003", *env.string_list("SILENCED_CHECKS", ())]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# The worker: manage.py procrastinate worker. It asks for jobs every second and needs no notifications, which a
# connection pooler does not forward.
PROCRASTINATE_WORKER_DEFAULTS = {"concurrency": 4, "listen_notify": False, "fetch_job_polling_interval": 1.0}
# A periodic job that was missed, because no worker ran, is made up for once within a day.
PROCRASTINATE_PERIODIC_DEFAULTS = {"max_delay": 24 * 60 * 60}

_cache = env.string("CACHE_URL", "memory:")
CACHES = {
    "default": (
        {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
        if _cache == "memory:"
        else {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": _cache}
    )
}

AUTH_USER_MODEL = "identity.User"
AUTHENTICATION_BACKENDS = ["fluxori.identity.authentication.PasswordBackend"]
LOGIN_REDIRECT_URL = "admin:index"
PASSWORD_HASHERS = ["fluxori.identity.hashers.BoundedPBKDF2PasswordHasher"]
PASSWORD_HASHES = env.integer("PASSWORD_HASHES", 1, minimum=1)
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
FORMAT_MODULE_PATH = "fluxori.formats"

STATIC_URL = "static/"
# collectstatic copies the files here for production. In development they are served from their source folders.
STATIC_ROOT = BASE_DIR / "staticfiles" if PRODUCTION else None
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if PRODUCTION
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}
WHITENOISE_USE_FINDERS = not PRODUCTION

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["fluxori.api.authentication.BearerAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_THROTTLE_CLASSES": ["fluxori.api.throttling.CallerThrottle"],
    "DEFAULT_PARSER_CLASSES": ["fluxori.api.parsing.JSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["fluxori.api.rendering.JSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "fluxori.api.negotiation.ContentNegotiation",
    "DEFAULT_PAGINATION_CLASS": "fluxori.api.pagination.KeysetPagination",
    "DEFAULT_FILTER_BACKENDS": ["fluxori.api.filters.FilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "fluxori.api.schema.Schema",
    "DEFAULT_METADATA_CLASS": None,
    "EXCEPTION_HANDLER": "fluxori.api.problems.exception_handler",
    "URL_FORMAT_OVERRIDE": None,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
    "TEST_REQUEST_RENDERER_CLASSES": ["fluxori.api.rendering.JSONRenderer"],
}

# Requests per minute and caller. A caller without a token can only log in or read public data.
THROTTLES = {
    "user": env.integer("THROTTLE_USER", 1_200, minimum=1),
    "service": env.integer("THROTTLE_SERVICE", 60_000, minimum=1),
    "anonymous": env.integer("THROTTLE_ANONYMOUS", 300, minimum=1),
    "login": env.integer("THROTTLE_LOGIN", 30, minimum=1),
}
# The number of proxies that append to X-Forwarded-For. Addresses before theirs are not trusted: the client sent them.
PROXIES = env.integer("PROXIES", 0)

# After this many failed logins to the API and the admin, one account is locked for one address, for so many minutes.
LOGIN_FAILURES = env.integer("LOGIN_FAILURES", 5, minimum=1)
LOGIN_LOCKED_MINUTES = env.integer("LOGIN_LOCKED_MINUTES", 15, minimum=1)

# Mail to the owners of accounts. Without EMAIL_URL, development prints it, and production sends none.
_email = env.email(
    "EMAIL_URL", {"EMAIL_BACKEND": "" if PRODUCTION else "django.core.mail.backends.console.EmailBackend"}
)
EMAIL_BACKEND = _email["EMAIL_BACKEND"] or "django.core.mail.backends.dummy.EmailBackend"
EMAIL_IS_SENT = bool(_email["EMAIL_BACKEND"])
EMAIL_HOST = _email.get("EMAIL_HOST", "")
EMAIL_PORT = _email.get("EMAIL_PORT", 25)
EMAIL_HOST_USER = _email.get("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = _email.get("EMAIL_HOST_PASSWORD", "")
EMAIL_USE_TLS = _email.get("EMAIL_USE_TLS", False)
EMAIL_USE_SSL = _email.get("EMAIL_USE_SSL", False)
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.string("EMAIL_FROM", "Fluxori Credits <credits@localhost>")
# The address of the pages to which the links in mails lead. A front end may have pages of its own.
ACCOUNT_URL = env.string("ACCOUNT_URL", "http://127.0.0.1:8000/account").rstrip("/")

# Whether an approval in the admin needs a session with two-factor login.
TWO_FACTOR_FOR_APPROVALS = env.flag("TWO_FACTOR_FOR_APPROVALS", PRODUCTION)
OTP_TOTP_ISSUER = "Fluxori Credits"

# How far the clocks of two machines may differ when the times in a token are checked: ``iat``, ``nbf`` and ``exp``.
TOKEN_LEEWAY_SECONDS = env.integer("TOKEN_LEEWAY_SECONDS", 5, minimum=0)
SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=15),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=14),
    "ALGORITHM": "HS256",
    "SIGNING_KEY": SECRET_KEY,
    "LEEWAY": TOKEN_LEEWAY_SECONDS,
    "USER_ID_FIELD": "id",
    "USER_ID_CLAIM": "sub",
}

# An external OpenID Connect issuer. Its tokens are accepted in addition to our own. Set all three variables, or none.
_oidc = {
    "jwks_url": env.string("OIDC_JWKS_URL", ""),
    "issuer": env.string("OIDC_ISSUER", ""),
    "audience": env.string("OIDC_AUDIENCE", ""),
}
if any(_oidc.values()) and not all(_oidc.values()):
    env.add_error("OIDC_JWKS_URL, OIDC_ISSUER and OIDC_AUDIENCE belong together: set all three, or none")
OIDC_ISSUER = _oidc if all(_oidc.values()) else None

SPECTACULAR_SETTINGS = {
    "TITLE": "Fluxori Credits",
    "DESCRIPTION": "Balances, grants, transactions and subscription tiers of the Fluxori platform.",
    "VERSION": "1.0.0",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    # No shared enum components: equal values mean different things in different places.
    "POSTPROCESSING_HOOKS": [],
    "COMPONENT_SPLIT_REQUEST": False,
    "GET_LIB_DOC_EXCLUDES": "fluxori.api.schema.undocumented_bases",
}

UNFOLD = {
    "SITE_TITLE": "Fluxori Credits",
    "SITE_HEADER": "Fluxori Credits",
    "SITE_SYMBOL": "toll",
    "SITE_URL": None,
    "LOGIN": {"form": "fluxori.console.login.form.LoginForm"},
    "ENVIRONMENT": lambda _request: ["Production", "danger"] if PRODUCTION else ["Development", "info"],
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda _request: static("console/icon.svg")}],
    "DASHBOARD_CALLBACK": "fluxori.console.dashboard.page.dashboard",
    "ACCOUNT": {"navigation": [{"title": "Two-factor login", "link": reverse_lazy("two_factor")}]},
    "SIDEBAR": {"show_search": True, "navigation": NAVIGATION},
    "STYLES": [lambda _request: static("console/console.css")],
    "SCRIPTS": [lambda _request: static("console/console.js")],
}

LOGGING = log_config(
    as_json=env.choice("LOG_FORMAT", ("console", "json"), "json" if PRODUCTION else "console") == "json",
    level=env.choice("LOG_LEVEL", ("DEBUG", "INFO", "WARNING", "ERROR"), "INFO"),
)

# The token that Prometheus sends to /metrics. Without it that path does not exist.
METRICS_TOKEN = env.string("METRICS_TOKEN", "")
if PRODUCTION and METRICS_TOKEN and is_weak(METRICS_TOKEN, minimum=32):
    env.add_error("METRICS_TOKEN must be a random text of at least 32 characters in production")
env.check_folder("PROMETHEUS_MULTIPROC_DIR")

if PRODUCTION:
    SECURE_SSL_REDIRECT = env.flag("SECURE_SSL_REDIRECT", True)
    SECURE_REDIRECT_EXEMPT = [r"^health/", r"^metrics$"]
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_HSTS_SECONDS = env.integer("SECURE_HSTS_SECONDS", 31_536_000)
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
SESSION_COOKIE_AGE = 8 * 60 * 60

env.raise_if_invalid()
