"""Augmenters of other makes: a seed an image instead of parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ._dtypes import from_working
from ._protocol import by_rows

SEED = np.dtype([("seed", np.uint64)])


class SeededAugmenter:
    """What is common to adapters whose randomness is a function of one seed an image.

    A subclass says what happens to one image; its deterministic half is a change to
    float32, unless it says more.

    Attributes
    ----------
    fixed_steps, random_steps : list of str
        Names of what belongs to the deterministic half, and to the random one.
    """

    fixed_steps: list[str]
    random_steps: list[str]

    def fit(self, images: Any) -> Any:
        """Return self: there is nothing to learn."""
        return self

    @by_rows
    def draw(self, rng: np.random.Generator, n: int, image_shape: tuple[int, ...]) -> np.ndarray:
        """Draw a 64-bit seed an image: structured, with the one column "seed"."""
        table = np.empty(n, SEED)
        table["seed"] = rng.integers(2**64, size=n, dtype=np.uint64)
        return table

    def apply(self, images: np.ndarray, table: np.ndarray) -> np.ndarray:
        """Transform each image by its seed, in the images' own dtype."""
        images = np.asarray(images)
        out = np.empty(images.shape, images.dtype)
        for image, target, seed in zip(images, out, table["seed"].tolist(), strict=True):
            result = np.asarray(self.augment(image, seed))
            target[...] = from_working(self._checked(result, image), images.dtype)
        return out

    def standardize(self, images: np.ndarray) -> np.ndarray:
        """Return what the model gets: float32, a new array."""
        return np.array(images, dtype=np.float32)

    def prepare(self, images: np.ndarray, table: np.ndarray | None = None) -> np.ndarray:
        """Equal ``standardize(apply(images, table))``; without a table, the second half."""
        return self.standardize(images if table is None else self.apply(images, table))

    def augment(self, image: np.ndarray, seed: int) -> Any:
        """Transform one image (height, width, channels), without writing to it."""
        raise NotImplementedError

    def to_layers(self) -> list[Callable[[Any], Any]]:
        """Return the deterministic half in Keras' operations: nothing, where it has no steps.

        Raises
        ------
        ValueError
            Where it has steps: they are of another package.
        """
        if self.fixed_steps:
            raise ValueError(
                f"what {', '.join(self.fixed_steps)} does at prediction is not made of Keras' "
                "operations; rescale and standardise by ImageAugmenter or Keras' layers instead."
            )
        return []

    def _checked(self, result: np.ndarray, image: np.ndarray) -> np.ndarray:
        """Refuse what cannot be an image of the same kind, before it trains a model."""
        if result.shape != image.shape:
            raise ValueError(
                f"an augmenter needs to return images of the shape that it gets, {image.shape}, "
                f"this one returned {result.shape}; crop or resize before fit and predict alike"
            )
        if image.dtype.kind in "ui" and result.dtype.kind == "f" and image.max() > 1:
            least, greatest = result.min(), result.max()
            if least >= 0 and greatest <= 1 and np.any(result != np.rint(result)):
                raise ValueError(
                    f"an augmenter needs to keep the range of {image.dtype} images, this one "
                    "returned floats within [0, 1]; multiply by 255, or give fit and predict "
                    "images within [0, 1]"
                )
        return result


class CallableAugmenter(SeededAugmenter):
    """Any ``f(image, rng) -> image``.

    Parameters
    ----------
    function : callable
        Of one image (height, width, channels) in its own dtype, a copy that may be
        written to, and a ``numpy.random.Generator``. Returns an image of the same
        shape; it is given on in the same dtype.

    Examples
    --------
    >>> import numpy as np
    >>> def darken(image, rng):
    ...     return image * rng.uniform(0.5, 1)
    >>> augmenter = CallableAugmenter(darken)
    >>> images = np.full((2, 4, 4, 1), 200, np.uint8)
    >>> table = augmenter.draw(np.random.default_rng(0), 2, (4, 4, 1))
    >>> augmenter.apply(images, table).dtype
    dtype('uint8')
    """

    def __init__(self, function: Callable[[np.ndarray, np.random.Generator], Any]) -> None:
        self.function = function
        self.fixed_steps = []
        self.random_steps = [getattr(function, "__name__", type(function).__name__)]

    def to_config(self) -> dict[str, Any]:
        """Return the function."""
        return {"function": self.function}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> CallableAugmenter:
        """Return an augmenter of the function."""
        return cls(config["function"])

    def augment(self, image: np.ndarray, seed: int) -> Any:
        """Call the function with a generator of this seed."""
        return self.function(image.copy(), np.random.Generator(np.random.SFC64(seed)))
