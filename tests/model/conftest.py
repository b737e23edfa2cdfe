"""Lets an assertion in the machine say what it compared, as one in a test does."""

import pytest

pytest.register_assert_rewrite("tests.model.machine")
