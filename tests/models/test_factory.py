"""What goes where: builders, routed parameters, compiling, callbacks.

The behaviours are those that SciKeras' own tests hold, where this package promises them.
"""

import itertools
import pickle
from functools import partial

import keras
import numpy as np
import pytest
from builders import compiled_dense, dense, linear
from samples import Log, Recorder, blobs, classifier, same_model, same_weights, weights_of
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

from skimgcv import AugmentedKerasClassifier
from skimgcv._models.copies import copy_by_config
from skimgcv._runtime.seeding import seeded
from skimgcv.exceptions import SharedPathWarning, UnusedWeightsWarning

X, Y = blobs()
META = {"image_shape_": (4, 4, 1), "n_classes_": 3}


def fit(model=linear, **parameters):
    return classifier(model, **parameters).fit(X, Y)


def ready_model(**compiled):
    with seeded(0):
        model = linear(META)
    if compiled:
        model.compile(**compiled)
    return model


# -- builders --------------------------------------------------------------------------


class Builder:
    """Builds in every way that Python can call."""

    def __call__(self, meta):
        return linear(meta)

    def method(self, meta):
        return linear(meta)

    @classmethod
    def class_method(cls, meta):
        return linear(meta)

    @staticmethod
    def static_method(meta):
        return linear(meta)


def build_without_arguments():
    return linear(META)


def build_with_keywords(**given):
    assert set(given) == {"meta", "compile_kwargs", "params"}
    return linear(given["meta"])


@pytest.mark.parametrize(
    "builder",
    [
        build_without_arguments,
        build_with_keywords,
        lambda meta: linear(meta),
        Builder(),
        Builder().method,
        Builder.class_method,
        Builder.static_method,
        partial(linear, META),
    ],
)
def test_whatever_can_be_called_builds_the_same_model(builder):
    assert same_model(fit(builder), fit(linear))


def test_a_partial_function_may_fix_a_parameter():
    assert fit(partial(dense, units=7)).model_.layers[1].units == 7


def test_meta_tells_what_the_data_is():
    metas = []

    def build(meta):
        metas.append(meta)
        return linear(meta)

    names = np.array(["ant", "bee", "cat"])
    fit_on = classifier(build, image_shape=(4, 4))
    fit_on.fit(X.reshape(24, 16), names[Y])
    meta = metas[0]
    assert meta["classes_"].tolist() == names.tolist()
    assert meta["n_classes_"] == 3
    assert meta["target_type_"] == "multiclass"
    assert meta["X_shape_"] == (24, 4, 4, 1)
    assert meta["image_shape_"] == (4, 4, 1)
    assert meta["X_dtype_"] == np.float32
    assert meta["n_features_in_"] == 16
    assert meta["n_outputs_expected_"] == 1
    fit_on.fit(X, Y > 0)
    assert metas[-1]["target_type_"] == "binary"


def test_params_are_all_of_the_estimators():
    seen = []

    def build(meta, params):
        seen.append(params)
        return linear(meta)

    own = fit(build, loss="mse", optimizer__learning_rate=0.5).get_params()
    assert {name: seen[0][name] for name in own} == own


def test_compile_kwargs_are_ready_to_use():
    def build(meta, compile_kwargs):
        assert isinstance(compile_kwargs["optimizer"], keras.optimizers.SGD)
        model = linear(meta)
        model.compile(**compile_kwargs)
        return model

    clf = fit(build, optimizer="sgd", optimizer__learning_rate=0.5, metrics=["accuracy"])
    assert float(clf.model_.optimizer.learning_rate) == 0.5
    assert set(clf.history_) == {"loss", "accuracy"}
    # loss='auto' is chosen though the builder has compiled.
    assert isinstance(clf.model_.loss, keras.losses.SparseCategoricalCrossentropy)


def test_a_compiled_model_keeps_its_own_loss():
    clf = fit(compiled_dense)
    assert clf.model_.loss == "sparse_categorical_crossentropy"
    assert float(clf.model_.optimizer.learning_rate) == pytest.approx(0.05)


def test_a_sequential_without_an_input_gets_the_images_shape():
    def build():
        last = keras.layers.Dense(3, activation="softmax")
        return keras.Sequential([keras.layers.Flatten(), last])

    assert same_model(fit(build), fit(linear))


def test_a_subclassed_model():
    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.last = keras.layers.Dense(3, activation="softmax")
            self.flatten = keras.layers.Flatten()

        def call(self, images):
            return self.last(self.flatten(images))

    clf = fit(Subclassed, loss="sparse_categorical_crossentropy")
    # Two models that compute the same; Keras may fuse them differently.
    for a, b in zip(weights_of(clf), weights_of(fit(linear)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    with pytest.raises(ValueError, match="cannot tell whether the outputs of Subclassed"):
        fit(Subclassed)


def test_auto_follows_the_graph_to_its_output():
    def build(meta):
        images = keras.Input(meta["image_shape_"])
        logits = keras.layers.Dense(3)(keras.layers.Flatten()(images))
        return keras.Model(images, keras.ops.softmax(logits))

    with pytest.raises(ValueError, match="cannot tell whether the outputs of Softmax"):
        fit(build)


# -- a model instead of a builder ------------------------------------------------------


def test_a_model_is_cloned_with_fresh_weights_and_stays_as_it_was():
    model = ready_model()
    before = model.get_weights()
    first, second = fit(model), fit(model)
    assert same_model(first, second)
    assert first.model_ is not second.model_ is not model
    assert all(map(np.array_equal, before, model.get_weights()))
    assert not model.compiled
    assert not same_model(first, fit(model, random_state=1))


def test_a_model_is_compiled_by_the_estimator_where_it_is_not():
    clf = fit(ready_model(), optimizer="sgd", optimizer__learning_rate=0.5)
    assert float(clf.model_.optimizer.learning_rate) == 0.5
    assert same_model(clf, fit(linear, optimizer="sgd", optimizer__learning_rate=0.5))


def test_a_compiled_model_is_compiled_alike():
    optimizer = keras.optimizers.SGD(0.25, momentum=0.5)
    model = ready_model(optimizer=optimizer, loss="mse", metrics=["accuracy"])
    clf = fit(model)
    assert clf.model_.optimizer is not optimizer
    assert float(clf.model_.optimizer.learning_rate) == 0.25
    assert clf.model_.optimizer.momentum == 0.5
    assert set(clf.history_) == {"loss", "accuracy"}
    assert not optimizer.built


def test_a_clone_shares_the_model_that_fit_clones():
    clf = classifier(ready_model())
    assert clone(clf).model is clf.model
    assert same_model(clone(clf).fit(X, Y), clf.fit(X, Y))


def steps(model):
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(X, Y, verbose=0)


def statistics(model):
    model(X, training=True)


def bias(model):
    model.layers[-1].bias.assign([0.1, 0.2, 0.3])


def adapted(model):
    model.layers[0].adapt(X)


def loaded(model):
    model.set_weights([w + 1 for w in model.get_weights()])


TRAINED = {
    "steps": (steps, keras.layers.BatchNormalization, "its optimizer made 1 steps"),
    "statistics": (statistics, keras.layers.BatchNormalization, "moving_mean"),
    "bias": (bias, keras.layers.BatchNormalization, "bias"),
    "loaded": (loaded, keras.layers.BatchNormalization, "gamma"),
    "adapted": (adapted, keras.layers.Normalization, "mean"),
}


def layered(first):
    return keras.Sequential(
        [
            keras.layers.Input((4, 4, 1)),
            first(),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.25),
            keras.layers.Dense(3, activation="softmax", bias_initializer="ones"),
        ]
    )


@pytest.mark.parametrize("how", TRAINED)
def test_a_trained_model_that_is_reset_warns(how, own_random):
    train, first, why = TRAINED[how]
    model = layered(first)
    train(model)
    with pytest.warns(UnusedWeightsWarning, match=rf"{why}.*copy.set_weights"):
        fit(model)


def test_what_the_warning_says_keeps_the_weights(own_random):
    model = layered(keras.layers.BatchNormalization)
    steps(model)

    def build():
        copy = keras.models.clone_model(model)
        copy.set_weights(model.get_weights())
        return copy

    class Begins(keras.callbacks.Callback):
        weights = Log()

        def on_train_begin(self, logs=None):
            self.weights += self.model.get_weights()

    fit(build, callbacks=Begins())
    assert same_weights(Begins.weights, model.get_weights())
    fit(keras.models.clone_model(model))  # no warning


@pytest.mark.parametrize(
    "first", [keras.layers.BatchNormalization, partial(keras.layers.Rescaling, 2)]
)
def test_a_fresh_model_does_not_warn(first, own_random):
    model = layered(first)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.predict(X, verbose=0)
    fit(model)


# -- routing ---------------------------------------------------------------------------


def test_parameters_reach_the_builder_with_a_prefix_and_without():
    foo = object()

    def build(meta, units, foo):
        assert foo is given
        return dense(meta, units)

    given = foo
    assert fit(build, model__units=5, model__foo=foo).model_.layers[1].units == 5
    assert fit(build, units=5, foo=foo).model_.layers[1].units == 5


def test_routed_parameters_are_parameters():
    clf = classifier(dense, model__units=5, optimizer__learning_rate=0.1)
    assert clf.get_params()["model__units"] == 5
    assert clone(clf).get_params() == clf.get_params()
    clf.set_params(model__units=6, fit__epochs=2, optimizer__momentum=0.5)
    assert clf.get_params()["model__units"] == clf.model__units == 6
    assert clf.get_params()["fit__epochs"] == 2
    assert "model__units=6" in repr(clf)


def test_a_routed_parameter_beats_the_plain_one():
    clf = fit(epochs=1, fit__epochs=2, batch_size=24, fit__batch_size=12)
    assert len(clf.history_["loss"]) == 2
    assert same_model(clf, fit(epochs=2, batch_size=12))
    assert clf.epochs == 1


def test_initial_epoch_only_numbers_the_epochs():
    log = Log()
    clf = fit(epochs=2, fit__initial_epoch=3, callbacks=Recorder(log))
    assert [entry[1] for entry in log if entry[0] == "epoch"] == [3, 4]
    assert len(clf.history_["loss"]) == 2


def test_validation_freq():
    clf = fit(epochs=4, fit__validation_freq=2, validation_split=0.25)
    assert len(clf.history_["loss"]) == 4
    assert len(clf.history_["val_loss"]) == 2


def test_predict_options():
    class CountBatches(keras.callbacks.Callback):
        n_batches = Log()

        def on_predict_batch_end(self, batch, logs=None):
            self.n_batches.append(batch)

    clf = fit(predict__batch_size=5, predict__callbacks=CountBatches())
    clf.predict(np.concatenate([X, X, X[:1]]))
    assert CountBatches.n_batches == [0, 1, 2]  # of 24 images at least


def test_compile_options():
    assert fit(compile__run_eagerly=True).model_.run_eagerly
    assert set(fit(compile__weighted_metrics=["accuracy"]).history_) == {"loss", "accuracy"}


@pytest.mark.parametrize(
    ("parameter", "error", "message"),
    [
        ("epoch", TypeError, "has a parameter 'epoch'; is 'epochs' meant"),
        ("model__unit", TypeError, "dense has a parameter 'model__unit'; is 'units' meant"),
        ("unrelated", TypeError, "has a parameter 'unrelated'. The builder takes units"),
        ("optimiser__learning_rate", TypeError, "takes no 'optimiser__learning_rate'"),
        ("fit__shuffle", ValueError, "fit__shuffle is not an option; fit__ takes batch_size"),
        ("optimizer__unrelated", ValueError, "not recognized: {'unrelated'"),
        ("compile__unrelated", TypeError, "unexpected keyword argument 'unrelated'"),
        ("loss__label_smoothing", ValueError, "loss='auto' takes no parameters"),
    ],
)
def test_unknown_parameters_are_refused_in_fit(parameter, error, message):
    clf = classifier(dense, **{parameter: 0.5})
    with pytest.raises(error) as info:
        clf.fit(X, Y)
    assert message in str(info.value)


def test_unknown_parameters_are_refused_by_set_params():
    with pytest.raises(ValueError, match="Invalid parameter 'epoch'"):
        classifier(linear).set_params(epoch=3)


def test_unknown_options_of_predict():
    with pytest.raises(ValueError, match="predict__epochs is not an option"):
        fit(predict__epochs=2).predict(X)


@pytest.mark.parametrize("prefix", ["optimizer", "loss", "metrics", "compile"])
def test_parameters_that_would_change_nothing_are_refused(prefix):
    name = f"{prefix}__name"
    with pytest.raises(ValueError, match=f"{name} has no effect: compiled_dense compiles"):
        fit(compiled_dense, loss="mse", **{name: "x"})


# -- optimizer, loss and metrics -------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["sgd", "SGD", keras.optimizers.SGD])
def test_an_optimizer_by_name_or_class_takes_parameters(optimizer):
    clf = fit(optimizer=optimizer, optimizer__learning_rate=0.15, optimizer__momentum=0.5)
    assert isinstance(clf.model_.optimizer, keras.optimizers.SGD)
    assert float(clf.model_.optimizer.learning_rate) == pytest.approx(0.15)
    assert clf.model_.optimizer.momentum == 0.5


def test_an_optimizer_instance_serves_many_fits():
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5))
    first, second = fit(optimizer=optimizer, epochs=2), fit(optimizer=optimizer, epochs=2)
    assert same_model(first, second)
    assert not optimizer.built
    assert int(first.model_.optimizer.iterations) == 2
    assert float(first.model_.optimizer.learning_rate) == pytest.approx(0.1 * 0.5**2)


@pytest.mark.parametrize(
    "loss",
    [
        "CategoricalCrossentropy",
        keras.losses.CategoricalCrossentropy,
        keras.losses.CategoricalCrossentropy(),
        keras.losses.categorical_crossentropy,
    ],
)
def test_a_loss_by_name_class_instance_or_function(loss):
    reference = fit(loss="categorical_crossentropy")
    assert fit(loss=loss).history_["loss"] == pytest.approx(reference.history_["loss"])


def test_a_loss_class_takes_parameters():
    clf = fit(loss=keras.losses.CategoricalCrossentropy, loss__label_smoothing=0.5)
    assert clf.model_.loss.label_smoothing == 0.5


def test_routed_parameters_may_be_classes_with_parameters():
    class Inner:
        def __init__(self, value=0):
            self.value = value

    class Loss(keras.losses.Loss):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def call(self, y_true, y_pred):
            return keras.losses.categorical_crossentropy(y_true, y_pred)

    clf = fit(loss=Loss, loss__inner=[Inner, Inner], loss__inner__value=1, loss__inner__0__value=2)
    assert [inner.value for inner in clf.model_.loss.inner] == [2, 1]


@pytest.mark.parametrize(
    ("metrics", "names"),
    [
        ("accuracy", {"accuracy"}),
        (["acc"], {"acc"}),
        (keras.metrics.SparseCategoricalAccuracy, {"sparse_categorical_accuracy"}),
        (keras.metrics.SparseCategoricalAccuracy(name="own"), {"own"}),
        ([keras.metrics.SparseCategoricalAccuracy, "acc"], {"sparse_categorical_accuracy", "acc"}),
    ],
)
def test_metrics_are_in_the_history_by_their_names(metrics, names):
    clf = fit(metrics=metrics, epochs=2)
    assert set(clf.history_) == {"loss", *names}
    assert all(len(values) == 2 for values in clf.history_.values())


def test_metric_classes_take_parameters_together_and_one_by_one():
    metric = keras.metrics.SparseTopKCategoricalAccuracy
    clf = fit(metrics=[metric, metric], metrics__k=3, metrics__0__name="a", metrics__1__name="b")
    assert clf.history_["a"] == clf.history_["b"] == [1]  # the best 3 of 3


def test_a_metric_instance_serves_many_fits():
    metric = keras.metrics.SparseCategoricalAccuracy(name="own")
    first, second = fit(metrics=[metric]), fit(metrics=[metric])
    assert first.history_ == second.history_
    assert float(metric.result()) == 0  # never updated


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"optimizer": "sgf"}, ValueError, "Could not interpret optimizer identifier: sgf"),
        ({"optimizer": None}, ValueError, "needs a loss and an optimizer"),
        ({"loss": "crossentropie"}, ValueError, "Could not interpret loss identifier"),
        ({"loss": None}, ValueError, "needs a loss and an optimizer"),
        ({"loss": ["mse", "mse"]}, ValueError, "one output and one loss"),
        ({"metrics": ["acccuracy"]}, ValueError, "Could not interpret metric identifier"),
        ({"loss": "mse", "loss__x": 1}, TypeError, "does not accept parameters"),
        ({"model": None}, TypeError, "model must be a function that builds"),
        ({"model": "linear"}, TypeError, "it is 'linear'"),
        ({"model": lambda: None}, TypeError, "must return a keras.Model; .* returned NoneType"),
    ],
)
def test_what_cannot_be_compiled_is_refused(parameters, error, message):
    with pytest.raises(error, match=message):
        fit(**{"model": linear, **parameters})


def test_a_model_compiled_without_a_loss_is_refused():
    with pytest.raises(ValueError, match="needs a loss and an optimizer"):
        fit(ready_model(optimizer="sgd"))


@pytest.mark.parametrize("loss", [None, ["mse", "mse"]])
def test_several_outputs_are_refused(loss):
    def build(meta):
        images = keras.Input(meta["image_shape_"])
        flat = keras.layers.Flatten()(images)
        model = keras.Model(images, [keras.layers.Dense(3)(flat), keras.layers.Dense(3)(flat)])
        if loss:
            model.compile(loss=loss)
        return model

    with pytest.raises(ValueError, match="must have one output"):
        fit(build)


def test_a_wrong_number_of_outputs_is_refused():
    with pytest.raises(ValueError, match=r"3 outputs, but y has 4 classes.*meta\['n_classes_'\]"):
        classifier(build_without_arguments).fit(X, np.arange(24) % 4)


# -- callbacks -------------------------------------------------------------------------

STOP = {"monitor": "loss", "min_delta": 100}
EarlyStopping = keras.callbacks.EarlyStopping


@pytest.mark.parametrize(
    "parameters",
    [
        {"callbacks": EarlyStopping(**STOP)},
        {"callbacks": [EarlyStopping(**STOP)]},
        {"callbacks": (EarlyStopping(**STOP),)},
        {"callbacks": [[EarlyStopping(**STOP)]]},
        {"callbacks": {"es": EarlyStopping(**STOP)}},
        {"callbacks": {"es": [EarlyStopping(**STOP)]}},
        {"fit__callbacks": EarlyStopping(**STOP)},
        {
            "callbacks": EarlyStopping,
            "callbacks__monitor": "loss",
            "callbacks__min_delta": 100,
        },
        {
            "callbacks": [EarlyStopping],
            "callbacks__0__monitor": "loss",
            "callbacks__0__min_delta": 100,
        },
        {
            "callbacks": {"es": EarlyStopping},
            "callbacks__es__monitor": "loss",
            "callbacks__es__min_delta": 100,
        },
    ],
)
def test_callbacks_in_any_form(parameters):
    clf = fit(epochs=9, **parameters)
    # The first epoch sets the mark, the second one does not beat it by 100.
    assert len(clf.history_["loss"]) == 2
    (used,) = clf.callbacks_
    assert isinstance(used, EarlyStopping)
    assert used.stopped_epoch == 1


def test_callback_classes_take_positional_and_keyword_arguments():
    class Named(keras.callbacks.Callback):
        def __init__(self, *args, **kwargs):
            super().__init__()
            self.given = args, kwargs

    clf = fit(
        callbacks={"a": Named, "b": Named},
        callbacks__a__1="second",
        callbacks__a__0="first",
        callbacks__b__0="only",
        callbacks__b__key=None,
    )
    assert [callback.given for callback in clf.callbacks_] == [
        (("first", "second"), {}),
        (("only",), {"key": None}),
    ]


@pytest.mark.parametrize("callbacks", ["early", [3]])
def test_what_is_no_callback_is_refused(callbacks):
    with pytest.raises(TypeError, match="callbacks"):
        fit(callbacks=callbacks)


def test_callbacks_of_fit_and_predict_are_called_where_they_belong():
    both, training, predicting = Log(), Log(), Log()
    clf = fit(
        callbacks=Recorder(both),
        fit__callbacks=Recorder(training),
        predict__callbacks=Recorder(predicting),
        validation_split=0.25,
    )
    for log in (both, training):
        assert [e if isinstance(e, str) else e[0] for e in log] == ["train", "test", "epoch"]
    clf.predict(X)
    assert predicting == ["predict"]
    assert "predict" not in training


def logger_to(folder):
    """A function that gives each fit a logger with a file of its own."""
    numbers = itertools.count()
    return lambda: keras.callbacks.CSVLogger(str(folder / f"{next(numbers)}.csv"))


def test_a_function_gives_each_fit_callbacks_of_its_own(tmp_path):
    clf = classifier(linear, callbacks=[logger_to(tmp_path), EarlyStopping(**STOP)], epochs=2)
    cross_val_score(clf, X, Y, cv=3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.csv", "1.csv", "2.csv"]
    assert all(len(path.read_text().splitlines()) == 3 for path in tmp_path.iterdir())
    several = fit(callbacks=lambda: [EarlyStopping(**STOP), Recorder()])
    assert [type(callback) for callback in several.callbacks_] == [EarlyStopping, Recorder]
    with pytest.raises(TypeError, match=r"callbacks must be of keras.*; got 3"):
        fit(callbacks=lambda: 3)


@pytest.mark.parametrize(
    "writer",
    [
        lambda path: keras.callbacks.ModelCheckpoint(f"{path}.weights.h5", save_weights_only=True),
        lambda path: keras.callbacks.CSVLogger(f"{path}.csv"),
        lambda path: keras.callbacks.TensorBoard(path),
    ],
    ids=["ModelCheckpoint", "CSVLogger", "TensorBoard"],
)
def test_fits_that_write_to_one_path_warn(writer, tmp_path):
    clf = classifier(linear, callbacks=writer(str(tmp_path / "one")))
    clf.fit(X, Y).fit(X, Y)  # the same estimator again: no warning
    with pytest.warns(SharedPathWarning, match=r"one.*callbacks=lambda: keras.callbacks"):
        clone(clf).fit(X, Y)
    fit(callbacks=writer(str(tmp_path / "other")))


def test_a_backup_of_any_fit_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"another fold.*checkpoint_dir"):
        fit(callbacks=keras.callbacks.BackupAndRestore(str(tmp_path)))


def test_each_fit_has_copies_of_its_own():
    stop = EarlyStopping(**STOP)
    first, second = fit(callbacks=stop, epochs=5), fit(callbacks=[stop], epochs=5)
    best = getattr(stop, "best", None)  # Keras 3.8 sets it when training begins
    assert best is None or not np.isfinite(best)
    assert stop.model is None
    for clf in (first, second):
        assert len(clf.history_["loss"]) == 2
        assert clf.callbacks_[0] is not stop
        assert clf.callbacks_[0].model is clf.model_
        assert clf.callbacks_[0].best == clf.history_["loss"][0]


def test_a_callback_sees_and_changes_the_model_that_trains():
    class Halve(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.optimizer.learning_rate = self.model.optimizer.learning_rate / 2

    clf = fit(callbacks=Halve(), epochs=2, optimizer__learning_rate=0.8)
    assert float(clf.model_.optimizer.learning_rate) == pytest.approx(0.2)
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    other = fit(callbacks=schedule, epochs=2, optimizer__learning_rate=1.6)
    assert same_model(clf, other)


def test_early_stopping_restores_the_best_weights():
    # A ruinous rate: the hold-out is never as good again as after the first epoch.
    stop = EarlyStopping(patience=2, restore_best_weights=True)
    parameters = {"validation_split": 0.25, "optimizer__learning_rate": 50.0}
    stopped = fit(callbacks=stop, epochs=9, **parameters)
    best = int(np.argmin(stopped.history_["val_loss"]))
    assert len(stopped.history_["val_loss"]) == best + 3
    assert same_model(stopped, fit(epochs=best + 1, **parameters))


def test_a_checkpoint_holds_the_weights_of_the_fit(tmp_path):
    path = str(tmp_path / "best.weights.h5")
    checkpoint = keras.callbacks.ModelCheckpoint(path, save_weights_only=True)
    clf = fit(callbacks=checkpoint)
    with seeded(0):
        model = linear(META)
    model.load_weights(path)
    assert all(map(np.array_equal, model.get_weights(), weights_of(clf)))


# -- models with methods of their own --------------------------------------------------


class Task(keras.Model):
    """Turns what it is given into a dataset and scales it, as KerasHub's task models do."""

    @staticmethod
    def _dataset(x, y=None, sample_weight=None):
        import tensorflow as tf

        parts = keras.utils.pack_x_y_sample_weight(x, y, sample_weight)
        return tf.data.Dataset.from_tensor_slices(parts).batch(8)

    def fit(self, x=None, y=None, sample_weight=None, **options):
        return super().fit(self._dataset(x, y, sample_weight), **options)

    def predict(self, x=None, **options):
        return super().predict(self._dataset(x), **options)


def task(meta):
    model = linear(meta)
    # Lists of one, as keras.Model documents; before Keras 3.10 each call warns of them.
    return Task(model.inputs[0], model.outputs[0])


def test_a_task_model_that_takes_no_batches_says_which_line_helps():
    with pytest.raises(TypeError, match=r"Task\.fit .* keras\.Model\(model\.inputs, model\.outp"):
        fit(task)

    def helped(meta):
        model = task(meta)
        return keras.Model(model.inputs[0], model.outputs[0])

    assert same_model(fit(helped), fit(linear))


def test_a_predict_method_of_ones_own_is_named():
    class Predicts(keras.Model):
        def predict(self, x, **options):
            return super().predict(Task._dataset(x), **options)

    def build(meta):
        model = linear(meta)
        return Predicts(model.inputs[0], model.outputs[0])

    with pytest.raises(TypeError, match=r"Predicts\.predict is not Keras' own"):
        fit(build).predict(X)


def test_a_fit_method_that_passes_on_what_it_gets_is_called():
    calls = []

    class Passes(keras.Model):
        def fit(self, *args, **kwargs):
            calls.append(kwargs["epochs"])
            return super().fit(*args, **kwargs)

    def build(meta):
        model = linear(meta)
        return Passes(model.inputs[0], model.outputs[0])

    assert same_model(fit(build), fit(linear))
    assert calls == [1]


class Compile(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.epoch:
            self.model.compile("sgd", self.model.loss)


def test_a_callback_that_compiles_in_mid_fit_is_told_what_to_do():
    with pytest.raises(RuntimeError, match=r"compiled the model again.*warm_start=True"):
        fit(epochs=2, callbacks=Compile(0))
    assert isinstance(fit(epochs=2, callbacks=Compile(1)).model_.optimizer, keras.optimizers.SGD)


# -- copies of what Keras is given --------------------------------------------------------------


@pytest.mark.parametrize("how", [{"var_names": ["bias"]}, {"var_list": True}])
def test_an_optimizer_that_copies_would_change_is_refused(how, own_random):
    """Its config does not say which variables do not decay: all would, in each fit's copy."""
    optimizer = keras.optimizers.AdamW(weight_decay=0.5)
    if "var_list" in how:
        how = {"var_list": [keras.Variable(np.zeros(2), name="bias")]}
    optimizer.exclude_from_weight_decay(**how)
    clf = AugmentedKerasClassifier(linear, optimizer=optimizer, random_state=0)
    X, y = blobs()
    with pytest.raises(ValueError, match=r"excludes variables from weight decay.*in the builder"):
        clf.fit(X, y)
    with pytest.raises(ValueError, match="excludes variables from weight decay"):
        pickle.dumps(clf)  # for a worker, which would not know


@pytest.mark.parametrize(
    "metrics",
    [
        keras.metrics.SparseCategoricalAccuracy,
        [keras.metrics.SparseCategoricalAccuracy],
        [
            keras.metrics.SparseCategoricalAccuracy,
            keras.metrics.SparseTopKCategoricalAccuracy(k=1),
        ],
        {"a": keras.metrics.SparseCategoricalAccuracy()},
    ],
    ids=["class", "list of a class", "class and instance", "dict"],
)
def test_metrics_of_any_form_travel_in_a_pickle(metrics, own_random):
    X, y = blobs()
    clf = AugmentedKerasClassifier(
        linear, loss="sparse_categorical_crossentropy", metrics=metrics, random_state=0
    )
    again = pickle.loads(pickle.dumps(clf))
    assert again.fit(X, y).history_ == clone(clf).fit(X, y).history_


def test_a_copy_by_config_shares_no_state_with_its_model():
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model = ready_model(optimizer="adam", loss=loss)
    with seeded(0):
        copied = copy_by_config(model)
    assert copied.loss is not model.loss
    assert copied.loss.get_config() == model.loss.get_config()
    assert copied.optimizer is not model.optimizer
    assert not set(map(id, copied.layers)) & set(map(id, model.layers))
