"""The random half: what a table's rows do to a block of images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ._color import Levels, brighten, shift_channels
from ._dtypes import from_working, working_dtype
from ._geometry import compose, warp

_GEOMETRY = ("theta", "tx", "ty", "shear", "zx", "zy", "flip_horizontal", "flip_vertical")


@dataclass(frozen=True)
class Transform:
    """The random half of an augmenter, with what is not random about it.

    Parameters
    ----------
    order, fill_mode, cval
        Of :func:`._geometry.warp`.
    """

    order: int = 1
    fill_mode: str = "nearest"
    cval: float = 0.0

    def apply(self, images: np.ndarray, table: np.ndarray) -> np.ndarray:
        """Transform each image by its row, into a new array of the images' dtype."""
        work = images.astype(working_dtype(images.dtype), copy=False)
        matrices = compose(
            *(table[name] for name in _GEOMETRY), height=images.shape[1], width=images.shape[2]
        )
        out = warp(
            work, matrices, order=self.order, fill_mode=self.fill_mode, cval=self.cval
        )
        for image, original, row in zip(out, images, table, strict=True):
            self._recolor(image, original, row)
        return from_working(out, images.dtype)

    def _recolor(self, image: np.ndarray, original: np.ndarray, row: np.void) -> None:
        intensity, factor = row["channel_shift_intensity"], row["brightness"]
        if intensity != 0:
            shift_channels(image, float(intensity))
        if factor != 1:
            brighten(image, float(factor), Levels.of(original))
