"""A shard sends what can be among the best, and nothing that is missed is ever wanted."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from actors.index import fusion, skyband
from actors.index.fusion import Legs

SCORES = st.sampled_from([0.0, 0.5, 1.0, 1.5, 7.25]) | st.floats(0, 30, width=32)
COSINES = st.sampled_from([-0.5, 0.0, 0.25, 1.0, float("nan")]) | st.floats(-1, 1, width=32)
SHARD = st.lists(st.tuples(SCORES, COSINES), max_size=40)


def legs_of(candidates: list[tuple[float, float]]) -> Legs:
    table = np.array(candidates, dtype=np.float32).reshape(-1, 2)
    return Legs(lexical=table[:, 0], dense=table[:, 1])


def best(legs: Legs, weight: float, most: int) -> list[int]:
    found: list[int] = skyband.order(legs, fusion.fuse(legs, weight))[:most].tolist()
    return found


@given(
    shards=st.lists(SHARD, min_size=1, max_size=5),
    most=st.integers(1, 12),
    weight=st.floats(0, 1) | st.sampled_from([0.0, 0.6, 1.0]),
)
def test_the_best_of_all_shards_are_among_what_the_shards_send(
    shards: list[list[tuple[float, float]]], most: int, weight: float
) -> None:
    union = legs_of([one for shard in shards for one in shard])
    sent: set[int] = set()
    begin = 0
    for shard in shards:
        sent |= {begin + place for place in skyband.contenders(legs_of(shard), most).tolist()}
        begin += len(shard)

    wanted = best(union, weight, most)

    assert set(wanted) <= sent


@given(candidates=SHARD, most=st.integers(1, 12))
def test_exactly_what_fewer_than_so_many_beat_is_kept(
    candidates: list[tuple[float, float]], most: int
) -> None:
    legs = legs_of(candidates)
    rows = [
        (float(words), bool(np.isnan(meaning)), float(np.nan_to_num(meaning)))
        for words, meaning in zip(legs.lexical, legs.dense, strict=True)
    ]

    def beats(one: int, other: int) -> bool:
        (words, unknown, meaning), (its_words, its_unknown, its_meaning) = rows[one], rows[other]
        if unknown is not its_unknown or words < its_words or meaning < its_meaning:
            return False
        return one < other or (words, meaning) != (its_words, its_meaning)

    places = range(len(rows))
    wanted = [place for place in places if sum(beats(other, place) for other in places) < most]

    assert skyband.contenders(legs, most).tolist() == wanted


def test_a_single_leg_sends_no_more_than_is_wanted() -> None:
    cosines = np.random.default_rng(1).uniform(-1, 1, size=200).astype(np.float32)
    legs = Legs(lexical=np.zeros(200, np.float32), dense=cosines)

    kept = skyband.contenders(legs, 10)

    assert sorted(kept.tolist()) == sorted(np.argsort(-cosines)[:10].tolist())
