"""The command line: options in, a table and a folder of results out."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from skimgcv import AugmentedKerasClassifier, ImageAugmenter, load_images
from skimgcv._report import Progress, cross_validate_folds, write_report
from skimgcv._small_cnn import small_cnn


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``python -m skimgcv``; return its exit code."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    try:
        build = _builder(asked.model)
        X, y, names = _load(asked)
        out = Path(asked.out)
        out.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError, ImportError, AttributeError) as error:
        parser.error(" ".join(str(error).split()))
    labels, sizes = np.unique(y, return_counts=True)
    listed = ", ".join(f"{label} ({n})" for label, n in zip(labels, sizes, strict=True))
    print(f"{len(X)} images of {len(labels)} classes, as {X.shape[1:]}: {listed}", flush=True)
    results = cross_validate_folds(_classifier(asked, build), X, y, asked.folds, asked.seed)
    print(results.table())
    for path in write_report(results, X, y, names, out):
        print(f"wrote {path}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m skimgcv",
        description="Cross-validate an image classifier on a folder with a sub-folder for each "
        "class. Training images are augmented, test images never are.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("folder", help="FOLDER/class/.../image.jpg")
    parser.add_argument(
        "--model",
        metavar="MODULE:BUILDER",
        help="a function build(meta) -> keras.Model; meta has image_shape_ and n_classes_. "
        "Default: a small CNN",
    )
    parser.add_argument("--folds", type=_at_least(2), default=5, help="stratified and shuffled")
    parser.add_argument("--epochs", type=_at_least(1), default=10)
    parser.add_argument("--size", type=_at_least(1), default=96, help="pixels a side")
    parser.add_argument("--batch-size", type=_at_least(1), default=32)
    parser.add_argument("--color-mode", choices=("rgb", "grayscale", "rgba"), default="rgb")
    parser.add_argument(
        "--keep-aspect-ratio", action="store_true", help="cut the middle out, do not squeeze"
    )
    parser.add_argument("--balanced", action="store_true", help="weigh rare classes more")
    parser.add_argument("--no-augment", action="store_true", help="do not augment at all")
    parser.add_argument("--no-flip", action="store_true", help="do not mirror training images")
    parser.add_argument("--seed", type=_at_least(0), default=0, help="of folds and training")
    parser.add_argument(
        "--cache", metavar="DIR", help="keep decoded images there, instead of in memory"
    )
    parser.add_argument("--out", metavar="DIR", default="report", help="where results go")
    return parser


def _at_least(least: int) -> Callable[[str], int]:
    def whole(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"needs an integer of {least} or more: {text!r}")
        return value

    return whole


def _builder(name: str | None) -> Callable[..., Any]:
    if name is None:
        return small_cnn
    module, _, builder = name.partition(":")
    if not module or not builder:
        raise ValueError(f"--model needs MODULE:BUILDER; got {name!r}")
    # As with `python -m`: what lies in the current folder can be imported.
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())
    build = getattr(importlib.import_module(module), builder)
    if not callable(build):
        raise ValueError(f"--model {name} is a {type(build).__name__}, no function")
    return build


def _load(asked: argparse.Namespace) -> tuple[Any, np.ndarray, list[str]]:
    """List the images, and leave out those that cannot be read."""
    X, y, names = load_images(
        asked.folder,
        (asked.size, asked.size),
        color_mode=asked.color_mode,
        keep_aspect_ratio=asked.keep_aspect_ratio,
        cache="memory" if asked.cache is None else Path(asked.cache),
        return_names=True,
    )
    bad = X.errors()
    for error in bad:
        print(f"left out: {error.path}: {error.reason}", file=sys.stderr)
    good = np.setdiff1d(np.arange(len(X)), [error.row for error in bad])
    X, y, names = X[good], y[good], [names[row] for row in good]
    labels, sizes = np.unique(y, return_counts=True)
    if len(labels) < 2:
        raise ValueError(f"{asked.folder!r} has images of {len(labels)} class; it needs 2 or more")
    if sizes.min() < asked.folds:
        raise ValueError(
            f"--folds {asked.folds} needs as many images of each class; "
            f"{str(labels[sizes.argmin()])!r} has {sizes.min()}"
        )
    return X, y, names


def _classifier(asked: argparse.Namespace, build: Callable[..., Any]) -> AugmentedKerasClassifier:
    transforms: dict[str, Any] = {
        "rotation_range": 10,
        "width_shift_range": 0.1,
        "height_shift_range": 0.1,
        "zoom_range": 0.1,
        "horizontal_flip": not asked.no_flip,
    }
    return AugmentedKerasClassifier(
        build,
        augmenter=ImageAugmenter(rescale=1 / 255, **({} if asked.no_augment else transforms)),
        class_weight="balanced" if asked.balanced else None,
        callbacks=Progress(),
        epochs=asked.epochs,
        batch_size=asked.batch_size,
        random_state=asked.seed,
    )
