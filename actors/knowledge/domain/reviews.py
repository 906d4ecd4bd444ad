"""What a published review becomes: one entity, and a new version of it when published again."""

from dataclasses import replace
from datetime import datetime

from actors import checks
from actors.clock import derived_id
from actors.events import ReviewPublished, StoredEvent
from actors.knowledge.domain.entities import (
    SUMMARY_MAX,
    TITLE_MAX,
    Change,
    checked,
    first,
    following,
)
from actors.knowledge.messages import AccessLevel, Entity, EntityId, EntityStatus

IDENTITY = "sage.knowledge"
"""On whose behalf the sage acts when an event, and not a person, makes it act."""

CATEGORY = "troubleshooting"


def publish(
    event: StoredEvent, review: ReviewPublished, existing: Entity | None, now: datetime
) -> Change:
    """The review as knowledge: active at once, written by its author.

    Args:
        event: that brought it; its time and the review's id make the entity's id.
        review: what was published.
        existing: the entity of an earlier publication. One that was deleted since stays so.
        now: clock.
    """
    if existing is None:
        return first(checked(_entity(event, review, now)))
    if existing.status is EntityStatus.DELETED:
        return Change(entity=existing)
    rewritten = replace(
        existing,
        title=_clipped(review.title, TITLE_MAX),
        content=_content(review),
        summary=_clipped(review.summary, SUMMARY_MAX),
        tags=_tags(review),
        labels=dict(review.labels),
        alert_names=review.alert_names[: checks.MAX_REFERENCES],
    )
    return following(existing, checked(rewritten), now, IDENTITY)


def _entity(event: StoredEvent, review: ReviewPublished, now: datetime) -> Entity:
    return Entity(
        entity_id=EntityId(derived_id("know", event.occurred_at, review.review_id)),
        title=_clipped(review.title, TITLE_MAX),
        content=_content(review),
        content_type="text/markdown",
        summary=_clipped(review.summary, SUMMARY_MAX),
        category_id=CATEGORY,
        status=EntityStatus.ACTIVE,
        access_level=AccessLevel.PROTECTED,
        tags=_tags(review),
        keywords=(),
        source_references=(review.incident_id, review.review_id),
        labels=dict(review.labels),
        alert_names=review.alert_names[: checks.MAX_REFERENCES],
        metadata={"severity": review.severity},
        quality_score=0.0,
        relevance_score=0.5,
        confidence_score=0.5,
        origin_id=review.review_id,
        author_id=review.author_id,
        owner_id=review.author_id,
        version=1,
        created_at=now,
        created_by=IDENTITY,
        updated_at=now,
        updated_by=IDENTITY,
        deleted_at=None,
    )


def _content(review: ReviewPublished) -> str:
    """Never blank: a review that says nothing more still has its summary or its title."""
    texts = (review.content, review.summary, review.title)
    return next((text for text in texts if text.strip()), review.review_id)


def _tags(review: ReviewPublished) -> tuple[str, ...]:
    named = (tag.strip() for tag in review.tags)
    return tuple(dict.fromkeys(tag for tag in named if tag))[: checks.MAX_TAGS]


def _clipped(value: str, longest: int) -> str:
    stripped = value.strip()
    return stripped if len(stripped) <= longest else stripped[: longest - 1].rstrip() + "…"
