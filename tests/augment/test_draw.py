"""What is drawn: documented ranges, documented distributions, and from what it depends."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import stats

from skimgcv._runtime.random_streams import stream
from skimgcv.augment import ImageAugmenter

SHAPE = (40, 60, 3)
N = 20_000


def drawn(name, n=N, **parameters):
    return ImageAugmenter(**parameters).draw(stream(0, "augment", 0), n, SHAPE)[name]


# The seed is fixed: a p value below 0.001 is a wrong distribution, and not bad luck.
@pytest.mark.parametrize(
    ("name", "parameters", "lower", "upper"),
    [
        ("theta", {"rotation_range": 20}, -20, 20),
        ("shear", {"shear_range": 5.5}, -5.5, 5.5),
        ("tx", {"width_shift_range": 0.25}, -15, 15),
        ("ty", {"height_shift_range": 0.25}, -10, 10),
        ("tx", {"width_shift_range": 3.0}, -3, 3),
        ("ty", {"height_shift_range": 1.0}, -1, 1),
        ("zx", {"zoom_range": 0.3}, 0.7, 1.3),
        ("zy", {"zoom_range": [0.5, 0.9]}, 0.5, 0.9),
        ("channel_shift_intensity", {"channel_shift_range": 12}, -12, 12),
        ("brightness", {"brightness_range": (0.2, 1.4)}, 0.2, 1.4),
        ("contrast", {"contrast_range": (0.5, 1.5)}, 0.5, 1.5),
        ("saturation", {"saturation_range": (0.0, 2.0)}, 0, 2),
        ("hue", {"hue_range": 0.1}, -0.1, 0.1),
        ("blur_sigma", {"blur_sigma": 2.0}, 0, 2),
        ("noise_std", {"noise_std": 0.1}, 0, 0.1),
    ],
)
def test_numbers_are_uniform_in_their_range(name, parameters, lower, upper):
    values = drawn(name, **parameters)
    assert lower <= values.min()
    assert values.max() <= upper
    assert stats.kstest(values, "uniform", (lower, upper - lower)).pvalue > 0.001


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (2, [-1, 0, 1]),  # "[-1, 0, +1]": Keras draws 0 half of the time
        (4, [-3, -2, -1, 0, 1, 2, 3]),
        (np.int64(2), [-1, 0, 1]),
        (1, [0]),
        ([-7, 3], [-7, 3]),  # "random elements from the array": Keras draws signs as well
        ((5,), [5]),
        (np.array([-0.5, 0.25]), [-30, 15]),  # shares of a width of 60
        ([-8, -4], [-8, -4]),  # Keras takes negative pixels for shares
    ],
)
def test_shifts_in_pixels_and_from_lists(limit, expected):
    values, counts = np.unique(drawn("tx", width_shift_range=limit), return_counts=True)
    assert values.tolist() == expected
    assert stats.chisquare(counts).pvalue > 0.001 if len(counts) > 1 else counts[0] == N


def test_channels_are_shifted_independently():
    table = ImageAugmenter(channel_shift_range=12, channelwise_shift=True).draw(
        stream(0, "augment"), N, SHAPE
    )
    assert not table["channel_shift_intensity"].any()
    for values in table["channel_shifts"].T:
        assert stats.kstest(values, "uniform", (-12, 24)).pvalue > 0.001
    correlations = np.corrcoef(table["channel_shifts"].T)[np.triu_indices(3, 1)]
    assert np.abs(correlations).max() < 0.03  # 4 standard errors


def test_a_row_draws_the_same_beside_shifts_of_each_channel():
    """Where each image has a stream of its own, as in a fit."""
    parameters = {"rotation_range": 20, "policy": "RandAugment", "channel_shift_range": 12}
    one, each = (
        ImageAugmenter(channelwise_shift=on, **parameters).draw(stream(0, "augment"), 1, SHAPE)
        for on in (False, True)
    )
    for name in {*one.dtype.names} - {"channel_shift_intensity"}:
        assert_array_equal(each[name], one[name])


def test_axes_zoom_independently():
    table = ImageAugmenter(zoom_range=0.2).draw(stream(0, "augment"), N, SHAPE)
    assert abs(np.corrcoef(table["zx"], table["zy"])[0, 1]) < 0.03  # 4 standard errors


@pytest.mark.parametrize("name", ["horizontal", "vertical"])
def test_every_second_image_is_flipped(name):
    flips = drawn(f"flip_{name}", **{f"{name}_flip": True})
    assert stats.binomtest(int(flips.sum()), N, 0.5).pvalue > 0.001


def test_jpeg_qualities_are_whole_and_include_both_ends():
    values = np.unique(drawn("jpeg_quality", jpeg_quality_range=(30, 33)))
    assert values.tolist() == [30, 31, 32, 33]


def test_a_row_depends_on_its_position_alone():
    augmenter = ImageAugmenter(
        rotation_range=9, zoom_range=0.1, noise_std=0.1, erasing_p=0.5, policy="RandAugment"
    )
    long = augmenter.draw(stream(3, "augment", 5), 70_000, SHAPE)
    short = augmenter.draw(stream(3, "augment", 5), 10, SHAPE)
    assert_array_equal(long[:10], short)


def test_switching_a_parameter_on_changes_no_other():
    one = drawn("zx", n=50, zoom_range=0.2)
    other = drawn("zx", n=50, zoom_range=0.2, rotation_range=5, contrast_range=(0.5, 1.5))
    assert_array_equal(one, other)


def test_p_leaves_the_other_images_alone():
    parameters = {
        "rotation_range": 20,
        "brightness_range": (0.5, 0.9),
        "erasing_p": 1.0,
        "cutmix_alpha": 1.0,
        "policy": "TrivialAugment",
    }
    augmenter = ImageAugmenter(**parameters, p=0.3)
    table = augmenter.draw(stream(0, "augment"), N, SHAPE)
    still = table["theta"] == 0
    assert stats.binomtest(int(still.sum()), N, 0.7).pvalue > 0.001
    assert np.all(table["brightness"][still] == 1)
    assert not table["erase_box"][still].any()
    assert np.all(table["own_share"][still] == 1)
    assert_array_equal(table["partner"][still], np.flatnonzero(still))
    images = np.random.default_rng(0).integers(0, 256, (30, *SHAPE), dtype=np.uint8)
    result = augmenter.apply(images, table[:30])
    assert_array_equal(result[still[:30]], images[still[:30]])
    assert not np.any(np.all(result == images, axis=(1, 2, 3)) & ~still[:30])


def test_erased_rectangles_have_their_documented_areas():
    boxes = drawn("erase_box", erasing_p=0.5, erasing_scale=(0.1, 0.3), erasing_ratio=(0.5, 2))
    erased = boxes[boxes[:, 2] > 0]
    assert stats.binomtest(len(erased), N, 0.5).pvalue > 0.001
    top, left, height, width = erased.T
    assert np.all((top >= 0) & (top + height <= 40) & (left >= 0) & (left + width <= 60))
    area = height * width / (40 * 60)
    # Sides are whole pixels, of at least 10: half a pixel is 5% of one.
    assert area.min() > 0.1 * 0.95**2
    assert area.max() < 0.3 * 1.05**2
    assert (height / width).min() > 0.5 * 0.9
    assert (height / width).max() < 2 * 1.1


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"rotation_range": -5}, "`rotation_range` needs a number of at least 0, got -5"),
        ({"rotation_range": "20"}, "`rotation_range`"),
        ({"rotation_range": True}, "`rotation_range`"),
        ({"shear_range": np.nan}, "`shear_range`"),
        ({"zoom_range": (0.5, 1, 2)}, "`zoom_range` needs a float"),
        ({"zoom_range": 1.5}, "`zoom_range` needs a float"),
        ({"zoom_range": "big"}, "`zoom_range` needs a float"),
        ({"brightness_range": 0.2}, "`brightness_range` needs two numbers"),
        ({"brightness_range": (1.2, 0.8)}, "`brightness_range` needs two numbers"),
        ({"width_shift_range": -0.1}, "`width_shift_range`"),
        ({"width_shift_range": []}, "`width_shift_range` needs a share"),
        ({"height_shift_range": [[1, 2]]}, "`height_shift_range` needs a share"),
        ({"fill_mode": "mirror"}, "`fill_mode` needs one of 'constant', 'nearest'"),
        ({"interpolation_order": 6}, "`interpolation_order` needs one of 0, 1"),
        ({"data_format": "channels_middle"}, "`data_format` needs"),
        ({"validation_split": 1.0}, "`validation_split`"),
        ({"dtype": "uint8"}, "`dtype` needs float16"),
        ({"p": 1.2}, "`p` needs a number of at least 0 and at most 1"),
        ({"hue_range": 30}, "`hue_range` needs a number of turns"),
        ({"policy": "AutoAugment"}, "`policy` needs one of 'RandAugment', 'TrivialAugment'"),
        ({"policy": "RandAugment", "policy_magnitude": 31}, "`policy_magnitude`"),
        ({"policy": "RandAugment", "policy_num_ops": 0}, "`policy_num_ops`"),
        ({"jpeg_quality_range": (0, 50)}, "`jpeg_quality_range`"),
        ({"mixup_alpha": -1}, "`mixup_alpha`"),
        ({"erasing_p": 2}, "`erasing_p`"),
    ],
)
def test_wrong_parameters_say_what_is_needed(parameters, message):
    augmenter = ImageAugmenter(**parameters)  # stored as they are: `fit` and `draw` check
    with pytest.raises(ValueError, match=message):
        augmenter.draw(np.random.default_rng(0), 2, SHAPE)
    with pytest.raises(ValueError, match=message):
        augmenter.fit(np.zeros((2, *SHAPE), np.uint8))


@pytest.mark.parametrize(
    "parameters",
    [{"saturation_range": (0.5, 1.5)}, {"hue_range": 0.1}, {"jpeg_quality_range": (50, 90)}],
)
def test_colours_need_colour_images(parameters):
    with pytest.raises(ValueError, match=r"needs images of .*3 channels.*these have 5"):
        ImageAugmenter(**parameters).draw(np.random.default_rng(0), 2, (8, 8, 5))
