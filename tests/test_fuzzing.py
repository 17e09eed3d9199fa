"""Fuzzed calls, some of them; `python tests/fuzz_inputs.py 10000` is the longer profile."""

import fuzz_inputs
import numpy as np
import pytest
from hypothesis import Phase


# Derandomised: the same examples each time, so that a failure is there tomorrow as well.
@pytest.mark.parametrize("kind", fuzz_inputs.KINDS)
def test_every_call_is_right_or_refused_in_words(kind):
    fuzz_inputs.run(kind, 50, derandomize=True)


def test_a_result_that_is_wrong_would_be_found(monkeypatch):
    take_down = fuzz_inputs._fit

    def forget_a_label(model, *arguments, **options):
        history = take_down(model, *arguments, **options)
        model.seen[0][1][:] = 2
        return history

    monkeypatch.setattr(fuzz_inputs, "_fit", forget_a_label)
    with pytest.raises(AssertionError, match="Arrays are not equal"):
        fuzz_inputs.run("fit, every form", 5, derandomize=True, phases=[Phase.generate])


def test_a_change_of_what_was_passed_in_would_be_found(monkeypatch):
    def spoil(model, rebuild, batches, **_):
        batches._images._X[0] = 0
        return {"loss": [0.0]}

    monkeypatch.setattr(fuzz_inputs, "_fit", spoil)
    case = ("", {"X": np.ones((6, 2, 2, 1)), "y": [0, 1, 2] * 2}, None)
    with (
        fuzz_inputs.without_training(build=False),
        pytest.raises(AssertionError, match="was changed"),
    ):
        fuzz_inputs.check_fit((*case[:2], (case[1]["X"], case[1]["y"], None)))
