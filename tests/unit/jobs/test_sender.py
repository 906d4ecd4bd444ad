"""Batches arrive whole, in parts, or not at all, and every document has its outcome."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from actors.runtime.message import Position
from actors.settings import JobSettings
from cluster.api import ApiProblem
from cluster.jobs.journal import Entry, Journal
from cluster.jobs.report import Report
from cluster.jobs.sender import Prepared, Sender, delete_all
from tests.fixtures.documents_guild import OURS, DocumentsGuild

NUMBERS = JobSettings(
    batch_documents=4,
    batch_bytes=1_000,
    batches_in_flight=2,
    batch_linger_s=0.01,
    document_attempts=3,
    document_pause_s=0.001,
)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path, "test") as opened:
        yield opened


def prepared(number: int, size: int = 10) -> Prepared:
    name = f"{number}.md"
    body = {"external_id": name, "content": f"text {number}"}
    return Prepared(name=name, digest=f"digest {number}", body=body, size=size)


async def source(*documents: Prepared) -> AsyncIterator[Prepared]:
    for document in documents:
        yield document


async def sent(guild: DocumentsGuild, journal: Journal, *documents: Prepared) -> Report:
    report = Report(errors_listed=10)
    async with guild.api() as api:
        await Sender(api, journal, report, NUMBERS).send_all([source(*documents)])
    return report


async def test_all_arrive_in_bounded_batches_and_are_in_the_journal(journal: Journal) -> None:
    guild = DocumentsGuild()

    report = await sent(guild, journal, *(prepared(number) for number in range(10)))

    assert report.created == len(journal) == len(guild.documents) == 10
    assert max(map(len, guild.sent)) <= 4


async def test_a_batch_ends_before_it_has_too_many_bytes(journal: Journal) -> None:
    guild = DocumentsGuild()

    await sent(guild, journal, *(prepared(number, size=600) for number in range(5)))

    assert [len(batch) for batch in guild.sent] == [1] * 5


async def test_a_refused_document_fails_alone_and_is_not_confirmed(journal: Journal) -> None:
    guild = DocumentsGuild()
    guild.items = {"1.md": [422]}

    report = await sent(guild, journal, prepared(0), prepared(1), prepared(2))

    assert report.errors == [("1.md", "refused 422")]
    assert journal.get("1.md") is None
    assert (report.created, report.failed) == (2, 1)


async def test_a_body_that_is_refused_as_a_whole_is_halved_until_one_is_to_blame(
    journal: Journal,
) -> None:
    guild = DocumentsGuild()
    no = httpx.Response(413, headers=OURS)
    guild.trouble = iter([no, no, None, no])

    async with guild.api() as api:
        report = Report(errors_listed=10)
        await Sender(api, journal, report, NUMBERS).send([prepared(n) for n in range(4)])

    assert [name for name, _ in report.errors] == ["1.md"]
    assert sorted(guild.documents) == ["0.md", "2.md", "3.md"]


async def test_what_a_busy_guild_put_off_is_sent_again_and_nothing_else(journal: Journal) -> None:
    guild = DocumentsGuild()
    guild.items = {"0.md": [503, 429], "1.md": [503, 503, 503]}

    report = await sent(guild, journal, prepared(0), prepared(1), prepared(2))

    assert sorted(guild.documents) == ["0.md", "2.md"]
    assert report.errors == [("1.md", "the guild is busy: refused 503")]
    assert guild.names().count("2.md") == 1


@pytest.mark.parametrize("status", [401, 403, 503])
async def test_a_guild_that_lets_nobody_in_ends_the_run(status: int, journal: Journal) -> None:
    guild = DocumentsGuild()
    guild.trouble = iter([httpx.Response(status, headers=OURS)] * 20)

    with pytest.raises(ApiProblem) as raised:
        await sent(guild, journal, *(prepared(number) for number in range(20)))

    assert raised.value.status == status
    assert guild.documents == {}


async def test_the_position_is_that_of_the_last_write(journal: Journal) -> None:
    guild = DocumentsGuild()
    report = Report(errors_listed=10)

    async with guild.api() as api:
        sender = Sender(api, journal, report, NUMBERS)
        await sender.send([prepared(1)])
        await sender.send([prepared(2)])

    assert sender.position == Position(1, 2, 1)


async def test_what_is_deleted_is_forgotten_also_where_it_was_gone(journal: Journal) -> None:
    guild = DocumentsGuild()
    await sent(guild, journal, prepared(0))
    journal.record([Entry("gone.md", "digest", "doc_unknown", 1)])

    async with guild.api() as api:
        report = Report(errors_listed=10)
        await delete_all(api, journal, list(journal.entries()), report, NUMBERS)

    assert (len(journal), report.pruned) == (0, 2)
    assert guild.documents["0.md"]["deleted"]


async def test_what_somebody_changed_since_is_deleted_as_it_is_now(journal: Journal) -> None:
    guild = DocumentsGuild()
    await sent(guild, journal, prepared(0))
    guild.documents["0.md"]["version"] = 7

    async with guild.api() as api:
        report = Report(errors_listed=10)
        await delete_all(api, journal, list(journal.entries()), report, NUMBERS)

    assert guild.documents["0.md"]["deleted"]


async def test_deletions_that_end_early_are_counted_and_forgotten_as_far_as_they_came(
    journal: Journal,
) -> None:
    guild = DocumentsGuild()
    await sent(guild, journal, *(prepared(number) for number in range(20)))
    guild.locked = {"doc_10"}
    report = Report(errors_listed=10)

    async with guild.api() as api:
        with pytest.raises(ApiProblem) as raised:
            await delete_all(api, journal, list(journal.entries()), report, NUMBERS)

    deleted = [name for name, kept in guild.documents.items() if kept["deleted"]]
    assert raised.value.status == 403
    assert report.pruned == len(deleted) == 20 - len(journal)
    assert len(deleted) < 19  # those that had not begun are not begun


async def test_few_documents_wait_however_fast_they_are_read(journal: Journal) -> None:
    guild = DocumentsGuild(pause_s=0.0)
    read = 0
    most = 0

    async def fast() -> AsyncIterator[Prepared]:
        nonlocal read, most
        for number in range(200):
            read += 1
            most = max(most, read - len(guild.documents))
            yield prepared(number)
            await asyncio.sleep(0)

    report = Report(errors_listed=10)
    async with guild.api() as api:
        await Sender(api, journal, report, NUMBERS).send_all([fast()])

    assert report.created == 200
    # Two batches of four in flight, two documents held, two waiting, one in hand.
    assert most <= 2 * 4 + 2 + 2 + 1
