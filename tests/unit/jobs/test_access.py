"""Which guild a job speaks to."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from actors.settings import ApiSettings, GuildSettings
from cluster.jobs.access import open_api
from cluster.problem import StackProblem


@pytest.mark.parametrize(
    "api",
    [
        ApiSettings(url="http://guild", client_id="job", client_secret=SecretStr("secret")),
        ApiSettings(url="http://guild", login="admin", password=SecretStr("secret")),
    ],
)
async def test_a_named_guild_needs_no_stack(api: ApiSettings, tmp_path: Path) -> None:
    async with open_api(GuildSettings(api=api, data_dir=tmp_path)) as client:
        assert client is not None


def test_a_named_guild_needs_to_know_who_asks(tmp_path: Path) -> None:
    config = GuildSettings(api=ApiSettings(url="http://guild"), data_dir=tmp_path)

    with pytest.raises(StackProblem, match="who are we"):
        open_api(config)


def test_without_either_the_way_out_is_said(tmp_path: Path) -> None:
    with pytest.raises(StackProblem, match=r"no stack runs in .* start one with `make run`"):
        open_api(GuildSettings(data_dir=tmp_path))


def test_a_stack_that_ended_is_none(tmp_path: Path) -> None:
    (tmp_path / "stack.json").write_text(
        '{"stack_id": "s", "pid": 4194305, "folder": "", "started_at": "", "ready": true,'
        ' "api_url": "http://guild", "ray_address": "", "ray_token": "", "dashboard_url": "",'
        ' "database_url": "", "log_database_url": "", "migration_database_url": "",'
        ' "redis_url": "", "gcs_store_url": "", "ports": {}, "admin": null, "alertmanager": null}'
    )

    with pytest.raises(StackProblem, match="no stack runs"):
        open_api(GuildSettings(data_dir=tmp_path))
