import pytest

from fluxori.env import EnvironmentSettingsError, Reader, is_weak


class TestReader:
    def test_parses_each_type(self):
        env = Reader({"PORT": "8000", "ON": "Yes", "HOSTS": "a.example, b.example,", "MODE": "fast", "NAME": " x "})

        assert env.integer("PORT") == 8000
        assert env.flag("ON") is True
        assert env.string_list("HOSTS") == ["a.example", "b.example"]
        assert env.choice("MODE", ("fast", "slow")) == "fast"
        assert env.string("NAME") == "x"
        env.raise_if_invalid()

    def test_returns_the_default_for_a_missing_or_blank_variable(self):
        env = Reader({"PORT": " "})

        assert (env.integer("PORT", 1), env.flag("ON", False), env.string_list("HOSTS", ())) == (1, False, [])
        env.raise_if_invalid()

    def test_reports_all_errors_at_once_without_values(self):
        env = Reader({"PORT": "s3cret", "ON": "maybe", "MODE": "s3cret", "SMALL": "-1"})
        env.integer("PORT")
        env.flag("ON")
        env.choice("MODE", ("fast", "slow"))
        env.integer("SMALL")
        env.string("MISSING")
        env.add_error("PORT and MODE contradict each other")

        with pytest.raises(EnvironmentSettingsError) as error:
            env.raise_if_invalid()

        message = str(error.value)
        for text in ("PORT", "ON", "MODE", "SMALL", "MISSING is required", "contradict each other"):
            assert text in message
        assert "s3cret" not in message


class TestDatabase:
    def test_parses_a_url(self):
        env = Reader({"DATABASE_URL": "postgres://me:p%40ss@db.example:5433/credits?sslmode=require"})

        assert env.database("DATABASE_URL") == {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": "credits",
            "USER": "me",
            "PASSWORD": "p@ss",
            "HOST": "db.example",
            "PORT": "5433",
            "OPTIONS": {"sslmode": "require"},
        }

    def test_uses_a_socket_folder_as_the_host(self):
        env = Reader({"DATABASE_URL": "postgresql://me@/credits?host=/run/postgresql"})

        database = env.database("DATABASE_URL")

        assert (database["HOST"], database["OPTIONS"]) == ("/run/postgresql", {})

    @pytest.mark.parametrize("url", ["sqlite:///credits.db", "postgres://db.example/", "credits"])
    def test_rejects_other_urls(self, url):
        env = Reader({"DATABASE_URL": url})
        env.database("DATABASE_URL")

        with pytest.raises(EnvironmentSettingsError, match="DATABASE_URL must be"):
            env.raise_if_invalid()


class TestIsWeak:
    @pytest.mark.parametrize(
        ("secret", "weak"),
        [
            ("k3y-x" * 10, False),
            ("k3y-x" * 9, True),
            ("abcd" * 20, True),
            ("django-insecure-" + "k3y-x" * 10, True),
            ("development only: not a secret, never for production", True),
        ],
    )
    def test_a_secret_needs_length_and_variety(self, secret, weak):
        assert is_weak(secret, minimum=50) is weak
