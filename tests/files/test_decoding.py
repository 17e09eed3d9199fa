"""One file to one image: every format, written by another library than the one that reads."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from skimgcv._files.decoding import Decoding
from skimgcv._files.headers import UnreadableError

HEIGHT, WIDTH = 20, 30


def decoding(height=HEIGHT, width=WIDTH, color_mode="rgb", **options):
    given = {"interpolation": "area", "keep_aspect_ratio": False, "dtype": "uint8"} | options
    return Decoding(height, width, color_mode, **({"max_pixels": 10**6} | given))


def photograph(height=HEIGHT, width=WIDTH, channels=3):
    """Smooth, as JPEG likes it, and the same nowhere."""
    rows, columns = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    planes = [rows * columns, rows, columns, 1 - rows * columns][:channels]
    return (np.stack(planes, axis=-1) * 255).astype(np.uint8)


def pillow(image, kind, **options):
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(
        file, kind, **options
    )
    return file.getvalue()


def opencv(image, kind):
    order = {3: [2, 1, 0], 4: [2, 1, 0, 3]}.get(image.shape[2] if image.ndim == 3 else 1)
    return cv2.imencode(kind, image if order is None else image[..., order])[1].tobytes()


LOSSLESS = {
    "png": pillow(photograph(), "PNG"),
    "bmp": pillow(photograph(), "BMP"),
    "tiff": opencv(photograph(), ".tiff"),
    "webp": pillow(photograph(), "WEBP", lossless=True),
    "ppm": opencv(photograph(), ".ppm"),
}


@pytest.mark.parametrize("kind", LOSSLESS)
def test_lossless_formats_give_the_pixels_that_were_written(kind):
    np.testing.assert_array_equal(decoding().decode(LOSSLESS[kind]), photograph())


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_is_what_pillow_reads(progressive):
    data = pillow(photograph(), "JPEG", progressive=progressive)
    read = np.asarray(Image.open(io.BytesIO(data)))
    # Two builds of libjpeg may round otherwise.
    np.testing.assert_allclose(decoding().decode(data).astype(int), read, atol=1)


def test_of_an_animation_the_first_frame_is_read():
    frames = [Image.fromarray(photograph()).quantize(32), Image.new("RGB", (WIDTH, HEIGHT))]
    first = np.asarray(frames[0].convert("RGB"))
    for kind in ("GIF", "PNG", "WEBP"):
        images = [frame.convert("RGB") for frame in frames] if kind != "GIF" else frames
        options = {"lossless": True} if kind == "WEBP" else {}
        data = pillow(images[0], kind, save_all=True, append_images=images[1:], **options)
        np.testing.assert_array_equal(decoding().decode(data), first, err_msg=kind)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(kind, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    data = pillow(photograph(), kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    for color_mode in ("rgb", "rgba"):
        read = decoding(*upright.shape[:2], color_mode).decode(data)[..., :3]
        np.testing.assert_allclose(read.astype(int), upright, atol=1)


@pytest.mark.parametrize("kind", [".png", ".tiff"])
@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3), (5, 7, 4)])
def test_16_bits_are_kept_or_refused(kind, shape):
    image = np.random.default_rng(0).integers(0, 65536, shape).astype(np.uint16)
    data = opencv(image, kind)
    mode = {2: "grayscale", 3: "rgb", 4: "rgba"}[image.shape[2] if image.ndim == 3 else 2]
    read = decoding(5, 7, mode, dtype="uint16").decode(data)
    np.testing.assert_array_equal(read, image.reshape(read.shape))
    with pytest.raises(UnreadableError, match='dtype="uint16"'):
        decoding(5, 7, mode).decode(data)


def test_16_bit_grey_levels_that_pillow_wrote_are_kept():
    image = np.arange(35, dtype=np.uint16).reshape(5, 7) * 1871
    for kind in ("PNG", "TIFF"):
        read = decoding(5, 7, "grayscale", dtype="uint16").decode(pillow(image, kind))
        np.testing.assert_array_equal(read[..., 0], image)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_16_bits_are_turned_upright(kind, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    image = Image.fromarray(np.arange(35, dtype=np.uint16).reshape(5, 7) * 1871)
    data = pillow(image, kind, exif=exif)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    for color_mode in ("grayscale", "rgba"):
        read = decoding(*upright.shape, color_mode, dtype="uint16").decode(data)
        np.testing.assert_array_equal(read[..., 0], upright)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_tiff_with_white_as_0_has_white_as_the_largest_value(dtype):
    image = np.arange(35, dtype=dtype).reshape(5, 7) * (7 if dtype == "uint8" else 1871)
    # By Pillow with black as 0, and the tag then set to the other: as scanners write films.
    data = bytearray(pillow(image, "TIFF"))
    tag = data.index((262).to_bytes(2, "little") + (3).to_bytes(2, "little"))
    assert data[tag + 8] == 1
    data[tag + 8] = 0
    read = decoding(5, 7, "grayscale", dtype=dtype).decode(bytes(data))
    np.testing.assert_array_equal(read[..., 0], np.iinfo(dtype).max - image)


def test_8_bits_become_16_with_white_as_white():
    read = decoding(dtype="uint16").decode(LOSSLESS["png"])
    np.testing.assert_array_equal(read, photograph().astype(np.uint16) * 257)


def test_values_of_32_bits_are_refused():
    for image in (np.ones((5, 7), np.float32), np.ones((5, 7), np.int32)):
        with pytest.raises(UnreadableError, match="32 bits"):
            decoding(5, 7).decode(pillow(image, "TIFF"))


PALETTE = Image.fromarray(photograph()).quantize(16)
KINDS_OF_PNG = {
    "grey": Image.fromarray(photograph()).convert("L"),
    "grey and alpha": Image.fromarray(photograph(channels=4)).convert("LA"),
    "alpha": Image.fromarray(photograph(channels=4)),
    "palette": PALETTE,
    "two levels": Image.fromarray(photograph()).convert("1"),
}


@pytest.mark.parametrize("kind", KINDS_OF_PNG)
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_kinds_of_png_are_what_pillow_converts_them_to(kind, mode):
    image = KINDS_OF_PNG[kind]
    color_mode = {"L": "grayscale", "RGB": "rgb", "RGBA": "rgba"}[mode]
    read = decoding(color_mode=color_mode).decode(pillow(image, "PNG"))
    expected = np.asarray(image.convert(mode)).reshape(read.shape)
    # Luma is rounded in Pillow's 16 bits or OpenCV's 15.
    np.testing.assert_allclose(read.astype(int), expected, atol=1 if mode == "L" else 0)


def test_a_transparent_grey_level_is_transparent():
    data = pillow(KINDS_OF_PNG["grey"], "PNG", transparency=100)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))
    assert (expected[..., 3] == 0).any()
    np.testing.assert_array_equal(decoding(color_mode="rgba").decode(data), expected)
    np.testing.assert_array_equal(decoding().decode(data), expected[..., :3])


@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("icc_profile", [None, b"any: it makes the header another"])
def test_kinds_of_webp_are_what_pillow_reads(lossless, channels, icc_profile):
    image = photograph(channels=channels)
    data = pillow(image, "WEBP", lossless=lossless, icc_profile=icc_profile)
    image = Image.open(io.BytesIO(data))
    for color_mode in ("rgb", "rgba"):
        read = decoding(color_mode=color_mode).decode(data)
        np.testing.assert_array_equal(read, np.asarray(image.convert(color_mode.upper())))


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_transparent_palettes_keep_their_colours(kind):
    data = pillow(PALETTE, kind, transparency=3)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))
    assert (expected[..., 3] == 0).any()
    np.testing.assert_array_equal(decoding(color_mode="rgba").decode(data), expected)
    np.testing.assert_array_equal(decoding().decode(data), expected[..., :3])


def test_cmyk_is_converted_as_pillow_does():
    data = pillow(Image.fromarray(photograph()).convert("CMYK"), "JPEG")
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(decoding().decode(data), expected)


# -- sizes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("nearest", Image.Resampling.NEAREST),
        ("bilinear", Image.Resampling.BILINEAR),
        ("bicubic", Image.Resampling.BICUBIC),
        ("lanczos", Image.Resampling.LANCZOS),
    ],
)
def test_enlarging_is_what_pillow_does(name, method):
    read = decoding(2 * HEIGHT, 2 * WIDTH, interpolation=name).decode(LOSSLESS["png"])
    expected = Image.fromarray(photograph()).resize((2 * WIDTH, 2 * HEIGHT), method)
    # Other kernels of the same name (cubic: -0.75 or -0.5; Lanczos over 8 pixels or 6), and
    # edges: of a smooth image the least part.
    inner = (slice(4, -4), slice(4, -4))
    np.testing.assert_allclose(
        read[inner].astype(int), np.asarray(expected)[inner], atol=0 if name == "nearest" else 2
    )


def test_area_is_the_mean_of_the_pixels():
    read = decoding(HEIGHT // 2, WIDTH // 2).decode(LOSSLESS["png"])
    expected = np.asarray(Image.fromarray(photograph()).reduce(2))
    np.testing.assert_allclose(read.astype(int), expected, atol=1)  # halves, up or down


@pytest.mark.parametrize("channels", ["grayscale", "rgb", "rgba"])
@pytest.mark.parametrize(
    ("height", "width"), [(30, 23), (20, 46), (60, 17), (30, 46), (7, 5), (61, 40), (60, 95)]
)
def test_area_gives_the_bits_of_opencv_on_uint8(channels, height, width):
    noise = np.random.default_rng(0).integers(0, 256, (60, 92, 4)).astype(np.uint8)
    noise = {"grayscale": noise[..., 0], "rgb": noise[..., :3], "rgba": noise}[channels]
    read = decoding(height, width, channels).decode(pillow(noise, "PNG"))
    expected = cv2.resize(noise, (width, height), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(read.reshape(expected.shape), expected)


def test_keeping_the_aspect_ratio_cuts_the_middle_out_as_keras_does():
    data = pillow(photograph(41, 90), "PNG")
    expected = photograph(41, 90)[:, 24:65]  # keras.utils.load_img: (90 - 41) // 2 from the left
    np.testing.assert_array_equal(decoding(41, 41, keep_aspect_ratio=True).decode(data), expected)


@pytest.mark.parametrize("by", [1, 2, 4, 8])
@pytest.mark.parametrize("turned", [False, True])
def test_a_large_jpeg_is_shrunk_while_it_is_decoded_to_what_the_whole_would_give(by, turned):
    exif = Image.Exif()
    exif[274] = 6 if turned else 1
    whole = photograph(240, 320)
    data = pillow(whole, "JPEG", quality=95, exif=exif)
    upright = np.rot90(whole, -1) if turned else whole
    height, width = upright.shape[0] // by, upright.shape[1] // by
    read = decoding(height - 1, width - 1).decode(data)
    expected = cv2.resize(upright, (width - 1, height - 1), interpolation=cv2.INTER_AREA)
    # A smooth image at quality 95: what JPEG itself changes.
    np.testing.assert_allclose(read.astype(int), expected, atol=4)


# -- bad files ------------------------------------------------------------------------------

NOISE = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
ENDS_EARLY = {
    "jpeg": pillow(NOISE, "JPEG"),
    "png": pillow(NOISE, "PNG"),
    "bmp": pillow(NOISE, "BMP"),
    "tiff": pillow(NOISE, "TIFF"),
    "webp": pillow(NOISE, "WEBP"),
    "gif": pillow(Image.fromarray(NOISE).quantize(64), "GIF"),
}


@pytest.mark.parametrize("kind", ENDS_EARLY)
@pytest.mark.parametrize("share", [0.002, 0.1, 0.5, 0.9, 0.99])
# Pillow says of a TIFF without its directory that it was cut off, and goes on to fail.
@pytest.mark.filterwarnings("default:Truncated File Read:UserWarning")
def test_truncated_files_are_refused(kind, share):
    data = ENDS_EARLY[kind]
    assert decoding(64, 64).decode(data).shape == (64, 64, 3)
    with pytest.raises(UnreadableError):
        decoding(64, 64).decode(data[: max(3, int(len(data) * share))])


def test_a_jpeg_cut_off_after_its_thumbnail_is_truncated():
    thumbnail = pillow(photograph(), "JPEG")
    exif = Image.Exif()
    exif[0x9286] = thumbnail  # any field will do: what counts is its end-of-image marker
    data = pillow(NOISE, "JPEG", exif=exif)
    assert thumbnail in data
    with pytest.raises(UnreadableError, match="truncated"):
        decoding(64, 64).decode(data[: len(data) - 500])


@pytest.mark.parametrize(
    "data", [b"no image at all, only text\n" * 9, b"\xff\xd8\xff", b"BM", b"\0"]
)
def test_what_is_no_image_is_refused(data):
    with pytest.raises(UnreadableError):
        decoding().decode(data)


@pytest.mark.parametrize("kind", [*ENDS_EARLY, "ppm"])
def test_more_pixels_than_allowed_are_not_decoded(kind):
    data = ENDS_EARLY.get(kind) or opencv(NOISE, ".ppm")
    with pytest.raises(UnreadableError, match="64 x 64 pixels, and max_pixels is 4095"):
        decoding(max_pixels=4095).decode(data)
    decoding(max_pixels=4096).decode(data)


def test_a_bomb_is_refused_by_its_header():
    bomb = bytearray(pillow(photograph(), "PNG"))
    bomb[16:24] = (60_000).to_bytes(4) * 2
    with pytest.raises(UnreadableError, match="60000 x 60000 pixels"):
        decoding().decode(bytes(bomb))


def test_want_of_memory_is_no_fault_of_the_file(monkeypatch):
    def fail(*arguments):
        raise MemoryError

    monkeypatch.setattr(cv2, "imdecode", fail)
    with pytest.raises(MemoryError):  # which on_error="skip" must not skip
        decoding().decode(LOSSLESS["png"])


def test_a_document_is_not_run():
    with pytest.raises(UnreadableError, match="not an image of a known format"):
        decoding().decode(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")
