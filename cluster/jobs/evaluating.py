"""A corpus in, its questions asked, the answers counted: one run of an evaluation."""

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from itertools import islice
from pathlib import Path

from rich.console import Console

from actors.rag.messages import SearchMode
from actors.settings import GuildSettings
from cluster.api import Api, ApiProblem, Json
from cluster.jobs.asking import Asker
from cluster.jobs.beir import CorpusDocument, Dataset, sample
from cluster.jobs.journal import Entry, Journal
from cluster.jobs.measures import measure
from cluster.jobs.progress import Standing, shown
from cluster.jobs.report import Report
from cluster.jobs.sender import Prepared, Sender, delete_all
from cluster.jobs.waiting import until_searchable

KIND = "evaluation"
_MAX_TITLE = 500
_PAGE = 200
_PROBED = 5

_MODES = (SearchMode.LEXICAL, SearchMode.DENSE, SearchMode.HYBRID)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is measured.

    Attributes:
        markdown: whether the texts of the corpus are Markdown, with headings to cut at.
        limit: of the queries; None is all.
        again: whether what the guild has confirmed is sent nevertheless.
    """

    dataset: Dataset
    markdown: bool = False
    limit: int | None = None
    again: bool = False
    clean: bool = False


@dataclass(slots=True, kw_only=True)
class Evaluation:
    """What came out.

    Attributes:
        measures: of each mode, by name.
        seconds: that all questions of a mode took together.
    """

    corpus: Report
    queries: int = 0
    measures: dict[str, dict[str, float]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def as_json(self, dataset: Path) -> Json:
        """The whole of it."""
        modes = {
            mode: {**{name: round(value, 6) for name, value in row.items()}}
            for mode, row in self.measures.items()
        }
        return {
            "dataset": str(dataset),
            "queries": self.queries,
            "modes": modes,
            "seconds": {mode: round(value, 3) for mode, value in self.seconds.items()},
            "notes": self.notes,
            "corpus": self.corpus.as_json(),
        }


async def evaluate(
    plan: Plan, config: GuildSettings, api: Api, result: Evaluation, console: Console
) -> None:
    """Brings the corpus in, waits until it is embedded, asks everything, and counts.

    What the guild has of the corpus is not sent again, unless some of it turns out to be gone. The
    corpus has a tag and a prefix of its own, by its content; searches are filtered by that tag.

    Args:
        plan: what is measured.
        config: the bounds.
        api: signed in, or able to.
        result: is filled, also where this raises.
        console: of standard error, for the progress.

    Raises:
        DatasetProblem: the data set cannot be used.
        ApiProblem: the guild cannot be reached, or does not let us in.
        StackProblem: another run works on the same, or waiting took too long.
    """
    judged = plan.dataset.judgements()
    queries = sample(plan.dataset.queries(judged), plan.limit)
    measure(judged, {})  # where it cannot count, it says so before the work and not after
    result.queries = len(queries)
    tag = f"eval-{plan.dataset.digest()[:16]}" + ("-markdown" if plan.markdown else "")
    prefix = f"evaluation/{tag}/"
    with Journal(config.jobs.state_dir / "evaluate", await api.guild_id(), tag) as journal:
        result.notes.extend(journal.notes)
        sender = Sender(api, journal, result.corpus, config.jobs)
        if not plan.again and await _is_stale(journal, api):
            result.notes.append("the guild has lost what it had confirmed: all of it is sent again")
            plan = replace(plan, again=True)
        await _store(plan, sender, journal, result, (tag, prefix), config, console)
        _note_absent(judged, journal, prefix, result)
        await until_searchable(api, sender.position, config.jobs, console)
        asker = Asker(api, tag=tag, prefix=prefix, position=sender.position, config=config)
        await _ask(asker, queries, judged, result, config, console)
        if plan.clean:
            await _clean(api, journal, result.corpus, config)
    result.corpus.complete = True


async def _is_stale(journal: Journal, api: Api) -> bool:
    """Whether the guild lacks one of a few documents that it has confirmed."""
    for entry in islice(journal.entries(), _PROBED):
        try:
            kept = await api.get(f"/rag/documents/{entry.document_id}")
        except ApiProblem as problem:
            if problem.status == HTTPStatus.NOT_FOUND:
                return True
            raise
        if kept.body["status"] == "deleted":
            return True
    return False


async def _store(
    plan: Plan,
    sender: Sender,
    journal: Journal,
    result: Evaluation,
    names: tuple[str, str],
    config: GuildSettings,
    console: Console,
) -> None:
    report = result.corpus

    async def documents() -> AsyncIterator[Prepared]:
        for document in plan.dataset.corpus():
            report.seen += 1
            prepared = _prepared(document, *names, markdown=plan.markdown)
            if prepared is None:
                report.skipped += 1
                continue
            known = journal.get(prepared.body["external_id"])
            if not plan.again and known is not None and known.digest == prepared.digest:
                report.unchanged += 1
                if report.seen % _PAGE == 0:
                    await asyncio.sleep(0)
                continue
            yield prepared

    def standing() -> Standing:
        return Standing(done=report.settled, total=None, text=report.counts())

    async with shown(console, "storing", standing, every_s=config.jobs.progress_every_s):
        await sender.send_all([documents()])
    if report.skipped:
        result.notes.append(f"{report.skipped} documents have no text")


def _prepared(
    document: CorpusDocument, tag: str, prefix: str, *, markdown: bool
) -> Prepared | None:
    """The document as it is sent, or None for one without any text."""
    title = " ".join(document.title.split())[:_MAX_TITLE]
    content = document.text if document.text.strip() else title
    if not content:
        return None
    body: Json = {
        "external_id": f"{prefix}{document.document_id}",
        "content": content,
        "content_type": "text/markdown" if markdown else "text/plain",
        "kind": KIND,
        "tags": [tag],
    }
    if title:
        body["title"] = title
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    return Prepared(name=document.document_id, digest=digest, body=body, size=len(content.encode()))


def _note_absent(
    judged: dict[str, dict[str, int]], journal: Journal, prefix: str, result: Evaluation
) -> None:
    relevant = {name for row in judged.values() for name, grade in row.items() if grade > 0}
    absent = sum(journal.get(f"{prefix}{name}") is None for name in relevant)
    if absent:
        result.notes.append(
            f"{absent} of {len(relevant)} relevant documents are not in the guild: never found"
        )


async def _ask(
    asker: Asker,
    queries: dict[str, str],
    judged: dict[str, dict[str, int]],
    result: Evaluation,
    config: GuildSettings,
    console: Console,
) -> None:
    total = len(queries) * len(_MODES)

    def standing() -> Standing:
        return Standing(done=asker.asked, total=total)

    async with shown(console, "asking", standing, every_s=config.jobs.progress_every_s):
        for mode in _MODES:
            began = time.monotonic()
            found = await asker.ask_all(queries, mode)
            result.seconds[mode.value] = time.monotonic() - began
            result.measures[mode.value] = measure(judged, found)
    if asker.shortened:
        result.notes.append(f"{len(asker.shortened)} queries were cut at 4,096 bytes")
    if asker.one_legged:
        result.notes.append(f"{asker.one_legged} answers came without vectors")


async def _clean(api: Api, journal: Journal, report: Report, config: GuildSettings) -> None:
    page: list[Entry] = []
    for entry in journal.entries():
        page.append(entry)
        if len(page) == _PAGE:
            await delete_all(api, journal, page, report, config.jobs)
            page.clear()
    await delete_all(api, journal, page, report, config.jobs)
