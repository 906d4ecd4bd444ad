"""Whatever comes in whatever order: one refresh token is good at a time, and a reuse ends all."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from actors import clock
from actors.identity import domain
from actors.identity.messages import FIRST_PARTY, CreateUser, Role, TokenGrant
from actors.identity.sessions.messages import EndSession, RefreshSession, StartSession
from actors.identity.sessions.sage import SessionSage
from actors.runtime.message import GuildId
from actors.settings import IdentitySettings
from tests.fixtures.identity_contract import NOON, context
from tests.fixtures.memory_identity import MemoryIdentityStore
from tests.fixtures.memory_sessions import MemorySessionStore
from tests.fixtures.session_contract import Time, outcome

GUILD = GuildId(clock.new_id("guild"))
CREATE = CreateUser(
    context=context(GUILD), command_id="cmd_1", login="elder", password="", role=Role.ELDER
)
USER, CREATED = domain.create_user(CREATE, "user_1", "hash", NOON)
# Uses of the nth token that was ever given, signing out by it, or letting days pass.
STEPS = st.lists(
    st.tuples(st.sampled_from(["use", "use", "use", "end", "wait"]), st.integers(0, 5)),
    max_size=12,
)


@given(steps=STEPS)
@settings(max_examples=200, deadline=None)
def test_only_the_newest_token_of_a_living_session_is_good(steps: list[tuple[str, int]]) -> None:
    asyncio.run(_play(steps))


async def _play(steps: list[tuple[str, int]]) -> None:
    time = Time()
    principals = MemoryIdentityStore()
    store = MemorySessionStore(principals)
    await principals.commit(USER, CREATED, cause=CREATE, reply=None)
    sage = SessionSage(store, store, principals, IdentitySettings(), now=time)
    granted: TokenGrant = domain.grant(USER)
    await sage.start(
        StartSession(
            context=context(GUILD), command_id="cmd_2", granted=granted, refresh_digest="0"
        )
    )
    given_out, alive, idle_days, days = 1, True, 0, 0

    for step, number in steps:
        chosen = min(number, given_out - 1)
        match step:
            case "wait":
                time.pass_s(number * 86_400)
                idle_days, days = idle_days + number, days + number
            case "end":
                await sage.end(
                    EndSession(
                        context=context(GUILD),
                        command_id="cmd_3",
                        digest=str(chosen),
                        client_id=FIRST_PARTY,
                    )
                )
                alive = False
            case _:
                used = await outcome(
                    sage.refresh(
                        RefreshSession(
                            context=context(GUILD),
                            command_id="cmd_4",
                            digest=str(chosen),
                            next_digest=str(given_out),
                            client_id=FIRST_PARTY,
                        )
                    )
                )
                newest = chosen == given_out - 1
                good = alive and newest and idle_days < 7 and days < 30
                assert (used == "won") is good
                if good:
                    given_out, idle_days = given_out + 1, 0
                elif not newest:
                    alive = False
