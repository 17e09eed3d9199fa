"""Several steps in one call: the same bits, and single steps where something looks at them."""

import keras
import numpy as np
import pytest
from builders import linear
from samples import blobs

from skimgcv import AugmentedKerasClassifier, ImageAugmenter, clear_compiled_models

pytestmark = pytest.mark.usefixtures("own_random")
# 12 batches of 8 to train on: a group and a half; the last batch has fewer rows.
X, Y = blobs(n=125, shape=(8, 8, 1))


class EachBatch(keras.callbacks.Callback):
    """Looks at each batch."""

    def on_train_batch_end(self, batch, logs=None):
        """Do nothing more."""


@pytest.fixture
def calls(monkeypatch):
    """Count how often Keras came back to Python; by which number it then goes, versions differ."""
    seen = []
    called = keras.callbacks.CallbackList
    end = called.on_train_batch_end

    def note(self, batch, logs=None):
        seen.append(len(seen))
        end(self, batch, logs)

    monkeypatch.setattr(called, "on_train_batch_end", note)
    return seen


def dropping(meta):
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input(meta["image_shape_"]),
            layers.Conv2D(2, 3),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(meta["n_classes_"], activation="softmax"),
        ]
    )


def est(build=dropping, **parameters):
    defaults = {
        "augmenter": ImageAugmenter(rotation_range=20),
        "validation_split": 0.25,
        "metrics": ["accuracy"],
        "batch_size": 8,
        "epochs": 3,
        "random_state": 0,
    }
    return AugmentedKerasClassifier(build, **defaults | parameters)


def test_groups_give_the_bits_of_single_steps(calls):
    alone = est(callbacks=EachBatch()).fit(X, Y)
    assert len(calls) == 12 * 3
    calls.clear()
    together = est().fit(X, Y)
    assert len(calls) == 2 * 3
    assert together.history_ == alone.history_
    np.testing.assert_array_equal(together.sample_indices_, alone.sample_indices_)
    for a, b in zip(together.model_.variables, alone.model_.variables, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(together.predict_proba(X), alone.predict_proba(X))


def test_a_group_that_is_not_full_traces_nothing(traces):
    clear_compiled_models()
    est().fit(X, Y)
    est().fit(X[:100], Y[:100])
    assert traces["train_step"] == 1


@pytest.mark.parametrize(
    ("callback", "alone"),
    [
        (keras.callbacks.EarlyStopping(), False),
        (keras.callbacks.ReduceLROnPlateau(), False),
        (keras.callbacks.LearningRateScheduler(lambda epoch: 0.1), False),
        (keras.callbacks.ModelCheckpoint("{folder}/a.weights.h5", save_weights_only=True), False),
        (
            keras.callbacks.ModelCheckpoint(
                "{folder}/b.weights.h5", save_weights_only=True, save_freq=5
            ),
            True,
        ),
        (keras.callbacks.CSVLogger("{folder}/log.csv"), False),
        (keras.callbacks.TerminateOnNaN(), True),
        (keras.callbacks.TensorBoard("{folder}"), True),
        (keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: None), False),
        (keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None), True),
    ],
)
def test_callbacks_that_look_at_batches_get_each(callback, alone, calls, tmp_path):
    for name in ("filepath", "filename", "log_dir", "_log_write_dir"):
        if isinstance(path := getattr(callback, name, None), str):
            setattr(callback, name, path.format(folder=tmp_path))
    est(epochs=1, callbacks=callback).fit(X, Y)
    assert len(calls) == (12 if alone else 2)


@pytest.mark.parametrize("method", ["fit", "train_step", "make_train_function"])
def test_a_model_that_trains_in_its_own_way_gets_each_batch(method, calls):
    def own(self, *args, **kwargs):
        return getattr(super(Own, self), method)(*args, **kwargs)

    Own = type("Own", (keras.Sequential,), {method: own, "__module__": __name__})

    est(lambda meta: Own(dropping(meta).layers), epochs=1).fit(X, Y)
    assert len(calls) == 12


def test_the_users_own_number_of_steps_wins(calls):
    est(epochs=1, compile__steps_per_execution=5).fit(X, Y)
    assert len(calls) == 3


def test_a_callback_predicts_and_evaluates_as_ever():
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            images, labels = X.astype("float32"), Y
            seen.append(self.model.predict(images, batch_size=8, verbose=0))
            seen.append(self.model.evaluate(images, labels, batch_size=8, verbose=0))

    clf = est(callbacks=Watch()).fit(X, Y)
    last = clf.model_.predict(X.astype("float32"), batch_size=8, verbose=0)
    np.testing.assert_array_equal(seen[-2], last)
    accuracy = np.mean(last.argmax(1) == Y)
    assert seen[-1][1] == pytest.approx(accuracy)
    assert clf.model_.steps_per_execution == 1


def test_an_error_names_its_batch_within_a_group():
    @keras.saving.register_keras_serializable("test_step_groups")
    class Refuses(keras.layers.Layer):
        def call(self, inputs):
            tf = pytest.importorskip("tensorflow")
            tf.debugging.assert_less(inputs, 1000.0)
            return inputs

    def build(meta):
        inputs = keras.Input(meta["image_shape_"])
        return keras.Model(inputs, linear(meta)(Refuses()(inputs)))

    images = X.astype("float32")
    images[50] = 2000
    clf = est(build, augmenter=None, shuffle=False, validation_split=0)
    with pytest.raises(Exception, match="assert") as failed:
        clf.fit(images, Y)
    rows = list(range(48, 56))
    assert f"in epoch 0, batch 6, rows {rows} of X" in "".join(failed.value.__notes__)
