import pytest

from fluxori.env import ImproperEnvironment, Reader


class TestReader:
    def test_reads_each_kind(self):
        env = Reader({"PORT": "8000", "ON": "Yes", "HOSTS": "a.example, b.example,", "MODE": "fast", "NAME": " x "})

        assert env.integer("PORT") == 8000
        assert env.flag("ON") is True
        assert env.words("HOSTS") == ["a.example", "b.example"]
        assert env.choice("MODE", ("fast", "slow")) == "fast"
        assert env.text("NAME") == "x"
        env.finish()

    def test_falls_back_where_nothing_is_set(self):
        env = Reader({"PORT": " "})

        assert (env.integer("PORT", 1), env.flag("ON", False), env.words("HOSTS", ())) == (1, False, [])
        env.finish()

    def test_lists_everything_that_is_wrong_and_no_value(self):
        env = Reader({"PORT": "s3cret", "ON": "maybe", "MODE": "s3cret", "SMALL": "-1"})
        env.integer("PORT")
        env.flag("ON")
        env.choice("MODE", ("fast", "slow"))
        env.integer("SMALL")
        env.text("MISSING")
        env.refuse("PORT and MODE do not go together")

        with pytest.raises(ImproperEnvironment) as refusal:
            env.finish()

        told = str(refusal.value)
        for name in ("PORT", "ON", "MODE", "SMALL", "MISSING is required", "do not go together"):
            assert name in told
        assert "s3cret" not in told


class TestDatabase:
    def test_reads_a_url(self):
        read = Reader({"DATABASE_URL": "postgres://me:p%40ss@db.example:5433/credits?sslmode=require"})

        assert read.database("DATABASE_URL") == {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": "credits",
            "USER": "me",
            "PASSWORD": "p@ss",
            "HOST": "db.example",
            "PORT": "5433",
            "OPTIONS": {"sslmode": "require"},
        }

    def test_moves_a_socket_folder_into_the_host(self):
        read = Reader({"DATABASE_URL": "postgresql://me@/credits?host=/run/postgresql"}).database("DATABASE_URL")

        assert (read["HOST"], read["OPTIONS"]) == ("/run/postgresql", {})

    @pytest.mark.parametrize("url", ["sqlite:///credits.db", "postgres://db.example/", "credits"])
    def test_refuses_anything_else(self, url):
        env = Reader({"DATABASE_URL": url})
        env.database("DATABASE_URL")

        with pytest.raises(ImproperEnvironment, match="DATABASE_URL must be"):
            env.finish()
