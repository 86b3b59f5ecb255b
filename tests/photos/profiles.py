"""ICC profiles (ICC.1:2022), written byte by byte, and the colours that they stand for."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

D50 = (0.9642, 1.0, 0.8249)

PRIMARIES = {
    "sRGB": ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)),
    "Display P3": ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06)),
    "Adobe RGB": ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06)),
    "ProPhoto": ((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001)),
}
"""x and y of red, green and blue."""

GAMMA = {"Adobe RGB": 2.19921875, "ProPhoto": 1.8}
"""The others have the curve of sRGB."""

BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def matrix(space: str) -> NDArray[np.float64]:
    """Linear RGB to XYZ under D50."""
    x, y = np.array(PRIMARIES[space]).T
    columns = np.array([x / y, np.ones(3), (1 - x - y) / y])
    white = np.array(D50) if space == "ProPhoto" else np.array([0.3127 / 0.3290, 1, (1 - 0.3127 - 0.3290) / 0.3290])
    to_xyz = columns * np.linalg.solve(columns, white)
    adapted = np.diag(BRADFORD @ D50 / (BRADFORD @ white))
    return np.linalg.solve(BRADFORD, adapted @ BRADFORD) @ to_xyz


def linear(values: NDArray[np.float64], space: str) -> NDArray[np.float64]:
    if space in GAMMA:
        return values ** GAMMA[space]
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def in_srgb(pixels: NDArray[np.uint8], space: str) -> NDArray[np.float64]:
    """The same colours in sRGB, 0-255; those outside of it are clipped."""
    light = linear(pixels / 255, space) @ np.linalg.solve(matrix("sRGB"), matrix(space)).T
    light = light.clip(0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def profile(space: str, table: int = 0) -> bytes:
    """The profile of a space of RGB; its curve as a table of so many values, or as parameters."""
    steps = np.linspace(0, 1, table)
    if table:
        curve = struct.pack(">4s4xI", b"curv", table) + np.rint(65535 * linear(steps, space)).astype(">u2").tobytes()
    elif space in GAMMA:
        curve = struct.pack(">4s4xIH", b"curv", 1, round(256 * GAMMA[space]))
    else:
        numbers = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
        curve = struct.pack(">4s4xHxx5i", b"para", 3, *(round(65536 * number) for number in numbers))
    parts = {name: xyz(column) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), matrix(space).T, strict=True)}
    return written(b"mntr", b"RGB ", b"XYZ ", parts | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve))


def grey_profile(gamma: float) -> bytes:
    curve = struct.pack(">4s4xIH", b"curv", 1, round(256 * gamma))
    return written(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": curve, b"wtpt": xyz(D50)})


def printer_profile() -> bytes:
    """Of CMYK, whose cyan is red; the other inks are as black as black."""
    tables = bytes(range(256))
    grid = b""
    for inks in np.ndindex(2, 2, 2, 2):
        lab = (0, 128, 128) if any(inks[1:]) else (136, 208, 195) if inks[0] else (255, 128, 128)
        grid += bytes(lab)
    identity = struct.pack(">9i", *(65536 * (row == column) for row in range(3) for column in range(3)))
    lut = struct.pack(">4s4xBBBx", b"mft1", 4, 3, 2) + identity + 4 * tables + grid + 3 * tables
    return written(b"prtr", b"CMYK", b"Lab ", {b"A2B0": lut, b"wtpt": xyz(D50)})


def xyz(values: object) -> bytes:
    return struct.pack(">4s4x3i", b"XYZ ", *(round(65536 * value) for value in values))  # type: ignore[attr-defined]


def written(kind: bytes, space: bytes, pcs: bytes, parts: dict[bytes, bytes]) -> bytes:
    directory, body, start = struct.pack(">I", len(parts)), b"", 132 + 12 * len(parts)
    for name, part in parts.items():
        directory += struct.pack(">4sII", name, start + len(body), len(part))
        body += part.ljust(-(-len(part) // 4) * 4, b"\0")
    size = start + len(body)
    white = (round(65536 * value) for value in D50)
    head = struct.pack(">I4x4s4s4s4s12x4s28x3i48x", size, b"\2\x40\0\0", kind, space, pcs, b"acsp", *white)
    return head + directory + body
