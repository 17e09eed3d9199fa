"""Images from files beside arrays and beside Keras, in one run: read the ratios.

The processor's time is given too: it is what can be compared on a busy machine.

Run as ``python benchmarks/files.py [small] [crossval] [lighter] [arrays] [decoding] [killed]
[same] [memory]``; each is measured in a process of its own, on files that it writes to a temporary
folder and removes. Memory needs 3.5 GB of disk. "small" takes a tenth of the files, to see
that it runs.
"""

from __future__ import annotations

import functools
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
warnings.filterwarnings("ignore", category=DeprecationWarning)
warnings.filterwarnings("ignore", category=UserWarning, module="keras")

import cv2  # noqa: E402
import h5py  # noqa: E402
import joblib  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import psutil  # noqa: E402
import tensorflow as tf  # noqa: E402
from keras import layers  # noqa: E402
from peers import AUGMENTATION, ratio, seconds  # noqa: E402
from sklearn.datasets import load_sample_images  # noqa: E402
from sklearn.model_selection import StratifiedKFold, cross_val_score  # noqa: E402
from tensorflow.keras.preprocessing.image import ImageDataGenerator  # noqa: E402

from skimgcv import (  # noqa: E402
    AugmentedKerasClassifier,
    ImageArray,
    ImageAugmenter,
    clear_compiled_models,
    clear_decoded_images,
    load_images,
)
from skimgcv._cli.small_cnn import small_cnn as command_line_cnn  # noqa: E402

SMALL = "small" in sys.argv
ROUNDS = 1 if SMALL else 3


def write_files(folder: str, n: int, side: int, kind: str = "jpg") -> int:
    """Write squares of scikit-learn's two photographs, a folder a photograph; return n."""
    n = n // 10 if SMALL else n
    rng = np.random.default_rng(0)
    photographs = load_sample_images().images
    for i in range(n):
        top, left = rng.integers(427 - side), rng.integers(640 - side)
        tile = photographs[i % 2][top : top + side, left : left + side, ::-1]
        path = Path(folder, "ab"[i % 2], f"{i:05d}.{kind}")
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), tile)
    return n


def small_cnn(side: int) -> keras.Model:
    """Build the CNN that most tutorials begin with."""
    return keras.Sequential(
        [
            layers.Input((side, side, 3)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(2, activation="softmax"),
        ]
    )


def tiny_cnn(meta: dict) -> keras.Model:
    return keras.Sequential(
        [
            layers.Input(meta["image_shape_"]),
            layers.Conv2D(8, 3, strides=4, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2, activation="softmax"),
        ]
    )


# -- cross-validation ------------------------------------------------------------------------


def crossval() -> None:
    """2,000 JPEG files of 200 x 200, to 96 px: 5 folds, 4 epochs."""
    _crossval(lambda meta: small_cnn(96))


def lighter() -> None:
    """The same with the command line's CNN, and with one that takes next to no time."""
    _crossval(command_line_cnn)
    _crossval(tiny_cnn)


def _crossval(build: Callable[[dict], keras.Model]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        n = write_files(folder, 2000, 200)
        files, labels = load_images(folder, (96, 96))
        array = np.asarray(load_images(folder, (96, 96), cache=None)[0])
        folds = list(StratifiedKFold(5, shuffle=True, random_state=0).split(array, labels))
        classifier = AugmentedKerasClassifier(
            build,
            augmenter=ImageAugmenter(**AUGMENTATION),
            epochs=4,
            random_state=0,
        )

        def ours(X: object) -> None:
            clear_compiled_models()
            clear_decoded_images()
            cross_val_score(classifier, X, labels, cv=folds)

        classifier.fit(array[::20], labels[::20])  # what a process needs once
        ways = {
            "array": lambda: ours(array),
            "files": lambda: ours(files),
            "flow_from_dataframe loop": lambda: dataframe_loop(build, files.paths, labels, folds),
        }
        for what, each in _in_turn(ways).items():
            array_times, file_times, loop_times = each.values()
            print(
                f"cross-validation of {n} JPEG files, {what}: "
                f"files/array {ratio(file_times, array_times):.2f} (at most 1.15)  "
                f"loop/files {ratio(loop_times, file_times):.1f} (at least 3)",
                flush=True,
            )


def _in_turn(ways: dict[str, Callable[[], object]]) -> dict[str, dict[str, list[float]]]:
    """Run each way in each round; return the seconds of all, and the processor's."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    work: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            start = time.process_time()
            times[name].append(seconds(way))
            work[name].append(time.process_time() - start)
            print(f"  {name}: {times[name][-1]:.1f} s (processor {work[name][-1]:.1f} s)")
            sys.stdout.flush()
    return {"seconds": times, "processor's seconds": work}


def arrays() -> None:
    """2,000 images of 96 px in HDF5 and in a memory map: 5 folds, 4 epochs."""
    with tempfile.TemporaryDirectory() as folder:
        write_files(folder, 2000, 96)
        files, labels = load_images(folder, (96, 96), cache=None)
        array = np.asarray(files)
        np.save(Path(folder, "images.npy"), array)
        with h5py.File(Path(folder, "images.h5"), "w") as file:
            file.create_dataset("images", data=array, chunks=(8, *array.shape[1:]))
        lazy = {
            "HDF5": ImageArray(h5py.File(Path(folder, "images.h5"))["images"]),
            "memory map": ImageArray(np.load(Path(folder, "images.npy"), mmap_mode="r")),
        }
        for build in (tiny_cnn, lambda meta: small_cnn(96)):
            _crossval_arrays(build, {"array": array, **lazy}, labels)


def _crossval_arrays(
    build: Callable[[dict], keras.Model], sources: dict[str, object], labels: np.ndarray
) -> None:
    classifier = AugmentedKerasClassifier(
        build, augmenter=ImageAugmenter(**AUGMENTATION), epochs=4, random_state=0
    )
    cv = StratifiedKFold(5, shuffle=True, random_state=0)
    classifier.fit(sources["array"][::20], labels[::20])  # what a process needs once

    def ours(X: object) -> None:
        clear_compiled_models()
        cross_val_score(classifier, X, labels, cv=cv)

    ways = {name: functools.partial(ours, X) for name, X in sources.items()}
    for what, each in _in_turn(ways).items():
        ratios = "  ".join(
            f"{name}/array {ratio(each[name], each['array']):.2f}" for name in list(each)[1:]
        )
        print(f"cross-validation of {len(labels)} images, {what}: {ratios} (at most 1.15)")


def dataframe_loop(
    build: Callable[[dict], keras.Model], paths: list[str], labels: np.ndarray, folds: list
) -> None:
    table = pd.DataFrame({"filename": paths, "class": labels})
    plain = ImageDataGenerator(rescale=AUGMENTATION["rescale"])
    for train, test in folds:
        options = {"target_size": (96, 96), "batch_size": 32, "class_mode": "sparse"}
        flow = ImageDataGenerator(**AUGMENTATION).flow_from_dataframe(table.iloc[train], **options)
        held = plain.flow_from_dataframe(table.iloc[test], shuffle=False, **options)
        model = build({"image_shape_": (96, 96, 3), "n_classes_": 2})
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(flow, epochs=4, verbose=0)
        model.predict(held, verbose=0)


# -- decoding ----------------------------------------------------------------------------------


def decoding() -> None:
    """Images a second, from files in the system's cache, nothing kept."""
    for side, target in ((200, 96), (200, 200), (400, 96), (400, 224)):
        with tempfile.TemporaryDirectory() as folder:
            n = write_files(folder, 1000, side)
            ways = {
                "skimgcv": lambda: _ours(folder, target, "area"),  # noqa: B023
                "skimgcv, bilinear": lambda: _ours(folder, target, "bilinear"),  # noqa: B023
                "tf.data": lambda: _tf_data(folder, target),  # noqa: B023
                "Keras": lambda: _keras(folder, target),  # noqa: B023
            }
            speeds: dict[str, list[float]] = {name: [] for name in ways}
            work: dict[str, list[float]] = {name: [] for name in ways}
            for _ in range(ROUNDS):
                for name, way in ways.items():
                    start = time.process_time()
                    speeds[name].append(n / seconds(way))
                    work[name].append(1000 * (time.process_time() - start) / n)
            shown = "  ".join(
                f"{name} {statistics.median(s):.0f} ({statistics.median(work[name]):.1f} ms)"
                for name, s in speeds.items()
            )
            to_tf, to_keras = (ratio(speeds["skimgcv"], speeds[k]) for k in ("tf.data", "Keras"))
            print(
                f"decoding {side} to {target} px, images/s (processor's ms for one)   {shown}   "
                f"ours/tf.data {to_tf:.2f} (at least 1)  ours/Keras {to_keras:.2f}",
                flush=True,
            )


def _ours(folder: str, target: int, interpolation: str) -> None:
    X, _ = load_images(folder, (target, target), interpolation=interpolation, cache=None)
    for start in range(0, len(X), 32):
        np.asarray(X[start : start + 32])


def _tf_data(folder: str, target: int) -> None:
    def read(path: tf.Tensor) -> tf.Tensor:
        image = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
        return tf.cast(tf.image.resize(image, (target, target)), tf.uint8)

    paths = sorted(map(str, Path(folder).glob("*/*.jpg")))
    data = tf.data.Dataset.from_tensor_slices(paths).map(read, tf.data.AUTOTUNE)
    for _ in data.batch(32).prefetch(tf.data.AUTOTUNE):
        pass


def _keras(folder: str, target: int) -> None:
    flow = ImageDataGenerator().flow_from_directory(folder, (target, target), shuffle=False)
    for batch in range(len(flow)):
        flow[batch]


# -- right pixels ------------------------------------------------------------------------------

FILL = """
import sys
import numpy as np
from skimgcv import load_images
X, _ = load_images(sys.argv[1], (96, 96), cache=sys.argv[2])
for start in range(0, len(X), 32):
    np.asarray(X[start : start + 32])
"""


def killed() -> None:
    """Kill a process that fills the cache, again and again, and read what it left."""
    with tempfile.TemporaryDirectory() as folder:
        write_files(folder, 2000, 200)
        right = zlib.crc32(np.asarray(load_images(folder, (96, 96), cache=None)[0]).data)
        n_right, left = 0, []
        for share in np.linspace(0.05, 0.95, 10):
            with tempfile.TemporaryDirectory() as cache:
                X, _ = load_images(folder, (96, 96), cache=cache)
                worker = subprocess.Popen([sys.executable, "-c", FILL, folder, cache])
                while worker.poll() is None and _bytes_of(cache) < share * np.prod(X.shape):
                    time.sleep(0.001)  # the worker needs the processor
                worker.send_signal(signal.SIGKILL)
                assert worker.wait() == -signal.SIGKILL
                left.append(_bytes_of(cache) / np.prod(X.shape))
                n_right += all(zlib.crc32(np.asarray(X).data) == right for _ in range(2))
        print(
            f"killed when the cache was {', '.join(f'{part:.0%}' for part in left)} full: "
            f"the right pixels {n_right} times of {len(left)}",
            flush=True,
        )


def _bytes_of(cache: str) -> int:
    return sum(path.stat().st_size for path in Path(cache).glob("*.pixels"))


def same() -> None:
    """PNG files, however they are kept, beside the array that they hold."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as cache:
        n = write_files(folder, 2000, 64, "png")
        array = np.stack(
            [cv2.imread(str(p))[:, :, ::-1] for p in sorted(Path(folder).glob("*/*.png"))]
        )
        classifier = AugmentedKerasClassifier(
            tiny_cnn, augmenter=ImageAugmenter(**AUGMENTATION), epochs=2, random_state=0
        )
        for n_jobs in (1, 2):
            with joblib.parallel_config("loky"):
                for kept in ("memory", Path(cache), None):
                    X, labels = load_images(folder, (64, 64), cache=kept)
                    scores = [
                        cross_val_score(
                            classifier, data, labels, cv=5, scoring="neg_log_loss", n_jobs=n_jobs
                        )
                        for data in (X, array)
                    ]
                    verdict = "equal" if np.array_equal(*scores) else f"NOT equal: {scores}"
                    how = "a folder" if isinstance(kept, Path) else kept
                    print(
                        f"log loss of {n} PNG files kept in {how}, n_jobs={n_jobs}, "
                        f"and of their array: {verdict}, {-scores[0].mean():.6f}",
                        flush=True,
                    )


# -- memory --------------------------------------------------------------------------------------


def memory() -> None:
    """20,000 files to 224 px (3 GB) in 5 folds, kept in a folder; one process and two."""
    warm = np.zeros((64, 224, 224, 3), np.uint8)
    classifier = AugmentedKerasClassifier(
        tiny_cnn, augmenter=ImageAugmenter(horizontal_flip=True, rescale=1 / 255), random_state=0
    )
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as cache:
        n = write_files(folder, 20_000, 224)
        X, labels = load_images(folder, (224, 224), cache=Path(cache))
        for n_jobs in (1, 2):
            with joblib.parallel_config("loky", inner_max_num_threads=1 if n_jobs == 2 else None):
                # What each process takes without any data counts as the start.
                cross_val_score(classifier, warm, np.arange(64) % 2, cv=2, n_jobs=n_jobs)
                peak = _Peak()
                took = seconds(lambda: cross_val_score(classifier, X, labels, cv=5, n_jobs=n_jobs))  # noqa: B023
                print(
                    f"{n} files, n_jobs={n_jobs}: {took:.0f} s, peak {peak.stop():.0f} MB above "
                    "the start, of all processes together (at most 600)",
                    flush=True,
                )


class _Peak:
    """The largest memory of this process and its children, above what it was at first.

    Shared pages (of the cache's map among them) are counted in each process.
    """

    def __init__(self) -> None:
        self._start = self._most = self._now()
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch)
        self._watcher.start()

    def _now(self) -> float:
        me = psutil.Process()
        total = 0
        for process in (me, *me.children(recursive=True)):
            try:
                total += process.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        return total / 2**20

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            self._most = max(self._most, self._now())

    def stop(self) -> float:
        self._over.set()
        self._watcher.join()
        return self._most - self._start


_TASKS = (crossval, lighter, arrays, decoding, killed, same, memory)
TASKS = {task.__name__: task for task in _TASKS}

if __name__ == "__main__":
    asked = [name for name in sys.argv[1:] if name != "small"] or list(TASKS)
    if len(asked) == 1:
        TASKS[asked[0]]()
    else:
        for name in asked:
            subprocess.run([sys.executable, __file__, name, *["small"] * SMALL], check=True)
