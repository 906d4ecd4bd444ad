"""What every test may ask for, and which tests run side by side."""

import re
from typing import Any

import pytest
import structlog
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

# How long one example takes says more about the machine than about the code.
settings.register_profile("guild", deadline=None)
settings.load_profile("guild")

_configure_logs = structlog.configure


def _configure_uncached(**fields: Any) -> None:
    _configure_logs(**{**fields, "cache_logger_on_first_use": False})


# A logger that was used while its form was kept can be heard by no later test of this process.
structlog.configure = _configure_uncached  # type: ignore[assignment]  # the same by keywords

pytest_plugins = ["tests.fixtures.services", "tests.fixtures.stack"]

_START_RAY = frozenset({"stack", "ray_cluster"})
_WITH_RAY = re.compile(
    r"integration/(e2e|alertmanager)/|cluster/test_stack\.py|runtime/test_(pools|ray)_|_on_ray\.py"
    r"|prometheus/test_dashboards\.py|nginx/test_front_of_stack"
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs Ray comes first.

    Raises:
        UsageError: a file needs Ray and its name does not say so.
    """
    for item in items:
        if _START_RAY.intersection(getattr(item, "fixturenames", ())) and not _needs_ray(item):
            raise pytest.UsageError(f"{item.nodeid} starts Ray: tests/conftest.py must know of it")
    items.sort(key=lambda item: not _needs_ray(item))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> "FileByFile":
    """With `-n 2`: one process has all of Ray, which mostly waits; another all the rest.

    Two Rays at once would be no test of either.
    """
    return FileByFile(config, log)


class FileByFile(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """A file stays with one process, and so does all that needs Ray."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return "ray" if _WITH_RAY.search(path) else path


def _needs_ray(item: pytest.Item) -> bool:
    return _WITH_RAY.search(item.nodeid.partition("::")[0]) is not None
