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


class TestEmail:
    def read(self, value):
        env = Reader({"EMAIL_URL": value} if value else {})
        settings = env.email("EMAIL_URL", {"EMAIL_BACKEND": "default"})
        env.raise_if_invalid()
        return settings

    @pytest.mark.parametrize(
        ("url", "port", "starttls", "tls"),
        [
            ("smtp://mail.example", 25, False, False),
            ("smtp+tls://mail.example", 587, True, False),
            ("smtps://mail.example", 465, False, True),
            ("smtps://mail.example:2465/", 2465, False, True),
        ],
    )
    def test_parses_the_schemes_of_smtp(self, url, port, starttls, tls):
        settings = self.read(url)

        assert (settings["EMAIL_HOST"], settings["EMAIL_PORT"]) == ("mail.example", port)
        assert (settings["EMAIL_USE_TLS"], settings["EMAIL_USE_SSL"]) == (starttls, tls)

    def test_decodes_the_user_and_the_password(self):
        settings = self.read("smtp+tls://me%40example.com:p%40ss@mail.example")

        assert (settings["EMAIL_HOST_USER"], settings["EMAIL_HOST_PASSWORD"]) == ("me@example.com", "p@ss")

    def test_prints_or_drops_mail_or_uses_the_default(self):
        assert str(self.read("console:")["EMAIL_BACKEND"]).endswith("console.EmailBackend")
        assert self.read("off:") == {"EMAIL_BACKEND": ""}
        assert self.read("") == {"EMAIL_BACKEND": "default"}

    @pytest.mark.parametrize(
        "url", ["mail.example", "http://s3cret", "smtp://", "smtp://h/path", "smtp://h:port", "off:x"]
    )
    def test_rejects_another_value_without_repeating_it(self, url):
        with pytest.raises(EnvironmentSettingsError, match="EMAIL_URL must be") as error:
            self.read(url)

        assert "s3cret" not in str(error.value)


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
