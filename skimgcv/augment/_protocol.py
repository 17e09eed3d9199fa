"""What an augmenter is: the one interface between image transforms and the estimator."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np

Images = np.ndarray
"""(n, height, width, channels), uint8 0..255 or another integer type or float."""


@runtime_checkable
class Augmenter(Protocol):
    """Transforms batches of images; randomness is drawn first and applied later.

    The random half is ``draw`` and ``apply``; the deterministic half is
    ``standardize``, with whatever statistics ``fit`` learned. Both halves are
    pure: they never write to their input, and read no global state.

    An augmenter that mixes images has besides these ``mixes = True``, a column
    "partner" in its tables (a position of the epoch) and ``mix(images, partners,
    table) -> (mixed, own_share)``, of prepared images; the labels are mixed by
    whoever calls it.
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
