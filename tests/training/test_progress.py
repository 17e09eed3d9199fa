"""``verbose=1`` draws one line a fit, where somebody sees it, and changes no number."""

import io
import multiprocessing
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from builders import linear

from skimgcv import AugmentedKerasClassifier, ImageAugmenter
from skimgcv._training import progress
from skimgcv._training.progress import FitBar, progress_bar


class Terminal(io.StringIO):
    """What a terminal gets; tqdm begins each picture of a line with a carriage return."""

    encoding = "utf-8"

    def __init__(self):
        super().__init__()
        self.writes = []

    def isatty(self):
        return True

    def write(self, text):
        self.writes.append(text)
        return super().write(text)

    def seen(self):
        *lines, rest = self.getvalue().split("\n")
        return [line.split("\r")[-1].rstrip() for line in lines + [rest] * bool(rest)]


def look_on(monkeypatch, stderr):
    # Not sys.stderr itself: pytest puts its own there when a test begins.
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=stderr))
    return stderr


@pytest.fixture
def terminal(monkeypatch):
    return look_on(monkeypatch, Terminal())


def run(first_epoch=0, epochs=12, *, until=None, steps=4, **logs):
    """Call a bar as Keras does in a fit of so many epochs."""
    with progress_bar(1, first_epoch=first_epoch, epochs=epochs) as (_, (bar,)):
        bar.set_params({"steps": steps})
        bar.on_train_begin()
        for epoch in range(first_epoch, until or epochs):
            bar.on_epoch_begin(epoch)
            # From several threads, Keras' calls for batches come in any order.
            for batch in [1, 0, 3, 2]:
                bar.on_train_batch_end(batch)
            bar.on_epoch_end(epoch, logs)
        bar.on_train_end()


def test_a_fit_shows_its_last_losses_and_is_the_same_fit(terminal, digits, capsys):
    X, y = digits

    def fit(verbose):
        clf = AugmentedKerasClassifier(
            linear,
            augmenter=ImageAugmenter(rotation_range=9, rescale=1 / 255),
            validation_split=0.2,
            epochs=2,
            verbose=verbose,
            random_state=0,
        )
        return clf.fit(X[:100], y[:100])

    silent = fit(0)
    assert terminal.getvalue() == ""
    drawn = fit(1)
    (line,) = terminal.seen()
    assert line.startswith("epoch 2/2 100%|")
    losses = [f"{name}={drawn.history_[name][-1]:.3g}" for name in ("loss", "val_loss")]
    assert line.endswith(", ".join(losses))
    assert drawn.history_ == silent.history_
    np.testing.assert_array_equal(drawn.predict_proba(X), silent.predict_proba(X))
    assert len(terminal.seen()) == 1  # predicting draws nothing
    assert capsys.readouterr() == ("", "")


def test_without_a_hold_out_the_metrics_are_shown(terminal):
    run(accuracy=0.51234, loss=1.2)
    (line,) = terminal.seen()
    assert line.startswith("epoch 12/12 100%|" + "█" * 20 + "|")
    assert line.endswith(", loss=1.2, accuracy=0.512")


def test_time_left_and_place_are_counted_in_batches(terminal):
    with progress_bar(1, first_epoch=2, epochs=4) as (_, (bar,)):
        bar.set_params({"steps": 4})
        bar.on_train_begin()
        bar.on_epoch_begin(2)
        for batch in [0, 2]:  # the third call overtook the second
            bar.on_train_batch_end(batch)
        assert (bar._bar.n, bar._bar.total) == (3, 8)
        bar.on_epoch_end(2, {"loss": 1.0})
        assert (bar._bar.n, bar._bar.desc) == (4, "epoch 3/4")


def test_a_fit_that_stops_early_is_whole(terminal):
    run(until=2, loss=1.0)
    assert terminal.seen()[-1].startswith("epoch  2/12 100%|")


def test_a_fit_that_fails_leaves_its_line(terminal):
    def fail():
        with progress_bar(1, first_epoch=0, epochs=3) as (_, (bar,)):
            bar.set_params({"steps": 4})
            bar.on_train_begin()
            bar.on_epoch_begin(0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert terminal.getvalue().endswith("\n")
    assert terminal.seen()[-1].startswith("epoch 1/3   0%|")


def test_a_worker_process_writes_one_whole_line(terminal, monkeypatch):
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: "the parent")
    run(loss=1.0)
    (line,) = terminal.writes
    assert line.startswith("epoch 12/12 100%|████")
    assert line.endswith("loss=1\n")


def test_a_worker_thread_writes_one_whole_line(terminal):
    thread = threading.Thread(target=run, kwargs={"loss": 1.0})
    thread.start()
    thread.join()
    (line,) = terminal.writes
    assert line.endswith("loss=1\n")


@pytest.mark.parametrize("in_worker", [False, True])
def test_a_file_gets_one_whole_line(monkeypatch, in_worker):
    class File(Terminal):
        def isatty(self):
            return False

    file = look_on(monkeypatch, File())
    if in_worker:
        monkeypatch.setattr(multiprocessing, "parent_process", lambda: "the parent")
    run(loss=1.0)
    (line,) = file.writes
    assert line.startswith("epoch 12/12 100%|████")
    assert line.endswith("loss=1\n")


@pytest.mark.slow
def test_workers_of_a_notebook_write_a_line_a_fit():
    # ipykernel reads the standard error of the whole process from a pipe, as here.
    script = """
import numpy as np
from builders import linear
from sklearn.model_selection import cross_val_score
from skimgcv import AugmentedKerasClassifier
X = np.random.default_rng(0).random((12, 4, 4, 1))
clf = AugmentedKerasClassifier(linear, epochs=2, verbose=1)
cross_val_score(clf, X, [0, 1] * 6, cv=3, n_jobs=2)
"""
    tests = Path(__file__).parents[1]
    path = os.pathsep.join([str(tests), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", script],
        stderr=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("epoch 2/2 100%|")]
    assert len(lines) == 3
    assert all("loss=" in line for line in lines)


def test_while_rich_draws_on_the_terminal_no_second_bar_does(monkeypatch):
    class FileProxy(Terminal):
        __module__ = "rich.file_proxy"

    look_on(monkeypatch, FileProxy())
    with progress_bar(1, first_epoch=0, epochs=2) as told:
        assert told == (0, [])


def test_a_notebook_gets_a_bar(monkeypatch):
    class OutStream(Terminal):
        __module__ = "ipykernel.iostream"

        def isatty(self):
            return False

    look_on(monkeypatch, OutStream())
    with progress_bar("auto", first_epoch=0, epochs=2) as (verbose, callbacks):
        assert verbose == 0
        assert [type(c) for c in callbacks] == [FitBar]


@pytest.mark.parametrize("verbose", [0, False, 2])
def test_other_values_are_keras_own(terminal, verbose):
    with progress_bar(verbose, first_epoch=0, epochs=2) as told:
        assert told == (verbose, [])
    assert terminal.getvalue() == ""


def test_no_epoch_no_line(terminal):
    with progress_bar(1, first_epoch=3, epochs=3) as told:
        assert told == (0, [])
    assert terminal.getvalue() == ""
