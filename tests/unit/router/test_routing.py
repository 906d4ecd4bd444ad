import pytest

from actors import events
from actors.router.routing import BUILT_IN, Subscription, route


def test_a_star_stands_for_any_run_of_characters() -> None:
    subscription = Subscription("s", "task", ("sage.task.*", "custom.event"))

    wanted = [
        name
        for name in ("sage.task.created", "sage.task.plan.changed", "custom.event")
        if subscription.wants(name)
    ]

    assert wanted == ["sage.task.created", "sage.task.plan.changed", "custom.event"]


@pytest.mark.parametrize(
    "name",
    ["sage.tasks.created", "xsage.task.created", "sage.task", "custom.events", "sageXtask.a"],
)
def test_what_merely_looks_similar_is_not_wanted(name: str) -> None:
    subscription = Subscription("s", "task", ("sage.task.*", "custom.event"))

    assert not subscription.wants(name)


def test_subscription_names_are_unique_because_each_names_a_cursor() -> None:
    names = [subscription.name for subscription in BUILT_IN]

    assert len(set(names)) == len(names)


def test_every_built_in_pattern_fits_a_type_that_exists() -> None:
    idle = [
        (subscription.name, pattern)
        for subscription in BUILT_IN
        for pattern in subscription.types
        if not any(Subscription("x", "x", (pattern,)).wants(name) for name in events.registered())
    ]

    assert idle == []


@pytest.mark.parametrize(
    ("event_type", "names"),
    [
        ("sage.incident.created", ["saga.incident_loop", "rag.projection"]),
        ("sage.incident.dossier.ready", ["saga.incident_loop"]),
        (
            "sage.incident.resolved",
            ["saga.incident_loop", "rag.projection", "rag.outcomes"],
        ),
        ("sage.incident.review.published", ["saga.incident_loop"]),
        ("sage.knowledge.created", ["saga.incident_loop", "rag.projection"]),
        ("sage.task.completed", ["rag.projection"]),
        ("system.timer.fired", ["incident.escalation"]),
        ("sage.incident.acknowledged", []),
    ],
)
def test_the_main_job_is_routed_as_the_design_says(event_type: str, names: list[str]) -> None:
    heard_by = [subscription.name for subscription in route(event_type)]

    assert heard_by == names
