"""Time of transfer learning beside Keras' hand-written loops, in one run: read the ratios.

Run as ``python benchmarks/transfer.py [--rounds 3] [--quick] [--only NAME ...] [--peers ...]``.
A MobileNetV2 with seeded weights stands for a pretrained one: it is frozen, and followed by
pooling, dropout and a dense layer. Peers take turns, so that a busy machine slows them all; a
figure is the median of the rounds. Ours begins each round with nothing compiled and no features
kept. "keras" is the loop without augmentation, "generator" the one with ImageDataGenerator.
"growth" compares what one more candidate, and one more fold, take with the same fits of the
head alone by Keras, on features that are there.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
warnings.filterwarnings("ignore", category=DeprecationWarning)

import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras import layers  # noqa: E402
from peers import AUGMENTATION, BATCH, compare, photographs, seconds  # noqa: E402
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score  # noqa: E402
from tensorflow.keras.preprocessing.image import ImageDataGenerator  # noqa: E402

from skimgcv import (  # noqa: E402
    AugmentedKerasClassifier,
    ImageAugmenter,
    clear_compiled_models,
    clear_features,
)

PIXELS = 96
THAWED = 20
FINE_RATE = 1e-5


def mobilenet(dropout: float = 0.2) -> keras.Model:
    """Build a frozen network and a head that is not."""
    shape = (PIXELS, PIXELS, 3)
    base = keras.applications.MobileNetV2(shape, include_top=False, weights=None)
    base.trainable = False
    images = keras.Input(shape)
    features = layers.GlobalAveragePooling2D()(base(images, training=False))
    outputs = layers.Dense(2, activation="softmax")(layers.Dropout(dropout)(features))
    return keras.Model(images, outputs)


def thaw(model: keras.Model) -> None:
    """Let the base's last layers be trained, but for batch norm, at a low rate."""
    base = model.layers[1]
    base.trainable = True
    for place, layer in enumerate(base.layers):
        is_norm = isinstance(layer, layers.BatchNormalization)
        layer.trainable = place >= len(base.layers) - THAWED and not is_norm
    compile_model(model, FINE_RATE)


def compile_model(model: keras.Model, rate: float) -> None:
    optimizer = keras.optimizers.Adam(rate)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])


@dataclass
class Work:
    """Images, and how a head is trained on them.

    Attributes
    ----------
    epochs, fine_epochs : int
        Of the head alone, and then with the base's last layers.
    grid : dict of str to list
        Dropouts and learning rates to search.
    """

    images: np.ndarray
    labels: np.ndarray
    epochs: int
    fine_epochs: int = 0
    dropouts: tuple[float, ...] = (0.2,)
    rates: tuple[float, ...] = (1e-3,)
    n_folds: int = 5

    def folds(self) -> list[tuple[np.ndarray, np.ndarray]]:
        folds = StratifiedKFold(self.n_folds, shuffle=True, random_state=0)
        return list(folds.split(self.images, self.labels))

    def models(self) -> Iterator[keras.Model]:
        for dropout, rate in itertools.product(self.dropouts, self.rates):
            keras.utils.set_random_seed(0)
            model = mobilenet(dropout)
            compile_model(model, rate)
            yield model


def ours(work: Work) -> None:
    fine: dict[str, Any] = {}
    if work.fine_epochs:
        fine = {
            "fine_tune_epochs": work.fine_epochs,
            "fine_tune_layers": THAWED,
            "fine_tune_learning_rate": FINE_RATE,
        }
    classifier = AugmentedKerasClassifier(
        lambda meta, dropout=work.dropouts[0]: mobilenet(dropout),
        augmenter=ImageAugmenter(**AUGMENTATION),
        optimizer__learning_rate=work.rates[0],
        metrics=["accuracy"],
        epochs=work.epochs,
        batch_size=BATCH,
        random_state=0,
        **fine,
    )
    clear_compiled_models()
    clear_features()
    if len(work.dropouts) == len(work.rates) == 1:
        cross_val_score(classifier, work.images, work.labels, cv=work.folds())
        return
    grid = {"model__dropout": work.dropouts, "optimizer__learning_rate": work.rates}
    search = GridSearchCV(classifier, grid, cv=work.folds(), refit=False)
    search.fit(work.images, work.labels)


def plain_keras(work: Work) -> None:
    images = work.images.astype("float32") / 255
    for train, test in work.folds():
        for model in work.models():
            phases(model, work, images[train], work.labels[train], batch_size=BATCH)
            model.predict(images[test], batch_size=BATCH, verbose=0)


def generator_loop(work: Work) -> None:
    for train, test in work.folds():
        for model in work.models():
            flow = ImageDataGenerator(**AUGMENTATION).flow(
                work.images[train], work.labels[train], batch_size=BATCH
            )
            plain = ImageDataGenerator(rescale=AUGMENTATION["rescale"]).flow(
                work.images[test], batch_size=BATCH, shuffle=False
            )
            phases(model, work, flow)
            model.predict(plain, verbose=0)


def head_alone(work: Work) -> None:
    """Train and score the heads on features of their own."""
    rng = np.random.default_rng(0)
    features = rng.random((len(work.images), 1280)).astype("float32")
    for train, test in work.folds():
        for dropout, rate in itertools.product(work.dropouts, work.rates):
            head = [layers.Dropout(dropout), layers.Dense(2, activation="softmax")]
            model = keras.Sequential([keras.Input((1280,)), *head])
            compile_model(model, rate)
            phases(model, work, features[train], work.labels[train], batch_size=BATCH)
            model.predict(features[test], batch_size=BATCH, verbose=0)


def phases(model: keras.Model, work: Work, *data: Any, **options: Any) -> None:
    model.fit(*data, epochs=work.epochs, verbose=0, **options)
    if work.fine_epochs:
        thaw(model)
        model.fit(*data, epochs=work.fine_epochs, verbose=0, **options)


PEERS = {"keras": plain_keras, "generator": generator_loop}


def peers_of(work: Work, names: list[str]) -> dict[str, Callable[[], None]]:
    """Return ours and the peers that are asked for, at this work."""
    return {
        name: lambda run=run: run(work)
        for name, run in {"ours": ours, **PEERS}.items()
        if name in ("ours", *names)
    }


def growth(data: tuple[np.ndarray, np.ndarray], rounds: int) -> None:
    """Print what one more candidate, and one more fold, take."""
    dropouts = np.linspace(0.1, 0.6, 8).tolist()
    works = {
        "candidate": [Work(*data, 10, dropouts=tuple(dropouts[:n])) for n in (2, 4, 8)],
        "fold": [Work(*data, 10, n_folds=n) for n in (3, 6, 12)],
    }
    for name, sizes in works.items():
        counts = [len(work.dropouts) if name == "candidate" else work.n_folds for work in sizes]
        slopes: dict[str, list[float]] = {"ours": [], "head": []}
        for _ in range(rounds):
            for peer, run in (("ours", ours), ("head", head_alone)):
                times = [seconds(lambda run=run, work=work: run(work)) for work in sizes]
                slopes[peer].append(np.polyfit(counts, times, 1)[0])
                shown = "  ".join(f"{n}: {s:.1f} s" for n, s in zip(counts, times, strict=True))
                print(f"{name}s: {peer} {shown}", file=sys.stderr, flush=True)
        own, head = (statistics.median(values) for values in slopes.values())
        print(
            f"one more {name:9} ours {own:.2f} s  the head alone, by Keras {head:.2f} s",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a third of the images, one round")
    parser.add_argument("--only", nargs="*", default=None)
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS))
    asked = parser.parse_args()
    rounds = 1 if asked.quick else asked.rounds
    data = photographs(200 if asked.quick else 600, PIXELS)
    works = {
        "cross_val_score": Work(*data, 10),
        "grid search": Work(*data, 10, dropouts=(0.2, 0.5), rates=(1e-3, 1e-2)),
        "two phases": Work(*data, 5, fine_epochs=5),
    }
    for name, work in works.items():
        if asked.only is None or any(wanted in name for wanted in asked.only):
            compare(name, peers_of(work, asked.peers), rounds)
    if asked.only is None or "growth" in asked.only:
        growth(data, rounds)


if __name__ == "__main__":
    main()
