import math
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from actors.runtime.identity import MemberIdentity
from actors.runtime.supervision import (
    Action,
    Create,
    Drain,
    End,
    Phase,
    Restart,
    Seen,
    Wanted,
    plan,
)

phases = st.sampled_from(Phase)
pools = st.builds(
    lambda members: [Seen(identity, *found) for identity, found in members.items()],
    st.dictionaries(
        st.builds(MemberIdentity, st.just("echo"), st.integers(1, 3), st.integers(0, 5)),
        st.tuples(phases, st.sampled_from((0, 1, 2, math.inf))),
        max_size=6,
    ),
)


@st.composite
def goals(draw: st.DrawFn) -> Wanted:
    max_size = draw(st.integers(1, 5))
    return Wanted("echo", draw(st.integers(1, 3)), draw(st.integers(1, max_size)), max_size)


def member(number: int, generation: int = 1) -> MemberIdentity:
    return MemberIdentity("echo", generation, number)


def ready(seen: Sequence[Seen]) -> set[MemberIdentity]:
    return {one.identity for one in seen if one.phase is Phase.READY}


def carry_out(seen: Sequence[Seen], actions: Sequence[Action]) -> list[Seen]:
    """The world after the actions, and after all that can go well has gone well."""
    company = {one.identity: one.company for one in seen}
    phases = {one.identity: one.phase for one in seen}
    for action in actions:
        match action:
            case Create(identity) | Restart(identity):
                phases[identity] = Phase.PENDING
            case Drain(identity):
                phases[identity] = Phase.DRAINING
            case End(identity):
                del phases[identity]
    grown = {
        Phase.PENDING: Phase.OPENING,
        Phase.OPENING: Phase.READY,
        Phase.DRAINING: Phase.DRAINED,
    }
    return [
        Seen(identity, grown.get(phase, phase), company.get(identity, 0))
        for identity, phase in phases.items()
    ]


@given(goals(), pools)
def test_a_pool_becomes_what_it_should_be_and_stays_so(wanted: Wanted, seen: list[Seen]) -> None:
    for _ in range(60):
        seen = carry_out(seen, plan(wanted, seen))

    assert plan(wanted, seen) == ()
    assert len(seen) == wanted.size
    assert all(one.phase is Phase.READY for one in seen)
    assert all(one.identity.generation == wanted.generation for one in seen)


@given(goals(), pools)
def test_there_is_never_more_than_one_member_above_the_maximum(
    wanted: Wanted, seen: list[Seen]
) -> None:
    allowed = max(wanted.max_size + 1, len(seen))

    for _ in range(60):
        seen = carry_out(seen, plan(wanted, seen))

        assert len(seen) <= allowed
        allowed = max(wanted.max_size + 1, len(seen))


@given(goals(), pools)
def test_a_ready_member_goes_only_when_enough_others_are_ready(
    wanted: Wanted, seen: list[Seen]
) -> None:
    for _ in range(60):
        actions = plan(wanted, seen)

        left = ready(seen) - {action.identity for action in actions}
        assert len(left) >= min(wanted.size, len(ready(seen)))
        assert not any(
            isinstance(action, End | Restart) and action.identity in ready(seen)
            for action in actions
        )
        seen = carry_out(seen, actions)


@given(goals(), pools, st.sets(st.builds(member, st.integers(0, 3), st.integers(1, 3))))
def test_what_rests_is_not_started(
    wanted: Wanted, seen: list[Seen], resting: set[MemberIdentity]
) -> None:
    for _ in range(20):
        actions = plan(wanted, seen, resting)

        started = {one.identity for one in actions if isinstance(one, Create | Restart)}
        assert not started & resting
        seen = carry_out(seen, actions)


@given(goals(), pools)
def test_no_member_is_acted_upon_twice_at_once(wanted: Wanted, seen: list[Seen]) -> None:
    actions = plan(wanted, seen)

    identities = [action.identity for action in actions]
    assert len(identities) == len(set(identities))


@given(goals(), pools)
def test_only_free_names_are_created(wanted: Wanted, seen: list[Seen]) -> None:
    actions = plan(wanted, seen)

    taken = {one.identity for one in seen}
    assert not any(isinstance(one, Create) and one.identity in taken for one in actions)


def test_an_empty_pool_is_filled_at_once() -> None:
    actions = plan(Wanted("echo", 1, 2, 4), [])

    assert actions == (Create(member(0)), Create(member(1)))


def test_a_member_that_hangs_is_restarted_under_its_name() -> None:
    seen = [Seen(member(0), Phase.READY), Seen(member(1), Phase.HUNG)]

    actions = plan(Wanted("echo", 1, 2, 4), seen)

    assert actions == (Restart(member(1)),)


def test_a_new_generation_comes_up_before_the_old_one_goes() -> None:
    wanted = Wanted("echo", 2, 1, 1)
    old, new = member(0, generation=1), member(0, generation=2)

    first = plan(wanted, [Seen(old, Phase.READY)])
    waiting = plan(wanted, [Seen(old, Phase.READY), Seen(new, Phase.OPENING)])
    then = plan(wanted, [Seen(old, Phase.READY), Seen(new, Phase.READY)])

    assert first == (Create(new),)
    assert waiting == ()
    assert then == (Drain(old),)


def test_a_generation_that_does_not_come_up_leaves_the_old_one_at_work() -> None:
    wanted = Wanted("echo", 2, 2, 2)
    old = [Seen(member(number, generation=1), Phase.READY) for number in (0, 1)]

    actions = plan(
        wanted, [*old, Seen(member(0, generation=2), Phase.HUNG)], [member(0, generation=2)]
    )

    assert actions == (End(member(0, generation=2)),)


def test_a_resting_member_keeps_its_place() -> None:
    actions = plan(Wanted("echo", 1, 2, 4), [Seen(member(0), Phase.READY)], [member(1)])

    assert actions == ()


def test_a_smaller_pool_drains_the_highest_number_first() -> None:
    seen = [Seen(member(number), Phase.READY) for number in range(3)]

    actions = plan(Wanted("echo", 1, 2, 4), seen)

    assert actions == (Drain(member(2)),)


def test_the_emptiest_node_loses_its_members_first_and_the_head_none() -> None:
    wanted = Wanted("echo", 1, 2, 4)
    on_head, on_full, on_empty = (
        Seen(member(number), Phase.READY, company)
        for number, company in ((3, math.inf), (1, 5), (0, 1))
    )

    actions = plan(wanted, [on_empty, on_full, on_head])

    assert actions == (Drain(on_empty.identity),)
