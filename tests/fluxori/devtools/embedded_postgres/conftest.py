import pytest

from tests.support.subprocess_project import project_folder


@pytest.fixture
def project():
    with project_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def shared_project():
    """Return one project for all tests of a module that leave nothing behind: creating a server takes seconds."""
    with project_folder() as folder:
        yield folder
