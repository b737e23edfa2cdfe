"""The one settings file. What differs between places comes from the environment, read loudly."""

import os
from datetime import timedelta
from pathlib import Path

import django_stubs_ext
from corsheaders.defaults import default_headers
from django.templatetags.static import static

from fluxori.console.sidebar import NAVIGATION
from fluxori.core import log_config
from fluxori.env import Reader

# Lets ModelAdmin[Any] and the like be written where Django's classes take no parameters at run time.
django_stubs_ext.monkeypatch()

BASE_DIR = Path(__file__).resolve().parent.parent

env = Reader(os.environ)

ENVIRONMENT = env.choice("ENVIRONMENT", ("development", "production"), "development")
PRODUCTION = ENVIRONMENT == "production"

# In development a fixed key, so that sessions and tokens survive a restart.
SECRET_KEY = env.text("SECRET_KEY", None if PRODUCTION else "development only: not a secret, never for production")
if PRODUCTION and 0 < len(SECRET_KEY) < 50:
    env.refuse("SECRET_KEY must have at least 50 characters in production")
DEBUG = env.flag("DEBUG", False)
if PRODUCTION and DEBUG:
    env.refuse("DEBUG must be off in production")
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS", None if PRODUCTION else ("localhost", "127.0.0.1", "[::1]", "testserver"))
CSRF_TRUSTED_ORIGINS = env.words("CSRF_TRUSTED_ORIGINS", ())
CORS_ALLOWED_ORIGINS = env.words("CORS_ALLOWED_ORIGINS", ())
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
    "django_structlog",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "pgtrigger",
    "rest_framework",
    "rest_framework_simplejwt.token_blacklist",
    "simple_history",
    "fluxori.identity",
    "credits",
    "tiers",
    "fluxori.console",
    "fluxori.devtools.bench",
    "fluxori.devtools.demo",
]

MIDDLEWARE = [
    "fluxori.api.middleware.RequestIdMiddleware",
    "fluxori.api.middleware.RequestLogMiddleware",
    "fluxori.api.middleware.ContentSecurityMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "simple_history.middleware.HistoryRequestMiddleware",
    "fluxori.console.timezone_middleware.TimeZoneMiddleware",
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

# Without DATABASE_URL, manage.py starts a database of its own and sets it; what needs no database runs without.
_database = env.database(
    "DATABASE_URL",
    None if PRODUCTION else {"ENGINE": "django.db.backends.postgresql", "NAME": "fluxori", "OPTIONS": {}},
)
LOCK_TIMEOUT_MS = env.integer("LOCK_TIMEOUT_MS", 5_000, minimum=1)
STATEMENT_TIMEOUT_MS = env.integer("STATEMENT_TIMEOUT_MS", 30_000, minimum=1)
# Compiling a statement pays where it runs for seconds; ours run for milliseconds, and would wait for the compiler.
# Only what ``fluxori.db.statements`` runs has parameters; it is written so that one plan is right for all of them.
_session = (
    "-c jit=off -c plan_cache_mode=force_generic_plan"
    f" -c lock_timeout={LOCK_TIMEOUT_MS} -c statement_timeout={STATEMENT_TIMEOUT_MS}"
)
# Deductions of this process that wait for those before them; whoever comes then is answered 503.
DEDUCTION_QUEUE_LIMIT = env.integer("DEDUCTION_QUEUE_LIMIT", 256, minimum=1)
# Turn off behind a connection pooler that does not follow prepared statements, such as PgBouncer before 1.21.
PREPARED_STATEMENTS = env.flag("PREPARED_STATEMENTS", True)
DATABASES = {
    "default": {
        **_database,
        "ATOMIC_REQUESTS": False,
        "CONN_MAX_AGE": env.integer("CONN_MAX_AGE", 60),
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            "options": _session,
            "connect_timeout": 10,
            # Django sets psycopg's threshold to None, which turns prepared statements off altogether.
            "prepare_threshold": 5 if PREPARED_STATEMENTS else None,
            **_database.get("OPTIONS", {}),  # type: ignore[dict-item]
        },
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

_cache = env.text("CACHE_URL", "memory:")
CACHES = {
    "default": (
        {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
        if _cache == "memory:"
        else {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": _cache}
    )
}

AUTH_USER_MODEL = "identity.User"
LOGIN_REDIRECT_URL = "admin:index"
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
# Collected for production; in development the files are served from where they stand.
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

# Requests a minute. A caller without a token can only log in, or read what is public.
THROTTLES = {
    "user": env.integer("THROTTLE_USER", 1_200, minimum=1),
    "service": env.integer("THROTTLE_SERVICE", 60_000, minimum=1),
    "anonymous": env.integer("THROTTLE_ANONYMOUS", 300, minimum=1),
    "login": env.integer("THROTTLE_LOGIN", 30, minimum=1),
}
# How many proxies in front of us add to X-Forwarded-For; beyond them it is the caller's own invention.
PROXIES = env.integer("PROXIES", 0)

# How often a login to the admin may fail, of one account from one address, and for how long it is shut out then.
LOGIN_FAILURES = env.integer("LOGIN_FAILURES", 5, minimum=1)
LOGIN_LOCKED_MINUTES = env.integer("LOGIN_LOCKED_MINUTES", 15, minimum=1)

SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=15),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=14),
    "ALGORITHM": "HS256",
    "SIGNING_KEY": SECRET_KEY,
    "USER_ID_FIELD": "id",
    "USER_ID_CLAIM": "sub",
}

# Another issuer whose tokens are accepted too: all three, or none.
_foreign = {
    "jwks_url": env.text("OIDC_JWKS_URL", ""),
    "issuer": env.text("OIDC_ISSUER", ""),
    "audience": env.text("OIDC_AUDIENCE", ""),
}
if any(_foreign.values()) and not all(_foreign.values()):
    env.refuse("OIDC_JWKS_URL, OIDC_ISSUER and OIDC_AUDIENCE belong together: set all of them, or none")
OIDC_ISSUER = _foreign if all(_foreign.values()) else None

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
    # Enumerations stand where they are used: the same words mean different things in different places.
    "POSTPROCESSING_HOOKS": [],
    "COMPONENT_SPLIT_REQUEST": False,
}

UNFOLD = {
    "SITE_TITLE": "Fluxori Credits",
    "SITE_HEADER": "Fluxori Credits",
    "SITE_SYMBOL": "toll",
    "SITE_URL": None,
    "LOGIN": {"form": "fluxori.console.login.throttle.LoginForm"},
    "ENVIRONMENT": lambda _request: ["Production", "danger"] if PRODUCTION else ["Development", "info"],
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda _request: static("console/icon.svg")}],
    "DASHBOARD_CALLBACK": "fluxori.console.dashboard.page.dashboard",
    "SIDEBAR": {"show_search": True, "navigation": NAVIGATION},
    "STYLES": [lambda _request: static("console/console.css")],
    "SCRIPTS": [lambda _request: static("console/console.js")],
}

LOGGING = log_config.configured(
    as_json=env.choice("LOG_FORMAT", ("console", "json"), "json" if PRODUCTION else "console") == "json",
    level=env.choice("LOG_LEVEL", ("DEBUG", "INFO", "WARNING", "ERROR"), "INFO"),
)
DJANGO_STRUCTLOG_TRUST_UPSTREAM_REQUEST_ID = True  # what our own middleware made of it
DJANGO_STRUCTLOG_IP_LOGGING_ENABLED = False
DJANGO_STRUCTLOG_STATUS_START_LOG_LEVEL = 10  # one line a request, when it is finished
DJANGO_STRUCTLOG_STATUS_4XX_LOG_LEVEL = 20  # a refusal is an ordinary answer

if PRODUCTION:
    SECURE_SSL_REDIRECT = env.flag("SECURE_SSL_REDIRECT", True)
    SECURE_REDIRECT_EXEMPT = [r"^health/"]
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_HSTS_SECONDS = env.integer("SECURE_HSTS_SECONDS", 31_536_000)
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
SESSION_COOKIE_AGE = 8 * 60 * 60

env.finish()
