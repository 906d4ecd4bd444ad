"""One ranking out of what the shards send, whatever they have left out."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from actors.index import skyband
from actors.index.fusion import Legs
from actors.rag import merging
from actors.rag.messages import Hit, IndexStatus, ShardHits
from actors.runtime.message import Position

AT = Position(3, 1)
SCORES = st.sampled_from([0.0, 0.5, 1.0, 1.5, 7.25]) | st.floats(0, 30, width=32)
COSINES = st.sampled_from([-0.5, 0.0, 0.25, 1.0, float("nan")]) | st.floats(-1, 1, width=32)
Candidates = list[tuple[float, float]]
PROPOSED = st.tuples(SCORES, COSINES).filter(lambda one: one[0] > 0 or not np.isnan(one[1]))
SHARDS = st.lists(st.lists(PROPOSED, max_size=25), min_size=1, max_size=5)


def hit(name: str) -> Hit:
    return Hit(
        type="document",
        id=name,
        external_id=None,
        version=1,
        chunk_id=name,
        kind="",
        title="",
        heading="",
        text="",
        score=0.0,
        legs={},
        char_start=0,
        char_end=0,
    )


def part(
    candidates: Candidates, first: int, most: int | None = None, **changed: object
) -> ShardHits:
    """A shard's answer for the best ``most``; None: nothing is left out."""
    table = np.array(candidates, dtype=np.float32).reshape(-1, 2)
    legs = Legs(lexical=table[:, 0], dense=table[:, 1])
    places = np.arange(len(table)) if most is None else skyband.contenders(legs, most)
    fields: dict[str, object] = {
        "rarity": {},
        "passages": len(table),
        "by_meaning": True,
        "position": AT,
        "dense_position": AT,
        "dense_pending": 0,
        "stale": False,
    }
    return ShardHits(
        lexical=legs.lexical,
        dense=legs.dense,
        places=places,
        hits=tuple(hit(str(first + place)) for place in places.tolist()),
        **(fields | changed),  # type: ignore[arg-type]  # fields by name
    )


def parts(shards: Sequence[Candidates], most: int) -> list[ShardHits]:
    begins = np.cumsum([0, *map(len, shards)]).tolist()
    return [part(one, begin, most) for one, begin in zip(shards, begins, strict=False)]


@given(
    shards=SHARDS,
    most=st.integers(1, 12),
    beyond=st.integers(0, 10),
    weight=st.floats(0, 1) | st.sampled_from([0.0, 0.6, 1.0]),
)
def test_what_the_shards_leave_out_changes_nothing(
    shards: list[Candidates], most: int, beyond: int, weight: float
) -> None:
    everything = part([one for shard in shards for one in shard], 0)
    wanted = merging.hits([everything], lambda _: weight, most, most + beyond)

    found = merging.hits(parts(shards, most), lambda _: weight, most, most + beyond)

    assert found == wanted


def test_each_leg_says_where_it_placed_a_hit_among_all_shards() -> None:
    shards: list[Candidates] = [[(2.0, 0.1)], [(3.0, 0.9), (0.0, 0.5)]]

    found, _ = merging.hits(parts(shards, 3), lambda _: 0.5, 3, 10)

    ranks = {
        one.id: {name: (leg.rank, leg.score) for name, leg in one.legs.items()} for one in found
    }
    assert ranks == {
        "0": {"lexical": (2, 2.0), "dense": (3, 0.1)},
        "1": {"lexical": (1, 3.0), "dense": (1, 0.9)},
        "2": {"dense": (2, 0.5)},
    }


def test_what_the_legs_of_all_shards_place_too_low_is_left_out() -> None:
    shards: list[Candidates] = [[(9.0, -0.9)], [(8.0, 0.9)], [(1.0, 0.0)]]

    found, _ = merging.hits(parts(shards, 1), lambda _: 0.5, 1, 1)

    assert [one.id for one in found] == ["1"]


def test_rarity_is_weighed_by_the_size_of_the_shards() -> None:
    small = part([], 0, rarity={"disk": 1.0, "pod": 4.0}, passages=1)
    large = part([], 0, rarity={"disk": 3.0, "pod": 0.0}, passages=3)

    assert merging.rarity([small, large]) == {"disk": 2.5, "pod": 1.0}
    assert merging.rarity([]) == {}


def test_a_position_that_one_shard_does_not_know_is_not_known() -> None:
    assert merging.least([Position(3, 1), Position(2, 7)]) == Position(2, 7)
    assert merging.least([Position(3, 1), None]) is None
    assert merging.least([]) is None


def test_without_any_shard_the_status_says_so() -> None:
    status = merging.status([], 3)

    assert (status.state, status.position, status.partial, status.missing_shards) == (
        "initializing",
        None,
        True,
        3,
    )


def test_the_status_is_that_of_the_shard_that_is_furthest_behind() -> None:
    def one(position: Position, passages: int) -> IndexStatus:
        return IndexStatus(
            state="ready",
            position=position,
            dense_position=position,
            sources=1,
            passages=passages,
            dense_pending=1,
        )

    status = merging.status([one(Position(3, 1), 5), one(Position(2, 1), 7)], 2)

    assert (status.position, status.passages, status.dense_pending, status.partial) == (
        Position(2, 1),
        12,
        2,
        False,
    )
