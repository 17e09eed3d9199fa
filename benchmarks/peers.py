"""What benchmarks share: photographs, the usual augmentation, and peers that take turns.

Peers take turns, so that a busy machine slows them all. A figure is the median of the rounds, a
ratio the median of the rounds' ratios.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping

import cv2
import numpy as np
from sklearn.datasets import load_sample_images

BATCH = 32
GEOMETRY = {
    "rotation_range": 20,
    "width_shift_range": 0.2,
    "height_shift_range": 0.2,
    "shear_range": 0.2,
    "zoom_range": 0.2,
    "horizontal_flip": True,
}
AUGMENTATION = {**GEOMETRY, "rescale": 1 / 255}


def photographs(n: int, pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut squares out of scikit-learn's two photographs; which one is the label."""
    rng = np.random.default_rng(0)
    images = np.empty((n, pixels, pixels, 3), np.uint8)
    photos = load_sample_images().images
    for i in range(n):
        top, left = rng.integers(27), rng.integers(240)
        square = photos[i % 2][top : top + 400, left : left + 400]
        images[i] = cv2.resize(square, (pixels, pixels), interpolation=cv2.INTER_AREA)
    return images, np.arange(n) % 2


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def compare(name: str, peers: Mapping[str, Callable[[], object]], rounds: int) -> None:
    """Print the time of each peer, and that of the first one beside the others."""
    times: dict[str, list[float]] = {peer: [] for peer in peers}
    for _ in range(rounds):
        for peer, run in peers.items():
            times[peer].append(seconds(run))
            print(f"{name}: {peer} {times[peer][-1]:.1f} s", file=sys.stderr, flush=True)
    first, *others = times
    shown = "  ".join(f"{peer} {statistics.median(t):6.1f} s" for peer, t in times.items())
    ratios = "  ".join(f"/{peer} {ratio(times[first], times[peer]):.2f}" for peer in others)
    print(f"{name:22} {shown}   {first} {ratios}", flush=True)


def ratio(one: list[float], other: list[float]) -> float:
    """Return the median of the ratios within a round: rounds differ more than peers do."""
    return statistics.median(map(np.divide, one, other))
