"""The report on several labels: its numbers are scikit-learn's, label by label."""

import numpy as np
import pandas as pd
import pytest
from builders import linear
from pages import Page
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    average_precision_score,
    multilabel_confusion_matrix,
    precision_recall_fscore_support,
)
from sklearn.model_selection import KFold, cross_val_predict, cross_validate
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skimgcv import AugmentedKerasClassifier, ImageAugmenter
from skimgcv.model_selection import MultilabelStratifiedKFold
from skimgcv.report import CrossValidationReport

NAMES = ["nodule", "<b>mass</b>", "effusion"]
RNG = np.random.default_rng(0)
X = RNG.random((60, 4, 4, 1)).astype(np.float32)
Y = (X.reshape(60, -1)[:, :3] + RNG.normal(0, 0.2, (60, 3)) > [0.4, 0.6, 0.8]).astype(int)
FRAME = pd.DataFrame(Y, columns=NAMES)
CV = MultilabelStratifiedKFold(3, shuffle=True, random_state=0)
SCORES = ["accuracy", "f1_macro", "average_precision"]


def run(estimator, X, y, cv=CV, scoring=SCORES):
    return cross_validate(
        estimator, X, y, cv=cv, scoring=scoring, return_estimator=True, return_indices=True
    )


@pytest.fixture(scope="module")
def trained():
    classifier = AugmentedKerasClassifier(
        linear,
        augmenter=ImageAugmenter(width_shift_range=1),
        multilabel=True,
        class_weight="balanced",
        epochs=10,
        optimizer__learning_rate=0.05,
        random_state=0,
    )
    # scikit-learn's average_precision looks for a class 1 among the names of a data frame.
    return classifier, run(classifier, X, Y)


@pytest.fixture(scope="module")
def report(trained):
    return CrossValidationReport.from_cv_results(trained[1], X, FRAME, n_mistakes=5)


@pytest.fixture(scope="module")
def shown(report):
    return Page(report.to_html())


def test_its_numbers_are_those_of_cross_validate(trained, report, shown):
    classifier, cv_results = trained
    proba = cross_val_predict(classifier, X, Y, cv=CV, method="predict_proba")
    np.testing.assert_array_equal(report.predictions["proba"], proba)
    np.testing.assert_array_equal(report.predictions["label"], Y)
    np.testing.assert_array_equal(report.predictions["predicted"], proba > 0.5)
    np.testing.assert_array_equal(
        report.confusion_matrix, multilabel_confusion_matrix(Y, proba > 0.5)
    )
    assert report.classes.tolist() == NAMES
    for fold in range(3):
        assert shown.row(str(fold + 1))[3:6] == [
            f"{cv_results[f'test_{name}'][fold]:.3f}" for name in SCORES
        ]


def test_each_label_has_the_scores_of_scikit_learn(report, shown):
    predicted, proba = report.predictions["predicted"], report.predictions["proba"]
    folds = report.predictions["fold"]
    precision, recall, f1, n_having = precision_recall_fscore_support(Y, predicted)
    for at, name in enumerate(NAMES):
        of_label, answers = [row for row in shown.rows if row[0] == name][:2]
        areas = [
            average_precision_score(Y[folds == f, at], proba[folds == f, at]) for f in (1, 2, 3)
        ]
        assert of_label[1:] == [
            str(n_having[at]),
            f"{recall[at]:.1%}",
            f"{precision[at]:.1%}",
            f"{f1[at]:.3f}",
            f"{np.mean(areas):.3f}",
            f"{Y[:, at].mean():.3f}",
        ]
        (left_out, false_alarms), (missed, found) = report.confusion_matrix[at]
        counts = [int(cell.split()[0]) for cell in answers[1:]]
        assert counts == [found, missed, false_alarms, left_out]
    right = (predicted == Y).all(axis=1)
    assert f"({right.sum()} of 60)" in shown.text


def test_the_page_has_what_a_page_on_classes_has(shown):
    assert "b" in shown.tags  # of the page itself; a label's name is no tag
    assert "<b>mass</b>" in shown.text
    sections = ["summary", "warnings", "scores", "labels", "mistakes", "limits", "training"]
    sections += ["data", "augmentation", "network", "settings"]
    assert [name for name in shown.ids if not name.endswith("-heading")] == sections
    assert all(image["alt"].strip() for image in shown.images)
    assert "binary_crossentropy" in shown.text


def test_mistakes_are_the_surest_of_each_label(report, shown):
    proba = report.predictions["proba"]
    wrong = (proba > 0.5) != Y
    surest = {
        label: np.flatnonzero(wrong[:, label])[
            np.argsort(-np.abs(proba[wrong[:, label], label] - 0.5), kind="stable")
        ]
        for label in range(3)
    }
    first_of_each = [(label, rows[0]) for label, rows in surest.items()]
    second = sorted(
        ((label, rows[1]) for label, rows in surest.items()),
        key=lambda place: -abs(proba[place[1], place[0]] - 0.5),
    )[:2]
    expected = {
        f"image {row}: {NAMES[label]}, {'missed' if Y[row, label] else 'false alarm'}"
        for label, row in [*first_of_each, *second]
    }
    photos = [image["alt"] for image in shown.images if image.get("class") == "photo"]
    assert set(photos) == expected
    assert len(photos) == 5


def flat(X):
    return X.reshape(len(X), -1)


@pytest.mark.parametrize(
    "classifier", [KNeighborsClassifier(3), OneVsRestClassifier(LogisticRegression())]
)
def test_classifiers_of_scikit_learn_are_reported_too(classifier):
    estimator = make_pipeline(FunctionTransformer(flat), classifier)
    report = CrossValidationReport.from_cv_results(run(estimator, X, Y), X, Y, target_names=NAMES)
    predicted = cross_val_predict(estimator, X, Y, cv=CV)
    np.testing.assert_array_equal(report.predictions["predicted"], predicted)
    assert not {"training", "network"} & set(Page(report.to_html()).ids)


def test_a_label_that_a_fold_lacks_is_named_and_its_scores_are_not():
    y = Y.copy()
    y[:, 2] = np.arange(60) < 20  # the first fold's
    estimator = make_pipeline(FunctionTransformer(flat), KNeighborsClassifier(3))
    cv_results = run(estimator, X, y, KFold(3), ["accuracy"])
    cv_results["test_f1_macro"] = np.array([0.5, np.nan, np.nan])
    report = CrossValidationReport.from_cv_results(cv_results, X, y, target_names=NAMES)
    said = " ".join(report.warnings)
    assert "1 label has no training image, in 1 of 3 folds. Such a label cannot be found" in said
    assert "1 label has no test image, in 2 of 3 folds" in said
    assert np.isnan(report.intervals["f1_macro"]).all()
    shown = Page(report.to_html())
    assert "effusion" in shown.text[: shown.text.index("What was looked for")]
    assert shown.row("2")[4] == "\N{EN DASH}"
    assert "In that fold" not in shown.text
    assert "in that fold the score is undefined" in shown.text
    assert "f1 macro: an interval needs the scores of 2 folds or more; there are 1" in shown.text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"y": np.where(Y, 2, 0)}, "of 0 and 1"),
        ({"y": Y[:9]}, "X has 60, y has 9"),
        ({"y": np.c_[Y, Y]}, "y has 6 labels, and the classifier predicts 3"),
        ({"target_names": ["a"]}, "one for each of the 3 columns of y, it has"),
    ],
)
def test_what_does_not_fit_is_refused(change, said):
    estimator = make_pipeline(FunctionTransformer(flat), KNeighborsClassifier(3))
    cv_results = run(estimator, X, Y, scoring=["accuracy"])
    with pytest.raises(ValueError, match=said):
        CrossValidationReport.from_cv_results(cv_results, X, **{"y": Y, **change})


def test_one_hot_labels_of_a_classifier_of_classes_are_refused():
    y = np.arange(60) % 3
    classifier = AugmentedKerasClassifier(linear, random_state=0)
    cv_results = run(classifier, X, y, KFold(2), ["accuracy"])
    with pytest.raises(ValueError, match="the classifier predicts one a row; pass one label"):
        CrossValidationReport.from_cv_results(cv_results, X, np.eye(3, dtype=int)[y])
