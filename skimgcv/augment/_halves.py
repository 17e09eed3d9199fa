"""Trials find the deterministic steps of an augmenter, which also run at prediction."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .._runtime.callers import user_stacklevel
from ..exceptions import AugmenterStepWarning

SEEDS = 16
"""Seeds with which a step is tried, if it draws random numbers."""

_SAMPLES = 3


class Trial(NamedTuple):
    """The result of a step on some images.

    Attributes
    ----------
    images : list of ndarray
    drew : bool
        Whether it drew random numbers.
    """

    images: list[np.ndarray]
    drew: bool


class Step(NamedTuple):
    """One step of an augmenter.

    Attributes
    ----------
    name : str
    run : callable
        Takes a list of images and a seed; returns a Trial.
    declared : bool or None
        Known without a trial: True if it is deterministic, False if it is random.
    chooses : bool
        Whether it chooses one of several steps. A rare one may not occur in trials.
    check_random : callable, optional
        Takes the images that it gets, and may refuse it as a random step.
    standardizes : bool or None
        Whether a deterministic step standardises images for the model. None finds it out from its
        values.
    """

    name: str
    run: Callable[[list[np.ndarray], int], Trial]
    declared: bool | None = None
    chooses: bool = False
    check_random: Callable[[list[np.ndarray]], None] | None = None
    standardizes: bool | None = None


def decide(steps: Sequence[Step], images: list[np.ndarray]) -> tuple[bool, ...]:
    """Return for each step whether it is deterministic, by its effect on some images.

    A step is deterministic if its result on each image has the same bits with every seed. A step
    that changes no image counts as random: it acts by chance, or never.

    Parameters
    ----------
    steps : sequence of Step
        In order. Each gets the result of the one before.
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
    """Whether a deterministic step gives values of another kind, as only standardisation does.

    That is another dtype, or floats outside of 0 to 1.
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
    """Whether two images are equal, also in NaN, shape and dtype."""
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
            f"returned {np.shape(result)}. Crop or resize images before both fit and predict: "
            "ImageFiles(paths, image_shape), load_images(folder, image_shape), or X itself"
        )


def samples(images: Any, *, with_noise: bool) -> list[np.ndarray]:
    """Return images for trials: the first ones, and noise of the same range.

    Noise shows effects that a blank image does not. Functions for a kind of image, such as one
    that finds a cell's outline, may fail on noise.
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
    """Return the state of a generator, which shows whether numbers were drawn."""
    return pickle.dumps(rng.bit_generator.state)
