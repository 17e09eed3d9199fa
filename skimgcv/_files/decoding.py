"""One image from the bytes of its file: decode, turn upright, resize, convert colours."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, fields
from typing import Any

import cv2
import numpy as np

from skimgcv._files.headers import Header, UnreadableError, read_header
from skimgcv._files.readers import Reader
from skimgcv._files.values import in_values_of, resize_values, with_bands

CHANNELS = {"grayscale": 1, "rgb": 3, "rgba": 4}
INTERPOLATIONS = {
    "nearest": cv2.INTER_NEAREST_EXACT,
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "lanczos": cv2.INTER_LANCZOS4,
}
DTYPES = ("uint8", "uint16")

_LARGEST_AS_FLOAT = 2**22  # values, 16 MiB

# Others run programs (EPS) or are no photographs.
_PILLOW_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_EXIF_ORIENTATION = 274
_TIFF_BITS, _TIFF_SAMPLE_FORMAT, _TIFF_PHOTOMETRIC, _WHITE_IS_ZERO = 258, 339, 262, 0


@dataclass(frozen=True)
class Decoding:
    """The settings of decoding. Equal settings and equal bytes give equal pixels.

    Attributes
    ----------
    height, width : int
    color_mode : {"grayscale", "rgb", "rgba"}
    interpolation : str
        A key of ``INTERPOLATIONS``.
    keep_aspect_ratio : bool
        Crop the centre instead of changing the aspect ratio.
    dtype : {"uint8", "uint16"}
        With a reader, any integer or float type.
    max_pixels : int
        The limit for the image in the file.
    reader : Reader, optional
        Reads files in place of OpenCV and Pillow.
    bands : int, optional
        Channels of the reader's array.
    """

    height: int
    width: int
    color_mode: str
    interpolation: str
    keep_aspect_ratio: bool
    dtype: str
    max_pixels: int
    reader: Reader | None = None
    bands: int | None = None

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        return self.height, self.width, self.bands or CHANNELS[self.color_mode]

    def digest(self) -> str:
        """Return a name for all that decides the pixels, including library versions."""
        import PIL

        settings = {f.name: getattr(self, f.name) for f in fields(self)}
        if self.reader is not None:
            settings["reader"] = self.reader.name
        said = repr((settings, cv2.__version__, PIL.__version__))
        return hashlib.blake2b(said.encode(), digest_size=12).hexdigest()

    def read(self, path: str) -> np.ndarray:
        """Return the reader's image of a file, in ``image_shape`` and ``dtype``.

        Raises
        ------
        UnreadableError
            If it cannot be read. The message is the reason.
        """
        assert self.reader is not None
        try:
            pixels = np.asarray(self.reader.function(path))
        except MemoryError:
            raise
        except Exception as error:
            said = f"{type(error).__name__}: {_first_line(error)}"
            raise UnreadableError(f"its reader failed with {said}") from error
        pixels = with_bands(pixels, self.image_shape[2])
        self._check_size(pixels.shape[1], pixels.shape[0])
        return self._resized(in_values_of(np.dtype(self.dtype), pixels))

    def decode(self, data: bytes) -> np.ndarray:
        """Return the image in ``image_shape`` and ``dtype``.

        Raises
        ------
        UnreadableError
            If it cannot be read. The message is the reason.
        """
        try:
            header = read_header(data)
            if header is None or self._is_for_pillow(header):
                pixels = self._with_pillow(data)
            else:
                self._check_size(header.width, header.height)
                pixels = self._with_opencv(data, header)
            return self._resized(self._in_dtype(pixels))
        except (UnreadableError, MemoryError):
            raise
        except Exception as error:
            # The errors of two libraries, and of the libraries they call, have no common type.
            raise UnreadableError(f"it cannot be decoded: {_first_line(error)}") from error

    def _is_for_pillow(self, header: Header) -> bool:
        # OpenCV reads all of these formats, but not all of their features.
        return (
            header.is_animated
            or (header.kind == "jpeg" and header.channels == 4)  # CMYK
            or (header.kind == "webp" and header.may_be_turned)
            or (header.has_transparent_grey and self.color_mode == "rgba")
        )

    # -- OpenCV: JPEG, PNG, BMP, WebP, and TIFF of 16 bits ----------------------------

    def _with_opencv(self, data: bytes, header: Header) -> np.ndarray:
        if header.kind == "jpeg":
            return self._colored(_opencv(data, self._jpeg_flags(header)))
        if self.color_mode == "rgba" and header.channels != 1:
            # The only way to the alpha channel. It does not turn the image upright.
            pixels = _opencv(data, cv2.IMREAD_UNCHANGED)
            return self._colored(_upright(pixels, data) if header.may_be_turned else pixels)
        grey = header.channels == 1
        flag = cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR
        return self._colored(_opencv(data, flag | cv2.IMREAD_ANYDEPTH))

    def _jpeg_flags(self, header: Header) -> int:
        grey = self.color_mode == "grayscale" or header.channels == 1
        flags = {
            1: cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR,
            2: cv2.IMREAD_REDUCED_GRAYSCALE_2 if grey else cv2.IMREAD_REDUCED_COLOR_2,
            4: cv2.IMREAD_REDUCED_GRAYSCALE_4 if grey else cv2.IMREAD_REDUCED_COLOR_4,
            8: cv2.IMREAD_REDUCED_GRAYSCALE_8 if grey else cv2.IMREAD_REDUCED_COLOR_8,
        }
        return int(flags[self._reduction(header)])

    def _reduction(self, header: Header) -> int:
        """Return the factor by which libjpeg may shrink an image, well and fast."""
        if self.interpolation == "nearest":
            return 1  # must return values of the file
        sizes = [(header.height, header.width)]
        if header.may_be_turned:
            sizes.append((header.width, header.height))
        cuts = [self._cut(height, width) for height, width in sizes]
        for by in (8, 4, 2):
            if all(h // by >= self.height and w // by >= self.width for h, w in cuts):
                return by
        return 1

    def _colored(self, pixels: np.ndarray) -> np.ndarray:
        """Convert OpenCV's image, blue first, to the colours of ``color_mode``."""
        channels = 1 if pixels.ndim == 2 else pixels.shape[2]
        codes = {
            ("grayscale", 3): cv2.COLOR_BGR2GRAY,
            ("grayscale", 4): cv2.COLOR_BGRA2GRAY,
            ("rgb", 1): cv2.COLOR_GRAY2RGB,
            ("rgb", 3): cv2.COLOR_BGR2RGB,
            ("rgb", 4): cv2.COLOR_BGRA2RGB,
            ("rgba", 1): cv2.COLOR_GRAY2RGBA,
            ("rgba", 3): cv2.COLOR_BGR2RGBA,
            ("rgba", 4): cv2.COLOR_BGRA2RGBA,
        }
        code = codes.get((self.color_mode, channels))
        return pixels if code is None else cv2.cvtColor(pixels, code)

    # -- Pillow: everything else ------------------------------------------------------

    def _with_pillow(self, data: bytes) -> np.ndarray:
        from PIL import Image, UnidentifiedImageError

        try:
            image: Any = Image.open(io.BytesIO(data), formats=_PILLOW_FORMATS)
        except UnidentifiedImageError as error:
            raise UnreadableError("it is not an image of a known format") from error
        with image:
            self._check_size(*image.size)
            if image.format == "TIFF" and _has_16_bits(image):
                return self._tiff_of_16_bits(data, image)
            return self._converted(image)

    def _tiff_of_16_bits(self, data: bytes, image: Any) -> np.ndarray:
        # IMREAD_UNCHANGED is the only way to the alpha channel. TIFF is turned upright anyway.
        pixels = _opencv(data, cv2.IMREAD_UNCHANGED)
        if image.tag_v2.get(_TIFF_PHOTOMETRIC) == _WHITE_IS_ZERO:
            pixels = np.uint16(65535) - pixels
        return self._colored(pixels)

    def _converted(self, image: Any) -> np.ndarray:
        from PIL import ImageOps

        image = ImageOps.exif_transpose(image)
        if image.mode in ("I", "F"):
            raise UnreadableError(
                "its values are signed or have 32 bits; write it with 8 or 16 bits a channel, "
                "unsigned, first"
            )
        if image.mode.startswith("I;16"):
            return self._colored(np.asarray(image).astype(np.uint16))
        if image.mode in ("P", "PA", "LA"):
            image = image.convert("RGBA")  # the only conversion that handles transparency
        mode = {"grayscale": "L", "rgb": "RGB", "rgba": "RGBA"}[self.color_mode]
        return np.asarray(image.convert(mode))

    # -- steps for all images --------------------------------------------------

    def _check_size(self, width: int, height: int) -> None:
        if not width * height:
            raise UnreadableError(f"it has no pixels: {width} x {height}")
        if width * height > self.max_pixels:
            raise UnreadableError(
                f"it has {width} x {height} pixels, and max_pixels is {self.max_pixels}"
            )

    def _in_dtype(self, pixels: np.ndarray) -> np.ndarray:
        if pixels.dtype.name not in DTYPES:
            raise UnreadableError(f"it has values of type {pixels.dtype}, not uint8 or uint16")
        if pixels.dtype.name == self.dtype:
            return pixels
        if self.dtype == "uint8":
            raise UnreadableError('it has 16 bits a channel: pass dtype="uint16" to keep them')
        return pixels.astype(np.uint16) * np.uint16(257)  # white stays white

    def _resized(self, pixels: np.ndarray) -> np.ndarray:
        height, width = pixels.shape[:2]
        if self.keep_aspect_ratio:
            cut_height, cut_width = self._cut(height, width)
            top, left = (height - cut_height) // 2, (width - cut_width) // 2
            pixels = pixels[top : top + cut_height, left : left + cut_width]
            height, width = cut_height, cut_width
        if (height, width) != (self.height, self.width):
            how = INTERPOLATIONS[self.interpolation]
            resize = _resize if self.reader is None else resize_values
            pixels = resize(pixels, self.width, self.height, how)
        return pixels.reshape(self.image_shape)

    def _cut(self, height: int, width: int) -> tuple[int, int]:
        """Return the size of the centre crop, as Keras computes it."""
        if not self.keep_aspect_ratio:
            return height, width
        cut_height = min(height, max(1, width * self.height // self.width))
        cut_width = min(width, max(1, height * self.width // self.height))
        return cut_height, cut_width


def _resize(pixels: np.ndarray, width: int, height: int, how: int) -> np.ndarray:
    y, x = pixels.shape[0] / height, pixels.shape[1] / width
    if (
        how == cv2.INTER_AREA
        and pixels.dtype == np.uint8
        and min(x, y) >= 1
        and not x == y == 2  # OpenCV computes these in integers: fast, but rounded differently
        and pixels.size <= _LARGEST_AS_FLOAT
    ):
        # The same bits as from uint8, in four fifths of the time.
        means = cv2.resize(pixels.astype(np.float32), (width, height), interpolation=how)
        return cv2.convertScaleAbs(means)
    return cv2.resize(pixels, (width, height), interpolation=how)


def _opencv(data: bytes, flags: int) -> np.ndarray:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if pixels is None:
        raise UnreadableError("it is broken: its pixels cannot be decoded")
    return pixels


def _has_16_bits(image: Any) -> bool:
    # Pillow would cut three such channels down to 8 bits.
    unsigned = set(image.tag_v2.get(_TIFF_SAMPLE_FORMAT, (1,))) == {1}
    return unsigned and set(image.tag_v2.get(_TIFF_BITS, (1,))) == {16}


def _upright(pixels: np.ndarray, data: bytes) -> np.ndarray:
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=_PILLOW_FORMATS) as image:
        orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
