"""The quality score, rule by rule."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.knowledge.domain.quality import THRESHOLD, quality
from tests.fixtures.knowledge_builders import new_entity

BARE = replace(new_entity(), content="x", category_id="")


@pytest.mark.parametrize(
    ("length", "score"),
    [(100, 0.0), (101, 0.1), (500, 0.1), (501, 0.2), (1000, 0.2), (1001, 0.3)],
)
def test_content_counts_above_100_500_and_1000_characters(length: int, score: float) -> None:
    assert quality(replace(BARE, content="x" * length)) == score


@pytest.mark.parametrize(("keys", "score"), [(2, 0.0), (3, 0.1), (5, 0.1), (6, 0.2)])
def test_metadata_counts_above_2_and_5_keys(keys: int, score: float) -> None:
    metadata = {str(index): index for index in range(keys)}

    assert quality(replace(BARE, metadata=metadata)) == score


@pytest.mark.parametrize(("tags", "score"), [(0, 0.0), (1, 0.1), (3, 0.1), (4, 0.2)])
def test_tags_count_above_0_and_3(tags: int, score: float) -> None:
    assert quality(replace(BARE, tags=tuple(str(index) for index in range(tags)))) == score


def test_category_references_and_relations_count_a_tenth_each() -> None:
    scores = [
        quality(replace(BARE, category_id="general")),
        quality(replace(BARE, source_references=("inc_1",))),
        quality(BARE, relations=7),
    ]

    assert scores == [0.1, 0.1, 0.1]


def test_an_entity_with_everything_scores_one() -> None:
    entity = replace(
        BARE,
        content="x" * 1001,
        metadata=dict.fromkeys("abcdef", 1),
        tags=tuple("abcd"),
        category_id="tools",
        source_references=("inc_1",),
    )

    assert quality(entity, relations=1) == 1.0
    assert quality(entity) >= THRESHOLD


@given(
    length=st.integers(0, 3000),
    keys=st.integers(0, 9),
    tags=st.integers(0, 10),
    relations=st.integers(0, 3),
)
def test_more_of_anything_never_lowers_the_score(
    length: int, keys: int, tags: int, relations: int
) -> None:
    entity = replace(
        BARE,
        content="x" * length,
        metadata={str(index): 1 for index in range(keys)},
        tags=tuple(str(index) for index in range(tags)),
    )
    richer = replace(entity, content=entity.content + "x", metadata={**entity.metadata, "more": 1})

    assert 0 <= quality(entity, relations) <= quality(richer, relations + 1) <= 1
