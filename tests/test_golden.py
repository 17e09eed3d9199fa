"""What a seed gives, frozen: whoever changes it changes the numbers of published papers."""

import hashlib

import numpy as np
import pytest

from skimgcv import ImageAugmenter
from skimgcv._batches.epochs import EpochPlan
from skimgcv._data.rows import Rows
from skimgcv._runtime.random_streams import stream
from skimgcv._training.holdout import hold_out
from skimgcv._training.sampling import sample_rows
from skimgcv.augment import as_augmenter

CHANGED = (
    "a seed no longer gives what it gave. If that is not meant, undo it. If it is: raise the "
    "minor version, say in CHANGES.md that results of a seed change, and freeze the new values "
    "here, in the same commit."
)

TYPICAL = {
    "rotation_range": 20,
    "width_shift_range": 0.2,
    "height_shift_range": 0.1,
    "shear_range": 5,
    "zoom_range": (0.8, 1.2),
    "horizontal_flip": True,
    "brightness_range": (0.7, 1.3),
    "channel_shift_range": 20.0,
}
EVERYTHING = {
    **TYPICAL,
    "vertical_flip": True,
    "p": 0.9,
    "contrast_range": (0.8, 1.2),
    "saturation_range": (0.5, 1.5),
    "hue_range": 0.05,
    "blur_sigma": 1.0,
    "noise_std": 0.02,
    "jpeg_quality_range": (40, 95),
    "erasing_p": 0.5,
    "policy": "RandAugment",
    "mixup_alpha": 0.2,
    "cutmix_alpha": 1.0,
}
Y = np.repeat([0, 1, 2], [30, 12, 6])
IMAGES = (np.arange(48 * 32 * 24 * 3) % 251).astype(np.uint8).reshape(48, 32, 24, 3)


def table_of(epoch, **parameters):
    rng = stream(7, "augment", epoch)
    return ImageAugmenter(**parameters).draw(rng, 48, (32, 24, 3))


def plan(**changes):
    options = {
        "images": Rows(IMAGES, IMAGES.shape[1:]),
        "rows": np.arange(len(Y)),
        "y": Y,
        "augmenter": ImageAugmenter(**TYPICAL),
        "class_augmenters": {},
        "sample": None,
        "shuffle": True,
        "seed": 7,
    }
    return EpochPlan(**options | changes)


def balanced(y, rng):
    return sample_rows({0: 30, 1: 30, 2: 30}, y, rng)


def turn(image, rng):
    return np.rot90(image, 2 * rng.integers(2))


def rounded(table):
    """Hash a table; floats to 7 digits, which another SciPy's Beta distribution keeps."""
    digest = hashlib.blake2b(digest_size=8)
    for name in table.dtype.names:
        column = np.ascontiguousarray(table[name])
        if column.dtype.kind == "f":
            column = np.char.mod("%.6e", column + 0.0)
        digest.update(f"{name} {column.tolist()}".encode())
    return digest.hexdigest()


# Of the first version. Whole epochs are hashed, some images are written out to be read.
FIRST_DRAWS = {
    0: {
        "theta": -12.882658001873306,
        "tx": -2.1703039822935946,
        "ty": -0.10747456884514578,
        "shear": -0.10254657284889834,
        "zx": 1.066856007615832,
        "zy": 1.1870107871765712,
        "flip_horizontal": False,
        "flip_vertical": False,
        "channel_shift_intensity": 15.223190302758397,
        "brightness": 0.9813845912533099,
    },
    47: {
        "theta": 11.719504991569956,
        "tx": 2.2914056684174686,
        "ty": 0.8649226032985524,
        "shear": 1.281001745400886,
        "zx": 1.1738617341589948,
        "zy": 0.9281365087681305,
        "flip_horizontal": False,
        "flip_vertical": False,
        "channel_shift_intensity": 10.664688950987644,
        "brightness": 1.212684361001435,
    },
}
DRAWS = {
    "typical": (0, TYPICAL, "b9f2362e78ae8668"),
    "typical, the next epoch": (1, TYPICAL, "2aae37b99e84be10"),
    "everything": (0, EVERYTHING, "a3e6fc57559f7b6e"),
    "a trivial policy": (0, {"policy": "TrivialAugment"}, "aed18fdf691bff99"),
    "lists of shifts": (
        0,
        {"width_shift_range": [-2, 0, 3], "height_shift_range": 4},
        "67531d09cf949479",
    ),
}
EPOCHS = {
    "typical": (0, {}, "f7083782989543e4"),
    "the next epoch": (1, {}, "25f74186cae5d460"),
    "repeated images": (1, {"sample": balanced}, "5e3a1946952d4573"),
    "a function": (0, {"augmenter": as_augmenter(turn)}, "478fc84fe87707fb"),
}
SHUFFLED = [
    [26, 7, 2, 41, 16, 1, 20, 10, 3, 42, 46, 47],
    [6, 32, 45, 15, 44, 21, 19, 12, 42, 41, 3, 13],
]
HELD_OUT = [
    [0, 13, 16, 18, 22, 27, 29, 32, 33, 40, 43, 44],
    [0, 1, 2, 15, 16, 17, 21, 22, 23, 30, 31, 32, 42, 43, 44],
]
SAMPLED = [[0, 9, 18, 27, 36, 33, 35, 45, 42, 45], [30, 30, 30]]


@pytest.mark.parametrize("number", FIRST_DRAWS)
def test_draw_of_some_images(number):
    row = table_of(0, **TYPICAL)[number]
    found = {name: row[name].tolist() for name in row.dtype.names}
    assert found == pytest.approx(FIRST_DRAWS[number], rel=1e-9), CHANGED


@pytest.mark.parametrize("case", DRAWS)
def test_draw(case):
    epoch, parameters, expected = DRAWS[case]
    assert rounded(table_of(epoch, **parameters)) == expected, CHANGED


def test_the_order_of_an_epoch():
    found = [plan().epoch(number).rows[:12].tolist() for number in (0, 1)]
    assert found == SHUFFLED, CHANGED


def test_sampling():
    rows = plan(sample=balanced, shuffle=False).epoch(1).rows
    assert [rows[::9].tolist(), np.bincount(Y[rows]).tolist()] == SAMPLED, CHANGED


@pytest.mark.parametrize("case", EPOCHS)
def test_transforms_of_an_epoch(case):
    """By the images, their repeats and the epoch, for our augmenter and for others'."""
    number, changes, expected = EPOCHS[case]
    (draw,) = plan(**changes).epoch(number).draws
    assert rounded(draw.table[draw.place]) == expected, CHANGED


def test_the_hold_out():
    rows = hold_out(Y, 0.25, stream(7, "hold-out"))[1]
    grouped = hold_out(Y, 0.25, stream(7, "hold-out"), groups=np.arange(48) // 3)[1]
    assert [rows.tolist(), grouped.tolist()] == HELD_OUT, CHANGED
