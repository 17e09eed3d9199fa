"""The report on numbers: its errors are scikit-learn's, output by output."""

import numpy as np
import pandas as pd
import pytest
from builders import linear
from pages import Page
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error
from sklearn.model_selection import KFold, RepeatedKFold, cross_val_predict, cross_validate
from sklearn.preprocessing import StandardScaler

from skimgcv import AugmentedKerasRegressor, ImageAugmenter
from skimgcv.model_selection import check_splits, corrected_interval
from skimgcv.report import CrossValidationReport

RNG = np.random.default_rng(0)
X = RNG.random((60, 4, 4, 1)).astype(np.float32)
ROWS = X.reshape(60, -1)
AGES = (40 + 60 * X.mean(axis=(1, 2, 3)) + RNG.normal(0, 2, 60)).round()
CV = KFold(3, shuffle=True, random_state=0)
SCORES = ["r2", "neg_mean_absolute_error", "neg_root_mean_squared_error"]


def run(estimator, X, y, cv=CV, scoring=SCORES):
    return cross_validate(
        estimator, X, y, cv=cv, scoring=scoring, return_estimator=True, return_indices=True
    )


@pytest.fixture(scope="module")
def trained():
    regressor = TransformedTargetRegressor(
        AugmentedKerasRegressor(
            linear,
            augmenter=ImageAugmenter(horizontal_flip=True),
            epochs=10,
            optimizer__learning_rate=0.02,
            random_state=0,
        ),
        transformer=StandardScaler(),
    )
    return regressor, run(regressor, X, AGES)


@pytest.fixture(scope="module")
def report(trained):
    return CrossValidationReport.from_cv_results(
        trained[1], X, AGES, target_names=["age"], n_mistakes=4
    )


@pytest.fixture(scope="module")
def shown(report):
    return Page(report.to_html())


def test_its_numbers_are_those_of_cross_validate(trained, report, shown):
    regressor, cv_results = trained
    predicted = cross_val_predict(regressor, X, AGES, cv=CV)
    np.testing.assert_array_equal(report.predictions["predicted"][:, 0], predicted)
    np.testing.assert_array_equal(report.predictions["target"][:, 0], AGES)
    assert report.classes is None
    assert report.confusion_matrix is None
    for fold in range(3):
        r2, mae, rmse = (cv_results[f"test_{name}"][fold] for name in SCORES)
        cells = shown.row(str(fold + 1))[3:6]
        assert cells[0] == f"{r2:.3f}"
        # Four digits of a number in years.
        assert [float(cell) for cell in cells[1:]] == pytest.approx([-mae, -rmse], rel=1e-3)
    low, high = corrected_interval(-cv_results[f"test_{SCORES[1]}"], test_train_ratio=0.5)
    assert report.intervals["mean_absolute_error"] == (max(low, 0), high)
    low, high = corrected_interval(cv_results["test_r2"], test_train_ratio=0.5)
    assert report.intervals["r2"] == (low, min(high, 1))


def test_the_page_has_what_a_page_on_classes_has(report, shown):
    sections = ["summary", "warnings", "scores", "numbers", "errors", "limits", "training"]
    sections += ["data", "augmentation", "network", "settings"]
    assert [name for name in shown.ids if not name.endswith("-heading")] == sections
    # Scores, history, two figures of age, four errors, and six images in five versions.
    assert len(shown.images) == 1 + 1 + 2 + 4 + 30
    assert all(image["alt"].strip() for image in shown.images)
    assert "mean_squared_error" in shown.text
    assert "Parameters of the regressor" in shown.text
    # Ages are whole, but no classes: none of them is missing anywhere.
    assert not report.warnings


def test_errors_are_the_largest_ones(report, shown):
    off = np.abs(report.predictions["predicted"] - report.predictions["target"])[:, 0]
    largest = np.argsort(-off, kind="stable")[:4]
    photos = [image["alt"] for image in shown.images if image.get("class") == "photo"]
    assert [alt.split(":")[0] for alt in photos] == [f"image {row}" for row in largest]
    assert f": {AGES[largest[0]]:.0f}, predicted " in photos[0]


def test_each_output_has_the_errors_of_scikit_learn():
    y = pd.DataFrame({"age": AGES, "weight": 1e5 * ROWS[:, 0] - 7})
    cv = RepeatedKFold(n_splits=3, n_repeats=2, random_state=0)
    cv_results = run(LinearRegression(), ROWS, y, cv)
    report = CrossValidationReport.from_cv_results(cv_results, ROWS, y)
    shown = Page(report.to_html())
    assert "errors" not in shown.ids  # rows of 16 numbers are no images
    for at, name in enumerate(y.columns):
        column = y[name].to_numpy()
        errors = []
        for train, test in cv.split(ROWS):
            truth = column[test]
            said = LinearRegression().fit(ROWS[train], y.to_numpy()[train]).predict(ROWS[test])
            median = np.full(len(test), np.median(column[train]))
            errors.append(
                [
                    mean_absolute_error(truth, said[:, at]),
                    mean_absolute_error(truth, median),
                    root_mean_squared_error(truth, said[:, at]),
                    (said[:, at] - truth).mean(),
                    r2_score(truth, said[:, at]),
                ]
            )
        cells = [float(cell.replace(",", "")) for cell in shown.row(name)[2:]]
        # Four digits are shown; of R2 three after the point.
        assert cells == pytest.approx(np.mean(errors, axis=0), rel=1e-3, abs=1e-3)
    assert report.predictions["predicted"].shape == (120, 2)


def test_sorted_numbers_and_equal_ones_are_told():
    y = np.r_[np.zeros(20), np.sort(AGES[20:]).astype(int)]
    cv_results = run(LinearRegression(), ROWS, y, KFold(3), ["neg_mean_absolute_error"])
    report = CrossValidationReport.from_cv_results(cv_results, ROWS, y)
    assert len(report.warnings) == 1
    assert "come sorted by number, and" in report.warnings[0]
    assert "larger or smaller numbers than their training images" in report.warnings[0]
    # Whole numbers look like classes where nobody says that they are none.
    found = check_splits(None, y, cv=KFold(3))
    assert any(len(classes) for classes in found.untested_classes)
    again = CrossValidationReport.from_cv_results(cv_results, ROWS, y, split_report=found)
    assert not any("no test image" in said for said in again.warnings)
    # R2 of the fold of zeros is undefined, and so is its mean.
    rows = Page(report.to_html()).rows
    header = next(row for row in rows if row[-1] == "R\N{SUPERSCRIPT TWO}")
    assert rows[rows.index(header) + 1][-1] == "\N{EN DASH}"


def test_many_points_are_an_image_in_the_figure():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(3000, 1))
    cv_results = run(LinearRegression(), rows, rows[:, 0], KFold(2), ["r2"])
    page = CrossValidationReport.from_cv_results(cv_results, rows, rows[:, 0]).to_html()
    assert len(page) < 400_000  # 6000 circles as SVG alone are more


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"y": np.full(60, np.nan)}, "contains NaN"),
        ({"y": AGES[:9]}, "X has 60, y has 9"),
        ({"unfitted": True}, "needs a fitted regressor of each fold; fold 0 has LinearRegression"),
        ({"target_names": ["a", "b"]}, "one for each of the 1 columns of y"),
    ],
)
def test_what_does_not_fit_is_refused(change, said):
    cv_results = run(LinearRegression(), ROWS, AGES, scoring=["r2"])
    if change.pop("unfitted", False):
        cv_results["estimator"] = [LinearRegression()] * 3
    with pytest.raises(ValueError, match=said):
        CrossValidationReport.from_cv_results(cv_results, ROWS, **{"y": AGES, **change})
