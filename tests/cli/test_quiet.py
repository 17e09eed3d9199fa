"""What TensorFlow logs at its import is held back, unless the import fails."""

import os

import pytest

from skimgcv._cli.quiet import import_keras, without_first_log


def test_what_is_logged_is_held_back(capfd):
    with without_first_log():
        os.write(2, b"I0000 port.cc: a machine\n")
    os.write(2, b"later\n")
    assert capfd.readouterr().err == "later\n"


def test_what_fails_is_told_with_its_log(capfd):
    def fails():
        os.write(2, b"no such symbol\n")
        raise ImportError

    with pytest.raises(ImportError), without_first_log():
        fails()
    assert capfd.readouterr().err == "no such symbol\n"


def test_no_jobs_at_all_are_refused():
    with pytest.raises(ValueError, match="n_jobs"):
        import_keras(0)
