"""Memory over many fits, and of one fit from a file larger than what it may use.

Run as ``python benchmarks/memory.py [fits] [architectures] [keras] [memmap] [folds] [hdf5]
[features]``; each is measured in a process of its own. Resident memory, of the whole process, in
MB. "folds" and "hdf5" write 4 GiB to the temporary folder and remove it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import h5py
import joblib
import keras
import numpy as np
import psutil
from keras import layers
from sklearn.model_selection import cross_val_score

from skimgcv import AugmentedKerasClassifier, ImageArray, ImageAugmenter, clear_features

GIB = 2**30


def build(meta: dict, units: int = 16, strides: int = 1) -> keras.Model:
    return keras.Sequential(
        [
            layers.Input(meta["image_shape_"]),
            layers.Conv2D(8, 3, strides=strides, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(units, activation="relu"),
            layers.Dense(meta["n_classes_"], activation="softmax"),
        ]
    )


def classifier(units: int = 16) -> AugmentedKerasClassifier:
    augmenter = ImageAugmenter(rotation_range=20, horizontal_flip=True, rescale=1 / 255)
    return AugmentedKerasClassifier(
        build, model__units=units, augmenter=augmenter, validation_split=0.2
    )


def images(n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8), np.arange(n) % 2


def resident() -> float:
    return psutil.Process().memory_info().rss / 2**20


def report(name: str, used: list[float]) -> None:
    print(
        f"{name:15} after the 10th fit {used[9]:5.0f} MB, after the last of {len(used)} "
        f"{used[-1]:5.0f} MB: {used[-1] / used[9]:.3f}",
        flush=True,
    )


def fits(n: int = 100) -> None:
    X, y = images(256)
    used = []
    for _ in range(n):
        classifier().fit(X, y).predict(X)
        used.append(resident())
    report("one model", used)


def architectures(n: int = 40) -> None:
    X, y = images(256)
    used = []
    for units in range(n):
        classifier(units + 1).fit(X, y).predict(X)
        used.append(resident())
    report("another each", used)


def with_keras(n: int = 100) -> None:
    X, y = images(256)
    X = X.astype("float32")
    used = []
    for _ in range(n):
        model = build({"image_shape_": X.shape[1:], "n_classes_": 2})
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(X, y, batch_size=32, validation_split=0.2, verbose=0)
        model.predict(X, verbose=0)
        used.append(resident())
    report("Keras, arrays", used)


def memmap() -> None:
    """Fit from 2 GiB of a file, after a fit that brought in what any fit needs."""
    classifier().fit(*warm_images(64))
    with tempfile.TemporaryDirectory() as folder:
        X = open_map(folder, 2 * GIB, side=64)
        peak = Peak()
        classifier().fit(X, np.arange(len(X)) % 2)
        print(f"2 GiB memory map  peak {peak.stop():.0f} MB above the start", flush=True)


def folds() -> None:
    """Cross-validate a memory map of 4 GiB, in one process and in two."""
    with tempfile.TemporaryDirectory() as folder:
        five_folds("memory map", ImageArray(open_map(folder, 4 * GIB, side=256)))


def hdf5() -> None:
    """Cross-validate an HDF5 file of 4 GiB, in one process and in two."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "images.h5")
        parts = random_parts(4 * GIB, side=256)
        with h5py.File(path, "w") as file:
            shape = (4 * GIB // (256 * 256 * 3), 256, 256, 3)
            images = file.create_dataset("images", shape, np.uint8, chunks=(4, *shape[1:]))
            for start, part in parts:
                images[start : start + len(part)] = part
        five_folds("HDF5 file", ImageArray(h5py.File(path)["images"]))


def five_folds(name: str, X: ImageArray) -> None:
    warm, few_labels = warm_images(256)
    # What it computes is little: reading is to be what counts.
    classifier = AugmentedKerasClassifier(
        build,
        model__strides=8,
        augmenter=ImageAugmenter(horizontal_flip=True, rescale=1 / 255),
    )
    for n_jobs, most in ((1, 400), (2, 800)):
        with joblib.parallel_config("loky", inner_max_num_threads=1 if n_jobs == 2 else None):
            # What each process takes without any data counts as the start.
            cross_val_score(classifier, warm, few_labels, cv=2, n_jobs=n_jobs)
            peak, start = Peak(), time.perf_counter()
            cross_val_score(classifier, X, np.arange(len(X)) % 2, cv=5, n_jobs=n_jobs)
            print(
                f"five folds of a {name} of 4 GiB, n_jobs={n_jobs}: "
                f"{time.perf_counter() - start:.0f} s, peak {peak.stop():.0f} MB above the "
                f"start, of all processes together (at most {most})",
                flush=True,
            )


def warm_images(side: int) -> tuple[np.ndarray, np.ndarray]:
    images = np.zeros((64, side, side, 3), np.uint8)
    images[::2] = 255
    return images, np.arange(64) % 2


def random_parts(n_bytes: int, *, side: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield images of noise, with the row of the first."""
    n, some = n_bytes // (side * side * 3), max(1, (50 << 20) // (side * side * 3))
    for start in range(0, n, some):
        shape = (min(some, n - start), side, side, 3)
        yield start, np.random.default_rng(start).integers(0, 256, shape, dtype=np.uint8)


def open_map(folder: str, n_bytes: int, *, side: int) -> np.ndarray:
    path = Path(folder, "images.npy")
    shape = (n_bytes // (side * side * 3), side, side, 3)
    written = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
    for start, part in random_parts(n_bytes, side=side):
        written[start : start + len(part)] = part
    del written
    return np.load(path, mmap_mode="r")


def features(n: int = 20_000, epochs: int = 10, budget_mb: int = 100) -> None:
    """Train a head on ten versions of many images, of which few have room."""

    def frozen(meta: dict) -> keras.Model:
        trunk = layers.Dense(1280, activation="relu", trainable=False)
        head = layers.Dense(2, activation="softmax")
        shape = meta["image_shape_"]
        return keras.Sequential([layers.Input(shape), layers.Flatten(), trunk, head])

    classifier = AugmentedKerasClassifier(
        frozen,
        augmenter=ImageAugmenter(rotation_range=20, rescale=1 / 255),
        epochs=epochs,
        batch_size=256,
        feature_cache=budget_mb << 20,
    )
    classifier.fit(*warm_images(16))
    clear_features()
    X = np.random.default_rng(0).integers(0, 256, (n, 16, 16, 3), dtype=np.uint8)
    peak = Peak()
    classifier.fit(X, np.arange(n) % 2).predict(X)
    print(
        f"features of {epochs} times {n} images, {n * epochs * 1280 * 4 >> 20} MB, with a budget "
        f"of {budget_mb} MB: peak {peak.stop():.0f} MB above the start",
        flush=True,
    )


class Peak:
    """The largest memory of this process and its children, above what it was at first.

    Memory of their own: pages of the file belong to the system, which may drop them.
    """

    def __init__(self) -> None:
        self._start = self._most = self._now()
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch)
        self._watcher.start()

    def _now(self) -> float:
        me, total = psutil.Process(), 0
        for process in (me, *me.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                memory = process.memory_info()
                total += memory.rss - memory.shared
        return total / 2**20

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            self._most = max(self._most, self._now())

    def stop(self) -> float:
        self._over.set()
        self._watcher.join()
        return self._most - self._start


TASKS = {
    "fits": fits,
    "architectures": architectures,
    "keras": with_keras,
    "memmap": memmap,
    "folds": folds,
    "hdf5": hdf5,
    "features": features,
}

if __name__ == "__main__":
    asked = sys.argv[1:] or list(TASKS)
    if len(asked) == 1:
        TASKS[asked[0]]()
    else:
        for name in asked:
            subprocess.run([sys.executable, __file__, name], check=True)
