"""What every test may ask for."""

import pytest
from hypothesis import settings

# How long one example takes says more about the machine than about the code.
settings.register_profile("guild", deadline=None)
settings.load_profile("guild")

pytest_plugins = ["tests.fixtures.services", "tests.fixtures.stack"]

_STARTS_RAY = frozenset({"stack", "ray_cluster"})


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Side by side (`-n 2 --dist loadgroup`): one process has all of Ray, others file by file.

    What needs Ray begins first and waits most of its time; two of them at once would be no test of
    either.
    """
    if not hasattr(config, "workerinput"):
        return
    for item in items:
        group = "ray" if _needs_ray(item) else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: not _needs_ray(item))


def _needs_ray(item: pytest.Item) -> bool:
    fixtures = getattr(item, "fixturenames", ())
    return not _STARTS_RAY.isdisjoint(fixtures) or item.path.stem.endswith("_on_ray")
