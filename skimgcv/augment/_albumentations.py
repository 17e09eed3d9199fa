"""Albumentations transforms as augmenters."""

from __future__ import annotations

import copy
import random
from collections.abc import Mapping
from typing import Any

import numpy as np

from .._runtime.optional import require
from ._seeded import SeededAugmenter


class AlbumentationsAugmenter(SeededAugmenter):
    """An Albumentations transform, or a composition of them.

    Transforms that are always the same (``DETERMINISTIC``, with ``p=1``, at the top
    level) are part of the deterministic half: they run at prediction as well.

    Parameters
    ----------
    transform : albumentations transform
        A copy of it is used.
    """

    DETERMINISTIC = (
        "CenterCrop",
        "FromFloat",
        "LongestMaxSize",
        "Normalize",
        "PadIfNeeded",
        "Resize",
        "SmallestMaxSize",
        "ToFloat",
    )

    def __init__(self, transform: Any) -> None:
        compose = require(
            "albumentations", extra="albumentations", purpose="an Albumentations augmenter"
        ).Compose
        whole = copy.deepcopy(transform)
        # A composition by itself is not wrapped: each level draws numbers of its own.
        self._whole = whole if type(whole) is compose else compose([whole])
        steps = self._whole.transforms if self._whole.p == 1 else []
        fixed = [step for step in steps if self._is_fixed(step)]
        self.fixed_steps = [type(step).__name__ for step in fixed]
        self._fixed = compose(fixed) if fixed else None
        self._random = self._whole
        if fixed:
            self._random = compose([step for step in steps if not self._is_fixed(step)])
        self.random_steps = [
            type(step).__name__ for step in self._random.transforms if not self._is_fixed(step)
        ]

    def to_config(self) -> dict[str, Any]:
        """Return the transform."""
        return {"transform": self._whole}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> AlbumentationsAugmenter:
        """Return an augmenter of the transform."""
        return cls(config["transform"])

    @classmethod
    def _is_fixed(cls, step: Any) -> bool:
        return type(step).__name__ in cls.DETERMINISTIC and step.p == 1

    def augment(self, image: np.ndarray, seed: int) -> Any:
        """Run the random transforms from this seed."""
        return self._run(self._random, image, seed)

    def standardize(self, images: np.ndarray) -> np.ndarray:
        """Run the transforms that are always the same; float32."""
        if self._fixed is None:
            return super().standardize(images)
        return np.stack([self._run(self._fixed, image, 0) for image in images], dtype=np.float32)

    def prepare(self, images: np.ndarray, table: np.ndarray | None = None) -> np.ndarray:
        """Run all transforms in their own order; float32.

        That is ``standardize(apply(images, table))`` if the random ones come first.
        """
        if table is None or self._fixed is None:
            return super().prepare(images, table)
        seeds = table["seed"].tolist()
        results = [
            self._run(self._whole, image, seed) for image, seed in zip(images, seeds, strict=True)
        ]
        return np.stack(results, dtype=np.float32)

    @staticmethod
    def _run(transform: Any, image: np.ndarray, seed: int) -> Any:
        # One stream for all steps: seeds would give each step the same numbers, and a
        # horizontal and a vertical flip would always come together.
        transform.set_random_state(np.random.default_rng(seed), random.Random(seed))
        return transform(image=np.ascontiguousarray(image))["image"]
