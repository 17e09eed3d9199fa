"""Seconds that ``fit`` takes with ``zca_whitening``, against Keras' generator: read the ratios.

Run as ``python benchmarks/zca.py``. Both take turns in one process; a figure is the median of
the rounds. Ours works in float64 and Keras' in float32, so the matrices differ by what float32
leaves over, in the directions in which the images vary.
"""

from __future__ import annotations

import os
import time
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
warnings.filterwarnings("ignore", category=DeprecationWarning)

import numpy as np  # noqa: E402
from tensorflow.keras.preprocessing.image import ImageDataGenerator  # noqa: E402

from skimgcv.augment import ImageAugmenter  # noqa: E402

ROUNDS = 3
SIZES = ((30, 32), (1000, 24), (2000, 16))


def seconds(kind: type, images: np.ndarray) -> float:
    start = time.perf_counter()
    kind(zca_whitening=True).fit(images)
    return time.perf_counter() - start


def main() -> None:
    print(f"{'images':>14} {'ours, s':>9} {'Keras, s':>9} {'ours / Keras':>13}")
    for n, pixels in SIZES:
        images = np.random.default_rng(0).integers(0, 256, (n, pixels, pixels, 3), np.uint8)
        # The first round warms up.
        pairs = [
            (seconds(ImageAugmenter, images), seconds(ImageDataGenerator, images))
            for _ in range(ROUNDS + 1)
        ][1:]
        ours, theirs = np.median(pairs, axis=0)
        ratio = np.median([a / b for a, b in pairs])
        size = f"{n} x {pixels} px"
        print(f"{size:>14} {ours:9.2f} {theirs:9.2f} {ratio:12.2f}x", flush=True)


if __name__ == "__main__":
    main()
