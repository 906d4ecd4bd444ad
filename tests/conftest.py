"""What every test may ask for."""

from hypothesis import settings

# How long one example takes says more about the machine than about the code.
settings.register_profile("guild", deadline=None)
settings.load_profile("guild")

pytest_plugins = ["tests.fixtures.services", "tests.fixtures.stack"]
