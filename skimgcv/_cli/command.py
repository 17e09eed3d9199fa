"""The command line: options in, a table and a folder of results out.

What needs Keras is imported last: --help, and what is wrong, should not wait for it.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skimgcv._cli.classification import Classification
from skimgcv._cli.estimator import about_network, builder_of, make_estimator, named_builder
from skimgcv._cli.folds import checked, in_words, make_folds
from skimgcv._cli.images import Images, listed_images, readable, with_duplicates
from skimgcv._cli.multilabel import Multilabel
from skimgcv._cli.options import check_together, make_parser
from skimgcv._cli.quiet import import_keras
from skimgcv._cli.regression import Regression
from skimgcv._cli.tables import folds_of, printed, write_predictions, write_scores
from skimgcv._cli.tasks import Splits, Task
from skimgcv.model_selection import SplitReport

TASKS: dict[str, type[Task]] = {
    "classification": Classification,
    "multilabel": Multilabel,
    "regression": Regression,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``skimgcv``; return its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = make_parser()
    asked = parser.parse_args(arguments)
    check_together(parser, asked)
    task = TASKS[asked.task]()
    try:
        images = listed_images(asked, task)
        task.check(asked, images.y, images.target_names)
        build = None if asked.model is None else named_builder(asked.model)
        out = Path(asked.out)
        out.mkdir(parents=True, exist_ok=True)
        images = readable(images)
        task.check(asked, images.y, images.target_names)
        import_keras(asked.n_jobs)
        if asked.backbone is not None:
            # What is wrong with it is said before anything is searched for copies.
            shape = {"image_shape_": images.X.shape[1:]}
            builder_of(asked)(shape | task.meta(images.y, images.target_names))
        estimator = make_estimator(asked, task, build)
        if asked.duplicates != "ignore":
            images = with_duplicates(images, keep_together=asked.duplicates == "group")
        splits = make_folds(asked, task, images)
    except (OSError, ValueError, MemoryError) as error:
        parser.error(_in_a_line(error))
    found = checked(task, images, splits)
    _say_what_there_is(task, images, found)
    try:
        cv_results = _cross_validate(asked, task, estimator, images, splits)
    except KeyboardInterrupt:
        kept = "nothing was kept; --checkpoint DIR would keep each epoch"
        if asked.checkpoint is not None:
            kept = "the same command goes on from here"
        parser.exit(130, f"\n{parser.prog}: interrupted: {kept}\n")
    command = shlex.join(["skimgcv", *arguments])
    _write(asked, task, command, cv_results, images, found, out)
    return 0


def _in_a_line(error: Exception) -> str:
    said = str(error)
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        said = f"{os.fsdecode(error.filename)!r}: {error.strerror}"  # without [Errno 13]
    return " ".join(said.split())


def _say_what_there_is(task: Task, images: Images, found: SplitReport) -> None:
    from skimgcv.report._findings import findings_in

    for sentence in images.left_out:
        print(f"left out: {sentence}", file=sys.stderr)
    what, listed = task.described(images.y, images.target_names)
    groups = images.X.groups
    of_groups = "" if groups is None else f" and {len(np.unique(groups))} groups"
    print(f"{len(images.X)} images {what}{of_groups}, as {images.X.shape[1:]}: {listed}")
    for doubt in images.doubts:
        print(f"note: {doubt}")
    for finding in findings_in(found, images.names, task.kind, images.target_names):
        print(f"warning: {finding}")
        if finding.examples:
            print(f"  such as {', '.join(finding.examples[:3])}")
    sys.stdout.flush()


def _cross_validate(
    asked: argparse.Namespace, task: Task, estimator: Any, images: Images, splits: Splits
) -> dict[str, Any]:
    """Fit and score fold by fold; scikit-learn prints a line for each."""
    from sklearn.model_selection import cross_validate

    return cross_validate(
        estimator,
        images.X,
        images.y,
        cv=splits,
        scoring=task.scorers(images.y),
        params=None if asked.checkpoint is None else {"checkpoint_dir": asked.checkpoint},
        n_jobs=asked.n_jobs,
        return_estimator=True,
        return_indices=True,
        error_score="raise",
        verbose=3,
    )


def _write(
    asked: argparse.Namespace,
    task: Task,
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
        target_names=None if task.kind == "classes" else images.target_names,
        split_report=None if images.duplicates is None else found,
        groups_are_copies=asked.duplicates == "group" and not asked.group_column,
        notes=_notes(images),
        title=f"Cross-validation of {Path(asked.folder or asked.table).resolve().name}",
        command=command,
        settings={
            "folds": in_words(asked, task, images.X.groups),
            "copies": _COPIES[asked.duplicates],
            **task.settings(),
        },
        about_network=about_network(asked),
    )
    folds = folds_of(cv_results, report.scores)
    print(printed(folds, report.scores, report.intervals))
    write_scores(out / "scores.csv", folds)
    columns = task.prediction_columns(report.predictions, images.target_names)
    write_predictions(out / "predictions.csv", report.predictions, columns, images.names)
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
