"""Images a second of ImageAugmenter and its peers, in one run: read the ratios.

Run as ``python benchmarks/augment.py [--quick]``. uint8 RGB in, float32 batches out.
Peers take turns, so that a busy machine slows them all; a figure is the median of the
rounds, and a ratio the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
warnings.filterwarnings("ignore", category=DeprecationWarning)

import cv2  # noqa: E402
import numpy as np  # noqa: E402
from peers import BATCH, GEOMETRY, photographs  # noqa: E402

from skimgcv._runtime import threads  # noqa: E402
from skimgcv.augment import ImageAugmenter  # noqa: E402

COLOR = {"brightness_range": (0.7, 1.3), "channel_shift_range": 20.0, "rescale": 1 / 255}


def flow_batches(flow: object, batches: int) -> Callable[[], None]:
    def run() -> None:
        for _ in range(batches):
            next(flow)  # type: ignore[call-overload]

    return run


def ours(images: np.ndarray, n_threads: int, **parameters: object) -> Callable[[], None]:
    flow = ImageAugmenter(**parameters).flow(images, batch_size=BATCH, seed=0)
    run = flow_batches(flow, len(flow))
    count = threads.thread_count

    def with_threads() -> None:
        threads.thread_count = lambda: n_threads
        try:
            run()
        finally:
            threads.thread_count = count

    return with_threads


def keras_generator(images: np.ndarray, **parameters: object) -> Callable[[], None]:
    from tensorflow.keras.preprocessing.image import ImageDataGenerator

    flow = ImageDataGenerator(**parameters).flow(images, batch_size=BATCH, seed=0)
    return flow_batches(flow, len(flow))


def albumentations(images: np.ndarray) -> Callable[[], None]:
    import albumentations

    transform = albumentations.Compose(
        [
            albumentations.Affine(
                scale=(0.8, 1.2),
                translate_percent=(-0.2, 0.2),
                rotate=(-20, 20),
                shear=(-0.2, 0.2),
                border_mode=cv2.BORDER_REPLICATE,
                p=1,
            ),
            albumentations.HorizontalFlip(p=0.5),
        ]
    )

    def run() -> None:
        for start in range(0, len(images), BATCH):
            batch = images[start : start + BATCH]
            out = np.empty(batch.shape, np.float32)
            for i, image in enumerate(batch):
                out[i] = transform(image=image)["image"]

    return run


def keras_layers(images: np.ndarray) -> Callable[[], None]:
    import keras
    import tensorflow as tf

    layers = keras.Sequential(
        [
            keras.layers.RandomRotation(20 / 360, fill_mode="nearest"),
            keras.layers.RandomTranslation(0.2, 0.2, fill_mode="nearest"),
            keras.layers.RandomShear(0.002, 0.002, fill_mode="nearest"),
            keras.layers.RandomZoom(0.2, 0.2, fill_mode="nearest"),
            keras.layers.RandomFlip("horizontal"),
        ]
    )
    data = tf.data.Dataset.from_tensor_slices(images).batch(BATCH)
    data = data.map(
        lambda batch: layers(tf.cast(batch, tf.float32), training=True),
        num_parallel_calls=tf.data.AUTOTUNE,
    ).prefetch(tf.data.AUTOTUNE)

    def run() -> None:
        for _ in data:
            pass

    return run


def copy(images: np.ndarray) -> Callable[[], None]:
    def run() -> None:
        for start in range(0, len(images), BATCH):
            images[start : start + BATCH].astype(np.float32)

    return run


def timed(runs: dict[str, tuple[int, Callable[[], None]]], rounds: int) -> dict[str, np.ndarray]:
    """Time each run once a round, in turns; give (rounds, 2) seconds an image.

    Of the wall clock, and of the processor: that one counts what threads cost, and
    not what other programs on the machine take.
    """
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for turn in range(rounds + 1):
        for name, (n, run) in runs.items():
            wall, processor = time.perf_counter(), time.process_time()
            run()
            spent = (time.perf_counter() - wall) / n, (time.process_time() - processor) / n
            if turn:  # The first round warms up: traces, caches, thread pools.
                seconds[name].append(spent)
    return {name: np.array(values) for name, values in seconds.items()}


def compare(pixels: int, n: int, n_slow: int, rounds: int) -> None:
    images, _ = photographs(n, pixels)
    few = images[:n_slow]
    cores = threads.thread_count()
    several, single, colour = f"ours, {cores} threads", "ours, 1 thread", "with colour"
    table = timed(
        {
            several: (n, ours(images, cores, **GEOMETRY)),
            single: (n, ours(images, 1, **GEOMETRY)),
            f"{several}, {colour}": (n, ours(images, cores, **GEOMETRY, **COLOR)),
            f"{single}, {colour}": (n, ours(images, 1, **GEOMETRY, **COLOR)),
            "Keras generator": (n_slow, keras_generator(few, **GEOMETRY)),
            f"Keras generator, {colour}": (n_slow, keras_generator(few, **GEOMETRY, **COLOR)),
            "Albumentations": (n_slow, albumentations(few)),
            "Keras layers in tf.data": (n_slow, keras_layers(few)),
            "floor: copy to float32": (n, copy(images)),
        },
        rounds,
    )
    print(f"\n{pixels} px {'images/s':>35} {'CPU us/image':>13}   times as long as ours:")
    print(f"{'':56}{f'{cores} threads':>12}{'1 thread':>11}{'1 thread, CPU':>15}")
    for name, values in table.items():
        suffix = f", {colour}" if colour in name else ""
        ratios = [
            np.median(values[:, clock] / table[mine + suffix][:, clock])
            for mine, clock in ((several, 0), (single, 0), (single, 1))
        ]
        rate, cost = 1 / np.median(values[:, 0]), np.median(values[:, 1]) * 1e6
        print(f"  {name:<32} {rate:10,.0f} {cost:11.1f}", end="")
        print("".join(f"{ratio:13.2f}x" for ratio in ratios), flush=True)


def memory() -> None:
    """Print the peak memory of an epoch over a memory map of 2 GiB."""
    import threading

    folder = tempfile.TemporaryDirectory()
    shape = (2**31 // (224 * 224 * 3), 224, 224, 3)
    images = np.memmap(Path(folder.name, "images"), np.uint8, "w+", shape=shape)
    # Statistics as well: they read all of it once more.
    augmenter = ImageAugmenter(**GEOMETRY, featurewise_center=True)
    flow = augmenter.flow(images[:BATCH], batch_size=BATCH, seed=0)
    peaks = dict(start := resident())
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            for name, value in resident().items():
                peaks[name] = max(peaks[name], value)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        augmenter.fit(images)
        flow = augmenter.flow(images, batch_size=BATCH, seed=0)
        for _ in range(len(flow)):
            next(flow)
    finally:
        done.set()
        watcher.join()
    own, mapped = (peaks[name] - start[name] for name in ("RssAnon", "RssFile"))
    print(f"\nfit and an epoch over a memory map of {images.nbytes / 2**30:.1f} GiB:")
    print(f"  {(own + mapped) / 1024:.0f} MB above the start (limit 300), of which the file's")
    print(f"  pages {mapped / 1024:.0f} MB; their peaks may not coincide")


def resident() -> dict[str, int]:
    lines = Path("/proc/self/status").read_text().splitlines()
    return {line.split(":")[0]: int(line.split()[1]) for line in lines if line.startswith("Rss")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer images and rounds")
    parser.add_argument("--memory", action="store_true", help="only the memory of an epoch")
    options = parser.parse_args()
    if options.memory:
        memory()
        return
    share, rounds = (2, 3) if options.quick else (1, 9)
    compare(32, 2048 // share, 512 // share, rounds)
    compare(224, 256 // share, 64, rounds)
    # A process of its own: its peak must not be another measurement's.
    subprocess.run([sys.executable, __file__, "--memory"], check=True)


if __name__ == "__main__":
    main()
