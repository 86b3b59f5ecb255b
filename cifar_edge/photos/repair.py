"""What is damaged beside the pixels does not cost a photo: the file again, with nothing but the picture in it.

What says how the picture is to be shown stays, if it is intact: its orientation and its colour profile.
"""

from __future__ import annotations

import contextlib
import struct
import zlib

from PIL.PngImagePlugin import MAX_TEXT_CHUNK

MOST_REPAIRED = 1 << 26  # bytes: a repaired file is in memory as a whole

PICTURE_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")

PREFACE = (b"eXIf", b"iCCP")

SOI, EOI, SOS = b"\xff\xd8", b"\xff\xd9", 0xDA

ICC = b"ICC_PROFILE\0"

FILLING = bytes(range(1, 251)) * 16
"""Entropy-coded data of no meaning."""

METADATA_TAGS = (700, 33723, 34377, 34675)
"""XMP, IPTC, Photoshop's resources and the colour profile, of a TIFF."""

NOBODYS_TAG = 65_000  # the first of those that have no meaning (TIFF 6.0, section 8)


def repaired(content: bytes) -> list[bytes]:
    """Return a photo's file without metadata. It is whole if all versions that are returned have the same pixels.

    A JPEG that lacks its end is returned with two ends: they agree unless pixels are missing too.

    Args:
        content: of a file that could not be read.

    Returns:
        One or two versions; none where there is nothing to repair.
    """
    if content.startswith(SOI):
        return _jpegs(content)
    if content.startswith(b"\x89PNG"):
        return [_png(content)]
    if content[:4] in (b"II*\0", b"MM\0*"):
        return [_tiff(content)]
    return []


def _jpegs(content: bytes) -> list[bytes]:
    kept, at = SOI, 2
    while at + 4 <= len(content) and content[at] == 0xFF and content[at + 1] != SOS:
        end = at + 2 + int.from_bytes(content[at + 2 : at + 4])
        if _belongs_to_picture(content[at + 1], content[at + 4 : end]):
            kept += content[at:end]
        at = end
    scans = content[at:]
    if EOI in scans:
        return [kept + scans]
    scans = scans.rstrip(b"\0").removesuffix(EOI[:1])  # zeros of a file that was not copied to its end
    return [kept + scans + tail + EOI for tail in (b"", FILLING)]


def _belongs_to_picture(marker: int, body: bytes) -> bool:
    if marker == 0xE1:
        return body.startswith(b"Exif\0\0")  # it says which way is up
    if marker == 0xE2:
        return body.startswith(ICC) and len(body) > len(ICC) + 2  # its number, and of how many
    if marker == 0xEE:
        return body.startswith(b"Adobe") and len(body) >= 12  # it says what the colours are
    return marker != 0xFE and not 0xE0 <= marker <= 0xEF


def _png(content: bytes) -> bytes:
    kept, at = content[:8], 8
    while at + 8 <= len(content):
        end = at + 12 + int.from_bytes(content[at : at + 4])
        kind = content[at + 4 : at + 8]
        if kind in PICTURE_CHUNKS or (kind in PREFACE and _is_intact(content[at:end])):
            kept += content[at:end]
        at = end
    return kept


def _is_intact(chunk: bytes) -> bool:
    if zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:]):
        return False
    _, _, packed = chunk[4:-4].partition(b"\0")
    return chunk[4:8] != b"iCCP" or _is_small(packed[1:])


def _is_small(packed: bytes) -> bool:
    """Tell whether Pillow unpacks a profile of a PNG."""
    try:
        return len(zlib.decompressobj().decompress(packed, MAX_TEXT_CHUNK + 1)) <= MAX_TEXT_CHUNK
    except zlib.error:
        return False


def _tiff(content: bytes) -> bytes:
    order = "<" if content.startswith(b"II") else ">"
    patched = bytearray(content)
    with contextlib.suppress(struct.error):  # the directory is cut off
        (directory,) = struct.unpack_from(f"{order}I", content, 4)
        (count,) = struct.unpack_from(f"{order}H", content, directory)
        for entry in range(directory + 2, directory + 2 + 12 * count, 12):
            if struct.unpack_from(f"{order}H", content, entry)[0] in METADATA_TAGS:
                struct.pack_into(f"{order}H", patched, entry, NOBODYS_TAG)
    return bytes(patched)
