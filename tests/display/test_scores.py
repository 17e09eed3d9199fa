"""The figure of fold scores: which numbers it draws."""

import numpy as np
import pytest
from scipy import stats

from skimgcv.display import FoldScoresDisplay
from skimgcv.model_selection import compare_scores, corrected_interval

FIVE = np.array([0.81, 0.86, 0.9, 0.84, 0.79])


def drawn_interval(bars):
    (segment,) = bars.lines[2][0].get_segments()
    return segment[:, 0]


def test_draws_each_fold_the_mean_and_the_interval():
    display = FoldScoresDisplay.from_cv_results({"test_score": FIVE, "fit_time": FIVE})
    np.testing.assert_allclose(display.points_["score"].get_offsets()[:, 0], FIVE)
    bars = display.bars_["score"]
    np.testing.assert_allclose(float(bars.lines[0].get_xdata()[0]), FIVE.mean())
    # Nadeau and Bengio's variance for plain 5-fold, (1/5 + 1/4) s^2, with SciPy's interval.
    scale = np.sqrt((1 / 5 + 1 / 4) * stats.tvar(FIVE))
    expected = stats.t.interval(0.95, df=4, loc=FIVE.mean(), scale=scale)
    np.testing.assert_allclose(drawn_interval(bars), expected)
    assert display.figure_ is display.ax_.figure


def test_a_repeated_split_has_the_proportions_of_its_rows():
    rows = {"train": [range(80)] * 10, "test": [range(20)] * 10}
    scores = np.tile(FIVE, 2)
    with_rows = FoldScoresDisplay.from_cv_results({"test_score": scores, "indices": rows})
    said = FoldScoresDisplay.from_scores({"score": scores}, test_train_ratio=0.25)
    assert with_rows.intervals == said.intervals
    assert said.intervals != FoldScoresDisplay.from_scores({"score": scores}).intervals


def test_many_runs_and_metrics_each_have_a_row(axes):
    run = {"test_accuracy": FIVE, "test_f1": FIVE - 0.1}
    display = FoldScoresDisplay.from_cv_results({"a": run, "b": run}, ax=axes)
    assert list(display.points_) == ["a, accuracy", "a, f1", "b, accuracy", "b, f1"]
    assert [t.get_text() for t in axes.get_yticklabels()] == list(display.points_)
    one = FoldScoresDisplay.from_cv_results({"a": run, "b": run}, scoring="f1")
    assert list(one.scores) == ["a", "b"]
    assert one.ax_.get_xlabel() == "f1: each fold; mean and 95% interval"
    assert one.plot().ax_.get_xlabel() == "f1: each fold; mean and 95% interval"


def test_long_names_leave_room_for_what_is_drawn():
    scores = {"oversampling, and rare classes transformed more": FIVE, "plain": FIVE}
    display = FoldScoresDisplay.from_scores(scores)
    display.figure_.canvas.draw()
    assert display.ax_.get_window_extent().width > 0.5 * display.figure_.bbox.width
    label = display.ax_.xaxis.label.get_window_extent()
    assert display.figure_.bbox.x0 <= label.x0 < label.x1 <= display.figure_.bbox.x1


def test_folds_of_many_sizes_count_by_the_mean_of_their_ratios():
    sizes = [(90, 10), (80, 20), (60, 40)]
    rows = {
        "train": [np.arange(n) for n, _ in sizes],
        "test": [np.arange(n) for _, n in sizes],
    }
    display = FoldScoresDisplay.from_cv_results({"test_score": FIVE[:3], "indices": rows})
    ratio = (10 / 90 + 20 / 80 + 40 / 60) / 3
    assert display.intervals["score"] == corrected_interval(FIVE[:3], test_train_ratio=ratio)
    train, test = zip(*sizes, strict=True)
    compared = compare_scores(FIVE[:3], np.zeros(3), n_train=train, n_test=test)
    assert compared.interval == display.intervals["score"]


def test_points_and_bars_are_drawn_as_matplotlib_is_told():
    display = FoldScoresDisplay.from_scores(
        {"score": FIVE},
        scatter_kw={"c": "red", "linewidths": 2, "marker": "x"},
        errorbar_kw={"fmt": "s", "markersize": 9, "capsize": 0},
    )
    points, mean = display.points_["score"], display.bars_["score"].lines[0]
    assert points.get_linewidth().tolist() == [2]
    np.testing.assert_array_equal(points.get_edgecolor()[:, :3], [[1, 0, 0]])
    assert (mean.get_marker(), mean.get_markersize(), mean.get_linestyle()) == ("s", 9, "None")


def test_one_fold_has_a_mean_and_no_interval():
    display = FoldScoresDisplay.from_scores({"score": [0.5]})
    assert display.means == {"score": 0.5}
    assert np.isnan(display.intervals["score"]).all()
    assert display.ax_.get_xlabel() == "one fold"


def test_runs_of_different_proportions_are_not_drawn_as_one():
    rows = [{"train": [range(n)] * 3, "test": [range(20)] * 3} for n in (80, 20)]
    runs = {str(k): {"test_score": [0.1, 0.2, 0.3], "indices": r} for k, r in enumerate(rows)}
    with pytest.raises(ValueError, match="different proportions"):
        FoldScoresDisplay.from_cv_results(runs)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FoldScoresDisplay.from_scores({}), "at least one name"),
        (lambda: FoldScoresDisplay.from_scores({"a": [[1.0]]}), r"shape \(n_folds,\)"),
        (
            lambda: FoldScoresDisplay.from_scores({"a": [1.0]}, confidence_level=95),
            "between 0 and 1",
        ),
        (
            lambda: FoldScoresDisplay.from_scores({"a": FIVE}, test_train_ratio=0),
            "test_train_ratio must be above 0",
        ),
        (lambda: FoldScoresDisplay.from_scores({"a": [1.0, np.nan]}), "need to be finite"),
        (lambda: FoldScoresDisplay.from_cv_results({"fit_time": [1.0]}), "needs test scores"),
    ],
)
def test_errors_say_what_is_needed(make, message):
    with pytest.raises(ValueError, match=message):
        make()
