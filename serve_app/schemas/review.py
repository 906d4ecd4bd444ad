"""Post-incident reviews over HTTP."""

from pydantic import ConfigDict, Field

from actors.events import Priority, ReviewAction
from actors.incident.messages import EditReview, IncidentId, ReviewStatus
from serve_app.call import Origin
from serve_app.schemas.common import Person, example
from serve_app.strict import Line, Moment, Shown, Strict, Text, View


class TimelineEntryView(View):
    """One event, as a person reads it."""

    event_id: str
    at: Shown
    kind: str
    subject_id: str
    who: str
    text: str


class ReviewActionIn(Strict):
    """Something to do so that it does not happen again."""

    title: Line = Field(max_length=200)
    owner: Person | None = None
    due_at: Moment | None = None

    def to_action(self) -> ReviewAction:
        """The action."""
        return ReviewAction(title=self.title, owner=self.owner, due_at=self.due_at)


class ReviewPatch(Strict):
    """Sections of a draft to write; what is absent or null stays."""

    title: Line | None = Field(default=None, max_length=300)
    summary: Text | None = Field(default=None, max_length=20_000)
    impact: Text | None = Field(default=None, max_length=20_000)
    root_cause: Text | None = Field(default=None, max_length=20_000)
    resolution: Text | None = Field(default=None, max_length=20_000)
    lessons: Text | None = Field(default=None, max_length=20_000)
    actions: tuple[ReviewActionIn, ...] | None = Field(default=None, max_length=50)

    model_config = ConfigDict(
        json_schema_extra=example(
            lessons="Alert on the volume's growth, not only on its fill level.",
            actions=[{"title": "Add a growth alert", "due_at": "2026-04-01T12:00:00Z"}],
        )
    )

    def to_message(self, origin: Origin, incident_id: IncidentId, version: int) -> EditReview:
        """The command; ``version`` is the review's."""
        actions = self.actions
        return EditReview(
            **origin,
            incident_id=incident_id,
            expected_version=version,
            title=self.title,
            summary=self.summary,
            impact=self.impact,
            root_cause=self.root_cause,
            resolution=self.resolution,
            lessons=self.lessons,
            actions=None if actions is None else tuple(one.to_action() for one in actions),
        )


class ReviewActionView(View):
    """Something to do."""

    title: str
    owner: str | None
    due_at: Shown | None


class ReviewView(View):
    """A post-incident review, draft or final."""

    review_id: str
    incident_id: str
    correlation_id: str
    priority: Priority
    status: ReviewStatus
    version: int
    title: str
    summary: str
    impact: str
    timeline: tuple[TimelineEntryView, ...]
    root_cause: str
    resolution: str
    lessons: str
    actions: tuple[ReviewActionView, ...]
    edited: tuple[str, ...]
    author_id: str | None
    published_at: Shown | None
    created_at: Shown
    updated_at: Shown
    updated_by: str
