"""One guild's index: what is found in it, by words and by meaning."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from actors.events import SourceType
from actors.index import fusion, names, skyband
from actors.index.codes import Codes, Mask
from actors.index.dense import Compression, DenseLeg
from actors.index.facets import Facets
from actors.index.fusion import Legs
from actors.index.image import Image
from actors.index.lexical import LexicalLeg, Ranking
from actors.index.passage import Passage, Selection, Source, Vector

Slots = npt.NDArray[np.int64]

_FIRST_CAPACITY = 256


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one leg placed a passage."""

    rank: int
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A passage that was found; ``score`` is 0 to 1 within one search."""

    source: Source
    passage: Passage
    score: float
    lexical: Standing | None
    dense: Standing | None


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """The best passages first, and the share of the dense leg in their scores."""

    found: tuple[Found, ...]
    dense_weight: float


@dataclass(frozen=True, slots=True, eq=False)
class Proposals:
    """What one shard has for a search whose scores are fused elsewhere, over all shards.

    Attributes:
        legs: of all its candidates.
        places: those of them, ascending, that can be among the best; see `skyband`.
        found: what stands at these places; it has no score yet.
    """

    legs: Legs
    places: Slots
    found: tuple[tuple[Source, Passage], ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Candidates:
    """What the legs propose: slots, ascending, and both legs' scores of them."""

    slots: Slots
    legs: Legs
    by_words: Ranking
    by_meaning: Ranking


@dataclass(frozen=True, slots=True)
class _Entry:
    source: Source
    slots: tuple[int, ...]


class GuildIndex:
    """Passages of one guild. Not thread-safe: one thread at a time.

    Changes are visible after `commit`, except that what was replaced or removed is gone at once.

    Args:
        dimension: of the vectors.
        candidates: passages that each leg proposes before they are fused.
        fold_rows: see `DenseLeg`.
        compress_rows: see `DenseLeg`.
    """

    def __init__(
        self,
        dimension: int,
        *,
        candidates: int = 200,
        fold_rows: int = 1024,
        compress_rows: int = 20_000,
    ) -> None:
        self._dimension = dimension
        self._candidates = candidates
        self._fold_rows = fold_rows
        self._compress_rows = compress_rows
        self._lexical = LexicalLeg()
        self._dense = DenseLeg(dimension, fold_rows=fold_rows, compress_rows=compress_rows)
        self._facets = Facets()
        self._entries: dict[str, _Entry] = {}
        self._named: dict[str, set[str]] = {}
        self._statuses: Counter[tuple[SourceType, str]] = Counter()
        self._passages: list[Passage] = []
        self._owners: list[str] = []
        self._alive: Mask = np.zeros(_FIRST_CAPACITY, dtype=np.bool_)
        self._living = 0
        self._embedded = 0

    # --- changing -----------------------------------------------------------------------------

    def replace(self, source: Source, passages: Sequence[Passage]) -> None:
        """Makes these the passages of a source; an older version than the present one is ignored.

        Where nothing but vectors came, only those are added.
        """
        self.replace_all([(source, passages)])

    def replace_all(self, loaded: Iterable[tuple[Source, Sequence[Passage]]]) -> None:
        """`replace` for each, in their order, at a fraction of the cost."""
        vectors: dict[int, Vector] = {}
        for source, passages in loaded:
            for slot, passage in self._place(source, passages):
                if passage.vector is not None and slot not in self._dense:
                    vectors[slot] = passage.vector
            if len(vectors) >= self._fold_rows:
                self._add_vectors(vectors)
                vectors.clear()
        self._add_vectors(vectors)

    def _add_vectors(self, vectors: Mapping[int, Vector]) -> None:
        slots = [slot for slot in vectors if self._alive[slot]]  # some may be replaced already
        if slots:
            self._dense.add(slots, np.stack([vectors[slot] for slot in slots]))
            self._embedded += len(slots)

    def _place(self, source: Source, passages: Sequence[Passage]) -> Iterable[tuple[int, Passage]]:
        """Where the passages are from now on; nothing where something newer is there."""
        entry = self._entries.get(source.source_id)
        if entry is not None:
            if source.version < entry.source.version:
                return ()
            if source == entry.source and self._same_passages(entry, passages):
                return zip(entry.slots, passages, strict=True)
            self.remove(source.source_id)
        slots = [self._new_slot(source.source_id, passage) for passage in passages]
        self._lexical.add(source, passages, slots)  # what fails here is not known to be there
        self._entries[source.source_id] = _Entry(source, tuple(slots))
        self._statuses[source.type, source.status] += 1
        for name in names.keys(source):
            self._named.setdefault(name, set()).add(source.source_id)
        self._facets.add(source, slots)
        return zip(slots, passages, strict=True)

    def remove(self, source_id: str) -> None:
        """Takes a source out; a repeat does nothing."""
        entry = self._entries.pop(source_id, None)
        if entry is None:
            return
        self._alive[list(entry.slots)] = False
        self._living -= len(entry.slots)
        place = entry.source.type, entry.source.status
        self._statuses[place] -= 1
        if not self._statuses[place]:
            del self._statuses[place]
        self._embedded -= sum(slot in self._dense for slot in entry.slots)
        for name in names.keys(entry.source):
            self._named[name].discard(source_id)
            if not self._named[name]:
                del self._named[name]
        self._lexical.remove(source_id)

    def commit(self) -> None:
        """Makes the changes visible to the next search."""
        self._lexical.commit()

    @property
    def wants_codes(self) -> bool:
        """See `DenseLeg.wants_codes`."""
        return self._dense.wants_codes

    def compression(self) -> Compression | None:
        """See `DenseLeg.compression`."""
        return self._dense.compression()

    def compress(self, codes: Codes | None) -> None:
        """See `DenseLeg.compress`."""
        self._dense.compress(codes)

    def compress_at_once(self) -> None:
        """Makes the codes that are wanted here and now: for an index that nobody asks yet."""
        compression = self.compression()
        if compression is None:
            return
        codes: Codes | None = None
        with suppress(MemoryError, RuntimeError):  # FAISS's; it stays exact
            codes = compression.build()
        self.compress(codes)

    def image(self) -> Image:
        """What it holds now, for another thread to read, whatever changes here."""
        return Image(
            [(entry.source, entry.slots) for entry in self._entries.values()],
            self._passages.copy(),
            self._dense.image(),
        )

    def fresh(self, image: Image) -> "GuildIndex":
        """A new index of what the image holds, without dead slots. May run in another thread."""
        made = GuildIndex(
            self._dimension,
            candidates=self._candidates,
            fold_rows=self._fold_rows,
            compress_rows=self._compress_rows,
        )
        made.replace_all(image.loaded())
        made.commit()
        made.compress_at_once()
        return made

    def overtake(self, image: Image, former: "GuildIndex") -> None:
        """Takes over what has changed in the former index since the image of it was made."""
        before = {source.source_id: slots for source, slots in image.sources}
        for source_id in before.keys() - former._entries.keys():
            self.remove(source_id)
        for source_id, entry in former._entries.items():
            unchanged = before.get(source_id) == entry.slots
            if unchanged and all(slot in self._dense for slot in self._entries[source_id].slots):
                continue
            self.replace(entry.source, [former._with_vector(slot) for slot in entry.slots])
        self.commit()

    def succeed(self, former: "GuildIndex") -> None:
        """Comes to know what the former index knows, in a model of its own.

        Rows may have been read that are ahead of the former index, and are kept; sources that it
        has lost are dropped; what it knew ahead of the rows is taken over without vectors.
        """
        for source_id in self._entries.keys() - former._entries.keys():
            self.remove(source_id)
        for source_id, entry in former._entries.items():
            mine = self._entries.get(source_id)
            if mine is None or mine.source.version < entry.source.version:
                self.replace(entry.source, [former._passages[slot] for slot in entry.slots])
        self.commit()

    # --- asking -------------------------------------------------------------------------------

    def __contains__(self, source_id: str) -> bool:
        return source_id in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def passages(self) -> int:
        """Passages that can be found."""
        return self._living

    @property
    def dead(self) -> int:
        """Slots of passages that were replaced or removed."""
        return len(self._passages) - self._living

    @property
    def without_vector(self) -> int:
        """Passages that only the lexical leg can find."""
        return self._living - self._embedded

    @property
    def compares(self) -> int:
        """Numbers of vectors that a search by meaning compares one by one, at most."""
        return self._dense.without_code * self._dimension

    def waiting(self) -> list[str]:
        """Ids of the sources with a passage that has no vector."""
        return [
            source_id
            for source_id, entry in self._entries.items()
            if not all(slot in self._dense for slot in entry.slots)
        ]

    def statuses(self, source_type: SourceType) -> frozenset[str]:
        """The statuses that sources of a type have."""
        return frozenset(status for kind, status in self._statuses if kind == source_type)

    def named(self, wanted: Iterable[str], selection: Selection) -> list[Source]:
        """The sources that have one of these names (`names.key`), by id."""
        found = {source_id for name in wanted for source_id in self._named.get(name, ())}
        sources = [self._entries[source_id].source for source_id in sorted(found)]
        return [source for source in sources if selection.admits(source)]

    def source(self, source_id: str) -> Source | None:
        """One source, or None."""
        entry = self._entries.get(source_id)
        return None if entry is None else entry.source

    def source_ids(self) -> list[str]:
        """The ids of all sources."""
        return list(self._entries)

    def passages_of(self, source_id: str) -> list[Passage]:
        """The passages of one source, in the order of its text."""
        entry = self._entries.get(source_id)
        return [] if entry is None else [self._passages[slot] for slot in entry.slots]

    def terms(self, text: str) -> list[str]:
        """The distinct terms of a text, as the lexical leg counts them."""
        return self._lexical.terms(text)

    def rarity(self, wanted: Sequence[str]) -> dict[str, float]:
        """How rare each term is in this guild: inverse document frequency."""
        return self._lexical.rarity(wanted)

    def search(
        self,
        text: str,
        vector: Vector | None,
        *,
        selection: Selection,
        limit: int,
        lexical: bool = True,
        dense_weight: float | None = None,
        bias: float = 0.0,
    ) -> Findings:
        """The best passages for a text.

        Args:
            text: what is asked.
            vector: its embedding; None leaves the dense leg out.
            selection: what may be found.
            limit: at most so many.
            lexical: False leaves the lexical leg out.
            dense_weight: share of the dense leg where both are asked; None: see
                `fusion.dense_weight`.
            bias: of that, see `share_of_dense`.
        """
        proposed = self._propose(text, vector, selection, limit, lexical)
        slots, by_words, by_meaning = proposed.slots, proposed.by_words, proposed.by_meaning
        weight = share_of_dense(proposed.legs, lexical, vector is not None, dense_weight, bias)
        scores = fusion.fuse(proposed.legs, weight)
        best = np.argsort(-scores, kind="stable")[:limit]
        words, meaning = _standings(by_words), _standings(by_meaning)
        found = tuple(
            Found(
                source=self._entries[self._owners[slot]].source,
                passage=self._passages[slot],
                score=score,
                lexical=words.get(slot),
                dense=meaning.get(slot),
            )
            for slot, score in zip(slots[best].tolist(), scores[best].tolist(), strict=True)
        )
        return Findings(found, weight)

    def propose(
        self,
        text: str,
        vector: Vector | None,
        *,
        selection: Selection,
        limit: int,
        lexical: bool = True,
    ) -> Proposals:
        """Like `search`, for a shard of many: the scores of all candidates, nothing fused."""
        proposed = self._propose(text, vector, selection, limit, lexical)
        places = skyband.contenders(proposed.legs, limit)
        found = tuple(
            (self._entries[self._owners[slot]].source, self._passages[slot])
            for slot in proposed.slots[places].tolist()
        )
        return Proposals(proposed.legs, places, found)

    # --- inside -------------------------------------------------------------------------------

    def _propose(
        self, text: str, vector: Vector | None, selection: Selection, limit: int, lexical: bool
    ) -> _Candidates:
        both = lexical and vector is not None
        candidates = max(limit, self._candidates) if both else limit
        by_words = self._by_words(text, selection, candidates) if lexical else _nothing()
        by_meaning = _nothing()
        if vector is not None:
            by_meaning = self._dense.search(vector, self._allowed(selection), candidates)
        slots = np.union1d(by_words.slots, by_meaning.slots)
        legs = Legs(
            lexical=_aligned(slots, by_words, missing=0.0),
            dense=self._cosines(slots, vector, by_meaning),
        )
        return _Candidates(slots, legs, by_words, by_meaning)

    def _by_words(self, text: str, selection: Selection, limit: int) -> Ranking:
        ranking = self._lexical.search(text, selection, limit)
        alive = self._alive[ranking.slots]  # a removal that is not committed yet holds as well
        return Ranking(ranking.slots[alive], ranking.scores[alive])

    def _allowed(self, selection: Selection) -> Mask | None:
        """By slot; None where everything may be found."""
        if selection.everything and self.dead == 0:
            return None
        allowed = self._facets.allowed(selection, self._alive)
        excluded = [self._entries[one] for one in selection.exclude if one in self._entries]
        if excluded:
            allowed = allowed.copy()
            for entry in excluded:
                allowed[list(entry.slots)] = False
        return allowed

    def _cosines(self, slots: Slots, vector: Vector | None, by_meaning: Ranking) -> Vector:
        """Cosines of all candidates, also of those that only the words have proposed."""
        cosines = _aligned(slots, by_meaning, missing=np.nan)
        if vector is not None:
            rest = np.isnan(cosines)
            cosines[rest] = self._dense.cosines(slots[rest].tolist(), vector)
        return cosines

    def _new_slot(self, source_id: str, passage: Passage) -> int:
        slot = len(self._passages)
        if slot == len(self._alive):
            self._alive = np.concatenate([self._alive, np.zeros_like(self._alive)])
        self._passages.append(passage.with_vector(None))  # the dense leg holds it
        self._owners.append(source_id)
        self._alive[slot] = True
        self._living += 1
        return slot

    def _same_passages(self, entry: _Entry, passages: Sequence[Passage]) -> bool:
        present = [self._passages[slot].chunk_id for slot in entry.slots]
        return present == [passage.chunk_id for passage in passages]

    def _with_vector(self, slot: int) -> Passage:
        return self._passages[slot].with_vector(self._dense.vector(slot))


def share_of_dense(
    legs: Legs, lexical: bool, dense: bool, wanted: float | None = None, bias: float = 0.0
) -> float:
    """The share of the dense leg in the scores of a search.

    Args:
        legs: of all candidates.
        lexical: whether the lexical leg was asked.
        dense: whether the dense leg was.
        wanted: where both were; None: see `fusion.dense_weight`.
        bias: what the guild has learnt, see `fusion.biased`; says nothing where ``wanted`` does.
    """
    if not (lexical and dense):
        return float(not lexical)
    if wanted is not None:
        return wanted
    return fusion.biased(fusion.dense_weight(legs.lexical), bias)


def _nothing() -> Ranking:
    return Ranking(np.empty(0, np.int64), np.empty(0, np.float32))


def _aligned(slots: Slots, ranking: Ranking, *, missing: float) -> Vector:
    """The ranking's scores in the order of ``slots``, which contain all of its slots."""
    scores = np.full(len(slots), missing, dtype=np.float32)
    scores[np.searchsorted(slots, ranking.slots)] = ranking.scores
    return scores


def _standings(ranking: Ranking) -> dict[int, Standing]:
    pairs = zip(ranking.slots.tolist(), ranking.scores.tolist(), strict=True)
    return {slot: Standing(rank, score) for rank, (slot, score) in enumerate(pairs, start=1)}
