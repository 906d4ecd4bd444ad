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


@pytest.mark.parametrize("place", ["embedding", "embedding_next"])
@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://models_of_ours:8080/v1", "is no plain http or https URL"),
        ("https://models.example:99999/v1", "names a port that we do not call"),
        ("http://[::1/v1", "names a malformed address"),
        (f"https://models.example/{'v1' * 2_000}", "is longer than"),
    ],
)
def test_an_embedding_endpoint_that_would_never_be_called_is_named(
    monkeypatch: pytest.MonkeyPatch, place: str, url: str, reason: str
) -> None:
    prefix = f"GUILD_{place.upper()}"
    for name, value in {"PROVIDER": "openai", "BASE_URL": url, "MODEL": "m"}.items():
        monkeypatch.setenv(f"{prefix}__{name}", value)

    with pytest.raises(StackProblem, match=f"^{place}: base_url {reason}"):
        preflight.read_settings()


@pytest.mark.parametrize(
    "url", ["http://models:8080/v1/", "http://localhost/v1", "http://127.0.0.1:1", "http://[::1]/"]
)
def test_an_embedding_endpoint_may_be_near_and_without_tls(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    for name, value in {"PROVIDER": "openai", "BASE_URL": url, "MODEL": "m"}.items():
        monkeypatch.setenv(f"GUILD_EMBEDDING__{name}", value)

    assert preflight.read_settings().embedding.base_url == url


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
