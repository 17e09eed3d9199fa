"""The augmenter that does nothing: for ``augmenter=None``, and for rows of features."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ._protocol import by_rows


class Plain:
    """Returns rows of any shape unchanged, in float32."""

    def fit(self, images: Any) -> Plain:
        """Learn nothing."""
        return self

    @by_rows
    def draw(self, rng: np.random.Generator, n: int, image_shape: tuple[int, ...]) -> np.ndarray:
        """Draw nothing, n times."""
        return np.empty(n, dtype=[])

    def apply(self, images: np.ndarray, table: np.ndarray) -> np.ndarray:
        """Transform nothing."""
        return images

    def standardize(self, images: np.ndarray) -> np.ndarray:
        """Convert to float32."""
        return images.astype(np.float32)

    def prepare(self, images: np.ndarray, table: np.ndarray | None = None) -> np.ndarray:
        """Convert to float32."""
        return self.standardize(images)

    def to_config(self) -> dict[str, Any]:
        """Return an empty config, since all are equal."""
        return {}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Plain:
        """Return an instance."""
        return cls()

    def to_layers(self) -> list[Callable[[Any], Any]]:
        """Return no steps, since Keras converts to float32 itself."""
        return []
