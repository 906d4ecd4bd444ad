"""What every test may ask for."""

pytest_plugins = ["tests.fixtures.services", "tests.fixtures.stack"]
