"""The options of the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NoReturn

EPOCHS_WITHOUT_GAIN = 5
"""After which early stopping ends a fit."""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see --help)\n")


class _Help(argparse.HelpFormatter):
    """Says a default where there is one: not "default: None", nor "False" for a switch."""

    def _get_help_string(self, action: argparse.Action) -> str:
        has_default = action.default is not None and action.nargs != 0
        return f"{action.help}{' (default: %(default)s)' if has_default else ''}"


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of ``skimgcv``."""
    parser = _Parser(
        prog="skimgcv",
        usage="%(prog)s (FOLDER | --table FILE) [options]",
        description="Cross-validate a network for images, and write a report that opens in any "
        "browser. Training images are augmented, test images never are. What is wrong with the "
        "folds is printed first.",
        epilog="Example: skimgcv --table labels.csv --group-column patient --size 96",
        formatter_class=_Help,
    )
    _add_images(parser.add_argument_group("images"))
    _add_folds(parser.add_argument_group("folds"))
    _add_network(parser.add_argument_group("network"))
    _add_training(parser.add_argument_group("training"))
    _add_fine_tuning(parser.add_argument_group("fine-tuning, after that"))
    parser.add_argument("--seed", type=_seed, default=0, help="of folds and training")
    parser.add_argument(
        "--n-jobs", type=int, default=1, help="folds at once, in processes; -1: one a core"
    )
    parser.add_argument(
        "--checkpoint",
        metavar="DIR",
        help="keep each epoch's state there: the same command goes on where it was interrupted",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        default="report",
        help="where index.html, scores.csv and predictions.csv go",
    )
    return parser


def check_together(parser: argparse.ArgumentParser, asked: argparse.Namespace) -> None:
    """Refuse options that have no effect, or two that say different things."""
    if (asked.folder is None) == (asked.table is None):
        parser.error("needs FOLDER or --table FILE, one of the two")
    if asked.table is None:
        for option in ("file_column", "label_column", "group_column", "root"):
            if getattr(asked, option) is not None:
                parser.error(f"--{option.replace('_', '-')} needs --table")
    if asked.weights is not None and asked.backbone is None:
        parser.error("--weights needs --backbone")
    if asked.model is not None and asked.backbone is not None:
        parser.error("--model and --backbone each name a network; give one of the two")
    if asked.backbone is not None and asked.color_mode == "rgba":
        parser.error("--backbone needs --color-mode rgb or grayscale: it has 3 channels")
    _check_task(parser, asked)
    _check_fine_tuning(parser, asked)
    if asked.no_augment and asked.no_flip:
        parser.error("--no-augment does not mirror images either; leave --no-flip out")


def _check_task(parser: argparse.ArgumentParser, asked: argparse.Namespace) -> None:
    if asked.task != "classification" and asked.table is None:
        parser.error(
            f"--task {asked.task} needs --table: in a folder of classes each image has one class"
        )
    columns = asked.label_column or []
    if asked.task == "classification" and len(columns) > 1:
        parser.error(
            "--task classification needs one --label-column; for several labels pass --task "
            "multilabel, for several numbers --task regression"
        )
    if len(set(columns)) < len(columns):
        parser.error(f"--label-column needs each column once; got {' '.join(columns)}")
    if asked.task == "regression":
        for option in ("balanced", "oversample"):
            if getattr(asked, option):
                parser.error(
                    f"--{option} is about rare classes, and --task regression has numbers; leave "
                    "it out"
                )
    if asked.task == "multilabel" and asked.oversample:
        parser.error(
            "--oversample shows the images of one class more often, and with --task multilabel "
            "an image has several labels; pass --balanced, which weighs each label by itself"
        )
    if asked.balanced and asked.oversample:
        parser.error(
            "--balanced and --oversample both correct the same imbalance: rare classes would "
            "count twice; give one of the two"
        )


def _check_fine_tuning(parser: argparse.ArgumentParser, asked: argparse.Namespace) -> None:
    if not asked.fine_tune_epochs:
        for option in ("fine_tune_layers", "fine_tune_learning_rate"):
            if getattr(asked, option) is not None:
                parser.error(f"--{option.replace('_', '-')} needs --fine-tune-epochs")
    elif asked.model is None and (asked.backbone is None or asked.weights == "none"):
        parser.error(
            "--fine-tune-epochs needs a network with frozen layers: --backbone with its weights, "
            "or --model"
        )


def _add_images(group: argparse._ArgumentGroup) -> None:
    group.add_argument("folder", metavar="FOLDER", nargs="?", help="FOLDER/class/.../image.jpg")
    group.add_argument(
        "--table",
        metavar="FILE",
        help="a CSV file with a line for each image, in the place of FOLDER",
    )
    group.add_argument("--file-column", metavar="NAME", help='of --table. Default: "file"')
    group.add_argument(
        "--label-column",
        metavar="NAME",
        nargs="+",
        action="extend",
        help='of --table. Default: "label". --task multilabel and regression take several',
    )
    group.add_argument(
        "--task",
        choices=("classification", "multilabel", "regression"),
        default="classification",
        help="what an image has: a class; several labels, which the label column separates by "
        '";", or a column of 0 and 1 for each; or a number, or a column for each of several',
    )
    group.add_argument(
        "--group-column",
        metavar="NAME",
        help="of --table: the patient, plant or thing that is to be seen. No group is in "
        "training and test at once",
    )
    group.add_argument(
        "--root", metavar="DIR", help="where the files of --table begin. Default: its folder"
    )
    group.add_argument("--size", type=_at_least(1), default=96, help="pixels a side")
    group.add_argument(
        "--color-mode",
        choices=("rgb", "grayscale", "rgba"),
        default="rgb",
        help="what images are converted to",
    )
    group.add_argument(
        "--dtype",
        choices=("uint8", "uint16"),
        default="uint8",
        help="uint16 keeps the values of files with 16 bits a channel",
    )
    group.add_argument(
        "--keep-aspect-ratio", action="store_true", help="cut the middle out, do not squeeze"
    )
    group.add_argument(
        "--cache",
        metavar="DIR",
        help="keep decoded images there for later runs. Default: in memory, as many as fit",
    )


def _add_folds(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--folds", type=_at_least(2), default=5, help="stratified and shuffled")
    group.add_argument(
        "--repeats", type=_at_least(1), default=1, help="times that all folds are made anew"
    )
    group.add_argument(
        "--duplicates",
        choices=("report", "group", "ignore"),
        default="report",
        help="copies of an image: say so where folds part them, keep them together, or do not "
        "look for them",
    )


def _add_network(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--model",
        metavar="MODULE:BUILDER",
        help="a function build(meta) -> keras.Model; meta has image_shape_, and n_classes_ "
        "or, for numbers, n_outputs_. Default: a small CNN",
    )
    group.add_argument(
        "--backbone",
        metavar="NAME",
        help="a pretrained network of keras.applications, such as EfficientNetV2B0, with a new "
        "last layer",
    )
    group.add_argument(
        "--weights",
        metavar="FILE|imagenet|none",
        help="of --backbone: a file without the last layers; imagenet: Keras downloads them; "
        "none: random ones, all of which are trained. Default: imagenet",
    )


def _add_training(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--epochs", type=_at_least(1), default=10, help="of each fold, at most")
    group.add_argument("--batch-size", type=_at_least(1), default=32, help="images a step")
    group.add_argument(
        "--val-split",
        type=_share,
        default=0.0,
        metavar="SHARE",
        help="hold out this share of a fold's training images, and stop once their loss has "
        f"not fallen for {EPOCHS_WITHOUT_GAIN} epochs",
    )
    group.add_argument("--balanced", action="store_true", help="weigh rare classes or labels more")
    group.add_argument(
        "--oversample", action="store_true", help="show images of rare classes more often"
    )
    group.add_argument("--no-augment", action="store_true", help="do not augment at all")
    group.add_argument("--no-flip", action="store_true", help="do not mirror training images")


def _add_fine_tuning(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--fine-tune-epochs",
        type=_at_least(0),
        default=0,
        help="more epochs, at most, in which frozen layers are trained, too",
    )
    group.add_argument(
        "--fine-tune-layers",
        metavar="all|N|NAME",
        type=_layers,
        help='which: all, the last N, or those of a name such as "block6*". Default: all',
    )
    group.add_argument(
        "--fine-tune-learning-rate", metavar="RATE", type=_rate, help="Default: 1e-5"
    )


def _layers(text: str) -> str | int:
    return _at_least(1)(text) if text.lstrip("-").isdigit() else text


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"needs a number above 0: {text!r}")
    return value


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


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"needs a share, from 0 to below 1: {text!r}")
    return value
