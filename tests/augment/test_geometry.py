"""The warp against SciPy's affine_transform, which it is the fast twin of."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from samples import OPENCV_5, assert_warped_alike
from scipy import ndimage

from skimgcv.augment import ImageAugmenter
from skimgcv.augment._geometry import (
    FLIP_BOTH,
    FLIP_COLUMNS,
    FLIP_ROWS,
    KEEP,
    WARP,
    Moves,
    Warp,
    compose,
)

SCIPY_MODES = {
    "nearest": "nearest",
    "reflect": "reflect",
    "constant": "grid-constant",
    "wrap": "grid-wrap",
}
STILL = {"theta": 0, "tx": 0, "ty": 0, "shear": 0, "zx": 1, "zy": 1}


def matrix_of(height, width, **parameters):
    values = {name: np.array([float(v)]) for name, v in (STILL | parameters).items()}
    no = np.array([False])
    return compose(**values, flip_horizontal=no, flip_vertical=no, height=height, width=width)


def ours(image, matrix, **options):
    moves = Moves.of(matrix, *image.shape[:2])
    return Warp(**options)(image[np.newaxis], moves)[0]


def scipy_affine(image, matrix, *, order, fill_mode, cval):
    (xx, xy, x0), (yx, yy, y0) = matrix[0]
    planes = [
        ndimage.affine_transform(
            image[..., channel].astype(np.float64),
            [[yy, yx], [xy, xx]],
            [y0, x0],
            order=order,
            mode=SCIPY_MODES[fill_mode],
            cval=cval,
        )
        for channel in range(image.shape[2])
    ]
    return np.stack(planes, axis=2)


USUAL = {"theta": 25, "tx": 11.3, "ty": -7.6, "shear": 9, "zx": 0.85, "zy": 1.15}
FAR = {"theta": -70, "tx": 150, "ty": 90, "zx": 2.5, "zy": 0.4}


@pytest.mark.parametrize("fill_mode", SCIPY_MODES)
@pytest.mark.parametrize("parameters", [USUAL, FAR], ids=["usual", "far"])
@pytest.mark.parametrize("size", [(96, 96), (64, 90)], ids=["square", "wide"])
def test_equals_scipy_on_photographs(photos, fill_mode, parameters, size):
    image = photos[0, : size[0], : size[1]]
    matrix = matrix_of(*size, **parameters)
    options = {"order": 1, "fill_mode": fill_mode, "cval": 17.0}
    expected = scipy_affine(image, matrix, **options)
    # uint8 rounds: half a level, and a little for float32 coordinates at steep edges.
    assert_warped_alike(ours(image, matrix, **options), expected, 0.55)
    # Coordinates of about 100 in float32 are exact to 1e-5, times 255 levels a pixel.
    assert_warped_alike(ours(image.astype(np.float32), matrix, **options), expected, 0.02)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 13])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_takes_any_number_of_channels(photos, channels, dtype):
    image = np.concatenate([*photos, photos[0]], axis=2)[:40, :50, :channels].astype(dtype)
    matrix = matrix_of(40, 50, **USUAL)
    options = {"order": 1, "fill_mode": "constant", "cval": 99.0}
    expected = scipy_affine(image, matrix, **options)
    bound = 0.55 if dtype == np.uint8 else 0.02  # as above
    assert_warped_alike(ours(image, matrix, **options), expected, bound)


@pytest.mark.parametrize("dtype", ["i2", "u2", "i4", "i8"])
def test_other_integers_are_rounded(photos, dtype):
    image = photos[0].astype(dtype) * 50
    expected = scipy_affine(
        image, matrix_of(96, 96, **USUAL), order=1, fill_mode="nearest", cval=0
    )
    result = ImageAugmenter().apply_transform(image, USUAL)
    assert result.dtype == dtype
    # Float32 coordinates at edges of 12,750 levels, which are 50 times as steep as above.
    assert_warped_alike(result, expected, 0.5 + 50 * 0.02, steepest=255 * 50)
    # Cut off instead of rounded, they would be half a level too low on average.
    # OpenCV 4 is too high here and too low there, by some 15 levels: 0.13 are left.
    assert abs(np.mean(result - expected)) < (0.02 if OPENCV_5 else 0.25)


def test_overshoot_is_clipped_to_the_range_of_the_type():
    image = np.full((20, 20, 1), -128, np.int8)
    image[10:] = 127
    matrix = matrix_of(20, 20, ty=0.4)
    overshot = scipy_affine(image, matrix, order=3, fill_mode="nearest", cval=0)
    assert overshot.min() < -129
    assert overshot.max() > 128
    result = ImageAugmenter(interpolation_order=3).apply_transform(image, {"ty": 0.4})
    assert_array_equal(result, np.clip(np.rint(overshot), -128, 127))


@pytest.mark.parametrize("order", [2, 3, 4, 5])
@pytest.mark.parametrize("fill_mode", SCIPY_MODES)
def test_splines_are_those_of_scipy(photos, order, fill_mode):
    image = photos[1, :40, :30]
    matrix = matrix_of(40, 30, **USUAL)
    options = {"order": order, "fill_mode": fill_mode, "cval": 17.0}
    expected = scipy_affine(image, matrix, **options)
    assert_allclose(ours(image.astype(np.float32), matrix, **options), expected, rtol=1e-6)
    # Overshoot is cut off, not wrapped around.
    assert_array_equal(ours(image, matrix, **options), np.clip(np.rint(expected), 0, 255))


def test_nearest_neighbour_takes_existing_values(photos):
    image = photos[1]
    matrix = matrix_of(96, 96, **USUAL)
    options = {"order": 0, "fill_mode": "reflect", "cval": 0.0}
    result = ours(image, matrix, **options)
    same = np.all(result == scipy_affine(image, matrix, **options), axis=2)
    # OpenCV rounds coordinates to 1/1024 of a pixel before it picks the nearest.
    assert same.mean() > 0.99


def test_an_extreme_zoom_out_needs_little_memory_and_is_right(photos):
    image = photos[0]
    matrix = matrix_of(96, 96, zx=40, zy=40)
    assert Moves.of(matrix, 96, 96).margins == [(0, 0, 0, 0)]
    options = {"order": 1, "fill_mode": "constant", "cval": 5.0}
    expected = scipy_affine(image, matrix, **options)
    assert_warped_alike(ours(image, matrix, **options), expected, 0.55)


@pytest.mark.parametrize(
    "parameters",
    [
        USUAL,
        {"tx": 3.3, "ty": -4.7},
        {"theta": 100, "zx": 0.4, "zy": 1.9},
        {"zx": 0.3, "zy": 0.6},
        {"theta": -35, "shear": 20, "tx": -8.2},
    ],
)
@pytest.mark.parametrize("size", [(20, 31), (44, 19)])
def test_images_are_padded_by_what_is_read_beyond_their_edges_and_a_pixel(parameters, size):
    height, width = size
    matrix = matrix_of(height, width, **parameters)
    yy, xx = np.mgrid[:height, :width]
    x, y = np.einsum("ij,jkl->ikl", matrix[0], np.stack([xx, yy, np.ones_like(xx)]))
    beyond = [-y.min(), y.max() - (height - 1), -x.min(), x.max() - (width - 1)]
    top, bottom, left, right = (max(int(np.ceil(pixels)) + 1, 0) for pixels in beyond)
    moves = Moves.of(matrix, height, width)
    assert moves.margins == [(top, bottom, left, right)]
    assert_allclose(moves.padded[0, :, :2], matrix[0, :, :2], rtol=0)
    assert_allclose(moves.padded[0, :, 2], matrix[0, :, 2] + [left, top], rtol=1e-12)
    assert moves.kinds == [WARP]


@pytest.mark.parametrize(
    ("size", "zx", "zy", "margins"),
    [
        # 79,524 pixels are within 8 times 10,000; one more on each side makes 80,656.
        ((100, 100), 1 + 89.5 / 49.5, 1 + 89.5 / 49.5, (91, 91, 91, 91)),
        ((100, 100), 1 + 90.5 / 49.5, 1 + 90.5 / 49.5, (0, 0, 0, 0)),
        ((50, 200), 1, 1 + 171.5 / 24.5, (173, 173, 1, 1)),  # 396 by 202
        ((50, 200), 1, 1 + 172.5 / 24.5, (0, 0, 0, 0)),
        ((2, 2), 1, 4, (3, 3, 1, 1)),  # 8 by 4: just as many as there may be
    ],
)
def test_images_are_padded_to_eight_times_their_area_at_most(size, zx, zy, margins):
    assert Moves.of(matrix_of(*size, zx=zx, zy=zy), *size).margins == [margins]


@pytest.mark.parametrize(
    ("a", "x0", "across"), [(1, 0, "still"), (-1, 4, "flip"), (1, 1, "no"), (-1, 3, "no")]
)
@pytest.mark.parametrize(
    ("d", "y0", "down"), [(1, 0, "still"), (-1, 2, "flip"), (1, 2, "no"), (-1, 0, "no")]
)
@pytest.mark.parametrize("lean", [(0, 0), (1e-9, 0), (0, 1e-9)])
def test_only_what_is_exactly_still_or_mirrored_is_not_warped(a, x0, across, d, y0, down, lean):
    matrix = np.array([[[a, lean[0], x0], [lean[1], d, y0]]], float)
    by_axis = {
        ("still", "still"): KEEP,
        ("flip", "still"): FLIP_COLUMNS,
        ("still", "flip"): FLIP_ROWS,
        ("flip", "flip"): FLIP_BOTH,
    }
    expected = WARP if any(lean) else by_axis.get((across, down), WARP)
    assert Moves.of(matrix, 3, 5).kinds == [expected]


def test_no_transform_gives_the_identical_image(photos):
    matrix = matrix_of(96, 96)
    for order in range(6):
        for image in (photos[0], photos[0].astype(np.float32) / 7):
            assert_array_equal(ours(image, matrix, order=order), image)


@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize(("horizontal", "vertical"), [(True, False), (False, True), (True, True)])
def test_flips_are_exact(photos, order, horizontal, vertical):
    image = photos[2, :33, :50]
    augmenter = ImageAugmenter(interpolation_order=order)
    flips = {"flip_horizontal": horizontal, "flip_vertical": vertical}
    expected = image[:: -1 if vertical else 1, :: -1 if horizontal else 1]
    assert_array_equal(augmenter.apply_transform(image, flips), expected)


def test_flipping_comes_after_the_rest():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)
    augmenter = ImageAugmenter(fill_mode="constant", cval=7)
    moved = augmenter.apply_transform(image, {"tx": 3, "ty": -2})
    both = augmenter.apply_transform(image, {"tx": 3, "ty": -2, "flip_horizontal": True})
    assert_array_equal(both, moved[:, ::-1])


def test_directions_are_the_documented_ones():
    """Sideways is sideways: Keras' generator has the two axes exchanged."""
    image = np.zeros((20, 30, 1), np.uint8)
    image[10, 15] = 255
    augmenter = ImageAugmenter(fill_mode="constant")

    def spot(**parameters):
        moved = augmenter.apply_transform(image, parameters)
        return tuple(np.argwhere(moved[..., 0] == 255)[0])

    assert spot(tx=4) == (10, 11)
    assert spot(ty=4) == (6, 15)
    # About the middle between pixels 14 and 15: Keras turns by the height's centre.
    assert spot(theta=180) == (9, 14)


def test_zx_zooms_columns(photos):
    image = photos[0]
    zoomed = ImageAugmenter().apply_transform(image, {"zx": 0.5, "zy": 1})
    # Each row is stretched on its own: rows do not mix.
    blank = image.copy()
    blank[10] = 0
    changed = ImageAugmenter().apply_transform(blank, {"zx": 0.5, "zy": 1}) != zoomed
    assert np.flatnonzero(changed.any(axis=(1, 2))).tolist() == [10]


def test_one_pixel_is_an_image():
    image = np.full((1, 1, 3), 9, np.uint8)
    for fill_mode in ("nearest", "reflect", "wrap"):
        turned = ImageAugmenter(fill_mode=fill_mode).apply_transform(
            image, {"theta": 30, "zx": 0.7}
        )
        assert_array_equal(turned, image)
