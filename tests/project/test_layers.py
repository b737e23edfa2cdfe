import subprocess
import sys
from pathlib import Path


class TestFloors:
    def test_look_down_and_never_up(self):
        # A process of its own: the linter sets the logging of the one it runs in anew.
        linter = Path(sys.executable).with_name("lint-imports")

        looked = subprocess.run([linter, "--no-cache"], capture_output=True, text=True, check=False)

        assert looked.returncode == 0, looked.stdout + looked.stderr
