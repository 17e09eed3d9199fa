"""scikit-learn's callbacks see each fit and epoch, and change no number."""

import importlib.util
import pickle
import sys

import numpy as np
import pytest
from builders import frozen, linear
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import GridSearchCV

from skimgcv import AugmentedKerasClassifier, ImageAugmenter
from skimgcv._training import tasks


def classifier(**parameters):
    settings = {"epochs": 3, "random_state": 0, "optimizer__learning_rate": 0.01} | parameters
    augmenter = ImageAugmenter(rotation_range=9, rescale=1 / 255)
    return AugmentedKerasClassifier(linear, augmenter=augmenter, **settings)


class Recorder:
    """A callback that notes what it is told, and stops or fails where it should."""

    max_propagation_depth = None

    def __init__(self, stop_after=None, fail_at=None):
        self.told = []
        self.stop_after, self.fail_at = stop_after, fail_at

    def _note(self, event, context):
        self.told.append((event, context.task_name))
        if event == self.fail_at:
            raise RuntimeError(f"failed at {event}")

    def setup(self, estimator, context):
        self._note("setup", context)

    def on_fit_task_begin(self, estimator, context):
        self._note("begin", context)

    def on_fit_task_end(self, estimator, context):
        self._note("end", context)
        return (context.task_name, context.task_id) == ("epoch", self.stop_after)

    def teardown(self, estimator, context):
        self._note("teardown", context)


@pytest.fixture(scope="module")
def callback():
    return pytest.importorskip("sklearn.callback", reason="callbacks came with scikit-learn 1.9")


@pytest.fixture(scope="module")
def rows(digits):
    return digits[0][:100], digits[1][:100]


def test_each_epoch_is_scored_as_the_fit_that_ends_there(callback, rows):
    monitor = callback.ScoringMonitor(scoring=["accuracy", "neg_log_loss"])
    watched = classifier().set_callbacks(monitor).fit(*rows)
    log = monitor.get_logs().data
    assert [(row["task_name"], row["task_id"]) for row in log] == [
        ("fit", 0),
        ("epoch", 0),
        ("epoch", 1),
        ("epoch", 2),
    ]
    alone = classifier().fit(*rows)
    assert watched.history_ == alone.history_
    np.testing.assert_array_equal(watched.predict_proba(rows[0]), alone.predict_proba(rows[0]))
    two_epochs = classifier(epochs=2).fit(*rows)
    for entry, fitted in [(log[0], alone), (log[2], two_epochs), (log[3], alone)]:
        assert entry["accuracy"] == fitted.score(*rows)
        of_labels = fitted.predict_proba(rows[0])[np.arange(100), rows[1]]
        assert entry["neg_log_loss"] == pytest.approx(np.log(of_labels).mean(), rel=1e-6)


def test_a_bar_for_the_search_each_fold_and_the_refit(callback, rows, capsys, monkeypatch):
    pytest.importorskip("rich")
    monkeypatch.setenv("COLUMNS", "160")
    search = GridSearchCV(classifier(), {"augmenter__rotation_range": [0]}, cv=2)
    search.set_callbacks(callback.ProgressBar()).fit(*rows)
    lines = capsys.readouterr().out.rstrip().splitlines()
    assert len(lines) == 5
    assert all("100%" in line for line in lines)
    assert sum("AugmentedKerasClassifier - fit" in line for line in lines) == 3
    # It stays with the search: neither the best estimator nor its copies have it.
    pickle.loads(pickle.dumps(search.best_estimator_)).predict(rows[0])
    assert not hasattr(search.best_estimator_, "_skl_callbacks")


def test_tasks_of_a_fit_are_its_epochs_in_their_order(callback, rows):
    recorder = Recorder(stop_after=1)
    fitted = classifier().set_callbacks(recorder).fit(*rows)
    assert recorder.told == [
        ("setup", "fit"),
        ("begin", "fit"),
        *[("begin", "epoch"), ("end", "epoch")] * 2,
        ("end", "fit"),
        ("teardown", "fit"),
    ]
    assert len(fitted.history_["loss"]) == 2  # as the callback said


@pytest.mark.parametrize("event", ["setup", "begin", "end"])
def test_callbacks_are_torn_down_when_a_fit_fails(callback, rows, event):
    clf = classifier().set_callbacks(recorder := Recorder(fail_at=event))
    with pytest.raises(RuntimeError, match=f"failed at {event}"):
        clf.fit(*rows)
    assert recorder.told[-1] == ("teardown", "fit")
    assert not hasattr(clf, "model_")
    assert not hasattr(clf, "_callback_fit_ctx")


def test_callbacks_are_no_parameters_and_go_with_clones(callback):
    clf = classifier()
    before = clf.get_params()
    monitor = callback.ScoringMonitor(scoring="accuracy")
    clf.set_callbacks(monitor)
    assert clf.get_params() == before
    assert clone(clf)._skl_callbacks == [monitor]
    assert not hasattr(clf.set_callbacks(), "_skl_callbacks")


def test_fits_without_callbacks_have_no_part_in_the_experiment(monkeypatch):
    def fail(*args, **kwargs):
        raise AssertionError("the experimental interface was used")

    clf = classifier()
    monkeypatch.setattr(AugmentedKerasClassifier, "_init_callback_context", fail, raising=False)
    with tasks.fit_task(clf, None, None, None) as task:
        assert task is None


def test_before_scikit_learn_1_9_there_are_none(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.callback", None)
    spec = importlib.util.spec_from_file_location("older_tasks", tasks.__file__)
    older = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(older)

    class Estimator(older.CallbackSupportMixin, BaseEstimator):
        pass

    assert not hasattr(Estimator, "set_callbacks")
    with older.fit_task(Estimator(), None, None, None) as task:
        assert task is None


def test_callbacks_are_shown_where_the_second_phase_began(callback, rows):
    class Phases(Recorder):
        def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
            if context.task_name == "epoch":
                shown = fitted_estimator
                self.told.append((shown.fine_tune_start_, shown.history_["loss"]))
                self.probabilities = shown.predict_proba(rows[0])

    phases = Phases()
    phases_of = {"epochs": 2, "fine_tune_epochs": 2, "fine_tune_learning_rate": 0.01}
    clf = AugmentedKerasClassifier(frozen, random_state=0, **phases_of).set_callbacks(phases)
    clf.fit(*rows)
    told = [entry for entry in phases.told if isinstance(entry[1], list)]
    assert [start for start, _ in told] == [None, None, 2, 2]
    assert [losses for _, losses in told] == [clf.history_["loss"][:n] for n in (1, 2, 3, 4)]
    assert clf.fine_tune_start_ == 2
    np.testing.assert_array_equal(phases.probabilities, clf.predict_proba(rows[0]))
