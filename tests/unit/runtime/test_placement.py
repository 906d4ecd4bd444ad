from hypothesis import given
from hypothesis import strategies as st

from actors.runtime import placement
from actors.runtime.identity import MemberIdentity

identities = st.builds(
    MemberIdentity, st.sampled_from(["task", "rag"]), st.integers(1, 9), st.integers(0, 99)
)
members = st.lists(identities, min_size=1, max_size=8, unique=True)
unit = st.floats(0, 1, exclude_max=True)


@given(identities)
def test_a_name_says_who_it_is(identity: MemberIdentity) -> None:
    assert MemberIdentity.parse(identity.name) == identity


@given(st.text(max_size=20).filter(lambda text: text.count("/") != 2))
def test_other_actors_are_no_members(name: str) -> None:
    assert MemberIdentity.parse(name) is None


@given(st.text(), members)
def test_every_process_finds_the_same_owner(key: str, pool: list[MemberIdentity]) -> None:
    owner = placement.for_key(key, pool)

    assert owner == placement.for_key(key, list(reversed(pool)))
    assert owner == placement.ranked(key, pool)[0]


@given(st.text(), members, identities)
def test_only_the_keys_of_a_member_that_goes_move(
    key: str, pool: list[MemberIdentity], gone: MemberIdentity
) -> None:
    left = [member for member in pool if member != gone]

    owner = placement.for_key(key, pool)
    if left and owner != gone:
        assert placement.for_key(key, left) == owner


def test_keys_are_spread_over_the_members() -> None:
    pool = [MemberIdentity("task", 1, number) for number in range(4)]

    owners = [placement.for_key(f"tsk_{number}", pool) for number in range(2000)]

    assert all(400 < owners.count(member) < 600 for member in pool)


@given(members, unit, unit)
def test_one_member_is_filled_before_a_second_is_troubled(
    pool: list[MemberIdentity], one: float, other: float
) -> None:
    load = {pool[0]: 7}

    assert placement.for_any(pool, load, 8, (one, other)) == pool[0]


@given(members, st.data(), unit, unit)
def test_beyond_that_the_less_busy_of_two_is_chosen(
    pool: list[MemberIdentity], data: st.DataObject, one: float, other: float
) -> None:
    load = {member: data.draw(st.integers(0, 50)) for member in pool} | {pool[0]: 60}

    chosen = placement.for_any(pool, load, 8, (one, other))

    drawn = [pool[int(one * len(pool))], pool[int(other * len(pool))]]
    assert load[chosen] == min(load[member] for member in drawn)


@given(st.lists(identities, max_size=8, unique=True), st.floats(0, 9))
def test_what_may_kill_a_member_goes_to_the_last_one_once_the_pool_is_calm(
    pool: list[MemberIdentity], calm_s: float
) -> None:
    chosen = placement.apart(pool, calm_s=calm_s, pause_s=2, lone_pause_s=4)

    calm = calm_s >= (2 if len(pool) > 1 else 4)
    assert chosen == (pool[-1] if pool and calm else None)
