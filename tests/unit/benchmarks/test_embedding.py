"""The quality of an embedder is read from its vectors, made once."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import embedding
from tests.fixtures.labelled import write_data_set


def labelled(data: Path) -> embedding.Labelled:
    write_data_set(data / "retrieval" / "small")
    return embedding.load(data, "small")


def test_a_set_is_cut_into_passages_that_know_their_documents(tmp_path: Path) -> None:
    read = labelled(tmp_path)

    assert sorted(set(read.owners)) == ["bread", "disk", "long", "pool", "short"]
    assert len(read.owners) == len(read.passages)
    assert list(read.queries) == ["q1", "q2", "q3"]


def test_a_document_is_as_near_as_its_nearest_passage(tmp_path: Path) -> None:
    read = labelled(tmp_path)
    axes = np.eye(len(read.passages), dtype=np.float32)
    at = {owner: place for place, owner in enumerate(read.owners)}
    queries = np.stack([axes[at["disk"]], axes[at["long"]], axes[at["pool"]] - axes[at["bread"]]])

    found = embedding.ndcg(read, axes, queries)

    # The third one's answer is the last of five.
    assert found == pytest.approx((1 + 1 + 1 / np.log2(6)) / 3)


def test_vectors_of_other_texts_and_damaged_ones_are_made_anew(tmp_path: Path) -> None:
    file = tmp_path / "kept.npz"
    vectors = np.ones((1, 2), np.float32)
    np.savez(file, digest=np.array("digest"), vectors=vectors)

    kept, other = embedding.kept(file, "digest"), embedding.kept(file, "another")
    file.write_bytes(file.read_bytes()[:100])
    damaged = embedding.kept(file, "digest")

    assert kept is not None
    assert (kept == vectors).all()
    assert (other, damaged) == (None, None)
