"""The axis of an image's channels: last in this package, first for some users."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np


class Format(NamedTuple):
    """The order of axes in the user's images.

    Parameters
    ----------
    channels_first : bool
        Whether images are (n, channels, height, width), and not channels last.
    """

    channels_first: bool

    def to_last(self, images: np.ndarray) -> np.ndarray:
        """View a batch of the user's images with channels last."""
        images = np.asarray(images)
        if images.ndim != 4:
            raise ValueError(
                f"images need the shape (n, height, width, channels), got {images.shape}; "
                f"{self._missing_axis('images' if images.ndim == 3 else 'image')}"
            )
        return np.moveaxis(images, 1, 3) if self.channels_first else images

    def _missing_axis(self, name: str) -> str:
        index = ":, None" if name == "images" else "None"
        index = index if self.channels_first else "..., None"
        return f"a grey one has an axis of one channel: {name}[{index}]"

    def from_last(self, images: np.ndarray) -> np.ndarray:
        """Return images with channels last in the user's order, C-contiguous."""
        return np.ascontiguousarray(np.moveaxis(images, 3, 1)) if self.channels_first else images

    def shape_to_last(self, shape: Sequence[int]) -> tuple[int, int, int]:
        """Return (height, width, channels) of the shape of one of the user's images."""
        if len(shape) != 3:
            order = "channels, height, width" if self.channels_first else "height, width, channels"
            hint = "several are transformed by flow, or by draw and apply"
            raise ValueError(
                f"an image needs the shape ({order}), got {tuple(shape)}; "
                f"{self._missing_axis('image') if len(shape) < 3 else hint}"
            )
        if self.channels_first:
            return int(shape[1]), int(shape[2]), int(shape[0])
        return int(shape[0]), int(shape[1]), int(shape[2])

    def function_to_last(
        self, function: Callable[[np.ndarray], np.ndarray]
    ) -> Callable[[np.ndarray], np.ndarray]:
        """Return the user's function of one image as one of images with channels last."""
        if not self.channels_first:
            return function
        return lambda image: np.moveaxis(np.asarray(function(np.moveaxis(image, 2, 0))), 0, 2)
