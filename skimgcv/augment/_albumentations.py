"""Albumentations transforms as augmenters."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .._runtime.optional import require
from ._halves import SEEDS, Step, Trial, mark
from ._seeded import SeededAugmenter


class AlbumentationsAugmenter(SeededAugmenter):
    """An Albumentations transform, or a composition of them.

    Its steps are the members of a ``Compose`` or ``Sequential`` with ``p=1``, at any depth. A step
    with ``p`` below 1 is random, and so is one that chooses among several, such as ``OneOf``. A
    trial decides for all others. For example, ``InvertImg(p=1)``, ``Normalize()`` and
    ``Sharpen(alpha=(0.5, 0.5), lightness=(1, 1), p=1)`` are not random.

    Parameters
    ----------
    transform : albumentations transform
        A copy of it is used.
    fixed : sequence of bool, optional
        For each step, whether it is deterministic. None finds it out.
    """

    def __init__(self, transform: Any, fixed: Sequence[bool] | None = None) -> None:
        self._package = require(
            "albumentations", extra="albumentations", purpose="an Albumentations augmenter"
        )
        whole = copy.deepcopy(transform)
        compose = self._package.Compose
        # A composition is not wrapped in another one, since each level draws its own numbers.
        self._whole = whole if type(whole) is compose else compose([whole])
        self._random = self._fixed_transform = self._whole
        is_sequence = self._is_sequence(self._whole)
        self._transforms = [*self._leaves(self._whole)] if is_sequence else [self._whole]
        self._steps = [self._step(transform) for transform in self._transforms]
        super().__init__(fixed)

    def __getstate__(self) -> dict[str, Any]:
        return {"config": self.to_config()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # The transforms of a copy share no random numbers with those of the original.
        self.__init__(**state["config"])  # type: ignore[misc]

    def to_config(self) -> dict[str, Any]:
        """Return the transform, and which of its steps are deterministic."""
        fixed = None if self._fixed is None else [*self._fixed]
        return {"transform": self._whole, "fixed": fixed}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> AlbumentationsAugmenter:
        """Return an augmenter of the transform."""
        return cls(config["transform"], config["fixed"])

    def steps(self) -> list[Step]:
        """Return the transforms in their order, without the sequences that contain them."""
        return self._steps

    def augment(self, image: np.ndarray, seed: int) -> Any:
        """Run the random transforms from this seed."""
        return _run(self._random, image, seed)

    def finish(self, image: np.ndarray, seed: int) -> tuple[Any, bool]:
        """Run the deterministic transforms; return also whether they drew numbers."""
        return _run_told(self._fixed_transform, image, seed)

    def run_all(self, image: np.ndarray, seed: int) -> Any:
        """Run all transforms from this seed."""
        return _run(self._whole, image, seed)

    def prepare(self, images: np.ndarray, table: np.ndarray | None = None) -> np.ndarray:
        """Run all transforms in their own order, in their own dtypes; float32."""
        images = np.asarray(images)
        if table is None or not len(images) or not any(self._decide(images)):
            return super().prepare(images, table)
        return self._in_order(images, table)

    def _adopt(self, fixed: Sequence[bool] | None) -> None:
        super()._adopt(fixed)
        if self._fixed is None or not self._is_sequence(self._whole):
            return
        both = zip(self._transforms, self._fixed, strict=True)
        self._fixed_transform = self._package.Compose([leaf for leaf, fixed in both if fixed])
        # The nesting is kept, since each level draws its own numbers.
        self._random = self._without(copy.deepcopy(self._whole), iter(self._fixed))

    def _is_sequence(self, transform: Any) -> bool:
        kinds = (self._package.Compose, self._package.Sequential)
        return type(transform) in kinds and transform.p == 1

    def _leaves(self, sequence: Any) -> Iterator[Any]:
        for transform in sequence.transforms:
            if self._is_sequence(transform):
                yield from self._leaves(transform)
            else:
                yield transform

    def _without(self, sequence: Any, left_out: Iterator[bool]) -> Any:
        """Remove the members of a sequence for which the iterator is true."""
        kept = []
        for transform in sequence.transforms:
            if self._is_sequence(transform):
                kept.append(self._without(transform, left_out))
            elif not next(left_out):
                kept.append(transform)
        sequence.transforms = kept
        return sequence

    def _step(self, transform: Any) -> Step:
        package = self._package
        alone = package.Compose([transform])
        choosing = isinstance(transform, (package.OneOf, package.SomeOf, package.OneOrOther))

        def run(images: list[np.ndarray], seed: int) -> Trial:
            results, drew = zip(*(_run_told(alone, image, seed) for image in images), strict=True)
            return Trial([np.asarray(result) for result in results], any(drew))

        def check_random(images: list[np.ndarray]) -> None:
            for seed in range(SEEDS):
                _set_seed(transform, seed)
                image = np.ascontiguousarray(images[0])
                # Also with rare options.
                result = transform(force_apply=True, image=image)["image"]
                _check_dtype(type(transform).__name__, image, np.asarray(result))

        return Step(
            type(transform).__name__,
            run,
            declared=None if transform.p == 1 else False,
            chooses=choosing and sum(other.p > 0 for other in transform.transforms) > 1,
            check_random=check_random,
        )

    def _checked(self, result: np.ndarray, image: np.ndarray) -> np.ndarray:
        _check_dtype(", ".join(self.random_steps), image, result)
        return super()._checked(result, image)


def _check_dtype(name: str, image: np.ndarray, result: np.ndarray) -> None:
    if image.dtype.kind in "ui" and result.dtype.kind == "f":
        raise ValueError(
            f"{name} is random, and turns {image.dtype} images into {result.dtype}: training "
            "would get values in another range than prediction, which omits random steps. "
            "Normalise in a step that always runs: with p=1, in a Sequential with p=1, or "
            "outside of OneOf"
        )


def _set_seed(transform: Any, seed: int) -> tuple[np.random.Generator, random.Random]:
    # One stream for all steps. With one seed for all, each step would get the same numbers, and a
    # horizontal and a vertical flip would always occur together.
    rng, own = np.random.default_rng(seed), random.Random(seed)
    transform.set_random_state(rng, own)
    return rng, own


def _run(transform: Any, image: np.ndarray, seed: int) -> Any:
    _set_seed(transform, seed)
    return transform(image=np.ascontiguousarray(image))["image"]


def _run_told(transform: Any, image: np.ndarray, seed: int) -> tuple[Any, bool]:
    """Run a composition of transforms; return also whether any of them drew numbers."""
    rng, own = _set_seed(transform, seed)
    before = mark(rng)
    result = transform(image=np.ascontiguousarray(image))["image"]
    untouched = random.Random(seed)
    untouched.random()  # The composition itself draws first, to decide whether it runs.
    return result, mark(rng) != before or own.getstate() != untouched.getstate()
