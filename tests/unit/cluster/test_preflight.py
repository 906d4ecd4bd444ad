"""What is refused before anything starts."""

from pathlib import Path

import pytest

from cluster import preflight
from cluster.listening import Listener, describe
from cluster.problem import StackProblem
from cluster.serve_deploy import read_config


def test_another_platform_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")

    with pytest.raises(StackProblem, match="runs on Linux x86-64 only, this is linux aarch64"):
        preflight.require_platform()


def test_a_wrong_setting_is_named_without_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUILD_STACK__HTTP_PORT", "99999999")

    with pytest.raises(StackProblem) as caught:
        preflight.read_settings()

    assert "stack__http_port" in str(caught.value)
    assert "99999999" not in str(caught.value)


def test_a_second_lock_is_refused(tmp_path: Path) -> None:
    with (
        preflight.lock_folder(tmp_path),
        pytest.raises(StackProblem, match="another stack is starting"),
    ):
        preflight.lock_folder(tmp_path)


def test_the_serve_config_gets_the_stacks_port(tmp_path: Path) -> None:
    file = tmp_path / "serve.yaml"
    file.write_text("http_options: {host: 127.0.0.1}\napplications: [{name: x}]\n")

    config = read_config(file, http_port=8123)

    assert config["http_options"] == {"host": "127.0.0.1", "port": 8123}


@pytest.mark.parametrize("text", ["", "[]", "applications: []", "a: ]"])
def test_a_file_that_is_no_serve_config_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "serve.yaml"
    file.write_text(text)

    with pytest.raises(StackProblem, match="the Serve config"):
        read_config(file, http_port=8000)


def test_doors_are_named_once_each() -> None:
    doors = [
        Listener(port=2, address="::", program="raylet"),
        Listener(port=1, address="0.0.0.0", program="b"),  # noqa: S104 - only a name here
        Listener(port=1, address="0.0.0.0", program="a"),  # noqa: S104
    ]

    assert describe(doors) == ["0.0.0.0:1  a, b", ":::2  raylet"]
