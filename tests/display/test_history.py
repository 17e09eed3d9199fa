"""The figure of training curves: which numbers it draws."""

import builders
import numpy as np
import pytest
from samples import blobs, classifier
from sklearn.compose import TransformedTargetRegressor
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import Pipeline

from skimgcv import AugmentedKerasRegressor
from skimgcv.display import FoldHistoryDisplay

HISTORIES = [
    {"loss": [3.0, 2.0], "val_loss": [4.0, 3.0], "accuracy": [0.1, 0.2]},
    {"loss": [5.0, 4.0, 1.0], "val_loss": [6.0, 6.0, 2.0], "accuracy": [0.3, 0.5, 0.6]},
]


def test_draws_each_fold_and_the_mean_of_the_epochs_that_all_ran():
    display = FoldHistoryDisplay.from_histories(HISTORIES)
    for lines, name in [(display.lines_, "loss"), (display.validation_lines_, "val_loss")]:
        for line, history in zip(lines, HISTORIES, strict=True):
            np.testing.assert_array_equal(line.get_ydata(), history[name])
            np.testing.assert_array_equal(line.get_xdata(), np.arange(len(history[name])) + 1)
    np.testing.assert_allclose(display.mean_line_.get_ydata(), [4, 3])
    np.testing.assert_allclose(display.validation_mean_line_.get_ydata(), [5, 4.5])
    assert display.ax_.get_ylabel() == "loss"


def test_a_metric_without_hold_out_has_training_curves_alone(axes):
    display = FoldHistoryDisplay.from_histories(HISTORIES, metric="accuracy", ax=axes)
    assert display.ax_ is axes
    assert display.validation is None
    assert display.validation_lines_ == []
    assert len(axes.lines) == 3


def test_a_single_fold_has_no_mean():
    display = FoldHistoryDisplay.from_histories(HISTORIES[:1])
    assert display.mean_line_ is None
    assert len(display.ax_.lines) == 2
    labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert labels == ["training", "validation"]
    one_epoch = FoldHistoryDisplay.from_histories([{"loss": [1.0]}])
    assert one_epoch.ax_.get_xticks().tolist() == [1]
    assert one_epoch.lines_[0].get_marker() == "."


def test_reads_the_estimators_of_cross_validate_and_trains_nothing(monkeypatch):
    X, y = blobs()
    model = classifier(builders.linear, epochs=2)
    results = cross_validate(
        GridSearchCV(Pipeline([("clf", model)]), {"clf__batch_size": [8]}, cv=2),
        X,
        y,
        cv=2,
        return_estimator=True,
    )
    monkeypatch.setattr(type(model), "fit", None)
    monkeypatch.setattr(type(model), "predict_proba", None)
    display = FoldHistoryDisplay.from_cv_results(results)
    for line, search in zip(display.lines_, results["estimator"], strict=True):
        history = search.best_estimator_.steps[-1][1].history_
        np.testing.assert_array_equal(line.get_ydata(), history["loss"])


def test_finds_a_regressor_whose_numbers_are_scaled():
    X, y = blobs()
    scaled = TransformedTargetRegressor(AugmentedKerasRegressor(builders.linear))
    display = FoldHistoryDisplay.from_estimators([scaled.fit(X, y)])
    assert display.lines_[0].get_ydata().tolist() == scaled.regressor_.history_["loss"]


def test_lines_are_drawn_as_matplotlib_is_told():
    # "lw" and "linewidth" are one thing: the user's is not to clash with ours.
    display = FoldHistoryDisplay.from_histories(
        HISTORIES, line_kw={"linewidth": 3, "ls": ":"}, mean_line_kw={"c": "k", "label": "all"}
    )
    for line in display.lines_ + display.validation_lines_:
        assert (line.get_linewidth(), line.get_linestyle(), line.get_alpha()) == (3, ":", 0.5)
    assert {line.get_color() for line in display.lines_} == {"C0"}
    assert display.mean_line_.get_color() == display.validation_mean_line_.get_color() == "k"
    assert display.mean_line_.get_label() == "all"
    again = display.plot(line_kw={"color": "red"})
    assert {line.get_color() for line in again.lines_} == {"red"}


def test_errors_say_what_is_needed():
    with pytest.raises(ValueError, match="return_estimator=True"):
        FoldHistoryDisplay.from_cv_results({"test_score": [1.0]})
    with pytest.raises(ValueError, match="metric='auc' needs to be in every history"):
        FoldHistoryDisplay.from_histories(HISTORIES, metric="auc")
    with pytest.raises(ValueError, match="GridSearchCV has none"):
        FoldHistoryDisplay.from_estimators([GridSearchCV(classifier(None), {})])
    with pytest.raises(ValueError, match="at least one fold"):
        FoldHistoryDisplay.from_histories([])
