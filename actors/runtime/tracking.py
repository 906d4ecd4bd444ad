"""Pure: from the answers and the silence of a member to its phase, and to its right to restart."""

from dataclasses import dataclass, replace

from actors.runtime.envelope import Snapshot
from actors.runtime.supervision import Phase
from actors.settings import RuntimeSettings


@dataclass(frozen=True, slots=True)
class Track:
    """What was heard of one member. Times are on the supervisor's monotonic clock.

    Attributes:
        pending_since: since when it has not answered although nothing says that it hangs.
        heard_at: when it last answered.
        misses: questions in a row that it left unanswered after it had answered before.
        snapshot: its latest answer; None until the first since it was created or restarted.
        draining_since: since when it drains.
        restarts: processes it has had before this one.
    """

    pending_since: float
    heard_at: float = 0.0
    misses: int = 0
    snapshot: Snapshot | None = None
    draining_since: float | None = None
    restarts: int = 0


def after_answer(track: Track, snapshot: Snapshot, now: float) -> Track:
    """It answered. A member found draining goes on draining."""
    since = track.draining_since
    if snapshot.draining and since is None:
        since = now
    return replace(track, heard_at=now, misses=0, snapshot=snapshot, draining_since=since)


def after_silence(track: Track) -> Track:
    """It let a question time out."""
    return replace(track, misses=track.misses + 1)


def after_death(track: Track, now: float) -> Track:
    """Its process is gone and Ray is starting another."""
    if track.snapshot is None:
        return track
    return replace(track, pending_since=now, misses=0, snapshot=None, restarts=track.restarts + 1)


def phase(track: Track, now: float, settings: RuntimeSettings) -> Phase:
    """What the member is now."""
    if track.draining_since is not None:
        return _drain_phase(track, track.draining_since, now, settings)
    if track.snapshot is None:
        waited_s = now - track.pending_since
        return Phase.UNPLACED if waited_s > settings.placement_timeout_s else Phase.PENDING
    if not track.snapshot.ready:  # it may be loading a model or an index: patience
        silent_s = now - track.heard_at
        return Phase.HUNG if silent_s > settings.placement_timeout_s else Phase.OPENING
    return Phase.HUNG if track.misses >= settings.health_misses else Phase.READY


def _drain_phase(track: Track, since: float, now: float, settings: RuntimeSettings) -> Phase:
    heard = track.snapshot
    empty = heard is not None and heard.draining and heard.unfinished == 0
    dead = heard is None or track.misses >= settings.health_misses
    late = now - since > settings.drain_timeout_s
    return Phase.DRAINED if empty or dead or late else Phase.DRAINING


@dataclass(frozen=True, slots=True)
class Restarts:
    """How often one member was started again lately.

    Attributes:
        times: of the restarts within the window.
        resting_until: end of its quarantine.
        rests: quarantines in a row; each doubles the next.
    """

    times: tuple[float, ...] = ()
    resting_until: float = 0.0
    rests: int = 0

    def resting(self, now: float) -> bool:
        """Whether it must not be started now."""
        return now < self.resting_until


def after_restart(history: Restarts, now: float, settings: RuntimeSettings) -> Restarts:
    """Counts a restart. Too many within the window end in a quarantine."""
    window_s = settings.restart_window_s
    recent = (*(time for time in history.times if now - time < window_s), now)
    if len(recent) <= settings.restarts_allowed:
        calm = now - history.resting_until > window_s
        return Restarts(recent, history.resting_until, 0 if calm else history.rests)
    rest_s = min(settings.quarantine_s * 2.0 ** min(history.rests, 30), settings.quarantine_max_s)
    return Restarts((), now + rest_s, history.rests + 1)
