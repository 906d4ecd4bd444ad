"""Unit tests know no Ray, no sockets and no sleep."""

from typing import NoReturn

import pytest
import ray


@pytest.fixture(autouse=True)
def _no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise RuntimeError("a unit test must not start Ray")

    monkeypatch.setattr(ray, "init", refuse)
