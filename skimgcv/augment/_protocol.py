"""What an augmenter is: the interfaces between image transforms and all that uses them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

import numpy as np

from .._runtime.row_streams import RowStreams

_Draw = TypeVar("_Draw", bound=Callable[..., np.ndarray])

Images = np.ndarray
"""(n, height, width, channels), uint8 0..255 or another integer type or float."""


@runtime_checkable
class Augmenter(Protocol):
    """Transforms batches of images; randomness is drawn first and applied later.

    The random half is ``draw`` and ``apply``; the deterministic half is
    ``standardize``, with whatever statistics ``fit`` learned. Both halves are
    pure: they never write to their input, and read no global state.

    An augmenter may have more than these five methods: see
    :class:`MixingAugmenter`, :class:`SavableAugmenter`,
    :class:`ExportableAugmenter` and :class:`SteppedAugmenter`.
    """

    def fit(self, images: Any) -> Any:
        """Learn statistics from the rows that train; return self.

        ``images`` may be any object with ``shape``, ``dtype`` and slices that
        give arrays (a memory map, say): read it in chunks.
        """

    def draw(self, rng: np.random.Generator, n: int, image_shape: tuple[int, ...]) -> np.ndarray:
        """Take all the randomness of ``n`` images: an array with a row an image."""

    def apply(self, images: Images, table: np.ndarray) -> Images:
        """Transform each image by its row of the table, in the images' own dtype."""

    def standardize(self, images: Images) -> Images:
        """Give what the model gets, float32: in training and at prediction alike."""

    def prepare(self, images: Images, table: np.ndarray | None = None) -> Images:
        """Equal ``standardize(apply(images, table))``, fused where that is faster.

        Without a table the random half is left out: that is evaluation.
        """


@runtime_checkable
class MixingAugmenter(Augmenter, Protocol):
    """An augmenter that can mix images with others of the epoch, as MixUp does.

    While ``mixes`` is true its tables have a column "partner": the position in the
    epoch of each image's partner. The labels are mixed by whoever calls ``mix``.
    """

    @property
    def mixes(self) -> bool:
        """Whether prepared images are to be mixed with their partners."""

    def mix(
        self, images: Images, partners: Images, table: np.ndarray
    ) -> tuple[Images, np.ndarray]:
        """Mix prepared images with their prepared partners, by the images' rows.

        Returns the mixed images, and the weight of each image's own label,
        float32 of shape (n,); the rest is its partner's.
        """


@runtime_checkable
class SavableAugmenter(Augmenter, Protocol):
    """An augmenter that ``AugmentedKerasClassifier.save`` can write into a file.

    A file holds its configuration, and refers to its class by name:
    ``load(path, custom_objects={"MyAugmenter": MyAugmenter})`` gives the class.
    """

    def to_config(self) -> Mapping[str, Any]:
        """Return all that an equal augmenter is made of, with what ``fit`` learned, if it did.

        By name: numbers, text, arrays, and lists, tuples and dicts of them; Keras
        layers; and functions, which a file refers to by name.
        """

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        """Return an equal augmenter. A file may come from anybody: check what it says."""


@runtime_checkable
class ExportableAugmenter(Augmenter, Protocol):
    """An augmenter whose deterministic half ``to_keras()`` can put into a Keras model."""

    def to_layers(self) -> Sequence[Callable[[Any], Any]]:
        """Return what ``standardize`` does, step by step, in Keras' operations.

        Each step is a Keras layer, or a function, from a batch of Keras tensors to
        one of the same shape; there are none where nothing is to be done.

        Raises
        ------
        ValueError
            Where Keras has no operations for it; naming what it is.
        """


@runtime_checkable
class SteppedAugmenter(Augmenter, Protocol):
    """An augmenter of several steps that shows which of them belong to which half."""

    @property
    def fixed_steps(self) -> list[str]:
        """Names of the deterministic half's steps: they run at prediction too."""

    @property
    def random_steps(self) -> list[str]:
        """Names of the random half's steps: they run in training only."""

    def beside_another(self, images: Images) -> SteppedAugmenter:
        """Return a copy for use beside an augmenter that standardises.

        Its steps that are always the same and keep the kind of values, such as a flip of
        every image, are random steps there.
        """


class FlowingAugmenter(MixingAugmenter, Protocol):
    """What Keras' flows read of an augmenter: :class:`ImageAugmenter`, that is."""

    data_format: str | None
    validation_split: float


def by_rows(draw: _Draw) -> _Draw:
    """Mark a ``draw`` whose generator is asked for the images' numbers in turn, and no more."""
    draw.by_rows = True  # type: ignore[attr-defined]
    return draw


def is_by_rows(augmenter: Augmenter) -> bool:
    """Whether ``draw`` takes the numbers of several images from their own streams at once."""
    return bool(getattr(type(augmenter).draw, "by_rows", False))


def draw_each(
    augmenter: Augmenter, streams: RowStreams, image_shape: tuple[int, ...]
) -> np.ndarray:
    """Draw for each image from a stream of its own: what ``draw`` gives for it alone.

    Parameters
    ----------
    augmenter : Augmenter
    streams : RowStreams
    image_shape : tuple of int

    Returns
    -------
    ndarray of shape (len(streams),)
    """
    n = len(streams)
    if is_by_rows(augmenter):
        return augmenter.draw(cast("np.random.Generator", streams), n, image_shape)
    tables = [augmenter.draw(streams.of(row), 1, image_shape) for row in range(n)]
    if not tables:
        return augmenter.draw(np.random.default_rng(0), 0, image_shape)
    return np.concatenate(tables)


def mixing(augmenter: Augmenter) -> MixingAugmenter | None:
    """Return the augmenter if it is one that mixes images now, and else None."""
    if isinstance(augmenter, MixingAugmenter) and augmenter.mixes:
        return augmenter
    return None
