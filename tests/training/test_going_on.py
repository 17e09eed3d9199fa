"""What changes between two calls that go on with one model: it has its effect, or is refused."""

import copy
import pickle

import keras
import numpy as np
import pytest
from builders import compiled_dense, dense, linear
from samples import FailAt, Log, Recorder, blobs, classifier, same_model, weights_of

from skimgcv import AugmentedKerasClassifier, ImageAugmenter
from skimgcv._runtime.seeding import seeded

X, Y = blobs()
FLIP = ImageAugmenter(horizontal_flip=True)


def with_compile_kwargs(meta, compile_kwargs):
    model = linear(meta)
    model.compile(**compile_kwargs)
    return model


def trained(model=linear, **parameters):
    parameters = {"shuffle": False, "batch_size": 8, **parameters}
    return classifier(model, warm_start=True, **parameters).fit(X, Y)


def kept(clf, how, folder):
    """The fitted classifier, as it comes back from each way to keep one."""
    if how == "saved":
        clf.save(folder / "clf")
        return AugmentedKerasClassifier.load(folder / "clf", custom_objects={"linear": linear})
    return {
        "itself": lambda c: c,
        "pickled": lambda c: pickle.loads(pickle.dumps(c)),
        "copied": copy.deepcopy,
    }[how](clf)


def by_hand(optimizer, epochs=1, metrics=None):
    """Keras' own fits: one epoch with Adam at 0.1, and then with what a function returns."""
    first = classifier(linear, optimizer__learning_rate=0.1, epochs=1, shuffle=False)
    model = first.set_params(batch_size=8).fit(X, Y).model_
    loss = "sparse_categorical_crossentropy"
    model.compile(optimizer(model), loss, metrics=metrics)
    history = model.fit(X, Y, epochs=epochs, batch_size=8, shuffle=False, verbose=0).history
    return model, history


# -- what a compiled model can take has its effect -------------------------------------


@pytest.mark.parametrize("how", ["itself", "pickled", "copied", "saved"])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_optimizer_and_metrics_are_those_of_now(method, how, tmp_path):
    clf = kept(trained(optimizer__learning_rate=0.1), how, tmp_path)
    clf.set_params(optimizer="sgd", optimizer__learning_rate=1e-4, metrics=["accuracy"])
    getattr(clf, method)(X, Y)
    model, history = by_hand(lambda _: keras.optimizers.SGD(1e-4), metrics=["accuracy"])
    assert all(map(np.array_equal, model.get_weights(), weights_of(clf)))
    assert clf.history_["accuracy"][-1] == history["accuracy"][0]
    assert clf.history_["loss"][-1] == history["loss"][0]


def test_an_optimizer_of_the_same_class_keeps_its_momenta():
    clf = trained(optimizer__learning_rate=0.1)
    clf.set_params(optimizer__learning_rate=1e-3).fit(X, Y)

    def slower(model):
        model.optimizer.learning_rate = 1e-3
        return model.optimizer

    model, _ = by_hand(slower)
    assert all(map(np.array_equal, model.get_weights(), weights_of(clf)))
    assert int(clf.model_.optimizer.iterations) == 6
    # Adam that began anew would have gone elsewhere.
    anew, _ = by_hand(lambda _: keras.optimizers.Adam(1e-3))
    assert not np.array_equal(anew.get_weights()[0], weights_of(clf)[0])


def test_what_was_not_changed_keeps_what_a_callback_set():
    plateau = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    clf = trained(optimizer__learning_rate=0.1, callbacks=plateau)
    clf.set_params(metrics=["accuracy"], callbacks=None).fit(X, Y)
    assert float(clf.model_.optimizer.learning_rate) == pytest.approx(0.05)


def test_a_schedule_goes_on_from_the_step_where_it_is():
    clf = trained(optimizer__learning_rate=0.1)
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([3, 100], [0.5, 0.0, 0.5])
    before = weights_of(clf)
    clf.set_params(optimizer=keras.optimizers.Adam(schedule), optimizer__learning_rate=schedule)
    with pytest.raises(TypeError):  # SciKeras: an instance takes no parameters
        clf.fit(X, Y)
    assert all(map(np.array_equal, before, weights_of(clf)))
    clf.set_params(optimizer=keras.optimizers.Adam)
    clf.fit(X, Y)
    assert not all(map(np.array_equal, before, weights_of(clf)))


CHANGES = {
    "loss": ({"loss": "mse"}, lambda c: not c._targets.sparse),
    "loss parameters": (
        {"loss": keras.losses.CategoricalCrossentropy, "loss__label_smoothing": 0.5},
        lambda c: c.model_.loss.label_smoothing == 0.5,
    ),
    "metrics": ({"metrics": ["accuracy"]}, lambda c: "accuracy" in c.history_),
    "compile": ({"compile__run_eagerly": True}, lambda c: c.model_.run_eagerly),
    "augmenter": ({"augmenter": FLIP}, lambda c: c.augmenter_.horizontal_flip),
    "class_augmenters": ({"class_augmenters": {0: FLIP}}, None),
    "sampling_strategy": ({"sampling_strategy": {0: 20}}, lambda c: len(c.sample_indices_) == 36),
    "validation_split": ({"validation_split": 0.25}, lambda c: len(c.validation_indices_) == 6),
    "class_weight": ({"class_weight": {0: 9.0}}, lambda c: c.class_weight_[0] == 9),
    "batch_size": ({"batch_size": 2}, lambda c: int(c.model_.optimizer.iterations) == 3 + 12),
    "epochs": ({"epochs": 3}, lambda c: len(c.history_["loss"]) == 3),
    "fit__epochs": ({"fit__epochs": 3}, lambda c: len(c.history_["loss"]) == 3),
    "shuffle": ({"shuffle": True}, lambda c: c.sample_indices_.tolist() != list(range(24))),
    "callbacks": ({"callbacks": Recorder(Log())}, lambda c: len(c.callbacks_[0].log) == 2),
}


@pytest.mark.parametrize("case", CHANGES)
def test_each_change_has_its_effect(case):
    parameters, shows = CHANGES[case]
    clf, plain = trained(), trained()
    clf.set_params(**parameters).fit(X, Y)
    assert shows is None or shows(clf)
    if case not in ("metrics", "compile", "callbacks"):
        assert not same_model(clf, plain.fit(X, Y))
    clf.fit(X, Y)  # is what it is now, so nothing changed


def test_validation_augmenter_has_its_effect():
    clf, plain = trained(validation_split=0.25), trained(validation_split=0.25)
    clf.set_params(validation_augmenter=FLIP).fit(X, Y)
    assert clf.history_["val_loss"] != plain.fit(X, Y).history_["val_loss"]


def test_mixing_makes_the_loss_that_is_chosen_another():
    clf = trained(augmenter=ImageAugmenter())
    clf.set_params(augmenter__mixup_alpha=0.2).fit(X, Y)
    assert type(clf.model_.loss) is keras.losses.CategoricalCrossentropy
    clf.set_params(augmenter__mixup_alpha=0.0).fit(X, Y)


def test_an_augmenter_that_changes_keeps_its_statistics():
    clf = trained(augmenter=ImageAugmenter(featurewise_center=True))
    mean = clf.augmenter_.mean_
    clf.set_params(augmenter__rotation_range=20).fit(X + 1, Y)
    assert clf.augmenter_.rotation_range == 20
    assert clf.augmenter_.mean_ is mean


def test_a_metric_that_comes_and_goes_has_a_value_an_epoch():
    clf = classifier(linear).partial_fit(X, Y)
    clf.set_params(metrics=["accuracy"]).partial_fit(X, Y)
    clf.set_params(metrics=None).partial_fit(X, Y)
    assert np.isnan(clf.history_["accuracy"]).tolist() == [True, False, True]
    assert np.isfinite(clf.history_["loss"]).all()


# -- what it cannot take is refused ----------------------------------------------------

REFUSED = {
    "model": ({"model": dense}, {}, "linear"),
    "model__units": ({"model__units": 5}, {"model": dense, "model__units": 4}, "4"),
    "units": ({"units": 5}, {"model": dense, "units": 4}, "4"),
    "random_state": ({"random_state": 1}, {}, "0"),
    "augmenter": (
        {"augmenter__rescale": 0.5},
        {"augmenter": ImageAugmenter(rotation_range=9, rescale=0.25)},
        "'rescale': 0.25",
    ),
    "optimizer": ({"optimizer": "sgd"}, {"model": compiled_dense}, "'adam'"),
    "metrics": ({"metrics": ["mse"]}, {"model": with_compile_kwargs}, "None"),
    "compile__run_eagerly": (
        {"compile__run_eagerly": True},
        {"model": with_compile_kwargs, "compile__run_eagerly": False},
        "False",
    ),
}


@pytest.mark.parametrize("how", ["itself", "pickled", "saved"])
@pytest.mark.parametrize("name", REFUSED)
def test_a_change_that_could_have_no_effect_is_refused(name, how, tmp_path):
    changed, parameters, was = copy.deepcopy(REFUSED[name])
    clf = kept(trained(**parameters), how, tmp_path)
    before = weights_of(clf)
    with_model = {} if how != "saved" else {"model": parameters.get("model", linear)}
    for method in ("fit", "partial_fit"):
        clf.set_params(**{**with_model, **changed})
        if how == "saved" and name == "model":
            continue  # the file has its name alone
        with pytest.raises(ValueError, match=rf"(?s)^{name} was .*{was}.* and now is .*clone"):
            getattr(clf, method)(X, Y)
    assert all(map(np.array_equal, before, weights_of(clf)))
    clf.set_params(warm_start=False).fit(X, Y)


def test_a_parameter_that_came_later_is_refused():
    clf = trained(dense)
    with pytest.raises(ValueError, match="model__units was not set and now is 5"):
        clf.set_params(model__units=5).fit(X, Y)


def test_a_list_that_was_changed_in_place_is_noticed():
    layers = [3]
    clf = trained(lambda meta, layers: dense(meta, layers[0]), model__layers=layers)
    layers.append(4)
    with pytest.raises(ValueError, match=r"model__layers was \[3\] and now is \[3, 4\]"):
        clf.fit(X, Y)


def test_an_equal_value_is_no_change():
    def made():
        return lambda meta, sizes, table: dense(meta, sizes[0])

    build = made()
    clf = trained(
        build, model__sizes=[4], model__table=np.arange(3.0), optimizer=keras.optimizers.Adam(0.1)
    )
    clf.set_params(model=made(), model__sizes=(np.int64(4),), model__table=np.arange(3.0))
    clf.set_params(optimizer=keras.optimizers.Adam(0.1), image_shape=(4, 4)).fit(X, Y)


@pytest.mark.parametrize("how", ["itself", "pickled", "copied", "saved"])
def test_a_keras_model_is_the_same_however_it_was_kept(how, tmp_path):
    with seeded(0):
        model = linear({"image_shape_": (4, 4, 1), "n_classes_": 3})
        other = dense({"image_shape_": (4, 4, 1), "n_classes_": 3})
    clf = kept(trained(model), how, tmp_path)
    clf.fit(X, Y)
    with pytest.raises(ValueError, match=r"^model was 'Sequential"):
        clf.set_params(model=other).fit(X, Y)


def test_a_pickle_without_a_record_goes_on_as_it_did():
    clf = trained(dense, model__units=4)
    del clf._trained_with
    clf.set_params(model__units=5).fit(X, Y)


@pytest.mark.parametrize("changed", [{"optimizer": "sgd", "metrics": ["mse"]}, {"loss": "mse"}])
def test_a_call_that_fails_leaves_the_model_as_it_was_compiled(changed):
    clf, untouched = trained(metrics=["accuracy"]), trained(metrics=["accuracy"])
    clf.set_params(**changed, callbacks=FailAt(0, RuntimeError("stop")))
    with pytest.raises(RuntimeError, match="stop"):
        clf.fit(X, Y)
    same = {name: getattr(untouched, name) for name in [*changed, "callbacks"]}
    assert same_model(clf, untouched)
    assert same_model(clf.set_params(**same).fit(X, Y), untouched.fit(X, Y))
    assert clf.history_ == untouched.history_
