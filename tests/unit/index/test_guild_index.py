"""One guild's index: what is put in is found, what was taken out is not."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.index.codes import Codes
from actors.index.dense import DenseLeg
from actors.index.guild import Findings, GuildIndex
from actors.index.passage import Passage, Selection, Source, Vector

DIMENSION = 8
ALL = Selection()


def source(source_id: str, version: int = 1, **fields: object) -> Source:
    made = Source(source_id=source_id, type="document", version=version, title=f"Page {source_id}")
    return replace(made, **fields)  # type: ignore[arg-type]


def axis(number: int) -> Vector:
    vector = np.zeros(DIMENSION, np.float32)
    vector[number % DIMENSION] = 1
    return vector


def passage(chunk_id: str, text: str, vector: Vector | None = None) -> Passage:
    return Passage(
        chunk_id=chunk_id,
        position=0,
        heading="",
        text=text,
        char_start=0,
        char_end=len(text),
        vector=vector,
    )


def index_of(*texts: tuple[str, str]) -> GuildIndex:
    index = GuildIndex(DIMENSION, candidates=50, fold_rows=4)
    for number, (source_id, text) in enumerate(texts):
        index.replace(source(source_id), [passage(f"{source_id}#1", text, axis(number))])
    index.commit()
    return index


def ids(findings: Findings) -> list[str]:
    return [found.source.source_id for found in findings.found]


def words(index: GuildIndex, text: str, selection: Selection = ALL) -> list[str]:
    return ids(index.search(text, None, selection=selection, limit=10))


def test_a_passage_is_found_by_the_words_inside_its_identifiers() -> None:
    index = index_of(("a", "Alert KubeletDown fires"), ("b", "The queue is stuck"))

    assert words(index, "kubelet") == ["a"]
    assert words(index, "KubeletDown") == ["a"]


def test_a_passage_is_found_by_its_meaning_alone() -> None:
    index = index_of(("a", "one"), ("b", "two"))

    found = index.search("", axis(1), selection=ALL, limit=1, lexical=False)

    assert ids(found) == ["b"]
    assert found.dense_weight == 1.0
    assert found.found[0].dense is not None
    assert found.found[0].dense.rank == 1


def test_both_legs_say_where_they_placed_a_hit() -> None:
    index = index_of(("a", "disk full"), ("b", "disk slow"))

    [best, *_] = index.search("disk full", axis(0), selection=ALL, limit=5).found

    assert best.source.source_id == "a"
    assert best.lexical is not None
    assert best.lexical.rank == 1
    assert best.score == pytest.approx(1.0)


def test_what_was_replaced_is_gone_and_the_new_text_is_found() -> None:
    index = index_of(("a", "disk full"))

    index.replace(source("a", 2), [passage("a#2", "queue stuck")])
    index.commit()

    assert words(index, "disk") == []
    assert words(index, "queue") == ["a"]
    assert index.dead == 1


def test_an_older_version_never_replaces_a_newer_one() -> None:
    index = index_of()
    index.replace(source("a", 2), [passage("a#2", "queue stuck")])

    index.replace(source("a", 1), [passage("a#1", "disk full")])
    index.commit()

    assert words(index, "queue disk") == ["a"]
    assert index.passages_of("a")[0].text == "queue stuck"


def test_what_was_removed_is_gone_before_the_commit() -> None:
    index = index_of(("a", "disk full"), ("b", "disk slow"))

    index.remove("a")
    index.remove("a")

    assert words(index, "disk") == ["b"]
    assert ids(index.search("", axis(0), selection=ALL, limit=5, lexical=False)) == ["b"]


def test_a_vector_that_comes_later_is_added_to_its_passage() -> None:
    index = GuildIndex(DIMENSION)
    index.replace(source("a"), [passage("a#1", "disk full")])
    index.commit()
    before = index.without_vector

    index.replace(source("a"), [passage("a#1", "disk full", axis(3))])

    assert (before, index.without_vector, index.dead) == (1, 0, 0)
    assert ids(index.search("", axis(3), selection=ALL, limit=1, lexical=False)) == ["a"]


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(types=frozenset({"task"})), ["t"]),
        (Selection(kinds=frozenset({"runbook"})), ["r"]),
        (Selection(statuses=frozenset({"pending"})), ["t"]),
        (Selection(tags=frozenset({"x", "y"})), ["r"]),
        (Selection(exclude=frozenset({"r", "n"})), ["t"]),
    ],
)
def test_a_filter_holds_in_both_legs(selection: Selection, expected: list[str]) -> None:
    index = GuildIndex(DIMENSION)
    index.replace(source("n"), [passage("n#1", "disk full", axis(0))])
    index.replace(source("r", kind="runbook", tags=("x", "y")), [passage("r#1", "disk", axis(1))])
    index.replace(
        source("t", type="task", status="pending", tags=("x",)), [passage("t#1", "disk", axis(2))]
    )
    index.commit()

    assert words(index, "disk", selection) == expected
    assert ids(index.search("", axis(0), selection=selection, limit=9, lexical=False)) == expected


def test_a_source_is_found_by_its_name_until_it_leaves() -> None:
    index = index_of(("a", "text"))
    index.replace(source("a", 2, names=("DiskFull",)), [passage("a#2", "text")])

    found = index.named(["diskfull"], ALL)
    index.remove("a")

    assert [one.source_id for one in found] == ["a"]
    assert index.named(["diskfull"], ALL) == []


def test_a_compacted_index_finds_the_same_without_dead_slots() -> None:
    index = index_of(*((f"s{number}", f"word{number} common") for number in range(9)))
    for number in range(5):
        index.remove(f"s{number}")
    index.commit()

    compacted = index.fresh(index.image())

    assert (compacted.dead, compacted.passages) == (0, 4)
    assert sorted(words(compacted, "common")) == sorted(words(index, "common"))
    assert ids(compacted.search("", axis(6), selection=ALL, limit=1, lexical=False)) == ["s6"]


def test_a_fresh_index_takes_over_what_came_while_it_was_built() -> None:
    index = index_of(*((f"s{number}", f"word{number} common") for number in range(6)))
    index.replace(source("late"), [passage("late#1", "common latecomer")])
    image = index.image()

    index.remove("s0")
    index.replace(source("s1", 2), [passage("s1#2", "common rewritten", axis(6))])
    index.replace(source("new"), [passage("new#1", "common newcomer", axis(7))])
    index.replace(source("late"), [passage("late#1", "common latecomer", axis(0))])
    index.commit()
    fresh = index.fresh(image)
    fresh.overtake(image, index)

    assert sorted(words(fresh, "common")) == ["late", "new", "s1", "s2", "s3", "s4", "s5"]
    assert words(fresh, "rewritten") == ["s1"]
    assert fresh.without_vector == 0
    for place, expected in ((6, "s1"), (7, "new"), (0, "late")):
        found = fresh.search("", axis(place), selection=ALL, limit=1, lexical=False)
        assert ids(found) == [expected]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3), st.booleans()), max_size=12))
def test_many_at_once_are_one_after_the_other(steps: list[tuple[int, int, bool]]) -> None:
    loaded = [
        (
            source(f"s{number}", version),
            [passage(f"s{number}#{version}", "shared", axis(version) if known else None)],
        )
        for number, version, known in steps
    ]
    together, apart = GuildIndex(DIMENSION, fold_rows=3), GuildIndex(DIMENSION, fold_rows=3)

    together.replace_all(loaded)
    for one, passages in loaded:
        apart.replace(one, passages)
    together.commit()
    apart.commit()

    for place in range(1, 4):
        found = [
            sorted(ids(index.search("", axis(place), selection=ALL, limit=9, lexical=False)))
            for index in (together, apart)
        ]
        assert found[0] == found[1]
    assert sorted(words(together, "shared")) == sorted(words(apart, "shared"))
    assert together.without_vector == apart.without_vector
    assert together.dead == apart.dead


def test_what_is_added_beside_a_reader_does_not_change_what_it_reads() -> None:
    leg = DenseLeg(DIMENSION, fold_rows=2, compress_rows=1_000)
    leg.add([0, 1, 2], np.stack([axis(number) for number in range(3)]))

    image = leg.image()
    leg.add(range(3, 9), np.stack([axis(number) for number in range(3, 9)]))
    vectors, known = image.of([1, 2, 7])
    leg.add([9], axis(9)[None, :])

    assert np.array_equal(vectors[:2], np.stack([axis(1), axis(2)]))
    assert known.tolist() == [True, True, False]
    assert leg.search(axis(7), None, limit=1).slots.tolist() == [7]
    assert np.array_equal(leg.cosines([9, 20], axis(9)), [1.0, np.nan], equal_nan=True)


@pytest.mark.parametrize("text", ["", "  ", "the of and", "\x00", "\ud800", "🙂" * 500])
def test_a_query_without_terms_finds_nothing_and_breaks_nothing(text: str) -> None:
    index = index_of(("a", "disk full"))

    assert words(index, text.encode("utf-8", "replace").decode()) == []


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=30))
def test_the_index_holds_what_a_dictionary_would(steps: list[tuple[int, bool]]) -> None:
    index = GuildIndex(DIMENSION, fold_rows=3)
    present: dict[str, int] = {}

    for version, (number, put) in enumerate(steps, start=1):
        source_id = f"s{number}"
        if put:
            text = f"shared word{number}"
            index.replace(
                source(source_id, version), [passage(f"{source_id}#{version}", text, axis(number))]
            )
            present[source_id] = version
        else:
            index.remove(source_id)
            present.pop(source_id, None)
    index.commit()

    assert set(words(index, "shared")) == set(present)
    assert index.passages == len(present)
    assert index.without_vector == 0


_some = st.frozensets(st.sampled_from("abc"), max_size=2)
_sources = st.tuples(
    st.integers(0, 7),
    st.sampled_from(["document", "task"]),
    st.sampled_from("abc"),
    st.sampled_from("abc"),
    st.lists(st.sampled_from("abc"), max_size=3),
    st.sampled_from(["public", "protected"]),
    st.integers(0, 4),
)
_moments = st.none() | st.integers(0, 5).map(float)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(_sources, max_size=20),
    st.builds(
        Selection,
        types=st.frozensets(st.sampled_from(["document", "task"]), max_size=1),
        kinds=_some,
        statuses=_some,
        access=st.frozensets(st.sampled_from(["public", "protected"]), max_size=1),
        tags=_some,
        since=_moments,
        until=_moments,
        exclude=st.frozensets(st.sampled_from(["s1", "s2", "s99"]), max_size=2),
    ),
)
def test_a_filter_leaves_what_it_admits_and_nothing_else(
    steps: list[tuple[int, str, str, str, list[str], str, int]], selection: Selection
) -> None:
    index = GuildIndex(DIMENSION, fold_rows=3)
    present: dict[str, Source] = {}

    for version, (number, kind_of, kind, status, tags, access, at) in enumerate(steps, start=1):
        one = source(
            f"s{number}",
            version,
            type=kind_of,
            kind=kind,
            status=status,
            tags=tuple(tags),
            access=access,
            changed_at=float(at),
        )
        passages = [
            passage(f"{one.source_id}#{version}.{part}", "shared", axis(part)) for part in (0, 1)
        ]
        index.replace(one, passages)
        present[one.source_id] = one
    index.commit()

    by_meaning = ids(index.search("", axis(0), selection=selection, limit=99, lexical=False))
    by_words = ids(index.search("shared", None, selection=selection, limit=99))
    admitted = [one.source_id for one in present.values() if selection.admits(one)]
    assert sorted(by_meaning) == sorted(by_words) == sorted(2 * admitted)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 7), st.integers(0, 2**32 - 1))
def test_base_and_delta_together_are_exact(count: int, fold_rows: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(count, DIMENSION)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    alive = random.random(count) < 0.7
    leg = DenseLeg(DIMENSION, fold_rows=fold_rows, compress_rows=1_000)
    for slot in range(count):
        leg.add([slot], vectors[slot : slot + 1])

    found = leg.search(vectors[0], alive, limit=5)

    assert list(found.slots) == _brute_force(vectors, alive, 5)
    assert all(np.allclose(leg.vector(slot), vectors[slot]) for slot in range(count))  # type: ignore[arg-type]


@pytest.mark.parametrize("share", [1.0, 0.1, 0.01])
def test_a_compressed_base_loses_nothing_that_matters(share: float) -> None:
    random = np.random.default_rng(7)
    topics = random.normal(size=(60, 64))
    vectors = topics[random.integers(0, 60, 3_000)] + 0.7 * random.normal(size=(3_000, 64))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    alive = random.random(len(vectors)) < share
    leg = DenseLeg(64, fold_rows=256, compress_rows=512)
    for start in range(0, len(vectors), 100):
        leg.add(range(start, start + 100), vectors[start : start + 100])
    compression = leg.compression()
    assert compression is not None
    leg.compress(compression.build())

    queries = vectors[:20]
    hits = sum(
        len(
            set(leg.search(query, alive, limit=50).slots[:10])
            & set(_nearest(vectors, query, alive))
        )
        for query in queries
    )
    wanted = len(queries) * min(10, int(alive.sum()))
    scores = leg.search(queries[0], alive, limit=50)

    assert hits >= 0.98 * wanted
    assert np.allclose(scores.scores, vectors[scores.slots] @ queries[0], atol=1e-5)
    assert all(alive[scores.slots])
    assert np.array_equal(leg.vector(2_999), vectors[2_999])  # type: ignore[arg-type]
    assert np.array_equal(leg.vector(3), vectors[3])  # type: ignore[arg-type]


@pytest.mark.parametrize("share", [1.0, 0.99, 0.5])
def test_what_may_not_be_found_is_not_whether_it_has_a_code_or_waits_for_one(share: float) -> None:
    random = np.random.default_rng(11)
    vectors = random.normal(size=(700, 64)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    alive = random.random(len(vectors)) < share
    dead = [5, 650]
    alive[dead] = False
    leg = DenseLeg(64, fold_rows=256, compress_rows=512)
    leg.add(range(600), vectors[:600])
    compression = leg.compression()
    assert compression is not None
    leg.compress(compression.build())
    leg.add(range(600, 700), vectors[600:])

    found = [leg.search(vectors[slot], alive, limit=10).slots for slot in dead]

    assert leg.without_code == 100
    assert [len(slots) for slots in found] == [10, 10]
    assert all(alive[slots].all() for slots in found)


@pytest.mark.parametrize("dimension", [63, 64])
def test_codes_do_for_every_dimension(dimension: int) -> None:
    random = np.random.default_rng(3)
    vectors = random.normal(size=(600, dimension)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    leg = DenseLeg(dimension, fold_rows=256, compress_rows=512)
    leg.add(range(600), vectors)
    compression = leg.compression()
    assert compression is not None
    leg.compress(compression.build())

    found = leg.search(vectors[5], None, limit=3)

    assert found.slots[0] == 5
    assert found.scores[0] == pytest.approx(1.0)


def test_where_no_codes_could_be_made_it_stays_exact_and_tries_again_at_twice_the_size() -> None:
    vectors = np.stack([axis(number % DIMENSION) for number in range(24)])
    leg = DenseLeg(DIMENSION, fold_rows=4, compress_rows=8)
    leg.add(range(8), vectors[:8])
    assert leg.compression() is not None

    leg.compress(None)
    wanted = [leg.wants_codes]
    leg.add(range(8, 24), vectors[8:])
    wanted.append(leg.wants_codes)

    assert wanted == [False, True]
    assert leg.search(axis(2), None, limit=1).slots.tolist() == [2]


def test_where_codes_cannot_be_added_to_all_is_looked_at_and_codes_are_made_anew() -> None:
    class Full(Codes):
        """It has no room for more."""

        def add(self, vectors: Vector) -> None:
            raise MemoryError

    random = np.random.default_rng(3)
    vectors = random.normal(size=(600, DIMENSION)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index = GuildIndex(DIMENSION, fold_rows=256, compress_rows=256)
    texts = [passage(f"a#{number}", "one", vector) for number, vector in enumerate(vectors)]
    index.replace(source("a"), texts[:300])
    assert index.compression() is not None
    index.compress(Full(vectors[:300]))

    index.replace(source("b"), texts[300:])
    index.commit()

    assert index.without_vector == 0
    assert index.wants_codes
    assert ids(index.search("", vectors[599], selection=ALL, limit=1, lexical=False)) == ["b"]


def _nearest(
    vectors: Vector, query: Vector, alive: "np.ndarray[tuple[int], np.dtype[np.bool_]]"
) -> list[int]:
    found = np.flatnonzero(alive)
    best: list[int] = found[np.argsort(-(vectors[found] @ query))][:10].tolist()
    return best


def _brute_force(
    vectors: Vector, alive: "np.ndarray[tuple[int], np.dtype[np.bool_]]", limit: int
) -> list[int]:
    scores: Iterable[float] = vectors @ vectors[0]
    ranked = sorted(zip(scores, range(len(vectors)), strict=True), key=lambda one: -one[0])
    return [slot for _, slot in ranked if alive[slot]][:limit]


def test_what_cannot_be_indexed_by_its_words_is_not_there() -> None:
    index = index_of(("a", "one"))

    with pytest.raises(UnicodeEncodeError):
        index.replace(source("b"), [passage("b#1", "half a letter: \ud83d")])

    assert "b" not in index
    assert index.source_ids() == ["a"]
