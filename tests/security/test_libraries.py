"""Libraries for tokens and passwords that must not be here."""

from importlib import metadata

import pytest


@pytest.mark.parametrize("name", ["python-jose", "passlib", "jose"])
def test_a_library_with_known_holes_is_not_installed(name: str) -> None:
    with pytest.raises(metadata.PackageNotFoundError):
        metadata.version(name)
