"""The command line: options in, a table and a folder of results out.

What needs Keras is imported last: --help, and what is wrong, should not wait for it.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from tqdm.std import tqdm

from skimgcv import ImageAugmenter, ImageFiles, load_images
from skimgcv._runtime.chunks import slices

_FILES_A_STEP = 256  # of the bar that shows how many are read


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``python -m skimgcv``; return its exit code."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    try:
        X, y, names = _listed(asked)
        _check_classes(asked, y)
        build = None if asked.model is None else _builder(asked.model)
        out = Path(asked.out)
        out.mkdir(parents=True, exist_ok=True)
        X, y, names = _readable(X, y, names)
        _check_classes(asked, y)
    except (OSError, ValueError, MemoryError) as error:
        parser.error(" ".join(str(error).split()))
    labels, sizes = np.unique(y, return_counts=True)
    listed = ", ".join(f"{label} ({n})" for label, n in zip(labels, sizes, strict=True))
    print(f"{len(X)} images of {len(labels)} classes, as {X.shape[1:]}: {listed}", flush=True)
    _cross_validate(asked, build, X, y, names, out)
    return 0


def _cross_validate(
    asked: argparse.Namespace,
    build: Callable[..., Any] | None,
    X: ImageFiles,
    y: np.ndarray,
    names: Sequence[str],
    out: Path,
) -> None:
    from skimgcv._cli.report import cross_validate_folds, write_report

    results = cross_validate_folds(_classifier(asked, build), X, y, asked.folds, asked.seed)
    print(results.table())
    for path in write_report(results, X, y, names, out):
        print(f"wrote {path}")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m skimgcv",
        description="Cross-validate an image classifier on a folder with a sub-folder for each "
        "class. Training images are augmented, test images never are.",
        epilog="Example: python -m skimgcv cells/ --folds 5 --size 96 --out report/",
        formatter_class=_Help,
    )
    parser.add_argument("folder", metavar="FOLDER", help="FOLDER/class/.../image.jpg")
    parser.add_argument(
        "--model",
        metavar="MODULE:BUILDER",
        help="a function build(meta) -> keras.Model; meta has image_shape_ and n_classes_. "
        "Default: a small CNN",
    )
    parser.add_argument("--folds", type=_at_least(2), default=5, help="stratified and shuffled")
    parser.add_argument("--epochs", type=_at_least(1), default=10, help="of each fold")
    parser.add_argument("--size", type=_at_least(1), default=96, help="pixels a side")
    parser.add_argument("--batch-size", type=_at_least(1), default=32, help="images a step")
    parser.add_argument(
        "--color-mode",
        choices=("rgb", "grayscale", "rgba"),
        default="rgb",
        help="what images are converted to",
    )
    parser.add_argument(
        "--dtype",
        choices=("uint8", "uint16"),
        default="uint8",
        help="uint16 keeps the values of files with 16 bits a channel",
    )
    parser.add_argument(
        "--keep-aspect-ratio", action="store_true", help="cut the middle out, do not squeeze"
    )
    parser.add_argument("--balanced", action="store_true", help="weigh rare classes more")
    parser.add_argument("--no-augment", action="store_true", help="do not augment at all")
    parser.add_argument("--no-flip", action="store_true", help="do not mirror training images")
    parser.add_argument("--seed", type=_seed, default=0, help="of folds and training")
    parser.add_argument(
        "--cache",
        metavar="DIR",
        help="keep decoded images there for later runs. Default: in memory, as many as fit",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        default="report",
        help="where scores.csv, predictions.csv and figures go",
    )
    return parser


class _Help(argparse.HelpFormatter):
    """Says a default where there is one: not "default: None", nor "False" for a switch."""

    def _get_help_string(self, action: argparse.Action) -> str:
        has_default = action.default is not None and action.nargs != 0
        return f"{action.help}{' (default: %(default)s)' if has_default else ''}"


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


def _seed(text: str) -> int:
    seed = _at_least(0)(text)
    if seed >= 2**32:
        raise argparse.ArgumentTypeError(f"needs an integer below 2**32: {text!r}")
    return seed


def _listed(asked: argparse.Namespace) -> tuple[Any, ...]:
    return load_images(
        asked.folder,
        (asked.size, asked.size),
        color_mode=asked.color_mode,
        keep_aspect_ratio=asked.keep_aspect_ratio,
        dtype=asked.dtype,
        cache="memory" if asked.cache is None else Path(asked.cache),
        return_names=True,
    )


def _readable(
    X: ImageFiles, y: np.ndarray, names: Sequence[str]
) -> tuple[ImageFiles, np.ndarray, list[str]]:
    """Read all images, and leave out those that give none."""
    bad = []
    with tqdm(total=len(X), desc="reading", unit="file", leave=False) as bar:
        for rows in slices(len(X), _FILES_A_STEP):
            part = X[rows]
            bad += part.errors()
            bar.update(len(part))
    for error in bad:
        print(f"left out: {error.path}: {error.reason}", file=sys.stderr)
    good = np.setdiff1d(np.arange(len(X)), [error.row for error in bad])
    return X[good], y[good], [names[row] for row in good]


def _check_classes(asked: argparse.Namespace, y: np.ndarray) -> None:
    labels, sizes = np.unique(y, return_counts=True)
    if len(labels) < 2:
        raise ValueError(
            f"{asked.folder!r} needs images of 2 classes or more; it has {labels.tolist()}"
        )
    if sizes.min() < asked.folds:
        raise ValueError(
            f"--folds {asked.folds} needs as many images of each class; "
            f"{str(labels[sizes.argmin()])!r} has {sizes.min()}"
        )


def _builder(name: str) -> Callable[..., Any]:
    module, _, builder = name.partition(":")
    if not module or not builder:
        raise ValueError(f"--model needs MODULE:BUILDER; got {name!r}")
    # As with `python -m`: what lies in the current folder can be imported.
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        build = getattr(importlib.import_module(module), builder)
    except Exception as error:  # whatever the module does while it is imported
        said = f"{type(error).__name__}: {error}"
        raise ValueError(f"--model {name} cannot be imported: {said}") from error
    if not callable(build):
        raise ValueError(f"--model {name} is a {type(build).__name__}, no function")
    return build


def _classifier(asked: argparse.Namespace, build: Callable[..., Any] | None) -> Any:
    from skimgcv import AugmentedKerasClassifier
    from skimgcv._cli.small_cnn import small_cnn

    transforms: dict[str, Any] = {
        "rotation_range": 10,
        "width_shift_range": 0.1,
        "height_shift_range": 0.1,
        "zoom_range": 0.1,
        "horizontal_flip": not asked.no_flip,
    }
    white = np.iinfo(asked.dtype).max
    return AugmentedKerasClassifier(
        build or small_cnn,
        augmenter=ImageAugmenter(rescale=1 / white, **({} if asked.no_augment else transforms)),
        class_weight="balanced" if asked.balanced else None,
        epochs=asked.epochs,
        batch_size=asked.batch_size,
        verbose=1,
        random_state=asked.seed,
    )
