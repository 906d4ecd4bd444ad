"""The mixed load: the same for the same seed, bounded, and nothing of it is left."""

from collections import Counter

import pytest

from cluster.jobs.loading import SHARES, Load, Loading, kind_of, percentile, words
from tests.fixtures.jobs_guild import JobsGuild


def test_a_seed_gives_the_same_requests_in_about_the_shares() -> None:
    kinds = [kind_of(7, number) for number in range(5_000)]

    again = [kind_of(7, number) for number in range(5_000)]

    counted = Counter(kinds)
    assert kinds == again
    assert kinds != [kind_of(8, number) for number in range(5_000)]
    assert all(abs(counted[kind] / 50 - share) < 4 for kind, share in SHARES.items())
    assert words(7, 1, 60) == words(7, 1, 60) != words(7, 2, 60)
    assert len(words(7, 1, 60).split()) == 60


@pytest.mark.parametrize(
    ("values", "share", "found"),
    [([], 0.5, None), ([3.0], 0.99, 3.0), ([1.0, 2.0, 3.0, 4.0], 0.5, 2.0), ([1.0, 2.0], 1, 2.0)],
)
def test_a_percentile_is_the_nearest_rank(
    values: list[float], share: float, found: float | None
) -> None:
    assert percentile(values, share) == found


async def test_refusals_are_no_failures_and_what_was_written_is_deleted() -> None:
    guild = JobsGuild()
    guild.trouble = iter([503, 429, 500, 404])
    async with guild.api() as api:
        loading = Loading(api, Load(seed=1, seconds=0.2, connections=2, rate=200))

        await loading.run()
        await loading.clean(api)

    figures = [seen.figures(loading.seconds) for seen in loading.seen.values()]
    written = {place for method, place in guild.calls if method == "POST"} - {"/rag/search"}
    assert loading.sent <= 42
    assert sum(one["refused"] for one in figures) == 2
    assert sum(one["failed"] for one in figures) == 2
    assert sum(one["answered"] for one in figures) == loading.sent - 4
    assert written == {"/tasks", "/rag/documents"}
    assert len([place for place in guild.deleted if place.startswith("/tasks/")]) == len(
        guild.tasks
    )
    assert any(place.startswith("/rag/documents/") for place in guild.deleted)


async def test_what_an_unanswered_request_has_changed_is_deleted_all_the_same() -> None:
    guild = JobsGuild()
    async with guild.api() as api:
        loading = Loading(api, Load(seed=1, seconds=0.2, connections=1, rate=100))
        await loading.run()
        written = len(guild.tasks)
        documents = {body["external_id"] for body in guild.bodies if "external_id" in body}
        guild.trouble = iter([412])

        await loading.clean(api)

    assert len(guild.deleted) == written + len(documents)
