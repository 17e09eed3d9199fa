"""The headers of image files, read before anything is decoded."""

from __future__ import annotations

from dataclasses import dataclass

# Frames of baseline, progressive and other JPEG; 0xC4, 0xC8 and 0xCC have other meanings.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


class UnreadableError(Exception):
    """An image that cannot be read, with the reason as a clause: "it is truncated"."""


@dataclass(frozen=True)
class Header:
    """The head of a JPEG, PNG, BMP or WebP file.

    Attributes
    ----------
    kind : {"jpeg", "png", "bmp", "webp"}
    width, height : int
        Before any rotation.
    channels : int
        4 may be an alpha channel, or a JPEG's CMYK; a palette counts as 3.
    may_be_turned : bool
        Whether there is EXIF data, which may say how to turn the image.
    is_animated : bool
    has_transparent_grey : bool
        A PNG's one grey level that is transparent, in place of an alpha channel.
    """

    kind: str
    width: int
    height: int
    channels: int
    may_be_turned: bool = False
    is_animated: bool = False
    has_transparent_grey: bool = False


def read_header(data: bytes) -> Header | None:
    """Read the header of a JPEG, PNG, BMP or WebP; None for every other file.

    Raises
    ------
    UnreadableError
        If the file ends too early: OpenCV before 5 fills the rest such images with grey.
    """
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg(data)
    if data.startswith(_PNG_SIGNATURE):
        return _png(data)
    if data.startswith(b"BM") and len(data) >= 30 and data[14] >= 40:
        return _bmp(data)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP" and len(data) >= 30:
        return _webp(data)
    return None


def _jpeg(data: bytes) -> Header | None:
    at, frame, turned = 2, b"", False
    while data[at : at + 1] == b"\xff" and len(data) >= at + 4:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4])
        if marker == 0xFF:  # fills the rest
            at += 1
            continue
        if marker in _JPEG_FRAMES:
            frame = data[at + 4 : at + 10]
        turned |= marker == 0xE1 and data[at + 4 : at + 8] == b"Exif"
        at += 2 + length
        if marker == 0xDA:
            break
    else:
        _check_complete(len(data) > at)
        return None  # an unknown kind of JPEG; Pillow may know it
    # Compressed data never contains this marker, so it is the end of the image.
    _check_complete(len(frame) == 6 and data.rfind(b"\xff\xd9", at) >= 0)
    height, width = int.from_bytes(frame[1:3]), int.from_bytes(frame[3:5])
    return Header("jpeg", width, height, frame[5], may_be_turned=turned)


def _png(data: bytes) -> Header:
    _check_complete(len(data) > 33 and data.rfind(b"IEND") > 0)
    before_pixels = data[: data.find(b"IDAT")]
    return Header(
        "png",
        int.from_bytes(data[16:20]),
        int.from_bytes(data[20:24]),
        {0: 1, 2: 3, 3: 3, 4: 4, 6: 4}.get(data[25], 3),
        may_be_turned=b"eXIf" in data,
        is_animated=b"acTL" in before_pixels,
        has_transparent_grey=data[25] == 0 and b"tRNS" in before_pixels,
    )


def _bmp(data: bytes) -> Header:
    width = int.from_bytes(data[18:22], "little", signed=True)
    height = int.from_bytes(data[22:26], "little", signed=True)  # negative: from the top
    bits = int.from_bytes(data[28:30], "little")
    return Header("bmp", abs(width), abs(height), 4 if bits == 32 else 3)


def _webp(data: bytes) -> Header | None:
    _check_complete(len(data) >= 8 + int.from_bytes(data[4:8], "little"))
    kind, flags, start = data[12:16], data[20], data[20:]
    if kind == b"VP8X":  # alpha, EXIF, animation or none of them, before the pixels
        width, height = (1 + int.from_bytes(start[i : i + 3], "little") for i in (4, 7))
        channels, turned = 3 + bool(flags & 0x10), bool(flags & 0x08)
        return Header("webp", width, height, channels, turned, is_animated=bool(flags & 0x02))
    if kind == b"VP8L":
        bits = int.from_bytes(start[1:5], "little")
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        return Header("webp", width, height, 3 + (bits >> 28 & 1))
    if kind == b"VP8 ":
        width, height = (int.from_bytes(start[i : i + 2], "little") & 0x3FFF for i in (6, 8))
        return Header("webp", width, height, 3)
    return None


def _check_complete(complete: bool) -> None:
    if not complete:
        raise UnreadableError("it is truncated")
