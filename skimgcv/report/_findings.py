"""What is wrong with the folds, in words for people who do not program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from skimgcv.model_selection import SplitReport

if TYPE_CHECKING:
    from skimgcv._models.targets import Kind


@dataclass(frozen=True)
class Finding:
    """A warning that stands above the scores.

    Attributes
    ----------
    text : str
        What was found, and what it does to the scores.
    remedy : str
        What to do.
    examples : tuple of str
        Files, groups or classes that it is about.
    n_examples : int
        How many there are of these.
    """

    text: str
    remedy: str = ""
    examples: tuple[str, ...] = ()
    n_examples: int = 0

    def __str__(self) -> str:
        return " ".join(part for part in (self.text, self.remedy) if part)


_MOST = 12


def double_correction(estimator: Any) -> list[Finding]:
    """Say if an imbalance is corrected twice, as a warning of each fit did."""
    balanced = getattr(estimator, "class_weight", None)
    if not (isinstance(balanced, str) and balanced == "balanced"):
        return []
    if estimator.sampling_strategy is None:
        return []
    return [
        Finding(
            "Class weights and oversampling both correct the same imbalance: rare classes count "
            "twice in training.",
            "Use one of the two.",
        )
    ]


@dataclass(frozen=True)
class _Words:
    """How findings speak of a kind of y."""

    one: str
    many: str
    cannot: str
    sorted_by: str
    other: str
    splitter: str


_CLASSES = _Words(
    "class", "classes", "be recognised", "class", "other classes", "StratifiedGroupKFold"
)
_LABELS = _Words("label", "labels", "be found", "label", "", "MultilabelStratifiedKFold")
_NUMBERS = _Words("", "", "", "number", "larger or smaller numbers", "GroupKFold")
_WORDS: dict[Kind, _Words] = {"classes": _CLASSES, "labels": _LABELS, "numbers": _NUMBERS}


def findings_in(
    report: SplitReport,
    names: Sequence[str] | None,
    kind: Kind = "classes",
    target_names: Sequence[Any] = (),
) -> list[Finding]:
    """Return a finding for each kind of problem with the folds.

    Parameters
    ----------
    report : SplitReport
    names : sequence of str, optional
        Of the images; by default they are "image 0" and so on.
    kind : {"classes", "labels", "numbers"}
        What y has.
    target_names : sequence
        Of labels.
    """
    folds, words = report.n_folds, _WORDS[kind]

    def files(rows: Sequence[int]) -> list[str]:
        return [f"image {row}" if names is None else names[row] for row in rows]

    def columns(labels: Sequence[Any]) -> list[str]:
        """Names of labels, also where y had none for its columns."""
        by_number = dict(enumerate(target_names))
        return [str(by_number.get(label, label)) for label in labels]

    classes = columns if kind == "labels" else None
    # What was found of numbers that were taken for classes means nothing.
    has_classes = kind != "numbers"
    found = [
        _finding(
            report.shared_rows,
            folds,
            "{n} test images are training images of the same test, too{where}. The scores are "
            "too high.",
            "Use folds whose test images are not trained on.",
            files,
        ),
        _finding(
            report.duplicate_rows,
            folds,
            "{n} test images have a copy, or nearly one, among the training images{where}. A "
            "network can answer these from memory, so the scores may be too high.",
            "Keep copies together: --duplicates group on the command line, "
            "groups=duplicate_groups(X) in Python. Or delete the copies.",
            files,
        ),
        _finding(
            report.shared_groups,
            folds,
            "{n} groups have images on both sides of a test{where}. A network can recognise "
            "them, so the scores may be too high.",
            f"Keep groups together: --group-column on the command line, {words.splitter} in "
            "Python.",
        ),
        _finding(
            report.untrained_classes if has_classes else (),
            folds,
            f"{{n}} {words.many} have no training image{{where}}. Such a {words.one} cannot "
            f"{words.cannot} there.",
            "Use fewer folds, or add images of other groups.",
            classes,
        ),
        _finding(
            report.untested_classes if has_classes else (),
            folds,
            f"{{n}} {words.many} have no test image{{where}}. The scores there say nothing about "
            "them.",
            "Use fewer folds, or add images of other groups.",
            classes,
        ),
    ]
    if len(report.skewed_folds):
        found.append(
            Finding(
                f"The images come sorted by {words.sorted_by}, and {len(report.skewed_folds)} of "
                f"{folds} tests have {words.other} than their training images.",
                "Shuffle the images, or use stratified folds.",
            )
        )
    return [finding for finding in found if finding is not None]


def _finding(
    by_fold: Sequence[np.ndarray], n_folds: int, text: str, remedy: str, names: object = None
) -> Finding | None:
    n_bad = sum(len(found) > 0 for found in by_fold)
    if not n_bad:
        return None
    distinct = np.unique(np.concatenate([found for found in by_fold if len(found)])).tolist()
    examples = names(distinct[:_MOST]) if callable(names) else map(str, distinct[:_MOST])
    where = f", in {n_bad} of {n_folds} folds"
    n = len(distinct)
    return Finding(_singular(text.format(n=n, where=where), n), remedy, tuple(examples), n)


def _singular(text: str, n: int) -> str:
    if n != 1:
        return text
    for many, one in (
        ("1 test images are training images", "1 test image is a training image"),
        ("1 test images have", "1 test image has"),
        ("answer these", "answer it"),
        ("1 groups have", "1 group has"),
        ("recognise them", "recognise it"),
        ("1 classes have", "1 class has"),
        ("1 labels have", "1 label has"),
        ("about them", "about it"),
    ):
        text = text.replace(many, one)
    return text
