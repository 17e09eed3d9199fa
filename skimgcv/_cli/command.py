"""The command line: options in, a table and a folder of results out.

What needs Keras is imported last: --help, and what is wrong, should not wait for it.
"""

from __future__ import annotations

import argparse
import importlib.util
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skimgcv._cli.classifier import (
    about_network,
    check_builds,
    make_classifier,
    named_builder,
)
from skimgcv._cli.folds import Splits, check_classes, checked, in_words, make_folds
from skimgcv._cli.images import Images, listed_images, readable, with_duplicates
from skimgcv._cli.options import check_together, make_parser
from skimgcv._cli.quiet import import_keras
from skimgcv._cli.tables import folds_of, printed, write_predictions, write_scores
from skimgcv.model_selection import SplitReport


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``skimgcv``; return its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = make_parser()
    asked = parser.parse_args(arguments)
    check_together(parser, asked)
    try:
        images = listed_images(asked)
        check_classes(asked, images.y)
        build = None if asked.model is None else named_builder(asked.model)
        out = Path(asked.out)
        out.mkdir(parents=True, exist_ok=True)
        images = readable(images)
        check_classes(asked, images.y)
        import_keras(asked.n_jobs)
        classifier = make_classifier(asked, build)
        if asked.backbone is not None:
            check_builds(classifier, images.X.shape[1:], len(np.unique(images.y)))
        if asked.duplicates != "ignore":
            images = with_duplicates(images, keep_together=asked.duplicates == "group")
        splits = make_folds(asked, images)
    except (OSError, ValueError, MemoryError) as error:
        parser.error(" ".join(str(error).split()))
    found = checked(images, splits)
    _say_what_there_is(images, found)
    try:
        cv_results = _cross_validate(asked, classifier, images, splits)
    except KeyboardInterrupt:
        kept = "nothing was kept; --checkpoint DIR would keep each epoch"
        if asked.checkpoint is not None:
            kept = "the same command goes on from here"
        parser.exit(130, f"\n{parser.prog}: interrupted: {kept}\n")
    command = shlex.join(["skimgcv", *arguments])
    _write(asked, command, cv_results, images, found, out)
    return 0


def _say_what_there_is(images: Images, found: SplitReport) -> None:
    from skimgcv.report._findings import findings_in

    for sentence in images.left_out:
        print(f"left out: {sentence}", file=sys.stderr)
    labels, sizes = np.unique(images.y, return_counts=True)
    listed = ", ".join(f"{label} ({n})" for label, n in zip(labels, sizes, strict=True))
    groups = images.X.groups
    of_groups = "" if groups is None else f" and {len(np.unique(groups))} groups"
    print(
        f"{len(images.X)} images of {len(labels)} classes{of_groups}, as {images.X.shape[1:]}: "
        f"{listed}"
    )
    for doubt in images.doubts:
        print(f"note: {doubt}")
    for finding in findings_in(found, images.names):
        print(f"warning: {finding}")
        if finding.examples:
            print(f"  such as {', '.join(finding.examples[:3])}")
    sys.stdout.flush()


def _cross_validate(
    asked: argparse.Namespace, classifier: Any, images: Images, splits: Splits
) -> dict[str, Any]:
    """Fit and score fold by fold; scikit-learn prints a line for each."""
    from sklearn.metrics import log_loss, make_scorer
    from sklearn.model_selection import cross_validate

    # By name, log_loss fails where a fold lacks a class.
    loss = make_scorer(
        log_loss,
        greater_is_better=False,
        response_method="predict_proba",
        labels=np.unique(images.y),
    )
    return cross_validate(
        classifier,
        images.X,
        images.y,
        cv=splits,
        scoring={
            "accuracy": "accuracy",
            "balanced_accuracy": "balanced_accuracy",
            "neg_log_loss": loss,
        },
        params=None if asked.checkpoint is None else {"checkpoint_dir": asked.checkpoint},
        n_jobs=asked.n_jobs,
        return_estimator=True,
        return_indices=True,
        error_score="raise",
        verbose=3,
    )


def _write(
    asked: argparse.Namespace,
    command: str,
    cv_results: Mapping[str, Any],
    images: Images,
    found: SplitReport,
    out: Path,
) -> None:
    """Print the scores; write them, the predictions and the report."""
    from skimgcv.report import CrossValidationReport

    report = CrossValidationReport.from_cv_results(
        cv_results,
        images.X,
        images.y,
        names=images.names,
        split_report=None if images.duplicates is None else found,
        notes=_notes(images),
        title=f"Cross-validation of {Path(asked.folder or asked.table).resolve().name}",
        command=command,
        settings={"folds": in_words(asked, images.X.groups), "copies": _COPIES[asked.duplicates]},
        about_network=about_network(asked),
    )
    folds = folds_of(cv_results, report.scores)
    print(printed(folds, report.scores, report.intervals))
    write_scores(out / "scores.csv", folds)
    write_predictions(out / "predictions.csv", report.predictions, report.classes, images.names)
    print(f"wrote {out / 'scores.csv'}\nwrote {out / 'predictions.csv'}")
    lacking = [name for name in ("jinja2", "matplotlib") if not importlib.util.find_spec(name)]
    if lacking:
        print(f'no report: it needs {" and ".join(lacking)}, pip install "skimgcv[report]"')
        return
    report.save(out / "index.html")
    print(f"wrote {out / 'index.html'}: open it in a browser")


_COPIES = {
    "report": "looked for",
    "group": "looked for; those that were found were kept on one side of each test",
    "ignore": "not looked for",
}


def _notes(images: Images) -> list[str]:
    left_out = [f"A file was left out, since it gives no image. {s}." for s in images.left_out]
    return [*left_out, *images.doubts]
