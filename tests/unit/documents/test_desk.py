"""Places at the desk for files, without a parser."""

import pytest

from actors.documents.desk import Desk
from actors.errors import Overloaded
from actors.runtime.message import GuildId
from actors.settings import UploadSettings

ONE, OTHER = GuildId("gld_1"), GuildId("gld_2")


async def test_no_guild_takes_all_places() -> None:
    desk = Desk(UploadSettings(at_once=3, at_once_each=2), max_chars=1_000)

    async with desk.place(ONE), desk.place(ONE):
        with pytest.raises(Overloaded):
            async with desk.place(ONE):
                pass
        async with desk.place(OTHER):
            with pytest.raises(Overloaded):
                async with desk.place(OTHER):
                    pass

    assert desk.taken == 0
    async with desk.place(ONE), desk.place(ONE):
        assert desk.taken == 2
