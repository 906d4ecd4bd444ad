"""The main job, played through HTTP: from an alert to knowledge that the next dossier shows.

`play_loop` is the demonstration, and what the tests play while they kill processes: it repeats
what failed on the way under the same keys, so a loop that ends has happened exactly once.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from cluster.api import Api, ApiProblem, Json, Reply
from cluster.story import Story

_KNOWLEDGE_CREATED = "sage.knowledge.created"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step as it was taken.

    Attributes:
        name: such as ``acknowledge``.
        text: what happened, for people.
        ids: what it happened to.
        attempts: how often its last request was sent.
    """

    name: str
    text: str
    ids: tuple[str, ...]
    seconds: float
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopResult:
    """Everything one loop made.

    Attributes:
        task_ids: those made from the runbook.
        kinds: of the timeline's events, oldest first.
        correlation_ids: of dossier, review and tasks.
    """

    incident_id: str
    correlation_id: str
    dossier: Json
    task_ids: tuple[str, ...]
    finished_task_id: str
    review_id: str
    entity_id: str
    kinds: tuple[str, ...]
    correlation_ids: frozenset[str]
    steps: tuple[Step, ...]
    seconds: float

    def correlated(self) -> bool:
        """Whether everything this loop made carries the incident's correlation id."""
        return self.correlation_ids == {self.correlation_id}

    def rank_of(self, entity_id: str) -> int | None:
        """Where the dossier shows an entity among what is similar, from 1."""
        return rank(self.dossier, entity_id)


AfterStep = Callable[[Step], Awaitable[None]]


async def nothing(_: Step) -> None:
    """Does nothing after a step."""


@dataclass(slots=True, kw_only=True)
class _Recorder:
    """Keeps the steps and their times."""

    after: AfterStep
    steps: list[Step] = field(default_factory=list)
    last: float = field(default_factory=time.monotonic)

    async def __call__(self, name: str, reply: Reply, text: str, *ids: str) -> None:
        seconds = time.monotonic() - self.last
        step = Step(name=name, text=text, ids=ids, seconds=seconds, attempts=reply.attempts)
        self.steps.append(step)
        await self.after(step)
        self.last = time.monotonic()


async def play_loop(
    intake: Api,
    person: Api,
    story: Story,
    *,
    after: AfterStep = nothing,
    wait_s: float = 30.0,
) -> LoopResult:
    """Plays the loop once.

    Args:
        intake: signed in as Alertmanager.
        person: signed in as whoever answers the alert.
        story: what happens; its ``run_id`` makes a second call repeat the first.
        after: called after each step, such as to print it or to kill something.
        wait_s: how long each effect that follows from an event may take.

    Raises:
        ApiProblem: a request was refused, or an effect did not come.
    """
    began = time.monotonic()
    record = _Recorder(after=after)

    def key(step: str) -> str:
        return f"{story.run_id}-{step}"

    # --- alert → incident → dossier → tasks
    reply = await intake.post("/alerts/alertmanager", story.notification(), key=key("alert"))
    incident_id = str(reply.body["incidents"][0])
    incident = f"/incidents/{incident_id}"
    await record("alert", reply, "an alert arrived and became an incident", incident_id)

    reply = await person.until(f"{incident}/dossier", timeout_s=wait_s)
    dossier = reply.body
    runbook = (dossier["runbook"] or {}).get("title", "none")
    await record(
        "dossier",
        reply,
        f"its dossier is ready: {len(dossier['similar'])} similar, runbook “{runbook}”",
        str(dossier["dossier_id"]),
    )

    wanted = len(dossier["steps"])
    reply = await person.until(
        "/tasks",
        lambda page: len(page["items"]) >= wanted,
        timeout_s=wait_s,
        incident_id=incident_id,
        limit=100,
    )
    tasks = sorted(reply.body["items"], key=lambda task: int(task["ordinal"]))
    await record("tasks", reply, f"{len(tasks)} tasks were made from the runbook", *_ids(tasks))

    # --- people answer
    reply = await person.post(f"{incident}:acknowledge", key=key("acknowledge"))
    await record("acknowledge", reply, "the on-call engineer acknowledged it", incident_id)
    reply = await person.post(f"{incident}:assign", {}, key=key("assign"))
    engineer = str(reply.body["assignee"])
    await record("assign", reply, "and took it", engineer)
    reply = await person.post(f"{incident}:assess", key=key("assess"))
    await record("assess", reply, "severity and impact are being assessed", incident_id)
    reply = await person.post(
        f"{incident}:respond", {"severity": "high", "impact": story.impact}, key=key("respond")
    )
    await record("respond", reply, "the response has begun", incident_id)

    finished = await _work_on_first(person, tasks, engineer, key, record)

    # --- it is over → review → knowledge
    body = {
        "resolution": story.resolution,
        "root_cause": story.root_cause,
        "prevention": story.prevention,
        "lessons_learned": story.lessons,
    }
    reply = await person.post(f"{incident}:resolve", body, key=key("resolve"))
    correlation_id = str(reply.body["correlation_id"])
    await record("resolve", reply, "the incident is resolved", incident_id)

    reply = await person.until(f"{incident}/review", timeout_s=wait_s)
    await record("draft", reply, "its review was drafted", str(reply.body["review_id"]))
    review = await _edit(person, f"{incident}/review", reply, story, key("edit"))
    await record("edit", review, "the team lead added the lessons", str(review.body["review_id"]))
    reply = await person.post(f"{incident}/review:publish", key=key("publish"))
    review_id = str(reply.body["review_id"])
    await record("publish", reply, "and published the review", review_id)

    timeline = await person.until(
        f"{incident}/timeline",
        lambda page: bool(_subjects(page, _KNOWLEDGE_CREATED)),
        timeout_s=wait_s,
    )
    entity_id = _subjects(timeline.body, _KNOWLEDGE_CREATED)[0]
    entity = await person.until(f"/knowledge/entities/{entity_id}", timeout_s=wait_s)
    await record("knowledge", entity, f"it is knowledge now: “{entity.body['title']}”", entity_id)
    await _until_found(person, entity.body, wait_s)
    await record("search", entity, "and search finds it", entity_id)

    tasks = (await person.get("/tasks", incident_id=incident_id, limit=100)).body["items"]
    # The entity needs no check: the timeline, which is one correlation id's, led to it.
    parts = [dossier, review.body, *(task for task in tasks if task["origin"] == "runbook")]
    return LoopResult(
        incident_id=incident_id,
        correlation_id=correlation_id,
        dossier=dossier,
        task_ids=_ids(task for task in tasks if task["origin"] == "runbook"),
        finished_task_id=finished,
        review_id=review_id,
        entity_id=entity_id,
        kinds=tuple(str(entry["kind"]) for entry in timeline.body["entries"]),
        correlation_ids=frozenset(str(part["correlation_id"]) for part in parts),
        steps=tuple(record.steps),
        seconds=time.monotonic() - began,
    )


def rank(dossier: Json, source_id: str) -> int | None:
    """Where a source stands among what a dossier calls similar, from 1; None: it does not."""
    sources = [line["source_id"] for line in dossier["similar"]]
    return sources.index(source_id) + 1 if source_id in sources else None


async def _work_on_first(
    person: Api, tasks: Sequence[Json], engineer: str, key: Callable[[str], str], record: _Recorder
) -> str:
    """Starts and completes the first task that waits for nothing; nothing to do: an empty id."""
    ready = [task for task in tasks if task["status"] == "pending"]
    if not ready:
        return ""
    task_id = str(ready[0]["task_id"])
    task = f"/tasks/{task_id}"
    await person.post(f"{task}:assign", {"assignee": engineer}, key=key("task-assign"))
    reply = await person.post(f"{task}:start", key=key("task-start"))
    await record("start", reply, f"work began on “{ready[0]['name']}”", task_id)
    done = {"result": "Found: a reporting session, idle in transaction for 41 minutes."}
    reply = await person.post(f"{task}:complete", done, key=key("task-complete"))
    await record("complete", reply, "and it is done", task_id)
    return task_id


async def _edit(person: Api, path: str, draft: Reply, story: Story, key: str) -> Reply:
    """Writes the lessons into the draft; one that changed meanwhile is read again, once."""
    sections = {
        "lessons": story.lessons,
        "actions": [{"title": "Set an idle-in-transaction limit for every reporting role"}],
    }
    try:
        return await person.patch(path, sections, version=_version(draft), key=key)
    except ApiProblem as problem:
        if problem.status not in (HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED):
            raise
    again = await person.get(path)
    return await person.patch(path, sections, version=_version(again), key=f"{key}-again")


async def _until_found(person: Api, entity: Json, wait_s: float) -> None:
    """Waits until search has read as far as the entity."""
    question = {
        "query": entity["title"],
        "mode": "lexical",
        "top_k": 20,
        # A guild that has played the story often has knowledge of that title without end.
        "filters": {"types": ["knowledge"], "since": entity["created_at"]},
    }
    deadline = time.monotonic() + wait_s
    while True:
        hits = (await person.post("/rag/search", question)).body["hits"]
        if any(hit["id"] == entity["entity_id"] for hit in hits):
            return
        if time.monotonic() > deadline:
            raise ApiProblem(
                HTTPStatus.REQUEST_TIMEOUT,
                f"search does not find what was published in {wait_s:g} s",
            )
        await asyncio.sleep(0.1)


def _version(reply: Reply) -> int:
    return int(reply.body["version"])


def _subjects(timeline: Json, kind: str) -> list[str]:
    return [str(entry["subject_id"]) for entry in timeline["entries"] if entry["kind"] == kind]


def _ids(tasks: Iterable[Json]) -> tuple[str, ...]:
    return tuple(str(task["task_id"]) for task in tasks)
