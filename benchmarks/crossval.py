"""Time of whole cross-validations beside Keras and its peers, in one run: read the ratios.

Run as ``python benchmarks/crossval.py [--rounds 3] [--quick] [--only NAME ...] [--peers ...]``.
Peers take turns, so that a busy machine slows them all; a figure is the median of the
rounds. Ours begins each round with nothing compiled. "steps" are the training steps alone,
below which no loop can get. The blood cells are read from ``--blood-cells FOLDER``, and left
out without it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
warnings.filterwarnings("ignore", category=DeprecationWarning)

import cv2  # noqa: E402
import joblib  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from keras import layers  # noqa: E402
from peers import AUGMENTATION, BATCH, compare, photographs, ratio, seconds  # noqa: E402
from scikeras.wrappers import KerasClassifier  # noqa: E402
from sklearn.model_selection import StratifiedKFold, cross_val_score  # noqa: E402
from tensorflow.keras.preprocessing.image import ImageDataGenerator  # noqa: E402

from skimgcv import (  # noqa: E402
    AugmentedKerasClassifier,
    ImageAugmenter,
    clear_compiled_models,
)


def small_cnn(pixels: int, classes: int, augmenting: tuple = ()) -> keras.Model:
    """Build the CNN that most tutorials begin with."""
    return keras.Sequential(
        [
            layers.Input((pixels, pixels, 3)),
            *augmenting,
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(classes, activation="softmax"),
        ]
    )


def three_blocks(pixels: int, classes: int, augmenting: tuple = ()) -> keras.Model:
    """Build a CNN with batch norm."""
    blocks = [
        layer
        for filters in (16, 32, 64)
        for layer in (
            layers.Conv2D(filters, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.MaxPooling2D(),
        )
    ]
    return keras.Sequential(
        [
            layers.Input((pixels, pixels, 3)),
            *augmenting,
            *blocks,
            layers.GlobalAveragePooling2D(),
            layers.Dropout(0.3),
            layers.Dense(classes, activation="softmax"),
        ]
    )


def mobilenet(pixels: int, classes: int, augmenting: tuple = ()) -> keras.Model:
    """Build MobileNetV2 with weights of its own."""
    shape = (pixels, pixels, 3)
    base = keras.applications.MobileNetV2(shape, include_top=False, weights=None, pooling="avg")
    return keras.Sequential(
        [layers.Input(shape), *augmenting, base, layers.Dense(classes, activation="softmax")]
    )


@dataclass
class Work:
    """Images to cross-validate a model on."""

    build: Callable[..., keras.Model]
    images: np.ndarray
    labels: np.ndarray
    epochs: int
    n_folds: int = 5

    @property
    def pixels(self) -> int:
        return self.images.shape[1]

    @property
    def classes(self) -> int:
        return len(np.unique(self.labels))

    def model(self, augmenting: tuple = ()) -> keras.Model:
        model = self.build(self.pixels, self.classes, augmenting)
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    def folds(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        folds = StratifiedKFold(self.n_folds, shuffle=True, random_state=0)
        return folds.split(self.images, self.labels)


def blood_cells(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    paths = sorted(folder.glob("*/*.jpg"))
    images = np.stack([cv2.imread(str(p))[..., ::-1] for p in paths])
    return images, np.unique([p.parent.name for p in paths], return_inverse=True)[1]


def ours(work: Work, n_jobs: int = 1) -> None:
    classifier = AugmentedKerasClassifier(
        lambda meta: work.build(work.pixels, work.classes),
        augmenter=ImageAugmenter(**AUGMENTATION),
        metrics=["accuracy"],
        epochs=work.epochs,
        batch_size=BATCH,
        random_state=0,
    )
    clear_compiled_models()
    cross_val_score(classifier, work.images, work.labels, cv=list(work.folds()), n_jobs=n_jobs)


def plain_keras(work: Work) -> None:
    images = work.images.astype("float32") / 255
    for train, test in work.folds():
        model = work.model()
        model.fit(
            images[train],
            work.labels[train],
            batch_size=BATCH,
            epochs=work.epochs,
            verbose=0,
        )
        model.predict(images[test], batch_size=BATCH, verbose=0)


def generator_loop(work: Work) -> None:
    for train, test in work.folds():
        flow = ImageDataGenerator(**AUGMENTATION).flow(
            work.images[train], work.labels[train], batch_size=BATCH
        )
        plain = ImageDataGenerator(rescale=AUGMENTATION["rescale"]).flow(
            work.images[test], batch_size=BATCH, shuffle=False
        )
        model = work.model()
        model.fit(flow, epochs=work.epochs, verbose=0)
        model.predict(plain, verbose=0)


def layers_in_scikeras(work: Work) -> None:
    def build() -> keras.Model:
        shift = AUGMENTATION["width_shift_range"]
        return work.model(
            (
                layers.Rescaling(AUGMENTATION["rescale"]),
                layers.RandomRotation(AUGMENTATION["rotation_range"] / 360),
                layers.RandomTranslation(shift, shift),
                layers.RandomShear(AUGMENTATION["shear_range"], AUGMENTATION["shear_range"]),
                layers.RandomZoom(AUGMENTATION["zoom_range"]),
                layers.RandomFlip("horizontal"),
            )
        )

    classifier = KerasClassifier(build, epochs=work.epochs, batch_size=BATCH, verbose=0)
    images = work.images.astype("float32")
    cross_val_score(classifier, images, work.labels, cv=list(work.folds()), scoring="accuracy")


def steps_alone(work: Work) -> None:
    """Train one model for as many steps, on one batch: no loop on Keras' steps can beat it."""
    model = work.model()
    batch = (work.images[:BATCH].astype("float32") / 255, work.labels[:BATCH])
    batches = iter(tf.data.Dataset.from_tensors(batch).repeat())
    model.make_train_function()
    n_images = work.epochs * sum(len(train) for train, _ in work.folds())
    for _ in range(n_images // BATCH):
        model.train_function(batches)


PEERS = {
    "keras": plain_keras,
    "generator": generator_loop,
    "layers": layers_in_scikeras,
    "steps": steps_alone,
}


def peers_of(work: Work, names: list[str]) -> dict[str, Callable[[], None]]:
    """Return ours and the peers that are asked for, at this work."""
    return {
        name: lambda run=run: run(work)
        for name, run in {"ours": ours, **PEERS}.items()
        if name in ("ours", *names)
    }


def later_folds(name: str, work: Work, rounds: int) -> None:
    """Print the time of fit and predict on 64 images, once an equal model is compiled."""
    few = Work(work.build, work.images[:64], work.labels[:64], 1)
    own, fresh = [], []
    classifier = AugmentedKerasClassifier(
        lambda meta: work.build(work.pixels, 2), batch_size=BATCH, random_state=0
    )

    def run_ours() -> None:
        classifier.fit(few.images, few.labels).predict(few.images)

    def run_keras() -> None:
        model = few.model()
        images = few.images.astype("float32")
        model.fit(images, few.labels, batch_size=BATCH, verbose=0)
        model.predict(images, batch_size=BATCH, verbose=0)

    run_ours()
    for _ in range(rounds):
        own.append(seconds(run_ours))
        fresh.append(seconds(run_keras))
    print(
        f"a later fold, {name:8} ours {statistics.median(own):5.2f} s  "
        f"keras {statistics.median(fresh):5.2f} s   ours /keras {ratio(own, fresh):.2f}",
        flush=True,
    )


def growth(rounds: int, sizes: tuple[int, ...]) -> None:
    """Print the time against the number of images, and the line through it."""
    ours(Work(small_cnn, *photographs(100, 32), 1))
    times = []
    for n in sizes:
        work = Work(small_cnn, *photographs(n, 32), 2)
        times.append(statistics.median(seconds(lambda w=work: ours(w)) for _ in range(rounds)))
    slope, fixed = np.polyfit(sizes, times, 1)
    shown = "  ".join(f"{n}: {s:.1f} s" for n, s in zip(sizes, times, strict=True))
    off = max(abs(t - fixed - slope * n) / t for n, t in zip(sizes, times, strict=True))
    print(
        f"growth                 {shown}   {1e3 * slope:.2f} ms an image, "
        f"{fixed / 5:.2f} s a fold; at most {off:.0%} off the line",
        flush=True,
    )


def side_by_side(rounds: int, epochs: int) -> None:
    """Print how much faster two workers are than one, with the same number of folds each.

    By default TensorFlow's threads leave a second worker little. See docs/speed.rst, and run it
    with ``TF_NUM_INTRAOP_THREADS=1``.
    """
    work = Work(three_blocks, *photographs(1500, 48), epochs, n_folds=10)
    backends = {"loky": [], "threading": []}
    for _ in range(rounds):
        alone = seconds(lambda: ours(work))
        for backend, gains in backends.items():
            with joblib.parallel_config(backend):
                together = seconds(lambda: ours(work, n_jobs=2))
            gains.append(alone / together)
            print(f"{backend}: {alone:.1f} and {together:.1f} s", file=sys.stderr, flush=True)
    for backend, gains in backends.items():
        print(f"n_jobs=2, {backend:12} {statistics.median(gains):.2f} times n_jobs=1", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a third of the images")
    parser.add_argument("--only", nargs="*", default=None)
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS))
    parser.add_argument("--blood-cells", type=Path)
    asked = parser.parse_args()
    share = 3 if asked.quick else 1
    tasks: dict[str, Callable[[str], None]] = {}

    def add(name: str, build: Callable[..., keras.Model], data: Callable, epochs: int) -> None:
        tasks[name] = lambda name: compare(
            name, peers_of(Work(build, *data(), epochs), asked.peers), asked.rounds
        )

    add("small CNN, 32 px", small_cnn, lambda: photographs(2000 // share, 32), 5)
    add("small CNN, 128 px", small_cnn, lambda: photographs(600 // share, 128), 3)
    add("MobileNetV2, 96 px", mobilenet, lambda: photographs(300 // share, 96), 2)
    if asked.blood_cells:
        add("blood cells, 64 px", three_blocks, lambda: blood_cells(asked.blood_cells), 5)
    for name, build, pixels in (("small", small_cnn, 32), ("mobilenet", mobilenet, 96)):
        tasks[f"later {name}"] = lambda _, n=name, b=build, p=pixels: later_folds(
            n, Work(b, *photographs(64, p), 1), asked.rounds
        )
    sizes = (500, 1000, 2000, 4000, 8000)[: 3 if asked.quick else 5]
    tasks["growth"] = lambda _: growth(asked.rounds, sizes)
    tasks["n_jobs"] = lambda _: side_by_side(asked.rounds, 6 // share)
    for name, task in tasks.items():
        if asked.only is None or any(wanted in name for wanted in asked.only):
            task(name)


if __name__ == "__main__":
    main()
