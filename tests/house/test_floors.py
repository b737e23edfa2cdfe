from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports


class TestFloors:
    def test_look_down_and_never_up(self):
        assert lint_imports(no_cache=True) == EXIT_STATUS_SUCCESS
