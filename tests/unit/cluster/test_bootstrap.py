"""Where the administrator's URL comes from."""

import pytest

from actors.settings import GuildSettings
from cluster import bootstrap


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The administrators' URLs that a server was prepared with."""
    urls: list[str] = []

    async def prepare(
        admin_url: str, passwords: bootstrap.Passwords, *, database: str
    ) -> bootstrap.DatabaseUrls:
        urls.append(admin_url)
        return bootstrap.urls(admin_url, database, passwords)

    monkeypatch.setattr(bootstrap, "bootstrap", prepare)
    monkeypatch.setattr(bootstrap, "settings", GuildSettings)
    return urls


def test_it_comes_from_the_environment_which_no_process_list_shows(
    asked: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GUILD_ADMIN_DATABASE_URL", "postgresql://root:x@db.test/postgres")

    status = bootstrap.main([])

    assert (status, asked) == (0, ["postgresql://root:x@db.test/postgres"])
    assert "DATABASE_URL=postgresql://guild_app:" in capsys.readouterr().out


def test_without_one_it_says_what_to_set(
    asked: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("GUILD_ADMIN_DATABASE_URL", raising=False)

    status = bootstrap.main([])

    assert (status, asked) == (2, [])
    assert "GUILD_ADMIN_DATABASE_URL" in capsys.readouterr().err
