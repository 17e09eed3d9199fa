"""Many fits of all kinds with faults among them: nothing may grow, and no result may differ.

Run as ``python benchmarks/soak.py [fits]`` (default 500). Each fit is of one of 36 kinds:
architecture x augmenter x source of images. What each is to give, weights, history and
predictions, bit for bit, is computed before in another process. Fits run by themselves, two
at a time in threads, and in loky's workers; every fifth has a fault at random: an exception, a
MemoryError or Ctrl-C in the builder, in an augmenter or in a callback, a file that is gone, or
a worker that is killed.
"""

from __future__ import annotations

import collections
import contextlib
import gc
import hashlib
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cv2
import joblib
import keras
import numpy as np
import psutil
from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.process_executor import TerminatedWorkerError
from keras import layers
from sklearn.base import clone

from skimgcv import AugmentedKerasClassifier, ImageAugmenter, ImageFiles
from skimgcv.augment import as_augmenter

N, SHAPE = 48, (16, 16, 3)


# -- 36 kinds of fits ----------------------------------------------------------------------------


def dense(meta: dict) -> keras.Model:
    return _ending(meta, [layers.Flatten(), layers.Dense(8, activation="relu")])


def cnn(meta: dict) -> keras.Model:
    body = [layers.Conv2D(4, 3, activation="relu"), layers.BatchNormalization()]
    return _ending(meta, [*body, layers.Dropout(0.25), layers.GlobalAveragePooling2D()])


def branched(meta: dict) -> keras.Model:
    inputs = layers.Input(meta["image_shape_"])
    parts = [layers.Conv2D(4, k, activation="relu", padding="same")(inputs) for k in (1, 3)]
    pooled = layers.GlobalAveragePooling2D()(layers.Concatenate()(parts))
    outputs = layers.Dense(meta["n_classes_"], activation="softmax")(pooled)
    return keras.Model(inputs, outputs)


def _ending(meta: dict, body: list) -> keras.Model:
    last = layers.Dense(meta["n_classes_"], activation="softmax")
    return keras.Sequential([layers.Input(meta["image_shape_"]), *body, last])


def darken(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return image * rng.uniform(0.5, 1)


def layered() -> keras.Model:
    return keras.Sequential([layers.RandomFlip(seed=1), layers.Rescaling(1 / 255)])


ARCHITECTURES = {f.__name__: f for f in (dense, cnn, branched)}
AUGMENTERS = {
    "geometry": lambda: ImageAugmenter(rotation_range=20, horizontal_flip=True, rescale=1 / 255),
    "statistics": lambda: ImageAugmenter(featurewise_std_normalization=True, shear_range=9),
    "function": lambda: darken,
    "layers": layered,
}
SOURCES = ("array", "memory map", "files")
KINDS = list(itertools.product(ARCHITECTURES, AUGMENTERS, SOURCES))


def write_images(folder: Path) -> None:
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (N, *SHAPE), dtype=np.uint8)
    X[:, :, :, 0] //= (1 + np.arange(N) % 3).astype(np.uint8)[:, None, None]
    np.save(folder / "images.npy", X)
    for row, image in enumerate(X):
        cv2.imwrite(str(folder / f"{row}.png"), image)


def images(source: str, folder: Path) -> np.ndarray | ImageFiles:
    if source == "files":
        return ImageFiles([folder / f"{row}.png" for row in range(N)], SHAPE[:2], cache=None)
    return np.load(folder / "images.npy", mmap_mode="r" if source == "memory map" else None)


LABELS = np.arange(N) % 3


def classifier(kind: tuple[str, str, str]) -> AugmentedKerasClassifier:
    architecture, augmenter, _ = kind
    return AugmentedKerasClassifier(
        ARCHITECTURES[architecture],
        augmenter=AUGMENTERS[augmenter](),
        epochs=2,
        batch_size=8,
        validation_split=0.25,
        class_weight="balanced",
        random_state=0,
    )


def digest(clf: AugmentedKerasClassifier, X: np.ndarray | ImageFiles) -> str:
    content = hashlib.blake2b(repr(sorted(clf.history_.items())).encode(), digest_size=8)
    for array in (*clf.model_.get_weights(), clf.predict_proba(X)):
        content.update(np.ascontiguousarray(array))
    return content.hexdigest()


def fit(kind: tuple[str, str, str], folder: Path) -> str:
    X = images(kind[2], folder)
    return digest(classifier(kind).fit(X, LABELS), X)


# -- faults --------------------------------------------------------------------------------------


class ScannerError(Exception):
    pass


ERRORS = {
    "an exception": lambda: ScannerError("the scanner is off"),
    "a MemoryError": lambda: MemoryError("no memory for a batch"),
    "Ctrl-C": KeyboardInterrupt,
}


class FailingAugmenter:
    """Augments as another does, until its n-th batch."""

    mixes = False

    def __init__(self, inner: object, calls: int, error: str) -> None:
        self._inner, self._left, self._error = inner, calls, error

    def __getattr__(self, name: str) -> object:
        return getattr(self.__dict__["_inner"], name)

    def __deepcopy__(self, memo: dict) -> FailingAugmenter:
        return FailingAugmenter(as_augmenter(self._inner), self._left, self._error)

    def fit(self, images: object) -> FailingAugmenter:
        self._inner.fit(images)
        return self

    def draw(self, *arguments: object) -> np.ndarray:
        return self._inner.draw(*arguments)

    def apply(self, *arguments: object) -> np.ndarray:
        return self._inner.apply(*arguments)

    def standardize(self, images: np.ndarray) -> np.ndarray:
        return self._inner.standardize(images)

    def prepare(self, *arguments: object) -> np.ndarray:
        self._left -= 1
        if self._left < 0:
            raise ERRORS[self._error]()
        return self._inner.prepare(*arguments)


class FailingCallback(keras.callbacks.Callback):
    def __init__(self, calls: int, error: str) -> None:
        super().__init__()
        self.left, self.error = calls, error

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.left -= 1
        if self.left < 0:
            raise ERRORS[self.error]()


class FailingBuilder:
    def __init__(self, build: object, error: str) -> None:
        self.build, self.error = build, error

    def __call__(self, meta: dict) -> keras.Model:
        self.build(meta)
        raise ERRORS[self.error]()


def fail(kind: tuple[str, str, str], folder: Path, rng: np.random.Generator, expected: str) -> str:
    """Let a fit fail, a first one or one of a fitted classifier, which has to stay as it was."""
    error, calls = str(rng.choice(list(ERRORS))), int(rng.integers(1, 8))
    where = str(rng.choice(["builder", "augmenter", "callback", "a file that is gone"]))
    X, clf = images(kind[2], folder), classifier(kind)
    fitted = bool(rng.random() < 0.5)
    if fitted:
        clf.fit(X, LABELS)
    broken, own = clone(clf), {}
    if where == "builder":
        own = {"model": FailingBuilder(clf.model, error)}
    elif where == "augmenter":
        own = {"augmenter": FailingAugmenter(as_augmenter(clf.augmenter), calls, error)}
    elif where == "callback":
        own = {"callbacks": FailingCallback(calls, error)}
    else:
        paths = [folder / f"{row if row != 7 else 'gone'}.png" for row in range(N)]
        X, error = ImageFiles(paths, SHAPE[:2], cache=None), "an error of the system"
    caught = OSError if where.startswith("a file") else type(ERRORS[error]())
    target = clf if fitted else broken
    target.set_params(**own)
    try:
        target.fit(X, LABELS)
    except caught:
        pass
    else:
        raise AssertionError(f"{error} in {where} passed in silence")
    if fitted:
        target.set_params(augmenter=None)
        assert digest(target, images(kind[2], folder)) == expected, f"{where}: the old fit is lost"
    else:
        assert not hasattr(target, "model_"), f"{where}: a failed fit is fitted"
    return f"{error} in {where}"


def killed(kind: tuple[str, str, str], folder: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


# -- the run -------------------------------------------------------------------------------------


def references(folder: Path, kinds: list[int]) -> dict[str, str]:
    """Compute in a process of its own what each kind is to give."""
    out = folder / "references.json"
    command = [sys.executable, __file__, "--references", str(folder), str(out)]
    subprocess.run([*command, *map(str, kinds)], check=True)
    return json.loads(out.read_text())


HEADER = f"{'step':>5} {'MB':>7} {'threads':>8} {'handles':>8} {'temp files':>11}"


class Soak:
    """Counts what was done, and what the process holds."""

    def __init__(self, folder: Path, expected: dict[str, str]) -> None:
        self.folder, self.expected = folder, expected
        self.done: collections.Counter[str] = collections.Counter()
        self.faults: collections.Counter[str] = collections.Counter()
        self.process = psutil.Process()

    def check(self, kind: tuple[str, str, str], how: str, found: str) -> None:
        assert found == self.expected[" ".join(kind)], f"another result: {kind} {how}"
        self.done[how] += 1

    def sample(self, step: int) -> None:
        gc.collect()  # an exception's frames hold the data until then
        memory = self.process.memory_info().rss / 2**20
        files = sum(len(names) + len(below) for _, below, names in os.walk(tempfile.gettempdir()))
        threads, handles = self.process.num_threads(), self.process.num_fds()
        print(f"{step:5} {memory:7.0f} {threads:8} {handles:8} {files:11}", flush=True)

    def report(self) -> None:
        print("fits:  ", ", ".join(f"{n} {how}" for how, n in self.done.items()))
        print("faults:", ", ".join(f"{n} {what}" for what, n in self.faults.most_common()))


def run(fits: int, folder: Path) -> None:
    rng = np.random.default_rng(0)
    order = rng.permutation(len(KINDS)).tolist()[: 2 * fits]
    soak, kinds = Soak(folder, references(folder, order)), itertools.cycle(order)
    print(HEADER, flush=True)

    def pick() -> tuple[str, str, str]:
        return KINDS[next(kinds)]

    start, step = time.perf_counter(), 0
    while soak.done.total() + soak.faults.total() < fits:
        step += 1
        if step % 40 == 6:
            pair = [pick(), pick(), pick(), pick()]
            workers = joblib.Parallel(n_jobs=2)(joblib.delayed(fit)(k, folder) for k in pair)
            for kind, found in zip(pair, workers, strict=True):
                soak.check(kind, "in workers", found)
        elif step % 120 == 7:
            with contextlib.suppress(TerminatedWorkerError):
                joblib.Parallel(n_jobs=2)(joblib.delayed(killed)(pick(), folder) for _ in range(2))
                raise AssertionError("a killed worker passed in silence")
            soak.faults["a killed worker"] += 1
        elif step % 5 == 3:
            pair = [pick(), pick()]
            together = joblib.Parallel(n_jobs=2, prefer="threads")(
                joblib.delayed(fit)(kind, folder) for kind in pair
            )
            for kind, found in zip(pair, together, strict=True):
                soak.check(kind, "in threads", found)
        elif step % 5 == 4:
            kind = pick()
            soak.faults[fail(kind, folder, rng, soak.expected[" ".join(kind)])] += 1
        else:
            kind = pick()
            soak.check(kind, "alone", fit(kind, folder))
        if step % max(1, fits // 16) == 0:
            soak.sample(step)
    get_reusable_executor().shutdown(wait=True)
    soak.sample(step)
    soak.report()
    left = [t.name for t in threading.enumerate() if not t.daemon]
    print(f"{time.perf_counter() - start:.0f} s; Python's threads in the end: {left}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--references"]:
        wanted = [KINDS[int(number)] for number in sys.argv[4:]]
        found = {" ".join(kind): fit(kind, Path(sys.argv[2])) for kind in wanted}
        Path(sys.argv[3]).write_text(json.dumps(found))
    else:
        with tempfile.TemporaryDirectory() as private:
            # All temporary files of this process and its workers are counted here.
            tempfile.tempdir = os.environ["TMPDIR"] = os.environ["JOBLIB_TEMP_FOLDER"] = private
            data = Path(private) / "data"
            data.mkdir()
            write_images(data)
            run(int(sys.argv[1]) if len(sys.argv) > 1 else 500, data)
