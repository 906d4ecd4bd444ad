"""The quality score: how complete an entity is, never how true."""

from actors.knowledge.messages import Entity

THRESHOLD = 0.7
"""From here on an entity counts as good knowledge."""

_CONTENT = ((1000, 3), (500, 2), (100, 1))
_METADATA = ((5, 2), (2, 1))
_TAGS = ((3, 2), (0, 1))


def quality(entity: Entity, relations: int = 0) -> float:
    """A score from 0 to 1, in tenths.

    Args:
        entity: what is scored; its own ``quality_score`` does not count.
        relations: how many other entities it is related to.
    """
    tenths = (
        _points(len(entity.content), _CONTENT)
        + _points(len(entity.metadata), _METADATA)
        + _points(len(entity.tags), _TAGS)
        + bool(entity.category_id)
        + bool(entity.source_references)
        + bool(relations)
    )
    return tenths / 10


def _points(amount: int, scale: tuple[tuple[int, int], ...]) -> int:
    return next((points for above, points in scale if amount > above), 0)
