"""PNG and TIFF files of 16 bits, written byte by byte: Pillow writes few of them."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray


def png(samples: NDArray[np.uint16], colour: int, transparent: tuple[int, ...] = (), depth: int = 16) -> bytes:
    """A PNG; colour type 0 is grey, 2 RGB, 4 grey with alpha, 6 RGBA; one colour may be transparent."""
    height, width = samples.shape[:2]
    bits = np.unpackbits(samples.astype(">u2").reshape(height, -1, 1).view(np.uint8), axis=2)[..., -depth:]
    rows = b"".join(b"\0" + row.tobytes() for row in np.packbits(bits.reshape(height, -1), axis=1))
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))]
    if transparent:
        chunks.append((b"tRNS", struct.pack(f">{len(transparent)}H", *transparent)))
    chunks += [(b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    parts = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff(
    samples: NDArray[np.uint16],
    photometric: int,
    order: str = "<",
    planar: bool = False,
    packed: bool = False,
    **tags: int | tuple[int, ...],
) -> bytes:
    """A TIFF of 16 bits; photometric 0 is white-is-zero, 1 grey, 2 RGB, 5 CMYK; tags as `t339=2`."""
    height, width = samples.shape[:2]
    samples = samples.reshape(height, width, -1)
    bands = samples.shape[2]
    planes = np.moveaxis(samples, 2, 0) if planar else samples[None]
    data = [plane.astype(f"{order}u2").tobytes() for plane in planes]
    data = [zlib.compress(one) for one in data] if packed else data
    fields: dict[int, tuple[int, ...]] = {
        256: (width,),
        257: (height,),
        258: (16,) * bands,
        259: (8 if packed else 1,),
        262: (photometric,),
        277: (bands,),
        278: (height,),
        279: tuple(map(len, data)),
        284: (2 if planar else 1,),
    }
    fields |= {int(tag[1:]): value if isinstance(value, tuple) else (value,) for tag, value in tags.items()}
    after = 8 + 2 + 12 * (len(fields) + 1) + 4
    place = after + sum(4 * len(values) for values in fields.values() if len(values) > 1) + 4 * len(data)
    fields[273] = tuple(place + sum(map(len, data[:number])) for number in range(len(data)))
    directory, extra = struct.pack(f"{order}H", len(fields)), b""
    for tag in sorted(fields):
        values = struct.pack(f"{order}{len(fields[tag])}I", *fields[tag])
        directory += struct.pack(f"{order}HHI", tag, 4, len(fields[tag]))
        if len(values) > 4:
            directory, extra = directory + struct.pack(f"{order}I", after + len(extra)), extra + values
        else:
            directory += values
    extra = extra.ljust(place - after, b"\0")
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    return head + directory + bytes(4) + extra + b"".join(data)
