"""Colour, quality and policies against Pillow, SciPy and colorsys."""

import colorsys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image, ImageEnhance, ImageOps
from samples import assert_warped_alike
from scipy import ndimage

from skimgcv.augment import ImageAugmenter
from skimgcv.augment._color import Levels
from skimgcv.augment._geometry import Warp
from skimgcv.augment._policies import OPERATIONS, STRENGTHS, run_operation

SWITCHES = {
    "contrast": {"contrast_range": (1, 1)},
    "saturation": {"saturation_range": (1, 1)},
    "hue": {"hue_range": 0.5},
    "blur_sigma": {"blur_sigma": 1.0},
    "noise_std": {"noise_std": 1.0},
    "jpeg_quality": {"jpeg_quality_range": (1, 100)},
    "erase_box": {"erasing_p": 1.0, "erasing_value": 77.0},
}


def changed(image, **parameters):
    on = {k: v for name in parameters for k, v in SWITCHES.get(name, {}).items()}
    return ImageAugmenter(**on).apply_transform(image, parameters)


def with_pillow(image, enhancer, factor):
    return np.asarray(enhancer(Image.fromarray(image)).enhance(factor))


@pytest.mark.parametrize("factor", [0.0, 0.3, 1.7])
@pytest.mark.parametrize(
    ("name", "enhancer"),
    [
        ("brightness", ImageEnhance.Brightness),
        ("contrast", ImageEnhance.Contrast),
        ("saturation", ImageEnhance.Color),
    ],
)
def test_equals_pillow(photos, name, enhancer, factor):
    expected = with_pillow(photos[0], enhancer, factor)
    result = changed(photos[0], **{name: factor})
    # Pillow rounds grey to whole levels, and cuts the result off.
    assert np.abs(result.astype(int) - expected).max() <= 2
    assert np.mean(np.abs(result.astype(int) - expected) <= 1) > 0.95
    # Floats of the same image are the same, up to rounding; within [0, 1] as well.
    for white in (255, 1):
        image = photos[0].astype(np.float32) * np.float32(white / 255)
        floats = changed(image, **{name: factor}) * (255 / white)
        # OpenCV works saturation of uint8 out in fixed point.
        assert np.abs(floats - result).max() <= (0.75 if name == "saturation" else 0.51)


def test_hue_turns_as_colorsys_has_it(photos):
    image = photos[1, :8, :8]
    result = changed(image, hue=0.2)
    for before, after in zip(image.reshape(-1, 3), result.reshape(-1, 3), strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*before / 255)
        expected = np.array(colorsys.hsv_to_rgb((hue + 0.2) % 1, saturation, value)) * 255
        assert np.abs(after - expected).max() <= 0.51


def test_a_full_turn_of_hue_is_none(photos):
    assert_allclose(
        changed(changed(photos[0].astype(np.float32), hue=0.5), hue=0.5), photos[0], atol=0.01
    )


def test_levels_follow_the_image():
    def levels(values, dtype):
        return Levels.of(np.array(values, dtype).reshape(1, -1, 1))

    assert levels([3], np.uint8) == (0, 255, 255)
    assert levels([0, 1], np.float32) == (0, 1, 1)
    assert levels([0, 200], np.float64) == (0, 255, 255)
    assert levels([-2, 3], np.float32) == (-2, 255, 255)  # standardised before
    assert levels([0, 600], np.float32) == (0, 600, 255)
    assert levels([0, 200], np.int16) == (-(2**15), 2**15 - 1, 255)
    assert levels([0, 4000], np.uint16) == (0, 2**16 - 1, 2**16 - 1)


@pytest.mark.parametrize("channels", [1, 3, 6])
def test_blur_is_a_gaussian(photos, channels):
    image = np.concatenate([photos[0], photos[1]], axis=2)[..., :channels].astype(np.float32)
    for sigma in (0.6, 2.0):
        expected = ndimage.gaussian_filter(image, (sigma, sigma, 0), mode="mirror", truncate=6)
        # OpenCV's kernel of floats ends at 4 deviations: 6e-5 of 255 levels.
        assert_allclose(changed(image, blur_sigma=sigma), expected, atol=0.05)


def test_noise_has_its_deviation_and_comes_from_its_seed():
    image = np.full((100, 100, 3), 128, np.uint8)
    noisy = changed(image, noise_std=0.1, noise_seed=5)
    # 30,000 values: the deviation is known to 0.4%.
    assert_allclose(noisy.std(), 25.5, rtol=0.02)
    assert_allclose(noisy.mean(), 128, atol=0.6)
    assert_array_equal(noisy, changed(image, noise_std=0.1, noise_seed=5))
    assert not np.array_equal(noisy, changed(image, noise_std=0.1, noise_seed=6))
    unit = changed(np.full((100, 100, 1), 0.5, np.float32), noise_std=0.1, noise_seed=5)
    assert_allclose(unit.std(), 0.1, rtol=0.03)


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_that_of_a_file(photos, channels, tmp_path):
    image = np.ascontiguousarray(photos[0][..., :channels])
    Image.fromarray(image.squeeze()).save(tmp_path / "x.jpg", quality=40)
    expected = np.asarray(Image.open(tmp_path / "x.jpg")).reshape(image.shape).astype(int)
    result = changed(image, jpeg_quality=40)
    # Other decoders smooth and round chroma in other ways; blue and red exchanged, or
    # another quality, are ten times as far off.
    assert np.abs(result - expected).mean() < 1
    assert np.abs(image - expected).mean() > 3
    unit = changed(image.astype(np.float32) / 255, jpeg_quality=40)
    assert_allclose(unit * 255, result, atol=1e-3)


def test_erasing_fills_the_box_and_nothing_else(photos):
    result = changed(photos[0], erase_box=[10, 20, 5, 7])
    expected = photos[0].copy()
    expected[10:15, 20:27] = 77
    assert_array_equal(result, expected)


def operated(image, operation, share=0.5, policy="RandAugment"):
    result = image.copy()
    levels = Levels.of(image)
    run_operation(result, operation, share, STRENGTHS[policy], levels, Warp())
    return result


@pytest.mark.parametrize(
    ("operation", "share", "pillow"),
    [
        ("solarize", 0.5, lambda image: ImageOps.solarize(image, 128)),
        ("posterize", 0.5, lambda image: ImageOps.posterize(image, 6)),
        ("autocontrast", 0, ImageOps.autocontrast),
        ("equalize", 0, ImageOps.equalize),
        ("sharpness", 1, lambda image: ImageEnhance.Sharpness(image).enhance(1.9)),
        ("sharpness", -1, lambda image: ImageEnhance.Sharpness(image).enhance(0.1)),
        ("brightness", 1, lambda image: ImageEnhance.Brightness(image).enhance(1.9)),
        ("contrast", -1, lambda image: ImageEnhance.Contrast(image).enhance(0.1)),
        ("saturation", 1, lambda image: ImageEnhance.Color(image).enhance(1.9)),
        ("identity", 1, lambda image: image),
    ],
)
def test_operations_are_those_of_pillow(photos, operation, share, pillow):
    image = (photos[1] // 2 + 30).astype(np.uint8)  # something left to stretch
    expected = np.asarray(pillow(Image.fromarray(image))).astype(int)
    # Pillow cuts off where we round, sharpness before it is amplified by 1.9.
    difference = np.abs(operated(image, operation, share) - expected)
    assert difference.max() <= 2
    assert np.mean(difference <= 1) > 0.95
    # The same of floats, whose white is 1 or 255.
    for white in (1, 255):
        floats = operated((image * np.float32(white / 255)), operation, share)
        assert np.abs(floats * (255 / white) - expected).max() <= 2.6


@pytest.mark.parametrize("share", [-0.4, 0.7])
@pytest.mark.parametrize(
    ("operation", "linear", "offset"),
    [
        ("shear_x", lambda s: [[1, 0], [0.3 * s, 1]], lambda s: [0, 0]),
        ("shear_y", lambda s: [[1, 0.3 * s], [0, 1]], lambda s: [0, 0]),
        ("translate_x", lambda s: np.eye(2), lambda s: [0, int(s * 96 * 150 / 331)]),
        ("translate_y", lambda s: np.eye(2), lambda s: [int(s * 96 * 150 / 331), 0]),
        (
            "rotate",
            lambda s: [
                [np.cos(np.deg2rad(30 * s)), np.sin(np.deg2rad(30 * s))],
                [-np.sin(np.deg2rad(30 * s)), np.cos(np.deg2rad(30 * s))],
            ],
            lambda s: [0, 0],
        ),
    ],
)
def test_geometric_operations_are_those_of_scipy(photos, operation, share, linear, offset):
    image = photos[0].astype(np.float32)
    matrix = np.array(linear(share))
    center = np.array([47.5, 47.5])
    start = center - matrix @ center + offset(share)
    expected = [
        ndimage.affine_transform(image[..., c], matrix, start, order=1, mode="nearest")
        for c in range(3)
    ]
    assert_warped_alike(operated(image, operation, share), np.stack(expected, axis=2), 0.02)


def test_colour_operations_leave_other_images_alone(photos):
    assert_array_equal(operated(photos[0][..., :1], "saturation"), photos[0][..., :1])
    assert_array_equal(operated(photos[0], "posterize", 0), photos[0])


def test_rand_augment_draws_operations_of_one_strength():
    augmenter = ImageAugmenter(policy="RandAugment", policy_num_ops=3, policy_magnitude=12)
    table = augmenter.draw(np.random.default_rng(0), 5000, (8, 8, 3))
    assert table["policy_operation"].shape == (5000, 3)
    assert np.unique(np.abs(table["policy_share"])).tolist() == [0.4]
    counts = np.bincount(table["policy_operation"].ravel(), minlength=len(OPERATIONS))
    assert len(counts) == len(OPERATIONS) == 14
    # 15,000 draws of 14: 1,071 each, with a deviation of 32.
    assert np.abs(counts - 15_000 / 14).max() < 160


def test_trivial_augment_draws_one_operation_of_any_strength():
    augmenter = ImageAugmenter(policy="TrivialAugment")
    table = augmenter.draw(np.random.default_rng(0), 5000, (8, 8, 3))
    assert table["policy_operation"].shape == (5000, 1)
    steps = np.unique(np.rint(np.abs(table["policy_share"]) * 30))
    assert steps.tolist() == list(range(31))


def test_strength_changes_how_far_a_policy_goes(photos):
    def distance(magnitude):
        augmenter = ImageAugmenter(policy="RandAugment", policy_magnitude=magnitude)
        images = np.repeat(photos, 10, axis=0)
        table = augmenter.draw(np.random.default_rng(0), len(images), images.shape[1:])
        return np.abs(augmenter.apply(images, table).astype(int) - images).mean()

    assert distance(3) < distance(12) < distance(28)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_each_channel_is_shifted_within_the_extremes_of_the_image(dtype):
    image = np.random.default_rng(0).integers(20, 200, (7, 6, 3)).astype(dtype)
    shifts = [-31.4, 0.0, 100.0]
    result = ImageAugmenter(channel_shift_range=100, channelwise_shift=True).apply_transform(
        image, {"channel_shifts": shifts}
    )
    expected = np.clip(image + np.array(shifts), image.min(), image.max())
    assert result.dtype == image.dtype
    # Integers are rounded; float32 holds seven digits.
    tolerance = 0.5 if image.dtype.kind == "u" else 1e-4
    np.testing.assert_allclose(result.astype(float), expected, atol=tolerance, rtol=0)


def test_keras_parameters_of_a_shift_of_each_channel():
    augmenter = ImageAugmenter(channel_shift_range=100, channelwise_shift=True)
    parameters = augmenter.get_random_transform((7, 6, 4), seed=0)
    assert parameters["channel_shift_intensity"] is None
    assert len(set(parameters["channel_shifts"])) == 4
