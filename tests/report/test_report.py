"""The report: its numbers are those of cross_validate, and its page is whole and harmless."""

import base64
import html
import re

import numpy as np
import pytest
from builders import dense
from pages import Page
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Perceptron
from sklearn.metrics import average_precision_score, confusion_matrix, roc_auc_score
from sklearn.model_selection import (
    FixedThresholdClassifier,
    KFold,
    RepeatedStratifiedKFold,
    StratifiedKFold,
    cross_val_predict,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skimgcv import AugmentedKerasClassifier, ImageAugmenter
from skimgcv._runtime import optional
from skimgcv.exceptions import DoubleCorrectionWarning
from skimgcv.model_selection import check_splits, corrected_interval
from skimgcv.report import CrossValidationReport


def run(estimator, X, y, cv, scoring=("accuracy", "neg_log_loss")):
    return cross_validate(
        estimator,
        X,
        y,
        cv=cv,
        scoring=list(scoring),
        return_estimator=True,
        return_indices=True,
    )


@pytest.fixture(scope="module")
def trained(digits):
    """A cross-validation of images, and what went in."""
    X, y = digits[0][:90], np.array(["zero", "odd", "even"])[(digits[1][:90] % 2 + 1) % 3]
    y[digits[1][:90] == 0] = "zero"
    classifier = AugmentedKerasClassifier(
        dense,
        augmenter=ImageAugmenter(rotation_range=20, width_shift_range=0.1, rescale=1 / 255),
        epochs=2,
        validation_split=0.2,
        optimizer__learning_rate=0.01,
        random_state=0,
    )
    cv = StratifiedKFold(3, shuffle=True, random_state=0)
    return classifier, cv, run(classifier, X, y, cv), X, y


@pytest.fixture(scope="module")
def report(trained):
    _, cv, cv_results, X, y = trained
    return CrossValidationReport.from_cv_results(
        cv_results,
        X,
        y,
        split_report=check_splits(X, y, cv=cv, duplicates=np.arange(90)),
        command="skimgcv 'a & b'",
        settings={"folds": "3, shuffled"},
        about_network="One layer.",
    )


@pytest.fixture(scope="module")
def page(report):
    return report.to_html()


def test_its_numbers_are_those_of_cross_validate(trained, report):
    classifier, cv, cv_results, X, y = trained
    np.testing.assert_array_equal(report.scores["accuracy"], cv_results["test_accuracy"])
    np.testing.assert_array_equal(report.scores["log_loss"], -cv_results["test_neg_log_loss"])
    proba = cross_val_predict(classifier, X, y, cv=cv, method="predict_proba")
    np.testing.assert_array_equal(report.predictions["row"], np.arange(90))
    np.testing.assert_array_equal(report.predictions["proba"], proba)
    by_hand = confusion_matrix(y, np.unique(y)[proba.argmax(axis=1)])
    np.testing.assert_array_equal(report.confusion_matrix, by_hand)
    for row, fold in enumerate(report.predictions["fold"]):
        assert row in cv_results["indices"]["test"][fold - 1]


def test_the_page_shows_these_numbers(trained, report, page):
    _, _, cv_results, _, y = trained
    shown = Page(page)
    for fold in range(3):
        row = shown.row(str(fold + 1))
        assert row[1:3] == ["60", "30"]
        assert row[3] == f"{cv_results['test_accuracy'][fold]:.3f}"
        assert row[4] == f"{-cv_results['test_neg_log_loss'][fold]:.3f}"
    low, high = corrected_interval(cv_results["test_accuracy"], test_train_ratio=0.5)
    assert shown.row("95% interval of the mean")[1] == f"{low:.3f} to {min(high, 1):.3f}"
    counts = report.confusion_matrix
    proba, folds = report.predictions["proba"], report.predictions["fold"]
    for at, label in enumerate(report.classes):
        areas = [
            roc_auc_score(y[folds == fold] == label, proba[folds == fold, at])
            for fold in (1, 2, 3)
        ]
        rows = [row for row in shown.rows if row[0].strip() == label]
        of_class, of_matrix, of_data = rows[:3]
        assert of_class[1] == str(counts[at].sum())
        assert of_class[2].rstrip("%") in f"{100 * counts[at, at] / counts[at].sum():.1f}"
        assert of_class[4] == f"{np.mean(areas):.3f}"
        numbers = [re.match(r"\d+", cell)[0] for cell in of_matrix[1:]]
        assert numbers == [str(n) for n in counts[at]]
        tests = cv_results["indices"]["test"]
        assert of_data[1:] == [str(sum(y == label))] + [str(sum(y[t] == label)) for t in tests]


def test_the_page_is_whole_needs_nothing_and_runs_nothing(page):
    shown = Page(page)
    assert "script" not in shown.tags
    assert "Content-Security-Policy" in page
    assert '<meta name="viewport"' in page
    assert "@media print" in page
    inside = [link for link in shown.links if link.startswith("#")]
    assert len(shown.ids) == len(set(shown.ids))
    assert all(link.startswith("data:image/") for link in shown.links if link not in inside)
    assert not re.search(r"https?://|url\(|@import", page)
    # Scores, history, three curves, twelve mistakes, and six images in five versions.
    assert len(shown.images) == 1 + 1 + 3 + 12 + 30
    assert all(image["alt"].strip() for image in shown.images)


def test_it_says_what_was_run(page):
    text = Page(page).text
    for said in (
        "skimgcv 'a & b'",
        "3, shuffled",
        "One layer.",
        "turned by up to 20 degrees",
        "moved sideways by up to 10% of the width",
        "sparse_categorical_crossentropy",
        "learning rate 0.01",
        "Keras backend",
        "What these numbers do not say",
        "No groups were given",
    ):
        assert said in text
    assert Page(page).row("random_state")[1] == "0"
    assert Page(page).row("Dense")[3:] == ["1,040", "yes"]  # 64 x 16 weights, and 16


def test_mistakes_are_the_surest_ones_with_their_names(trained):
    _, _, cv_results, X, y = trained
    names = [f"<script>{row}</script>\udce4.png" for row in range(90)]
    report = CrossValidationReport.from_cv_results(
        cv_results, X, y, names=names, n_mistakes=3, title="<b>Mine</b>"
    )
    page = report.to_html()
    shown = Page(page)
    assert "script" not in shown.tags
    assert "<b>Mine" not in page
    assert "&lt;b&gt;Mine" in page
    proba = report.predictions["proba"]
    wrong = np.flatnonzero(report.predictions["predicted"] != y)
    surest = wrong[np.argsort(-proba[wrong].max(axis=1), kind="stable")][:3]
    of_photos = [image for image in shown.images if "photo" in image.get("class", "")]
    assert [image["alt"].split("\\")[0] for image in of_photos] == [
        f"<script>{row}</script>" for row in surest
    ]
    # The picture itself: 8 x 8 pixels, each 24 times as large.
    import cv2

    file = base64.b64decode(of_photos[0]["src"].partition(",")[2])
    pixels = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_GRAYSCALE)
    np.testing.assert_array_equal(pixels[::24, ::24], X[surest[0], :, :, 0])


@pytest.mark.parametrize("n_classes", [2, 30])
def test_any_number_of_classes_with_any_names(n_classes):
    rng = np.random.default_rng(0)
    odd = ["<i>&\"'", "חלב", "x" * 80]
    names = [*odd, *(f"class {i}" for i in range(30))][:n_classes]
    y = np.repeat(names, 9)
    X = rng.normal(size=(len(y), 4))
    cv_results = run(LogisticRegression(), X, y, StratifiedKFold(3))
    report = CrossValidationReport.from_cv_results(cv_results, X, y)
    shown = Page(report.to_html())
    assert "i" not in shown.tags
    for label in names:
        assert sum(label in cell for row in shown.rows for cell in row) >= 3
    assert all(image["alt"] for image in shown.images)
    # Rows of four numbers are no images, and this model has neither epochs nor layers.
    assert not {"mistakes", "training", "augmentation", "network"} & set(shown.ids)
    if n_classes == 30:
        proba, folds = report.predictions["proba"], report.predictions["fold"]
        areas = [
            average_precision_score(y[folds == f] == "class 5", proba[folds == f][:, at])
            for f in (1, 2, 3)
            for at in np.flatnonzero(report.classes == "class 5")
        ]
        assert shown.row("class 5")[4] == f"{np.mean(areas):.3f}"


def test_intervals_end_where_scores_do():
    X = np.r_[np.arange(40.0), -np.arange(1, 41.0)].reshape(-1, 1)
    y = (X[:, 0] >= 0).astype(int)
    y[0] = 0
    cv_results = run(LogisticRegression(), X, y, StratifiedKFold(5))
    low, high = corrected_interval(cv_results["test_accuracy"], test_train_ratio=1 / 4)
    assert high > 1
    report = CrossValidationReport.from_cv_results(cv_results, X, y)
    assert report.intervals["accuracy"] == (pytest.approx(low), 1)
    assert report.intervals["log_loss"][0] >= 0
    assert "to 1.000" in report.to_html()


def test_folds_that_score_the_same_have_no_interval():
    X = np.r_[np.arange(20.0), -np.arange(1, 21.0)].reshape(-1, 1)
    y = (X[:, 0] >= 0).astype(int)
    cv_results = run(LogisticRegression(), X, y, StratifiedKFold(4))
    cv_results["test_accuracy"] = np.full(4, 0.1 + 0.2)
    cv_results["test_f1"] = np.full(4, 0.5)
    report = CrossValidationReport.from_cv_results(cv_results, X, y)
    assert np.isnan(report.intervals["accuracy"]).all()
    shown = Page(report.to_html())
    interval = shown.row("95% interval of the mean")
    assert interval[1] == interval[3] == "cannot be told"
    assert " to " in interval[2]
    assert "accuracy, f1: all folds score the same. That does not make it certain" in shown.text
    assert "accuracy: mean 0.300, interval cannot be told" in shown.images[0]["alt"]


def test_a_score_of_ones_own_is_not_cut():
    X, y = np.random.default_rng(0).normal(size=(30, 2)), np.tile([0, 1], 15)
    cv_results = run(LogisticRegression(), X, y, StratifiedKFold(3), scoring=["accuracy"])
    cv_results["test_precision_in_percent"] = np.array([90.0, 100.0, 99.0])
    report = CrossValidationReport.from_cv_results(cv_results, X, y)
    low, high = corrected_interval([90.0, 100.0, 99.0], test_train_ratio=0.5)
    assert report.intervals["precision_in_percent"] == (low, high)


def test_repeated_folds_count_each_test_and_each_image_once():
    rng = np.random.default_rng(0)
    y = np.tile([0, 1], 15)
    X = rng.normal(size=(30, 3, 3)) + y[:, None, None] / 2
    estimator = make_pipeline(FunctionTransformer(flat), LogisticRegression())
    cv = RepeatedStratifiedKFold(n_splits=3, n_repeats=2, random_state=0)
    report = CrossValidationReport.from_cv_results(run(estimator, X, y, cv), X, y)
    assert report.confusion_matrix.sum() == 60
    assert report.predictions["row"].tolist() == np.repeat(np.arange(30), 2).tolist()
    proba = report.predictions["proba"].reshape(30, 2, 2).mean(axis=1)
    n_wrong = np.count_nonzero(proba.argmax(axis=1) != y)
    assert 0 < n_wrong != 60 - np.trace(report.confusion_matrix)
    assert f"{n_wrong} images of 30" in " ".join(Page(report.to_html()).text.split())


def flat(X):
    return X.reshape(len(X), -1)


def test_what_is_wrong_with_the_folds_is_said_first():
    y = np.repeat(["a", "b", "c"], 15)
    X = np.random.default_rng(0).normal(size=(45, 2))
    cv_results = run(LogisticRegression(), X, y, KFold(3), scoring=["accuracy"])
    report = CrossValidationReport.from_cv_results(
        cv_results, X, y, groups=np.arange(45) % 7, notes=["A file was left out."]
    )
    said = " ".join(report.warnings)
    assert report.warnings[0] == "A file was left out."
    assert "7 groups have images on both sides of a test, in 3 of 3 folds" in said
    assert "3 classes have no training image, in 3 of 3 folds" in said
    assert "3 classes have no test image" in said
    assert "The images come sorted by class" in said
    # A class that a fold's model does not know has no probability.
    assert (report.predictions["proba"] == 0).sum() == 45
    shown = Page(report.to_html())
    assert "5 warnings: read them" in " ".join(shown.text.split())
    assert shown.ids.index("warnings") < shown.ids.index("scores")


def test_copies_are_named():
    y = np.tile([0, 1], 6)
    X = np.random.default_rng(0).normal(size=(12, 2))
    cv = KFold(3)
    copies = np.r_[0, np.arange(10), 0]  # rows 0, 1 and 11 are one picture
    cv_results = run(LogisticRegression(), X, y, cv, scoring=["accuracy"])
    report = CrossValidationReport.from_cv_results(
        cv_results, X, y, split_report=check_splits(None, y, cv=cv, duplicates=copies)
    )
    assert report.warnings[0].startswith("3 test images have a copy")
    assert "image 0, image 1, image 11" in Page(report.to_html()).text


def test_copies_are_looked_for_only_with_images():
    y = np.tile([0, 1], 6)
    X = np.random.default_rng(0).normal(size=(12, 2))
    cv_results = run(LogisticRegression(), X, y, KFold(3), scoring=["accuracy"])

    def text(**found):
        report = CrossValidationReport.from_cv_results(
            cv_results, X, y, split_report=check_splits(None, y, cv=KFold(3), **found)
        )
        return " ".join(Page(report.to_html()).text.split())

    said = "resized, mirrored, turned or brightened ones: "
    assert f"{said}not looked for" in text()
    assert f"{said}looked for" in text(duplicates=np.arange(12))
    with pytest.raises(ValueError, match="of 2 folds, and cv_results of 3"):
        CrossValidationReport.from_cv_results(
            cv_results, X, y, split_report=check_splits(None, y, cv=KFold(2))
        )


def test_groups_of_copies_are_no_groups_of_patients():
    y = np.tile([0, 1], 6)
    X = np.random.default_rng(0).normal(size=(12, 2))
    cv_results = run(LogisticRegression(), X, y, KFold(3), scoring=["accuracy"])
    for are_copies in (False, True):
        report = CrossValidationReport.from_cv_results(
            cv_results, X, y, groups=np.arange(12), groups_are_copies=are_copies
        )
        assert ("No groups were given" in Page(report.to_html()).text) == are_copies


def test_classes_that_only_the_model_knows_count():
    X, y = np.random.default_rng(0).normal(size=(40, 2)), np.tile(["a", "b", "c", "d"], 10)
    model = LogisticRegression().fit(X, y)
    known = np.isin(y, ["a", "c"])
    cv_results = run(FrozenEstimator(model), X[known], y[known], KFold(2), scoring=["accuracy"])
    report = CrossValidationReport.from_cv_results(cv_results, X[known], y[known])
    expected = confusion_matrix(y[known], model.predict(X[known]), labels=list("abcd"))
    np.testing.assert_array_equal(report.confusion_matrix, expected)
    assert report.classes.tolist() == list("abcd")
    assert expected[:, [1, 3]].any()
    assert "NaN" not in report.to_html()


@pytest.mark.parametrize("within", [lambda c: c, make_pipeline])
def test_a_threshold_of_ones_own_is_refused(within):
    X, y = np.random.default_rng(0).normal(size=(40, 2)), np.tile([0, 1], 20)
    classifier = FixedThresholdClassifier(LogisticRegression(), threshold=0.2)
    cv_results = run(within(classifier), X, y, StratifiedKFold(2), scoring=["accuracy"])
    with pytest.raises(ValueError, match="FixedThresholdClassifier decides at a threshold"):
        CrossValidationReport.from_cv_results(cv_results, X, y)


def test_an_imbalance_that_is_corrected_twice_is_told():
    X, y = np.random.default_rng(0).random((24, 4, 4, 1)), np.arange(24) % 3 // 2
    twice = AugmentedKerasClassifier(
        dense, class_weight="balanced", sampling_strategy="auto", random_state=0
    )
    with pytest.warns(DoubleCorrectionWarning):
        cv_results = run(twice, X, y, StratifiedKFold(2))
    report = CrossValidationReport.from_cv_results(cv_results, X, y)
    assert "rare classes count twice" in report.warnings[0]
    assert "rare classes count twice" in Page(report.to_html()).text


def test_a_notebook_shows_the_page_in_a_frame(report):
    frame = report._repr_html_()
    (inside,) = re.findall(r'srcdoc="([^"]*)"', frame)
    assert html.unescape(inside) == report.to_html()


def test_it_is_saved_as_it_is(report, tmp_path):
    report.save(tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == report.to_html()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"without": "estimator"}, r"needs \['estimator'\].*return_estimator=True"),
        ({"without": "indices"}, r"needs \['indices'\].*return_indices=True"),
        (
            {"unfitted": True},
            "fold 0 has LogisticRegression, which is not fitted: where a fit failed",
        ),
        ({"y": np.zeros(5)}, r"shape \(30,\), it has \(5,\)"),
        ({"y": np.eye(30, 2)}, r"shape \(30, 2\), several labels a row, and the .* predicts one"),
        ({"of": Perceptron()}, "fold 0 has Perceptron, without predict_proba"),
        ({"target_names": ["a"]}, "classes have the names that y has"),
        ({"names": ["a"]}, "names needs one for each of the 30 images, it has 1"),
        ({"n_mistakes": -1}, "n_mistakes needs 0 or more, got -1"),
    ],
)
def test_what_cannot_be_reported_is_refused(change, said):
    X, y = np.random.default_rng(0).normal(size=(30, 2)), np.tile([0, 1], 15)
    cv_results = run(LogisticRegression(), X, y, StratifiedKFold(3))
    if "of" in change:
        cv_results["estimator"] = [change.pop("of").fit(X, y)] * 3
    cv_results.pop(change.pop("without", ""), None)
    if change.pop("unfitted", False):
        cv_results["estimator"] = [LogisticRegression()] * 3
    with pytest.raises(ValueError, match=said):
        CrossValidationReport.from_cv_results(cv_results, X, **{"y": y, **change})


def test_without_jinja2_the_error_names_the_extra(report, monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(optional.importlib, "import_module", missing)
    with pytest.raises(ImportError, match=r'needs jinja2: pip install "skimgcv\[report\]"'):
        report.to_html()
