"""The protocols of augmenters."""

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
    """Transforms batches of images. It draws random numbers first and applies them later.

    ``draw`` and ``apply`` are the random steps. ``standardize`` is the deterministic steps,
    with the statistics of ``fit``. All of them are pure: they never write to their input,
    and read no global state.

    An augmenter may have more methods than these five: see
    :class:`MixingAugmenter`, :class:`SavableAugmenter`,
    :class:`ExportableAugmenter` and :class:`SteppedAugmenter`.
    """

    def fit(self, images: Any) -> Any:
        """Learn statistics from the training rows; return self.

        ``images`` may be any object with ``shape``, ``dtype`` and slices that
        return arrays, such as a memory map. Read it in chunks.
        """

    def draw(self, rng: np.random.Generator, n: int, image_shape: tuple[int, ...]) -> np.ndarray:
        """Draw all random numbers of ``n`` images: an array with a row for each image."""

    def apply(self, images: Images, table: np.ndarray) -> Images:
        """Transform each image by its row of the table, in the images' own dtype."""

    def standardize(self, images: Images) -> Images:
        """Return the input of the model, float32, in training and at prediction."""

    def prepare(self, images: Images, table: np.ndarray | None = None) -> Images:
        """Return ``standardize(apply(images, table))``, by a faster way if there is one.

        Without a table, return ``standardize(images)``: this is evaluation.
        """


@runtime_checkable
class MixingAugmenter(Augmenter, Protocol):
    """An augmenter that can mix images with others of the epoch, as MixUp does.

    While ``mixes`` is true its tables have a column "partner": the position in the
    epoch of each image's partner. The caller of ``mix`` mixes the labels.
    """

    @property
    def mixes(self) -> bool:
        """Whether prepared images are to be mixed with their partners."""

    def mix(
        self, images: Images, partners: Images, table: np.ndarray
    ) -> tuple[Images, np.ndarray]:
        """Mix prepared images with their prepared partners, by the rows of the table.

        Returns the mixed images, and the weight of each image's own label,
        float32 of shape (n,); the rest is its partner's.
        """


@runtime_checkable
class SavableAugmenter(Augmenter, Protocol):
    """An augmenter that ``AugmentedKerasClassifier.save`` can write into a file.

    The file contains its configuration, and refers to its class by name. Pass the class to
    ``load(path, custom_objects={"MyAugmenter": MyAugmenter})``.
    """

    def to_config(self) -> Mapping[str, Any]:
        """Return the parameters and, after ``fit``, the statistics, as a dict.

        Values may be numbers, strings, arrays, and lists, tuples and dicts of them; Keras
        layers; and functions, to which the file refers by name.
        """

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        """Return an equal augmenter. A file may come from anybody: check its values."""


@runtime_checkable
class ExportableAugmenter(Augmenter, Protocol):
    """An augmenter whose deterministic steps ``to_keras()`` can put into a Keras model."""

    def to_layers(self) -> Sequence[Callable[[Any], Any]]:
        """Return the steps of ``standardize`` in Keras' operations.

        Each step is a Keras layer or a function from a batch of Keras tensors to a batch of
        the same shape. The list is empty if ``standardize`` does nothing.

        Raises
        ------
        ValueError
            If Keras has no operations for a step. The message names it.
        """


@runtime_checkable
class SteppedAugmenter(Augmenter, Protocol):
    """An augmenter of several steps that shows which of them are random."""

    @property
    def fixed_steps(self) -> list[str]:
        """Names of the deterministic steps, which also run at prediction."""

    @property
    def random_steps(self) -> list[str]:
        """Names of the random steps, which run only in training."""

    def beside_another(self, images: Images) -> SteppedAugmenter:
        """Return a copy that accompanies an augmenter that standardises.

        In the copy, deterministic steps that keep the range of the values, such as a flip of
        every image, count as random.
        """


class FlowingAugmenter(MixingAugmenter, Protocol):
    """The attributes of an :class:`ImageAugmenter` that Keras' flows read."""

    data_format: str | None
    validation_split: float


def by_rows(draw: _Draw) -> _Draw:
    """Mark a ``draw`` that only draws the numbers of the images in turn."""
    draw.by_rows = True  # type: ignore[attr-defined]
    return draw


def is_by_rows(augmenter: Augmenter) -> bool:
    """Whether ``draw`` can draw for several images at once, each from its own stream."""
    return bool(getattr(type(augmenter).draw, "by_rows", False))


def draw_each(
    augmenter: Augmenter, streams: RowStreams, image_shape: tuple[int, ...]
) -> np.ndarray:
    """Draw for each image from its own stream, with the numbers of ``draw`` for it alone.

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
    """Return the augmenter if it mixes images now, and None otherwise."""
    if isinstance(augmenter, MixingAugmenter) and augmenter.mixes:
        return augmenter
    return None
