# Short names for the daily commands. Nothing requires just: each recipe is a command that can be typed.

# Print the recipes.
default:
    @just --list

# Run the tests; arguments are passed to pytest, as in: just test -k deduct
test *arguments:
    python3 manage.py test {{arguments}}

# Run every check that a change must pass.
check:
    .ci/run

# Fill a database with example data and serve it.
demo *arguments:
    python3 manage.py demo {{arguments}}

# Check code style and format.
lint:
    .venv/bin/ruff check .
    .venv/bin/ruff format --check .

# Fix code style and format.
format:
    .venv/bin/ruff check --fix .
    .venv/bin/ruff format .

# Check types.
types:
    .venv/bin/mypy

# Check that each layer imports only lower layers.
imports:
    .venv/bin/lint-imports

# Check links and snippets of the documentation.
docs:
    python3 manage.py test -q tests/project

# Create the migrations of changed models.
migrations:
    python3 manage.py makemigrations

# Check every invariant of the ledger in the development database.
verify:
    python3 manage.py verify_ledger

# Measure the performance, as in: just bench --quick
bench *arguments:
    python3 manage.py bench {{arguments}}

# Open psql in the development database.
psql:
    python3 manage.py postgres psql
