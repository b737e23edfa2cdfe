"""The one settings file. What differs between places comes from the environment, read loudly."""

import os
from datetime import timedelta
from pathlib import Path

from fluxori.env import Reader

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
]

MIDDLEWARE = [
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
    "DATABASE_URL", None if PRODUCTION else {"ENGINE": "django.db.backends.postgresql", "NAME": "fluxori", "OPTIONS": {}}
)
_waits = (
    f"-c lock_timeout={env.integer('LOCK_TIMEOUT_MS', 5_000, minimum=1)}"
    f" -c statement_timeout={env.integer('STATEMENT_TIMEOUT_MS', 30_000, minimum=1)}"
)
DATABASES = {
    "default": {
        **_database,
        "ATOMIC_REQUESTS": False,
        "CONN_MAX_AGE": env.integer("CONN_MAX_AGE", 60),
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {"options": _waits, "connect_timeout": 10, **_database.get("OPTIONS", {})},  # type: ignore[dict-item]
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

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if PRODUCTION
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}
WHITENOISE_USE_FINDERS = not PRODUCTION

REST_FRAMEWORK: dict[str, object] = {}

SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=15),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=14),
}

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
