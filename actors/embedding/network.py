"""The network of all-MiniLM-L6-v2, built from the pinned weights with fused operators.

The pinned file holds 8-bit weights, but onnxruntime turns them into float32 when it loads it, and
runs attention and layer norms as dozens of small operators. The same weights are put here under
onnxruntime's fused operators, in one of two arithmetics.
"""

import re
from collections.abc import Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

from actors.embedding.graph import FUSED, Array, Graph
from actors.settings import Arithmetic

TOKENS, POSITIONS, VECTOR = "tokens", "positions", "vector"

_HEADS = 12
_LAYERS = 6
_EPSILON = 1e-12
_EMBEDDINGS = "inner.embeddings."
_PRODUCT = re.compile(r"val_(\d+)_q")
_PRODUCTS_OF_A_LAYER = 6

Floats = npt.NDArray[np.float32]


class _Product:
    """A matrix of the network: whole numbers, and one factor a column. Shape (in, out)."""

    def __init__(self, quantised: Array, factors: Array) -> None:
        self.quantised = quantised.astype(np.int8, copy=False)
        self.factors = factors.reshape(-1).astype(np.float32, copy=False)

    def floats(self) -> Floats:
        return self.quantised.astype(np.float32) * self.factors

    def beside(self, *others: "_Product") -> "_Product":
        """One matrix with the columns of all."""
        all_of_them = (self, *others)
        return _Product(
            np.concatenate([one.quantised for one in all_of_them], axis=1),
            np.concatenate([one.factors for one in all_of_them]),
        )


class _Multiply(Protocol):
    """One arithmetic: how a value is multiplied, and how attention is computed from it."""

    def product(self, graph: Graph, value: str, by: _Product) -> str: ...

    def attention(self, graph: Graph, value: str, by: _Product, bias: str) -> str: ...


class _Float32:
    def product(self, graph: Graph, value: str, by: _Product) -> str:
        return graph.node("MatMul", [value, graph.tensor(by.floats())])

    def attention(self, graph: Graph, value: str, by: _Product, bias: str) -> str:
        inputs = [value, graph.tensor(by.floats()), bias]
        return graph.node("Attention", inputs, domain=FUSED, num_heads=_HEADS)


class _Int8:
    """Whole numbers: 8 bits of a value, 7 of a weight.

    With the weights' eighth bit, processors without VNNI cut sums off, and two machines would make
    different vectors of one text.
    """

    def product(self, graph: Graph, value: str, by: _Product, bias: str = "") -> str:
        seven_bits = np.rint(by.quantised / 2).astype(np.int8)
        weights, factors = graph.tensor(seven_bits), graph.tensor(by.factors * np.float32(2))
        inputs = [value, weights, factors, "", bias] if bias else [value, weights, factors]
        return graph.node("DynamicQuantizeMatMul", inputs, domain=FUSED)

    def attention(self, graph: Graph, value: str, by: _Product, bias: str) -> str:
        parts = graph.thirds(self.product(graph, value, by, bias))
        return graph.node("MultiHeadAttention", parts, domain=FUSED, num_heads=_HEADS)


def build(weights: Mapping[str, Array], arithmetic: Arithmetic) -> bytes:
    """The ONNX file of a network that makes one text's unit vector.

    Its inputs are ``tokens`` of shape (1, tokens) and ``positions`` of shape (tokens), 0 to
    tokens - 1, both int64; its output ``vector`` is of shape (1, 384), float32.

    Args:
        weights: of the pinned file, by name.
        arithmetic: of the products.
    """
    exact = _Float32()
    multiply: _Multiply = _Int8() if arithmetic is Arithmetic.INT8 else exact
    graph = Graph()
    value = _embedded(graph, weights)
    products = _products(weights)
    for number in range(_LAYERS):
        query, key, values, out, wide, narrow = products[number]
        layer = _Layer(graph, weights, f"inner.encoder.layer.{number}.")
        bias = layer.biases("attention.self.query", "attention.self.key", "attention.self.value")
        seen = multiply.attention(graph, value, query.beside(key, values), bias)
        value = layer.normed(multiply.product(graph, seen, out), value, "attention.output")
        widened = multiply.product(graph, value, wide)
        bent = graph.node("BiasGelu", [widened, layer.biases("intermediate.dense")], domain=FUSED)
        # Always in float32: one of these 1,536 numbers is five times as large as the others, and in
        # whole numbers their common scale would leave little of the rest.
        value = layer.normed(exact.product(graph, bent, narrow), value, "output")
    mean = graph.node("ReduceMean", [value], axes=[1], keepdims=0)
    graph.node("LpNormalization", [mean], output=VECTOR, axis=1, p=2)
    return graph.model({TOKENS: (1, "tokens"), POSITIONS: ("tokens",)}, VECTOR)


class _Layer:
    """The small weights of one layer."""

    def __init__(self, graph: Graph, weights: Mapping[str, Array], prefix: str) -> None:
        self._graph = graph
        self._weights = weights
        self._prefix = prefix

    def biases(self, *names: str) -> str:
        return self._graph.tensor(
            np.concatenate([self._weights[f"{self._prefix}{name}.bias"] for name in names])
        )

    def normed(self, value: str, before: str, name: str) -> str:
        """The layer norm of ``value`` with its bias, and what came ``before``."""
        norm = f"{self._prefix}{name}.LayerNorm."
        scale = self._graph.tensor(self._weights[norm + "weight"])
        shift = self._graph.tensor(self._weights[norm + "bias"])
        inputs = [value, before, scale, shift, self.biases(f"{name}.dense")]
        return self._graph.node("SkipLayerNormalization", inputs, domain=FUSED, epsilon=_EPSILON)


def _embedded(graph: Graph, weights: Mapping[str, Array]) -> str:
    """Sum of word, place and type of every token, normed. The big table stays in 8 bits."""
    words = weights[_EMBEDDINGS + "word_embeddings.weight_q"]
    factors = weights[_EMBEDDINGS + "word_embeddings.weight_scale"]
    places = weights[_EMBEDDINGS + "position_embeddings.weight_q"].astype(np.float32)
    places *= weights[_EMBEDDINGS + "position_embeddings.weight_scale"]
    places += weights[_EMBEDDINGS + "token_type_embeddings.weight"][0]
    found = graph.node("Cast", [graph.node("Gather", [graph.tensor(words), TOKENS])], to=1)
    factor = graph.node("Gather", [graph.tensor(factors), TOKENS])
    word = graph.node("Mul", [found, factor])
    place = graph.node("Gather", [graph.tensor(places), POSITIONS])
    norm = [graph.tensor(weights[f"{_EMBEDDINGS}LayerNorm.{name}"]) for name in ("weight", "bias")]
    total = graph.node("Add", [word, place])
    return graph.node("LayerNormalization", [total, *norm], axis=2, epsilon=_EPSILON)


def _products(weights: Mapping[str, Array]) -> list[list[_Product]]:
    """Query, key, value, out, wide and narrow of every layer: the file numbers them in order."""
    numbers = sorted(int(found[1]) for name in weights if (found := _PRODUCT.fullmatch(name)))
    products = [
        _Product(weights[f"val_{number}_q"], weights[f"val_{number}_scale"]) for number in numbers
    ]
    return [
        products[start : start + _PRODUCTS_OF_A_LAYER]
        for start in range(0, len(products), _PRODUCTS_OF_A_LAYER)
    ]
