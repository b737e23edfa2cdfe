"""The compose files can be read, and what they name exists."""

import re
from pathlib import Path

import pytest
import yaml
from django.core.management import get_commands

PROJECT = Path(__file__).parents[2]
FILES = ["docker-compose.yml", "docker-compose.embedded.yml"]
# `manage.py check` is in the image, too.
MANAGE = re.compile(r"manage\.py[\"',\s]+(\w+)")


def services(name):
    return yaml.safe_load((PROJECT / name).read_text())["services"]


@pytest.mark.parametrize("name", FILES)
class TestComposeFile:
    def test_names_volumes_and_configs_that_it_declares(self, name):
        file = yaml.safe_load((PROJECT / name).read_text())
        for service in file["services"].values():
            for volume in service.get("volumes", []):
                source = volume.split(":")[0]
                assert (PROJECT / source).exists() if source.startswith(".") else source in file["volumes"]
            assert {config["source"] for config in service.get("configs", [])} <= file.get("configs", {}).keys()
            assert set(service.get("depends_on", {})) <= file["services"].keys()

    def test_runs_every_service_of_the_project_without_privileges_and_with_limits(self, name):
        own = [service for service in services(name).values() if "build" in service]

        assert own
        for service in own:
            assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
            assert service["mem_limit"]
            assert service["logging"]["options"]["max-size"]


class TestCommands:
    @pytest.mark.parametrize("name", [*FILES, "Dockerfile", "deploy/embedded.sh"])
    def test_exist(self, name):
        assert set(MANAGE.findall((PROJECT / name).read_text())) <= get_commands().keys()

    def test_of_the_compose_file_include_the_worker(self):
        assert services("docker-compose.yml")["worker"]["command"] == ["python", "manage.py", "procrastinate", "worker"]
