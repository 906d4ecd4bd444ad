"""Every expected failure survives the trip between processes."""

import pickle

import pytest

from actors import errors
from actors.errors import ElderGuildError


def _subclasses(base: type[ElderGuildError]) -> list[type[ElderGuildError]]:
    return [found for child in base.__subclasses__() for found in (child, *_subclasses(child))]


EXAMPLES: dict[type[ElderGuildError], tuple[object, ...]] = {
    errors.ValidationError: ("title", "is blank"),
    errors.NotAuthenticated: (),
    errors.NotAuthorized: ("write",),
    errors.NotFound: ("incident", "inc_1"),
    errors.InvalidTransition: ("incident", "closed", "assessing"),
    errors.Cycle: (("task_1", "task_2"),),
    errors.VersionConflict: ("task", "task_1"),
    errors.Overloaded: (2.0, "the mailbox"),
    errors.DependencyUnavailable: ("postgres",),
    errors.HandlerLost: ("task",),
    errors.DeadlineExceeded: ("the request",),
    errors.StaleIndex: ("7-1", "6-4"),
    errors.PositionOfAnotherEpoch: (1, 2),
    errors.LateAck: ("evt_1",),
    errors.Gone: ("the receiver",),
}


@pytest.mark.parametrize("kind", EXAMPLES, ids=lambda kind: kind.__name__)
def test_an_error_arrives_as_it_was_sent(kind: type[ElderGuildError]) -> None:
    error = kind(*EXAMPLES[kind])

    arrived = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own bytes

    assert type(arrived) is kind
    assert arrived.args == error.args
    assert vars(arrived) == vars(error)
    assert str(arrived) == str(error)


def test_no_error_of_the_core_is_left_out_above() -> None:
    declared = {kind for kind in _subclasses(ElderGuildError) if kind.__module__ == errors.__name__}

    assert declared == set(EXAMPLES)


def test_a_retryable_kind_says_so_on_the_class() -> None:
    retryable = {kind.__name__ for kind in EXAMPLES if kind.retryable}

    assert retryable == {
        "VersionConflict",
        "Overloaded",
        "DependencyUnavailable",
        "HandlerLost",
        "DeadlineExceeded",
        "StaleIndex",
    }


def test_not_found_never_says_which_key_was_asked_for() -> None:
    assert "inc_1" not in str(errors.NotFound("incident", "inc_1"))
