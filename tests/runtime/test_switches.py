"""Keras' global switches go with an estimator into other processes and threads, and no further."""

import pickle
import threading

import joblib
import keras
import numpy as np
import pytest
import tensorflow as tf
from builders import cnn, linear
from samples import Log, blobs, classifier, same_model
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_predict
from tensorflow.python.framework import config as tf_config

from skimgcv._runtime import switches

X, Y = blobs(shape=(8, 8, 1), n=30)


def float64(on):
    keras.config.set_floatx("float64" if on else "float32")
    keras.config.set_dtype_policy("float64" if on else "float32")


def determinism(on):
    (tf_config.enable_op_determinism if on else tf_config.disable_op_determinism)()


# How each is set and set back, and what tells how it stands.
SWITCHES = {
    "policy": (
        lambda on: keras.config.set_dtype_policy("mixed_float16" if on else "float32"),
        lambda: keras.config.dtype_policy().name,
    ),
    "floatx": (float64, keras.config.floatx),
    "epsilon": (lambda on: keras.config.set_epsilon(1e-2 if on else 1e-7), keras.config.epsilon),
    "image_data_format": (
        lambda on: keras.config.set_image_data_format(f"channels_{'first' if on else 'last'}"),
        keras.config.image_data_format,
    ),
    "eagerly": (tf.config.run_functions_eagerly, tf.config.functions_run_eagerly),
    "determinism": (determinism, tf_config.is_op_determinism_enabled),
    "tf32": (
        lambda on: tf.config.experimental.enable_tensor_float_32_execution(not on),
        tf.config.experimental.tensor_float_32_execution_enabled,
    ),
    "jit": (tf.config.optimizer.set_jit, tf.config.optimizer.get_jit),
}


@pytest.fixture
def switched():
    """Set switches, and set back those that a test leaves on."""
    done = []

    def switch(name, on):
        SWITCHES[name][0](on)
        done.append(name)

    yield switch
    for name in done:
        SWITCHES[name][0](False)


class Looks(keras.callbacks.Callback):
    """Notes how a switch stands, in a log that copies share."""

    def __init__(self, look):
        super().__init__()
        self.look = look
        self.log = Log()

    def on_train_batch_end(self, batch, logs=None):
        self.log.append(self.look())

    def on_predict_batch_end(self, batch, logs=None):
        self.log.append(self.look())


def sent(clf, switched, *names):
    """An estimator as another process gets it, where the switches stand as Keras sets them."""
    for name in names:
        switched(name, True)
    state = clf.__getstate__()
    for name in names:
        switched(name, False)
    other = object.__new__(type(clf))
    other.__setstate__(state)
    return other


@pytest.mark.parametrize("name", SWITCHES)
def test_each_switch_stands_while_an_estimator_from_elsewhere_is_used(name, switched):
    looks = Looks(SWITCHES[name][1])

    def build(meta):
        looks.log.append(looks.look())
        return linear(meta)

    clf = classifier(build, callbacks=looks, predict__callbacks=looks, batch_size=30)
    before = looks.look()
    switched(name, True)
    there = looks.look()
    assert there != before
    other = sent(clf, switched, name)
    assert looks.look() == before
    for each in (other, clone(other), sent(other, switched)):
        looks.log.clear()
        each.fit(X, Y)
        assert looks.look() == before
        each.predict(X)
        assert looks.look() == before
        # The builder, perhaps again for the steps that equal models share, fit and predict.
        assert set(looks.log) == {there}
        assert len(looks.log) >= 3


def test_numbers_are_those_of_the_process_that_sent_it(switched):
    clf = classifier(cnn)
    plain = clone(clf).fit(X, Y)
    switched("policy", True)
    switched("epsilon", True)
    expected = clone(clf).fit(X, Y)
    probabilities = expected.predict_proba(X)
    fitted = sent(expected, switched, "policy", "epsilon")
    unfitted = sent(clf, switched, "policy", "epsilon")
    assert unfitted.fit(X, Y).history_ == expected.history_ != plain.history_
    assert same_model(unfitted, expected)
    for other in (fitted, unfitted):
        np.testing.assert_array_equal(other.predict_proba(X), probabilities)
    assert same_model(clone(clf).fit(X, Y), plain)  # nothing was left switched


def test_an_estimator_that_comes_home_goes_by_the_switches_there(switched):
    there = sent(classifier(linear), switched, "policy")
    assert there._switches is not None
    switched("policy", True)
    home = pickle.loads(pickle.dumps(there))
    switched("policy", False)
    assert home.fit(X, Y).model_.layers[-1].dtype_policy.name == "float32"
    assert pickle.loads(pickle.dumps(classifier(linear)))._switches is None


def test_what_a_builder_sets_itself_stays(switched):
    def build(meta):
        switched("epsilon", True)
        switched("policy", True)
        return linear(meta)

    classifier(build).fit(X, Y)
    assert keras.config.epsilon() == 1e-2
    assert keras.config.dtype_policy().name == "mixed_float16"


def test_switches_are_set_back_where_a_fit_fails(switched):
    def build(meta):
        raise ZeroDivisionError

    clf = sent(classifier(build), switched, *SWITCHES)
    before = switches.current()
    with pytest.raises(ZeroDivisionError):
        clf.fit(X, Y)
    assert switches.current() == before


def test_another_backend_is_refused_in_words(switched):
    clf = sent(classifier(linear).fit(X, Y), switched, "epsilon")
    probabilities = clf.predict_proba(X)
    clf._switches["backend"] = "jax"
    with pytest.raises(
        RuntimeError, match=r"'jax', and here it is 'tensorflow'.*KERAS_BACKEND=jax"
    ):
        clf.fit(X, Y)
    np.testing.assert_array_equal(clf.predict_proba(X), probabilities)


@pytest.mark.parametrize("tool", ["search", "folds"])
def test_threads_fit_as_the_main_thread_does(tool, switched):
    # Keras keeps the dtype policy for each thread, and later folds are cloned in another one.
    clf = classifier(linear, batch_size=15)

    def run(n_jobs):
        with joblib.parallel_backend("threading", n_jobs=n_jobs):
            if tool == "folds":
                return cross_val_predict(clf, X, Y, cv=6, method="predict_proba", n_jobs=n_jobs)
            search = GridSearchCV(clf, {"batch_size": [5, 6, 10]}, cv=2, n_jobs=n_jobs)
            search.set_params(scoring="neg_log_loss").fit(X, Y)
            return search.cv_results_["mean_test_score"]

    plain = run(1)
    switched("policy", True)
    expected = run(1)
    assert not np.array_equal(plain, expected)
    np.testing.assert_array_equal(run(2), expected)


def test_threads_that_need_other_switches_take_turns(switched):
    start, errors = threading.Barrier(4), []
    mine = [sent(classifier(linear, epochs=3), switched, "epsilon") for _ in range(4)]
    for clf in mine[2:]:
        clf._switches["epsilon"] = 1e-3

    def fit(clf):
        looks = Looks(keras.config.epsilon)
        start.wait()
        clf.set_params(callbacks=looks).fit(X, Y)
        if set(looks.log) != {clf._switches["epsilon"]}:
            errors.append(looks.log)

    threads = [threading.Thread(target=fit, args=(clf,)) for clf in mine]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert keras.config.epsilon() == 1e-7


@pytest.mark.slow
def test_workers_fit_as_this_process_does(switched):
    clf = classifier(cnn)
    for name in ("policy", "epsilon"):
        switched(name, True)
    expected = cross_val_predict(clf, X, Y, cv=5, method="predict_proba")
    several = cross_val_predict(clf, X, Y, cv=5, method="predict_proba", n_jobs=2)
    np.testing.assert_array_equal(several, expected)
