"""Enable detailed assertion messages in the state machine."""

import pytest

pytest.register_assert_rewrite("tests.model.machine")
