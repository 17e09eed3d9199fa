import contextlib
import os

# It would ask the network for its newest version when it is imported.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import numpy as np
import pytest
from sklearn.datasets import load_sample_images


def _squares(pixels, n=4):
    rng = np.random.default_rng(7)
    squares = []
    for i in range(n):
        photo = load_sample_images().images[i % 2]
        top, left = (rng.integers(size - pixels) for size in photo.shape[:2])
        squares.append(photo[top : top + pixels, left : left + pixels])
    return np.stack(squares)


@pytest.fixture(scope="session")
def photos():
    """Four squares of real photographs: (4, 96, 96, 3) uint8."""
    return _squares(96)


@pytest.fixture(scope="session")
def small_photos():
    """(24, 12, 12, 3) uint8."""
    return _squares(12, n=24)


@pytest.fixture
def global_numbers():
    """A context in which the originals may draw from NumPy's global generator."""

    @contextlib.contextmanager
    def seeded(seed):
        before = np.random.get_state()  # noqa: NPY002
        np.random.seed(seed)  # noqa: NPY002
        try:
            yield
        finally:
            np.random.set_state(before)  # noqa: NPY002

    return seeded
