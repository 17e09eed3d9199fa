"""Augmenters of other packages: a seed for each image instead of parameters."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np

from ._dtypes import from_working
from ._halves import Step, Trial, check_shape, decide, mark, same_bits, samples, standardizes
from ._protocol import by_rows

SEED = np.dtype([("seed", np.uint64)])


class SeededAugmenter:
    """The base of adapters whose random numbers come from one seed for each image.

    It consists of steps. Steps with the same result for every seed are deterministic, and also run
    at prediction. The others are random. Trials on the first images that ``fit``, or another
    method, gets decide this: see :func:`~skimgcv.augment._halves.decide`.
    """

    with_noise = True
    """Whether trials also use noise."""

    def __init__(self, fixed: Sequence[bool] | None = None) -> None:
        self._fixed: tuple[bool, ...] | None = None
        self._adopt(fixed)

    # -- methods of a subclass ----------------------------------------------------

    def steps(self) -> list[Step]:
        """Return the steps, in their order."""
        raise NotImplementedError

    def augment(self, image: np.ndarray, seed: int) -> Any:
        """Run one image (height, width, channels) through the random steps."""
        raise NotImplementedError

    def finish(self, image: np.ndarray, seed: int) -> tuple[Any, bool]:
        """Run one image through the deterministic steps; return also whether they drew numbers."""
        raise NotImplementedError

    def run_all(self, image: np.ndarray, seed: int) -> Any:
        """Run one image through all steps, in their order."""
        raise NotImplementedError

    # -- random and deterministic steps ------------------------------------------

    @property
    def fixed_steps(self) -> list[str]:
        """Names of the deterministic steps, which also run at prediction."""
        return self._names(True)

    @property
    def random_steps(self) -> list[str]:
        """Names of the random steps, which run only in training."""
        return self._names(False)

    def __repr__(self) -> str:
        if self._fixed is None:
            return f"{type(self).__name__}(not tried yet)"
        return (
            f"{type(self).__name__}(fixed_steps={self.fixed_steps}, "
            f"random_steps={self.random_steps})"
        )

    def fit(self, images: Any) -> Self:
        """Find out which steps are deterministic; return self."""
        self._decide(images)
        return self

    def beside_another(self, images: np.ndarray) -> Self:
        """Return a copy for use with an augmenter that standardises; its other steps are random.

        For example, a flip of every image is a transform in test-time augmentation.
        """
        fixed, images_now = [], samples(images, with_noise=self.with_noise)
        for step, is_fixed in zip(self.steps(), self._decide(images), strict=True):
            results = step.run(images_now, 0).images
            fixed.append(is_fixed and standardizes(step, images_now, results))
            images_now = results
        own = copy.deepcopy(self)
        own._adopt(fixed)
        return own

    def _names(self, kind: bool) -> list[str]:
        fixed = self._fixed or ()
        pairs = zip(self.steps(), fixed, strict=bool(fixed))
        return [step.name for step, is_fixed in pairs if is_fixed == kind]

    def _decide(self, images: Any) -> tuple[bool, ...]:
        if self._fixed is None:
            self._adopt(decide(self.steps(), samples(images, with_noise=self.with_noise)))
        assert self._fixed is not None
        return self._fixed

    def _adopt(self, fixed: Sequence[bool] | None) -> None:
        if fixed is None:
            return
        if [type(kind) for kind in fixed] != [bool] * len(self.steps()):
            raise ValueError(
                f"this augmenter has the steps {[step.name for step in self.steps()]}, and "
                f"{fixed!r} does not say of each whether it is deterministic"
            )
        self._fixed = tuple(fixed)

    @property
    def _random_first(self) -> bool:
        return list(self._fixed or ()) == sorted(self._fixed or ())

    # -- the protocol ----------------------------------------------------------------

    @by_rows
    def draw(self, rng: np.random.Generator, n: int, image_shape: tuple[int, ...]) -> np.ndarray:
        """Draw a 64-bit seed for each image: structured, with one column "seed"."""
        table = np.empty(n, SEED)
        table["seed"] = rng.integers(2**64, size=n, dtype=np.uint64)
        return table

    def apply(self, images: np.ndarray, table: np.ndarray) -> np.ndarray:
        """Run each image through the random steps by its seed, in the images' own dtype."""
        images = np.array(images)
        if not len(images) or all(self._decide(images)):
            return images
        out = np.empty(images.shape, images.dtype)
        for image, target, seed in zip(images, out, table["seed"].tolist(), strict=True):
            result = np.asarray(self.augment(image, seed))
            target[...] = from_working(self._checked(result, image), images.dtype)
        return out

    def standardize(self, images: np.ndarray) -> np.ndarray:
        """Run images through the deterministic steps; float32, a new array."""
        images = np.asarray(images)
        if not len(images) or not any(self._decide(images)):
            return np.array(images, dtype=np.float32)
        return np.stack([self._finished(image) for image in images], dtype=np.float32)

    def prepare(self, images: np.ndarray, table: np.ndarray | None = None) -> np.ndarray:
        """Run all steps in their own order; without a table, the deterministic ones.

        This equals ``standardize(apply(images, table))`` if the random steps come first.
        """
        images = np.asarray(images)
        if table is None:
            return self.standardize(images)
        if not len(images) or (self._decide(images) and self._random_first):
            return self.standardize(self.apply(images, table))
        return self._in_order(images, table)

    def _in_order(self, images: np.ndarray, table: np.ndarray) -> np.ndarray:
        out = np.empty(images.shape, np.float32)
        for image, target, seed in zip(images, out, table["seed"].tolist(), strict=True):
            result = np.asarray(self.run_all(image, seed))
            check_shape(result, image.shape)
            target[...] = result
        return out

    def _finished(self, image: np.ndarray) -> np.ndarray:
        result, drew = self.finish(image, 0)
        # The trial proves it only for the images of the trial.
        if drew and not same_bits(result, self.finish(image, 1)[0]):
            raise ValueError(
                f"{', '.join(self.fixed_steps)} gave the same result for every seed on the first "
                "images, but not on this one: prediction would be random. Let it always do the "
                "same, or draw random numbers for each image"
            )
        result = np.asarray(result)
        check_shape(result, image.shape)
        return result

    def to_layers(self) -> list[Callable[[Any], Any]]:
        """Return the deterministic steps in Keras' operations: an empty list if there are none.

        Raises
        ------
        ValueError
            If there are steps, since they are those of another package.
        """
        if self.fixed_steps:
            raise ValueError(
                f"what {', '.join(self.fixed_steps)} does at prediction is not made of Keras' "
                "operations; rescale and standardise by ImageAugmenter or Keras' layers instead."
            )
        return []

    def _checked(self, result: np.ndarray, image: np.ndarray) -> np.ndarray:
        """Refuse results that are not images of the same kind, before they train a model."""
        check_shape(result, image.shape)
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

    It is random if its result depends on ``rng``. Otherwise it is deterministic, and also runs at
    prediction.

    Parameters
    ----------
    function : callable
        Takes one image (height, width, channels) in its own dtype, a copy that may be changed, and
        a ``numpy.random.Generator``. Returns an image of the same shape. The result of a random
        function is converted to the dtype of the image.
    fixed : sequence of one bool, optional
        Whether it is deterministic. None finds it out.

    Examples
    --------
    >>> import numpy as np
    >>> def darken(image, rng):
    ...     return image * rng.uniform(0.5, 1)
    >>> images = np.full((2, 4, 4, 1), 200, np.uint8)
    >>> augmenter = CallableAugmenter(darken).fit(images)
    >>> augmenter
    CallableAugmenter(fixed_steps=[], random_steps=['darken'])
    >>> table = augmenter.draw(np.random.default_rng(0), 2, (4, 4, 1))
    >>> augmenter.apply(images, table).dtype
    dtype('uint8')
    """

    with_noise = False

    def __init__(
        self,
        function: Callable[[np.ndarray, np.random.Generator], Any],
        fixed: Sequence[bool] | None = None,
    ) -> None:
        _check_takes_two(function)
        self.function = function
        super().__init__(fixed)

    def to_config(self) -> dict[str, Any]:
        """Return the function, and whether it is deterministic."""
        return {
            "function": self.function,
            "fixed": None if self._fixed is None else [*self._fixed],
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> CallableAugmenter:
        """Return an augmenter of the function. By default it is random."""
        return cls(config["function"], config.get("fixed", [False]))

    def steps(self) -> list[Step]:
        """Return the function as the only step."""
        name = getattr(self.function, "__name__", type(self.function).__name__)
        return [Step(name, self._try, standardizes=False)]

    def augment(self, image: np.ndarray, seed: int) -> Any:
        """Call the function with a generator of this seed."""
        return self.function(image.copy(), np.random.Generator(np.random.SFC64(seed)))

    def finish(self, image: np.ndarray, seed: int) -> tuple[Any, bool]:
        """Call the function with a generator of this seed; return also whether it drew numbers."""
        return self._call(image, seed)

    def _call(self, image: np.ndarray, seed: int) -> tuple[Any, bool]:
        rng = np.random.Generator(np.random.SFC64(seed))
        before = mark(rng)
        result = self.function(image.copy(), rng)
        return result, mark(rng) != before

    def _try(self, images: list[np.ndarray], seed: int) -> Trial:
        results = [self._call(image, seed) for image in images]
        return Trial([np.asarray(r) for r, _ in results], any(drew for _, drew in results))


def _check_takes_two(function: Any) -> None:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # Some functions in C have no signature.
        return
    try:
        signature.bind(None, None)
    except TypeError:
        raise TypeError(
            f"an augmenter needs to be f(image, rng), got {function!r} with the parameters "
            f"{signature}. Take random numbers from rng, a numpy.random.Generator; what is "
            "always the same can be ImageAugmenter(preprocessing_function=...)"
        ) from None
