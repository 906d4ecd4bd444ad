"""An ONNX network under construction, and the weights of one that exists."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from actors.embedding import wire

Array = npt.NDArray[np.float32] | npt.NDArray[np.int8] | npt.NDArray[np.int64]

FUSED = "com.microsoft"
"""Domain of onnxruntime's own operators."""

_OPSETS = {"": 17, FUSED: 1}
_IR_VERSION = 8
_TYPES: dict[np.dtype[Any], int] = {
    np.dtype(np.float32): 1,
    np.dtype(np.int8): 3,
    np.dtype(np.int64): 7,
}
_DTYPES: dict[int, np.dtype[Any]] = {number: dtype for dtype, number in _TYPES.items()}
_FLOAT, _INT, _INTS = 1, 2, 7  # AttributeProto.type


class Graph:
    """Collects operators and weights. A name of a value is made here, once."""

    def __init__(self) -> None:
        self._nodes: list[bytes] = []
        self._tensors: list[bytes] = []
        self._made = 0

    def tensor(self, values: Array) -> str:
        """Adds weights; returns their name."""
        name = self._name()
        shape = b"".join(wire.number(1, size) for size in values.shape)
        kind = wire.number(2, _TYPES[values.dtype])
        raw = wire.block(9, np.ascontiguousarray(values).tobytes())
        self._tensors.append(wire.block(5, shape + kind + wire.text(8, name) + raw))
        return name

    def node(
        self,
        operator: str,
        inputs: Sequence[str],
        *,
        domain: str = "",
        output: str | None = None,
        **attributes: int | float | Sequence[int],
    ) -> str:
        """Adds an operator with one output; returns the output's name.

        Args:
            operator: as ONNX or onnxruntime names it.
            inputs: names; empty for one that is left out.
            domain: whose operator it is.
            output: its name, if somebody outside asks for it.
            attributes: the operator's own.
        """
        [name] = self._node(operator, inputs, [output or self._name()], domain, attributes)
        return name

    def thirds(self, value: str) -> Sequence[str]:
        """Cuts the last of three axes into three equal parts."""
        return self._node("Split", [value], [self._name() for _ in range(3)], "", {"axis": 2})

    def model(self, inputs: Mapping[str, Sequence[int | str]], output: str) -> bytes:
        """The file: ``inputs`` are int64, by name with their shapes; the output is float32."""
        given = b"".join(
            wire.block(11, _value(name, np.dtype(np.int64), shape))
            for name, shape in inputs.items()
        )
        made = wire.block(12, _value(output, np.dtype(np.float32), None))
        graph = b"".join([*self._nodes, wire.text(2, "network"), *self._tensors, given, made])
        opsets = b"".join(
            wire.block(8, wire.text(1, domain) + wire.number(2, version))
            for domain, version in _OPSETS.items()
        )
        return wire.number(1, _IR_VERSION) + opsets + wire.block(7, graph)

    def _node(
        self,
        operator: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        domain: str,
        attributes: Mapping[str, int | float | Sequence[int]],
    ) -> Sequence[str]:
        body = b"".join(wire.text(1, name) for name in inputs)
        body += b"".join(wire.text(2, name) for name in outputs)
        body += wire.text(4, operator) + wire.text(7, domain)
        body += b"".join(_attribute(name, value) for name, value in attributes.items())
        self._nodes.append(wire.block(1, body))
        return outputs

    def _name(self) -> str:
        self._made += 1
        return f"v{self._made}"


def weights(model: bytes) -> dict[str, Array]:
    """The weights of an ONNX file by name: float32, int8 and int64; others are left out.

    Arrays are views of ``model``.
    """
    found: dict[str, Array] = {}
    for number, graph in wire.fields(memoryview(model)):
        if number != 7 or isinstance(graph, int):
            continue
        for field, tensor in wire.fields(graph):
            if field == 5 and not isinstance(tensor, int):
                found |= _array(tensor)
    return found


def _array(tensor: memoryview) -> dict[str, Array]:
    shape: list[int] = []
    name, kind, raw = "", 0, memoryview(b"")
    for number, value in wire.fields(tensor):
        match number, value:
            case 1, int():
                shape.append(value)
            case 2, int():
                kind = value
            case 8, memoryview():
                name = bytes(value).decode()
            case 9, memoryview():
                raw = value
    if kind not in _DTYPES:
        return {}
    return {name: np.frombuffer(raw, _DTYPES[kind]).reshape(shape)}


def _attribute(name: str, value: int | float | Sequence[int]) -> bytes:
    match value:
        case int():
            body = wire.number(3, value) + wire.number(20, _INT)
        case float():
            body = wire.real(2, value) + wire.number(20, _FLOAT)
        case _:
            body = b"".join(wire.number(8, one) for one in value) + wire.number(20, _INTS)
    return wire.block(5, wire.text(1, name) + body)


def _value(name: str, dtype: np.dtype[Any], shape: Sequence[int | str] | None) -> bytes:
    tensor = wire.number(1, _TYPES[dtype])
    if shape is not None:
        sizes = (
            wire.number(1, size) if isinstance(size, int) else wire.text(2, size) for size in shape
        )
        tensor += wire.block(2, b"".join(wire.block(1, size) for size in sizes))
    return wire.text(1, name) + wire.block(2, wire.block(1, tensor))
