"""Memory over many fits, and of one fit from a file larger than what it may use.

Run as ``python benchmarks/memory.py [fits] [architectures] [keras] [memmap]``; each is
measured in a process of its own. Resident memory, of the whole process, in MB.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import psutil
from keras import layers

from skimgcv import AugmentedKerasClassifier, ImageAugmenter

GIB = 2**30


def build(meta: dict, units: int = 16) -> keras.Model:
    return keras.Sequential(
        [
            layers.Input(meta["image_shape_"]),
            layers.Conv2D(8, 3, activation="relu"),
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
    shape = (2 * GIB // (64 * 64 * 3), 64, 64, 3)
    warm, labels = np.zeros((64, *shape[1:]), np.uint8), np.arange(shape[0]) % 2
    warm[::2] = 255
    classifier().fit(warm, labels[:64])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.bin"
        X = np.memmap(path, np.uint8, "w+", shape=shape)
        for start in range(0, len(X), 4096):
            X[start : start + 4096] = np.random.default_rng(start).integers(
                0, 256, X[start : start + 4096].shape, dtype=np.uint8
            )
        del X
        X = np.memmap(path, np.uint8, "r", shape=shape)
        before, peak, over = _private(), [0.0], threading.Event()

        def watch() -> None:
            while not over.is_set():
                peak[0] = max(peak[0], _private())
                time.sleep(0.05)

        watcher = threading.Thread(target=watch)
        watcher.start()
        classifier().fit(X, labels)
        over.set()
        watcher.join()
        print(f"2 GiB memory map  peak {peak[0] - before:.0f} MB above the start", flush=True)


def _private() -> float:
    """Memory of our own: pages of the file belong to the system, which may drop them."""
    memory = psutil.Process().memory_info()
    return (memory.rss - memory.shared) / 2**20


TASKS = {"fits": fits, "architectures": architectures, "keras": with_keras, "memmap": memmap}

if __name__ == "__main__":
    asked = sys.argv[1:] or list(TASKS)
    if len(asked) == 1:
        TASKS[asked[0]]()
    else:
        for name in asked:
            subprocess.run([sys.executable, __file__, name], check=True)
