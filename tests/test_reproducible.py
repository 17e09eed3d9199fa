"""The same seed gives the same bits, and nobody else's random numbers change."""

import hashlib
import os
import pickle
import random
import subprocess
import sys
import threading
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf
from builders import cnn, linear
from joblib import Parallel, delayed
from samples import RecordingAugmenter
from sklearn.base import clone
from sklearn.model_selection import StratifiedKFold, cross_val_predict, cross_val_score
from tensorflow.python.eager import context
from tensorflow.python.framework import config

from skimgcv import AugmentedKerasClassifier, ImageAugmenter, ImageFiles


def estimator(**parameters):
    augmenter = ImageAugmenter(
        rotation_range=20,
        width_shift_range=0.1,
        horizontal_flip=True,
        brightness_range=(0.8, 1.2),
        rescale=1 / 255,
    )
    return AugmentedKerasClassifier(
        cnn, **{"augmenter": augmenter, "epochs": 2, "random_state": 7, **parameters}
    )


def weights(est):
    return [np.asarray(w) for w in est.model_.get_weights()]


def assert_same_bits(a, b):
    for x, y in zip(weights(a), weights(b), strict=True):
        np.testing.assert_array_equal(x, y)


def test_fit_twice(digits):
    est = estimator().fit(*digits)
    again = clone(est).fit(*digits)
    assert_same_bits(est, again)
    assert est.history_ == again.history_


def test_another_seed_gives_other_weights(digits):
    a, b = estimator().fit(*digits), estimator(random_state=8).fit(*digits)
    assert not np.array_equal(weights(a)[0], weights(b)[0])


def test_without_a_seed_two_fits_differ(digits):
    est = estimator(random_state=None)
    assert not np.array_equal(weights(est.fit(*digits))[0], weights(clone(est).fit(*digits))[0])


def test_a_random_state_instance_is_drawn_from(digits):
    a = estimator(random_state=np.random.RandomState(0)).fit(*digits)
    b = estimator(random_state=np.random.RandomState(0)).fit(*digits)
    assert_same_bits(a, b)
    c = clone(a).set_params(random_state=a.random_state).fit(*digits)
    assert not np.array_equal(weights(a)[0], weights(c)[0])


@pytest.mark.parametrize("fitted", [False, True])
def test_pickle(digits, fitted):
    est = estimator().fit(*digits)
    copy = pickle.loads(pickle.dumps(est if fitted else clone(est)))
    if not fitted:
        copy.fit(*digits)
    assert_same_bits(est, copy)
    np.testing.assert_array_equal(est.predict_proba(digits[0]), copy.predict_proba(digits[0]))
    # Dropout's and the optimizer's states travel as well.
    assert_same_bits(est.partial_fit(*digits), copy.partial_fit(*digits))


SCRIPT = """
import hashlib, sys
sys.path.insert(0, sys.argv[1])
import test_reproducible as t
from sklearn.datasets import load_digits
X, y = load_digits(return_X_y=True)
X = (X[:300].reshape(-1, 8, 8, 1) * 15).astype("uint8")
print(t.digest(t.estimator().fit(X, y[:300])))
"""


def digest(est):
    return hashlib.sha256(b"".join(w.tobytes() for w in weights(est))).hexdigest()


def test_another_process(digits):
    # Another hash seed too: nothing may depend on the order of a set.
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(Path(__file__).parent)],
        env={**os.environ, "PYTHONHASHSEED": "123"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split()[-1] == digest(estimator().fit(*digits))


@pytest.mark.slow
def test_n_jobs(digits, tmp_path):
    scores = [cross_val_score(estimator(), *digits, cv=3, n_jobs=n) for n in (1, 2)]
    np.testing.assert_array_equal(*scores)
    p = [
        cross_val_predict(estimator(), *digits, cv=3, n_jobs=n, method="predict_proba")
        for n in (1, 2)
    ]
    np.testing.assert_array_equal(*p)
    X, y = digits
    paths = [tmp_path / f"{row}.png" for row in range(len(X))]
    for path, image in zip(paths, X, strict=True):
        cv2.imwrite(str(path), image)
    files = ImageFiles(paths, (8, 8), color_mode="grayscale", cache=tmp_path / "decoded")
    of_files = cross_val_predict(estimator(), files, y, cv=3, n_jobs=2, method="predict_proba")
    np.testing.assert_array_equal(p[0], of_files)


def test_workers_share_a_gpu_and_this_process_keeps_its_switches():
    def switches_there(est):
        return [os.environ.get(name) for name in names]

    names = ["TF_FORCE_GPU_ALLOW_GROWTH", "XLA_PYTHON_CLIENT_PREALLOCATE"]
    pickle.loads(pickle.dumps(estimator()))
    before = switches_there(None)
    work = Parallel(n_jobs=2)(delayed(switches_there)(estimator()) for _ in range(2))
    assert work == [["true", "false"]] * 2
    # Keras itself sets the first on other backends than TensorFlow.
    own = "true" if keras.backend.backend() != "tensorflow" else None
    assert switches_there(None) == before == [own, None]


def test_threads(digits):
    expected = estimator().fit(*digits)
    others = [estimator(), estimator()]
    threads = [threading.Thread(target=e.fit, args=digits) for e in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for other in others:
        assert_same_bits(expected, other)


def switches():
    return {
        "random": random.getstate(),
        "numpy": [a.tolist() if hasattr(a, "tolist") else a for a in np.random.get_state()],  # noqa: NPY002
        "tensorflow": context.global_seed(),
        "determinism": config.is_op_determinism_enabled(),
        "environment": dict(os.environ),
        "eager": tf.config.functions_run_eagerly(),
        "floatx": keras.config.floatx(),
        "policy": keras.config.dtype_policy().name,
        "data format": keras.config.image_data_format(),
        "threads": threading.active_count(),
    }


def test_no_switch_is_left_changed(digits, own_random):
    estimator().fit(*digits)  # what is made once is made now: thread pools
    random.seed(1)
    before = switches()
    est = clone(estimator()).fit(*digits)
    est.predict(digits[0])
    pickle.loads(pickle.dumps(est)).partial_fit(*digits)
    assert switches() == before


def test_global_seeds_are_not_read(digits, own_random):
    random.seed(1)
    a = estimator().fit(*digits)
    random.seed(2)
    b = estimator().fit(*digits)
    assert_same_bits(a, b)


def test_keras_own_seed_generator_goes_on_as_if_nothing_had_been(digits, own_random):
    keras.random.normal(())
    generator = keras.src.random.seed_generator.global_seed_generator()
    before = np.asarray(generator.state)
    estimator().fit(*digits)
    assert keras.src.random.seed_generator.global_seed_generator() is generator
    np.testing.assert_array_equal(np.asarray(generator.state), before)


def test_threads_of_others_may_draw(digits, own_random):
    # A Dask worker's do, twice a second, and no lock of ours stops them.
    def build(meta):
        keras.layers.Dropout(0.5)  # draws its seed
        other = threading.Thread(target=random.random)
        other.start()
        other.join()
        return cnn(meta)

    def undisturbed(meta):
        keras.layers.Dropout(0.5)
        return cnn(meta)

    a, b = (estimator().set_params(model=m).fit(*digits) for m in (build, undisturbed))
    assert_same_bits(a, b)


def test_builders_may_draw_from_numpy(digits):
    def build(meta):
        model = cnn(meta)
        kernel = model.layers[0].kernel
        kernel.assign(np.random.normal(size=kernel.shape))  # noqa: NPY002
        return model

    a = estimator().set_params(model=build).fit(*digits)
    b = estimator().set_params(model=build).fit(*digits)
    assert_same_bits(a, b)


def everything():
    turn = ImageAugmenter(rotation_range=20, policy="TrivialAugment", erasing_p=0.5)
    return estimator(
        augmenter=turn.set_params(rescale=1 / 255),
        class_augmenters={1: ImageAugmenter(horizontal_flip=True, noise_std=0.1)},
        validation_augmenter=ImageAugmenter(horizontal_flip=True),
        validation_split=0.25,
        sampling_strategy={1: 60},
        class_weight={2: 3.0},
        tta_rounds=2,
        callbacks=keras.callbacks.EarlyStopping(patience=0, restore_best_weights=True),
    )


def mixing():
    return estimator(augmenter=ImageAugmenter(mixup_alpha=0.4, cutmix_alpha=1.0, rescale=1 / 255))


@pytest.mark.slow
@pytest.mark.parametrize("make", [everything, mixing])
def test_all_that_draws_gives_the_same_bits(digits, make):
    X, y = digits
    est = make().fit(X, y)
    for copy in (clone(est), pickle.loads(pickle.dumps(clone(est)))):
        assert_same_bits(est, copy.fit(X, y))
        assert copy.history_ == est.history_
        np.testing.assert_array_equal(copy.sample_indices_, est.sample_indices_)
        np.testing.assert_array_equal(copy.predict_proba(X), est.predict_proba(X))
    alone, beside = (
        cross_val_predict(make(), X, y, cv=2, n_jobs=n, method="predict_proba") for n in (1, 2)
    )
    np.testing.assert_array_equal(alone, beside)


# -- an image's transforms are its own ---------------------------------------------------------


def versions_of(est, X, y):
    """Return for each image the numbers that were drawn for it, in the order of the epochs."""
    recorder = RecordingAugmenter()
    est = clone(est).set_params(augmenter=recorder).fit(X, y)
    drawn: dict[int, list[float]] = {}
    for image, number in recorder.seen:
        drawn.setdefault(image, []).append(number)
    return drawn


def test_folds_and_orders_see_an_image_in_the_same_versions():
    X = np.arange(24, dtype=np.uint8).repeat(16).reshape(24, 4, 4, 1)
    y = np.arange(24) % 2
    est = AugmentedKerasClassifier(linear, epochs=3, batch_size=5, random_state=0)
    whole = versions_of(est, X, y)
    assert len(set().union(*whole.values())) == 24 * 3
    for train, _ in StratifiedKFold(3, shuffle=True, random_state=0).split(X, y):
        fold = versions_of(est, X[train], y[train])
        assert fold == {image: whole[image] for image in train}
    order = np.random.default_rng(0).permutation(24)
    assert versions_of(est, X[order], y[order]) == whole
    other_batches = clone(est).set_params(batch_size=7, shuffle=False)
    assert versions_of(other_batches, X.astype(float), y) == whole


def test_an_image_that_is_drawn_again_has_another_version():
    X = np.arange(24, dtype=np.uint8).repeat(16).reshape(24, 4, 4, 1)
    y = (np.arange(24) < 4).astype(int)
    est = AugmentedKerasClassifier(linear, epochs=1, random_state=0)
    plain = versions_of(est, X, y)
    inside = versions_of(clone(est).set_params(sampling_strategy={1: 20}), X, y)
    assert [len(set(inside[image])) for image in range(4)] == [5] * 4
    assert all(plain[image][0] in inside[image] for image in range(24))
    # Rows that imbalanced-learn, say, has repeated in X itself are repeats, too.
    rows = np.r_[np.arange(24), np.tile(np.arange(4), 4)]
    outside = versions_of(est, X[rows], y[rows])
    assert {i: set(v) for i, v in outside.items()} == {i: set(v) for i, v in inside.items()}
