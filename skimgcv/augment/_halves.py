"""Which steps of an augmenter are deterministic: found by trying, and run at prediction too."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .._runtime.callers import user_stacklevel
from ..exceptions import AugmenterStepWarning

SEEDS = 16
"""That a step is tried with, where it takes random numbers at all."""

_SAMPLES = 3


class Trial(NamedTuple):
    """What a step made of some images.

    Attributes
    ----------
    images : list of ndarray
    drew : bool
        Whether it took random numbers.
    """

    images: list[np.ndarray]
    drew: bool


class Step(NamedTuple):
    """One step of an augmenter.

    Attributes
    ----------
    name : str
    run : callable
        Of a list of images and a seed; gives a Trial.
    declared : bool or None
        What is known without trying: True if it is deterministic, False if it is random.
    chooses : bool
        Whether it takes one of several other steps: a rare one may not show in trials.
    check_random : callable, optional
        Of the images that it gets: refuses it as a random step.
    standardizes : bool or None
        Whether it is what a model needs of all images, where it is deterministic; None finds
        that out by the values that it gives.
    """

    name: str
    run: Callable[[list[np.ndarray], int], Trial]
    declared: bool | None = None
    chooses: bool = False
    check_random: Callable[[list[np.ndarray]], None] | None = None
    standardizes: bool | None = None


def decide(steps: Sequence[Step], images: list[np.ndarray]) -> tuple[bool, ...]:
    """Say of each step whether it is deterministic, by what it does to some images.

    A step is deterministic if each image comes out in the same bits with every seed. One
    that leaves all images as they are is random: it does something by chance, or nothing.

    Parameters
    ----------
    steps : sequence of Step
        In their order; each gets what the one before gives.
    images : list of ndarray

    Raises
    ------
    ValueError
        If all steps together change the shape of an image.
    """
    shape = images[0].shape
    fixed = []
    for step in steps:
        first = step.run(images, 0)
        fixed.append(_is_fixed(step, images, first))
        if not fixed[-1] and step.check_random is not None:
            step.check_random(images)
        images = first.images
    for image in images:
        check_shape(image, shape)
    return tuple(fixed)


def _is_fixed(step: Step, images: list[np.ndarray], first: Trial) -> bool:
    if step.declared is not None:
        return step.declared
    if all(map(same_bits, images, first.images)):
        return False
    for seed in range(1, SEEDS if first.drew else 2):
        again = step.run(images, seed)
        if not all(map(same_bits, first.images, again.images)):
            if not first.drew and not again.drew:
                warnings.warn(
                    f"{step.name} uses random numbers that random_state does not seed: fits with "
                    "one random_state differ. Let it draw all numbers from its generator.",
                    AugmenterStepWarning,
                    stacklevel=user_stacklevel(),
                )
            return False
    if step.chooses:
        warnings.warn(
            f"{step.name} chooses among steps, but gave the same result for all {SEEDS} seeds. It "
            "counts as random, so prediction omits it. If a step must always run, put it outside.",
            AugmenterStepWarning,
            stacklevel=user_stacklevel(),
        )
        return False
    return True


def standardizes(step: Step, images: list[np.ndarray], results: list[np.ndarray]) -> bool:
    """Whether a deterministic step gives values of another kind, as only standardising does.

    That is, of another dtype, or floats beyond 0 to 1.
    """
    if step.standardizes is not None:
        return step.standardizes
    return any(
        result.dtype != image.dtype
        or (_is_unit(image) and image.dtype.kind == "f" and not _is_unit(result))
        for image, result in zip(images, results, strict=True)
    )


def _is_unit(image: np.ndarray) -> bool:
    return bool(image.min() >= 0 and image.max() <= 1)


def same_bits(a: Any, b: Any) -> bool:
    """Whether two images are equal, NaN where NaN is, in shape and dtype too."""
    a, b = np.asarray(a), np.asarray(b)
    if (a.shape, a.dtype) != (b.shape, b.dtype):
        return False
    return bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f"))


def check_shape(result: Any, shape: tuple[int, ...]) -> None:
    """Refuse images of another shape.

    Raises
    ------
    ValueError
    """
    if np.shape(result) != shape:
        raise ValueError(
            f"an augmenter needs to return images of the shape that it gets, {shape}, this one "
            f"returned {np.shape(result)}. Crop or resize before fit and predict alike: "
            "ImageFiles(paths, image_shape), load_images(folder, image_shape), or X itself"
        )


def samples(images: Any, *, with_noise: bool) -> list[np.ndarray]:
    """Return images to try steps on: the first ones, and noise of the same range.

    Noise shows what a blank image does not; functions that know what they look at, such
    as a cell's outline, may fail on it.
    """
    some = list(np.asarray(images[:_SAMPLES]))
    if with_noise:
        values = np.stack(some)
        low, high = float(values.min()), float(values.max())
        if not np.isfinite([low, high]).all() or low == high:
            low, high = 0.0, 255.0 if values.dtype.kind in "ui" else 1.0
        noise = np.random.Generator(np.random.SFC64(0)).uniform(low, high, values.shape[1:])
        some.append(noise.astype(values.dtype))
    return some


def mark(rng: np.random.Generator) -> bytes:
    """Return what tells whether numbers were taken from a generator."""
    return pickle.dumps(rng.bit_generator.state)
