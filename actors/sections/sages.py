"""Policies of the sages."""

from pydantic import Field

from actors.sections.base import Section


class IdentitySettings(Section):
    """Sign-in. A password check takes 64 MiB and every core it gets, so few run at once."""

    hash_concurrency: int = Field(default=2, ge=1, le=16)
    hash_queue: int = Field(default=8, ge=0, description="sign-ins waiting for their turn")
    hash_retry_after_s: float = Field(default=2.0, gt=0)
    account_failures: int = Field(
        default=5, ge=1, description="of one login within the window, before it is slowed down"
    )
    account_window_s: float = Field(default=900.0, gt=0, le=3_600)
    account_pause_s: float = Field(default=1.0, gt=0, description="the first; it doubles")
    account_pause_max_s: float = Field(default=30.0, gt=0)
    address_failures: int = Field(default=20, ge=1, description="of one address within the window")
    address_window_s: float = Field(default=60.0, gt=0, le=3_600)
    session_idle_s: float = Field(
        default=7 * 86_400.0, gt=0, description="a refresh token that is not used ends"
    )
    session_s: float = Field(
        default=30 * 86_400.0, gt=0, description="then a person signs in again, come what may"
    )
    code_s: float = Field(default=60.0, gt=0, le=600, description="life of an authorization code")
    revocation_kept_s: float = Field(
        default=3_900.0, gt=0, description="longer than any access token is good"
    )
    max_denied_tokens: int = Field(
        default=5_000, ge=1, description="of one guild at a time; each replica remembers them"
    )


class IncidentSettings(Section):
    """Policies of the Incident sage."""

    reopen_window_s: int = Field(default=600, ge=0)
    dossier_size: int = Field(default=5, ge=1, le=20)
    max_runbook_steps: int = Field(default=20, ge=1, le=100)
    alerts_in_event: int = Field(default=50, ge=1)
    timeline_limit: int = Field(default=500, ge=1, description="entries of a timeline or a review")
    escalate_critical_s: float = Field(default=300.0, gt=0, description="nobody acknowledged it")
    escalate_high_s: float = Field(default=900.0, gt=0)
    escalate_medium_s: float = Field(default=3600.0, gt=0, description="below medium: never")
    max_escalations: int = Field(default=3, ge=0, le=10)


class TaskSettings(Section):
    """Bounds of the Task sage."""

    max_tasks_per_event: int = Field(
        default=50, ge=1, le=200, description="made from one runbook or one review"
    )
    max_relations: int = Field(default=100, ge=1, le=1000, description="of one task")
    max_order_edges: int = Field(
        default=10_000, ge=1, description="followed when a ring is looked for"
    )


class KnowledgeSettings(Section):
    """Policies of the Knowledge sage."""

    max_categories: int = Field(default=500, ge=11, description="of one guild")
    restore_within_days: int = Field(default=90, ge=1, description="a deleted entity's way back")
