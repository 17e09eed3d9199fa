"""CrossValidationReport: a cross-validation as a page that one can hand over."""

from __future__ import annotations

import datetime
import html
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skimgcv._runtime.optional import require
from skimgcv.display._history import keras_estimator_in
from skimgcv.model_selection import SplitReport, check_splits
from skimgcv.report._cross_validation import CrossValidation, names_in
from skimgcv.report._findings import Finding, double_correction, findings_in
from skimgcv.report._rendering import render
from skimgcv.report._scores import mean_ratio, scores_of
from skimgcv.report._targets import targets_of
from skimgcv.report._tasks import TASKS


class CrossValidationReport:
    """A cross-validation as one HTML file: no network, no script, images included.

    Use ``from_cv_results``. The page says what was run, warns of what makes its scores
    wrong, and shows scores with their interval, what augmentation does, the network, and what
    the numbers do not say. A notebook shows it as it is.

    For classes it shows the confusion matrix, curves and the most confident mistakes with the
    names of their files; for several labels the same label by label; for numbers the predicted
    and the true ones, and the images with the largest errors.

    Attributes
    ----------
    title : str
    made : datetime
    scores : dict of str to ndarray of shape (n_folds,)
        As on the page: of a loss the loss itself, without ``neg_`` in its name.
    intervals : dict of str to (float, float)
        Of their means, as on the page: cut where the score cannot go. NaN where they cannot be
        told, since all folds score the same, or fewer than two have a score.
    confusion_matrix : ndarray of int, shape (n_classes, n_classes), or None
        A row a true class, a column a predicted one, over the tests of all folds. Of several
        labels (n_labels, 2, 2), as ``sklearn.metrics.multilabel_confusion_matrix``; of numbers
        None.
    classes : ndarray of shape (n_classes,), or None
        Or the names of several labels; of numbers None.
    warnings : list of str
        What was found to be wrong with the folds, or corrected twice.
    predictions : dict of str to ndarray
        In the order of the rows: ``"row"`` and ``"fold"`` (from 1), of shape (n_tests,). Of
        classes ``"label"`` and ``"predicted"``, of shape (n_tests,), and ``"proba"`` of shape
        (n_tests, n_classes). Of several labels the same, each of shape (n_tests, n_labels). Of
        numbers ``"target"`` and ``"predicted"``, of shape (n_tests, n_outputs).

    Examples
    --------
    >>> import keras
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import cross_validate
    >>> from skimgcv import AugmentedKerasClassifier, ImageAugmenter
    >>> from skimgcv.report import CrossValidationReport
    >>> def build(meta):
    ...     return keras.Sequential([
    ...         keras.layers.Input(meta["image_shape_"]),
    ...         keras.layers.Flatten(),
    ...         keras.layers.Dense(meta["n_classes_"], activation="softmax"),
    ...     ])
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = AugmentedKerasClassifier(
    ...     build, augmenter=ImageAugmenter(rotation_range=10, rescale=1 / 16),
    ...     image_shape=(8, 8, 1), random_state=0)
    >>> cv_results = cross_validate(
    ...     clf, X, y, cv=3, return_estimator=True, return_indices=True)
    >>> report = CrossValidationReport.from_cv_results(cv_results, X, y)
    >>> report.confusion_matrix.sum() == len(y)
    np.True_
    >>> report.save("digits.html")  # doctest: +SKIP
    """

    def __init__(
        self, cross_validation: CrossValidation, *, title: str, made: datetime.datetime
    ) -> None:
        self._run = cross_validation
        self.title = title
        self.made = made
        self._task = TASKS[self._run.targets.kind]
        predictions = self._run.predictions
        self.scores = {score.name: score.values for score in self._run.scores}
        self.intervals = {score.name: score.interval for score in self._run.scores}
        is_numeric = self._run.targets.kind == "numbers"
        self.confusion_matrix = None if is_numeric else predictions.confusion()
        self.classes = None if is_numeric else predictions.classes
        self.warnings = [str(finding) for finding in self._run.findings]
        self.predictions = {
            "row": predictions.rows,
            "fold": predictions.folds + 1,
            **self._task.public(predictions),
        }

    @classmethod
    def from_cv_results(
        cls,
        cv_results: Mapping[str, Any],
        X: Any,
        y: Any,
        *,
        groups: Any = None,
        names: Sequence[str] | None = None,
        target_names: Sequence[str] | None = None,
        split_report: SplitReport | None = None,
        groups_are_copies: bool = False,
        notes: Sequence[str] = (),
        title: str = "Cross-validation",
        command: str | None = None,
        settings: Mapping[str, Any] | None = None,
        about_network: str | None = None,
        n_mistakes: int = 12,
        confidence_level: float = 0.95,
    ) -> CrossValidationReport:
        """Compute what a report of ``cross_validate`` shows.

        Parameters
        ----------
        cv_results : dict
            Of ``cross_validate(..., return_estimator=True, return_indices=True)``, of
            regressors, or of classifiers with ``predict_proba``. All of its test scores are
            shown.
        X, y
            What ``cross_validate`` was given. Each fold's model predicts its test rows. A label
            of several counts as predicted if its probability is above 0.5.
        groups : array-like of shape (n,), optional
            What ``cross_validate`` was given; by default the groups that X carries.
        names : sequence of str, of length n, optional
            Of the images. By default the files of an ``ImageFiles``, and rows otherwise.
        target_names : sequence of str, optional
            Of the columns of a ``y`` of several labels or of numbers. By default those of a
            data frame.
        split_report : SplitReport, optional
            What ``check_splits(X, y, cv, groups)`` found in the same folds. By default the folds
            are checked here, but not for copies of images, which takes longer.
        groups_are_copies : bool, default=False
            Whether groups are those of :func:`~skimgcv.model_selection.duplicate_groups`, which
            keep copies of an image together. Then nothing is known of patients.
        notes : sequence of str, default=()
            More warnings to show, such as of files that could not be read.
        title : str, default="Cross-validation"
        command : str, optional
            What was typed to run it.
        settings : dict of str to object, optional
            What was chosen beside the estimator's parameters, such as how folds were made.
        about_network : str, optional
            A sentence about the network, such as where its weights come from.
        n_mistakes : int, default=12
            How many mistakes to show at most. Of several labels the surest of each label come
            first, then the second of each.
        confidence_level : float, default=0.95
            Of the intervals of :func:`~skimgcv.model_selection.corrected_interval`.

        Returns
        -------
        CrossValidationReport

        Raises
        ------
        ValueError
            Where ``cv_results`` lacks estimators or indices, a fold failed, or the lengths
            do not fit each other.
        """
        splits = _splits_in(cv_results)
        estimators = list(cv_results["estimator"])
        n_rows = X.shape[0] if hasattr(X, "shape") else len(X)
        _check(n_rows, names, n_mistakes)
        targets = targets_of(y, estimators[0], target_names, n_rows)
        task = TASKS[targets.kind]
        task.check_fitted(estimators)
        groups = getattr(X, "groups", None) if groups is None else np.asarray(groups)
        names = names_in(X) if names is None else names
        if split_report is not None and split_report.n_folds != len(splits):
            raise ValueError(
                f"split_report is of {split_report.n_folds} folds, and cv_results of "
                f"{len(splits)}; pass the folds of cross_validate to check_splits"
            )
        found = split_report or check_splits(
            None, targets.y, cv=splits, groups=groups, classifier=targets.kind != "numbers"
        )
        findings = [
            *(Finding(note) for note in notes),
            *double_correction(keras_estimator_in(estimators[0])),
            *findings_in(found, names, targets.kind, targets.names.tolist()),
        ]
        run = CrossValidation(
            X,
            targets,
            None if groups_are_copies else groups,
            names,
            estimators,
            splits,
            _seconds_in(cv_results, len(splits)),
            task.predict(estimators, [test for _, test in splits], X, targets),
            scores_of(
                cv_results,
                kind=targets.kind,
                test_train_ratio=mean_ratio(splits),
                confidence_level=confidence_level,
            ),
            confidence_level,
            findings,
            found.copies_were_sought,
            command,
            settings or {},
            about_network,
            n_mistakes,
        )
        return cls(run, title=title, made=datetime.datetime.now().astimezone())

    def to_html(self) -> str:
        """Return the whole page.

        Returns
        -------
        str

        Raises
        ------
        ImportError
            Where Jinja2 or Matplotlib is missing.
        """
        require("jinja2", extra="report", purpose="CrossValidationReport")
        sections = [(section.__name__, section(self._run)) for section in self._task.sections]
        made = self.made.strftime("%d %B %Y, %H:%M")
        present = [(name, of) for name, of in sections if of is not None]
        page = render(self.title, made, self._run.targets.kind, present)
        # Names of files may be bytes that are no text.
        return page.encode("utf-8", "backslashreplace").decode()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the page into a file.

        Parameters
        ----------
        path : path-like
            Such as ``"report.html"``. A file of that name is replaced.

        Raises
        ------
        ImportError
            Where Jinja2 or Matplotlib is missing.
        """
        Path(path).write_text(self.to_html(), encoding="utf-8")

    def _repr_html_(self) -> str:
        # In a frame of its own, so that neither page's style reaches the other's.
        page = html.escape(self.to_html(), quote=True)
        return (
            '<iframe title="Cross-validation report" style="width:100%;height:80vh;border:0" '
            f'sandbox srcdoc="{page}"></iframe>'
        )


def _splits_in(cv_results: Mapping[str, Any]) -> list[tuple[np.ndarray, np.ndarray]]:
    lacking = [name for name in ("estimator", "indices") if name not in cv_results]
    if lacking:
        raise ValueError(
            f"cv_results needs {lacking}, it has {sorted(cv_results)}; call "
            "cross_validate(..., return_estimator=True, return_indices=True)"
        )
    indices = cv_results["indices"]
    return list(zip(indices["train"], indices["test"], strict=True))


def _check(n: int, names: Sequence[str] | None, n_mistakes: int) -> None:
    if names is not None and len(names) != n:
        raise ValueError(f"names needs one for each of the {n} images, it has {len(names)}")
    if n_mistakes < 0:
        raise ValueError(f"n_mistakes needs 0 or more, got {n_mistakes}")


def _seconds_in(cv_results: Mapping[str, Any], n_folds: int) -> np.ndarray:
    times = [cv_results[name] for name in ("fit_time", "score_time") if name in cv_results]
    return np.sum(times, axis=0) if times else np.full(n_folds, np.nan)
