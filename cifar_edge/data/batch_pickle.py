"""A batch of CIFAR-10's *python version*, read without running anything that its pickle asks for.

Python's unpickler calls what a pickle names, and NumPy's own constructors believe what they are given: eight bytes of
a file can become a pointer. Here a small machine of our own reads the opcodes, builds dictionaries, lists, text, bytes
and numbers, and notes what is said of an array.
"""

from __future__ import annotations

import io
import pickletools
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_OPCODES = 1_000_000  # an official batch has 60,000

ARRAY_OF = {(module, "_reconstruct"): "array" for module in ("numpy.core.multiarray", "numpy._core.multiarray")} | {
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
}
"""The names that an array's pickle needs, and what stands for them here."""

CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
NUMBERS = ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT")
TEXTS = ("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8")
BYTES = ("BINBYTES", "SHORT_BINBYTES", "BINBYTES8")
STRINGS = ("STRING", "BINSTRING", "SHORT_BINSTRING")  # of Python 2: bytes
TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
PUTS, GETS = ("PUT", "BINPUT", "LONG_BINPUT"), ("GET", "BINGET", "LONG_BINGET")

MARK = object()
NAME = "name"  # of a thing noted that has not been called yet


def read_batch(content: bytes) -> tuple[NDArray[np.uint8], bytes]:
    """Return a batch's pixels, uint8 (N, 3072), three planes of 1,024 an image, and its labels, a byte each.

    Args:
        content: of the file.

    Raises:
        ValueError: it is no such pickle; the message says what it has instead.
    """
    try:
        return _fields(_Machine().run(content))
    except (IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"no pickle of a batch ({type(error).__name__})") from error


def _fields(batch: Any) -> tuple[NDArray[np.uint8], bytes]:
    if not isinstance(batch, dict):
        raise ValueError("no dictionary")
    fields = {key.encode() if isinstance(key, str) else key: value for key, value in batch.items()}
    images, labels = fields.get(b"data"), fields.get(b"labels")
    if not isinstance(images, _Noted) or not isinstance(labels, list):
        raise ValueError("no array of data with a list of labels")
    if not all(type(label) is int and 0 <= label < 256 for label in labels):
        raise ValueError("labels that are no small numbers")
    pixels = images.array()
    if pixels.shape != (len(labels), 3072):
        raise ValueError(f"{len(labels)} labels for data of the shape {pixels.shape}")
    return pixels, bytes(labels)


class _Noted:
    """What a pickle says of an array or of its dtype: the name, the arguments and the state."""

    def __init__(self, name: str, arguments: Any) -> None:
        self.name, self.arguments, self.state = name, arguments, ()

    def array(self) -> NDArray[np.uint8]:
        """Return the array of bytes that was noted; raise `ValueError` if it is another."""
        if self.name != "array" or not isinstance(self.state, tuple) or len(self.state) != 5:
            raise ValueError("no array")
        _, shape, dtype, fortran, content = self.state
        is_u1 = isinstance(dtype, _Noted) and dtype.name == "dtype" and dtype.arguments[:1] in (("u1",), (b"u1",))
        if not is_u1 or fortran is not False or not isinstance(content, bytes):
            raise ValueError("an array that is not of bytes in C order")
        if not isinstance(shape, tuple) or not all(type(side) is int and 0 <= side < 1 << 31 for side in shape):
            raise ValueError("an array without a shape")
        return np.frombuffer(content, np.uint8).reshape(shape)


class _Machine:
    """Runs the opcodes of a pickle that build plain objects (pickletools documents each)."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, content: bytes) -> Any:
        """Return what the pickle builds."""
        for number, (opcode, argument, _) in enumerate(pickletools.genops(io.BytesIO(content))):
            if opcode.name == "STOP":
                return self.stack.pop()
            if number >= MOST_OPCODES:
                break
            self.step(opcode.name, argument)
        raise ValueError(f"more than {MOST_OPCODES:,} steps")

    def step(self, name: str, argument: Any) -> None:
        """Run one opcode."""
        stack = self.stack
        if name in NUMBERS or name in TEXTS or name in BYTES:
            stack.append(argument)
        elif name in STRINGS:
            stack.append(argument.encode("latin-1"))
        elif name in CONSTANTS:
            stack.append(CONSTANTS[name])
        elif name in TUPLES:
            stack.append(tuple(self._pop(TUPLES[name])))
        elif name in PUTS:
            self.memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif name in GETS:
            stack.append(self.memo[argument])
        elif name == "MARK":
            stack.append(MARK)
        elif name == "POP":
            stack.pop()
        elif name not in ("PROTO", "FRAME"):
            self._build(name, argument)

    def _build(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in ("EMPTY_LIST", "EMPTY_DICT"):
            stack.append([] if name == "EMPTY_LIST" else {})
        elif name in ("LIST", "TUPLE"):
            stack.append((list if name == "LIST" else tuple)(self._pop_to_mark()))
        elif name == "DICT":
            stack.append(_filled({}, self._pop_to_mark()))
        elif name in ("APPEND", "APPENDS"):
            values = self._pop(1) if name == "APPEND" else self._pop_to_mark()
            list.extend(stack[-1], values)
        elif name in ("SETITEM", "SETITEMS"):
            values = self._pop(2) if name == "SETITEM" else self._pop_to_mark()
            _filled(stack[-1], values)
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            module, attribute = argument.split(" ", 1) if name == "GLOBAL" else self._pop(2)
            stack.append(_standing_for(module, attribute))
        elif name == "REDUCE":
            function, arguments = self._pop(2)
            if function.name != NAME:
                raise ValueError("a call of something other than NumPy's array or dtype")
            stack.append(_Noted(function.arguments, arguments))
        elif name == "BUILD":
            (state,) = self._pop(1)
            if not isinstance(stack[-1], _Noted):
                raise ValueError("a state for something other than an array")
            stack[-1].state = state
        else:
            raise ValueError(f"the step {name}, which a batch of images does not need")

    def _pop(self, count: int) -> list[Any]:
        values = self.stack[len(self.stack) - count :]
        if len(values) < count or MARK in values:
            raise ValueError("fewer values than it takes")
        del self.stack[len(self.stack) - count :]
        return values

    def _pop_to_mark(self) -> list[Any]:
        values: list[Any] = []
        while (value := self.stack.pop()) is not MARK:
            values.append(value)
        return values[::-1]


def _filled(items: Any, values: list[Any]) -> dict[Any, Any]:
    if not isinstance(items, dict) or not all(isinstance(key, str | bytes) for key in values[::2]):
        raise ValueError("a dictionary whose keys are no names")
    items.update(zip(values[::2], values[1::2], strict=True))
    return items


def _standing_for(module: Any, attribute: Any) -> _Noted:
    if not isinstance(module, str) or not isinstance(attribute, str) or (module, attribute) not in ARRAY_OF:
        raise ValueError(f"it asks for {module}.{attribute}, which a batch of images does not need")
    return _Noted(NAME, ARRAY_OF[module, attribute])
