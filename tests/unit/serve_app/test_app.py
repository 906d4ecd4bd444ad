"""What is handed to Serve."""

import inspect
import pickle

import pytest
from pydantic import SecretStr

from actors.settings import GatewaySettings, GuildSettings
from serve_app import app

MARK = "a secret that nobody may find again"


def test_serve_validates_the_arguments() -> None:
    """Serve looks at this annotation; were it a string, a typo in the config would pass."""
    (parameter,) = inspect.signature(app.build).parameters.values()

    assert parameter.annotation is GuildSettings


def test_no_secret_is_among_what_ray_keeps() -> None:
    secrets = {
        name: SecretStr(MARK)
        for name, field in GuildSettings.model_fields.items()
        if field.annotation is SecretStr
    }
    settings = GuildSettings(**secrets, gateway=GatewaySettings(max_in_flight=7))  # type: ignore[arg-type]

    kept = app.without_secrets(settings)

    assert len(secrets) >= 6
    assert MARK not in repr(kept)
    assert MARK.encode() not in pickle.dumps(kept)
    again = GuildSettings(**kept)
    assert again.gateway.max_in_flight == 7


def test_a_secret_inside_a_section_is_not_kept_by_ray_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GUILD_EMBEDDING__API_KEY", "sk-of-a-provider")

    fields = app.without_secrets(GuildSettings())

    assert "api_key" not in fields["embedding"]
    assert GuildSettings(**fields).embedding.api_key.get_secret_value() == "sk-of-a-provider"
