"""One answer out of those of all shards. Pure."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import numpy.typing as npt

from actors.events import Evidence
from actors.index import fusion, skyband
from actors.index.fusion import Legs
from actors.rag.messages import Hit, IndexStatus, LegScore, ShardEvidence, ShardHits
from actors.runtime.message import Position

Places = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """The candidates of all shards, as one index would have proposed them.

    Attributes:
        legs: what they are fused by.
        known: the same, and BM25 also of those that the lexical leg did not propose.
        places: of the candidates among those of all shards.
        found: what stands at these places, where it can be among the best.
        by_words: their rank in the lexical leg, by place.
        by_meaning: and in the dense leg.
    """

    legs: Legs
    known: Legs
    places: Places
    found: Mapping[int, Hit]
    by_words: Mapping[int, int]
    by_meaning: Mapping[int, int]

    def of(self, source_id: str) -> Places:
        """Where among the candidates a source's passages are that can be among the best."""
        mine = [
            (hit := self.found.get(place)) is not None and hit.id == source_id
            for place in self.places.tolist()
        ]
        return np.flatnonzero(mine)


def pooled(parts: Sequence[ShardHits], candidates: int) -> Pool:
    """The candidates of all shards.

    Args:
        parts: what each shard proposes; at least one.
        candidates: that each leg proposes; what the legs of all shards place behind that is left
            out, as in one index.
    """
    legs = Legs(
        lexical=np.concatenate([part.lexical for part in parts]),
        dense=np.concatenate([part.dense for part in parts]),
    )
    begins = np.cumsum([0, *(len(part.lexical) for part in parts)]).tolist()
    found = {
        begin + place: hit
        for begin, part in zip(begins, parts, strict=False)
        for place, hit in zip(part.places.tolist(), part.hits, strict=True)
    }
    by_words = _standings(legs.lexical > 0, (-legs.dense, -legs.lexical), candidates)
    by_meaning = _standings(~np.isnan(legs.dense), (-legs.lexical, -legs.dense), candidates)
    proposed = np.array(sorted(by_words.keys() | by_meaning.keys()), dtype=np.int64)
    known = Legs(lexical=legs.lexical[proposed], dense=legs.dense[proposed])
    spoken = np.array([place in by_words for place in proposed.tolist()], dtype=np.bool_)
    words = np.where(spoken, known.lexical, np.float32(0))  # the leg did not propose the others
    in_question = Legs(lexical=words, dense=known.dense)
    return Pool(in_question, known, proposed, found, by_words, by_meaning)


def hits(
    parts: Sequence[ShardHits],
    weigh: Callable[[Legs], float],
    limit: int,
    candidates: int,
) -> tuple[tuple[Hit, ...], float]:
    """The best of all shards, fused as one index would fuse them, and the weight of the dense leg.

    Args:
        parts: what each shard proposes, asked for the best ``limit``; at least one.
        weigh: share of the dense leg, from the scores of the candidates of all shards.
        limit: hits wanted.
        candidates: see `pooled`.
    """
    pool = pooled(parts, candidates)
    weight = weigh(pool.legs)
    scores = fusion.fuse(pool.legs, weight)
    best = skyband.order(pool.known, scores)[:limit]
    ranking = tuple(
        _scored(
            pool.found[place],
            float(score),
            lexical=_leg(pool.by_words, float(words), place),
            dense=_leg(pool.by_meaning, float(meaning), place),
        )
        for place, score, words, meaning in zip(
            pool.places[best].tolist(),
            scores[best],
            pool.known.lexical[best],
            pool.known.dense[best],
            strict=True,
        )
    )
    return ranking, weight


def rarity(parts: Iterable[ShardHits]) -> dict[str, float]:
    """How rare each term is over all shards: the mean of theirs, by their sizes."""
    total, weighed = 0, defaultdict[str, float](float)
    for part in parts:
        total += part.passages
        for term, value in part.rarity.items():
            weighed[term] += value * part.passages
    return {term: value / max(total, 1) for term, value in weighed.items()}


def evidence(parts: Sequence[ShardEvidence], limit: int) -> ShardEvidence:
    """The best lines of each kind; their scores are comparable, see `evidence`."""
    return ShardEvidence(
        similar=_lines((part.similar for part in parts), limit),
        runbooks=_lines((part.runbooks for part in parts), limit),
        open_work=_lines((part.open_work for part in parts), limit),
        stale=any(part.stale for part in parts),
    )


def status(parts: Sequence[IndexStatus], shards: int) -> IndexStatus:
    """All shards together: as far as the one that is furthest behind."""
    missing = shards - len(parts)
    ready = bool(parts) and all(part.state == "ready" for part in parts)
    return IndexStatus(
        state="ready" if ready else "initializing",
        position=least(part.position for part in parts),
        dense_position=least(part.dense_position for part in parts),
        sources=sum(part.sources for part in parts),
        passages=sum(part.passages for part in parts),
        dense_pending=sum(part.dense_pending for part in parts),
        shards=shards,
        partial=missing > 0,
        missing_shards=missing,
    )


def least(positions: Iterable[Position | None]) -> Position | None:
    """The lowest of them; None where one is not known, or there is none."""
    lowest: Position | None = None
    for position in positions:
        if position is None:
            return None
        lowest = position if lowest is None else min(lowest, position)
    return lowest


def _standings(
    within: npt.NDArray[np.bool_], keys: tuple[fusion.Scores, fusion.Scores], most: int
) -> Mapping[int, int]:
    """Rank, from 1, of the first ``most`` places that the leg knows."""
    places = np.flatnonzero(within)
    order = places[np.lexsort([key[places] for key in keys])][:most]
    return {place: rank for rank, place in enumerate(order.tolist(), start=1)}


def _leg(standings: Mapping[int, int], score: float, place: int) -> LegScore | None:
    rank = standings.get(place)
    return None if rank is None else LegScore(rank=rank, score=round(score, 4))


def _scored(hit: Hit, score: float, **legs: LegScore | None) -> Hit:
    known = {name: leg for name, leg in legs.items() if leg is not None}
    return replace(hit, score=round(score, 4), legs=known)


def _lines(parts: Iterable[Sequence[Evidence]], limit: int) -> tuple[Evidence, ...]:
    lines = sorted(chain.from_iterable(parts), key=lambda line: (-line.score, line.source_id))
    return tuple(lines[:limit])
