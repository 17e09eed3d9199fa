"""What is written by those who come from Keras and SciKeras, and what they are told."""

import keras
import numpy as np
import pandas as pd
import pytest
from builders import dense, linear
from samples import blobs, classifier
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score

from skimgcv import ImageAugmenter
from skimgcv.exceptions import LabelsNotFoundWarning, OneHotLabelsWarning

X, Y = blobs()


# -- options of Keras' and SciKeras' methods -------------------------------------------


@pytest.mark.parametrize(
    ("method", "option", "message"),
    [
        ("fit", "epochs", r"fit\(\) takes no 'epochs': .* set_params\(epochs=\.\.\.\)"),
        ("fit", "callbacks", r"set_params\(callbacks="),
        ("fit", "validation_split", r"set_params\(validation_split="),
        ("fit", "initial_epoch", r"set_params\(fit__initial_epoch="),
        ("fit", "steps_per_epoch", "fit.. takes no 'steps_per_epoch', but X, y, sample_weight"),
        ("partial_fit", "epochs", r"partial_fit\(\) takes no 'epochs'"),
        ("score", "verbose", r"set_params\(predict__verbose="),
        ("predict", "batch_size", r"set_params\(predict__batch_size="),
        ("predict_proba", "verbose", r"set_params\(predict__verbose="),
        ("predict_proba", "steps", "takes no 'steps', but X"),
    ],
)
def test_options_that_belong_to_the_classifier(method, option, message):
    arguments = (X,) if method.startswith("predict") else (X, Y)
    with pytest.raises(TypeError, match=message):
        getattr(classifier(linear), method)(*arguments, **{option: 1})


def test_options_through_a_tool_of_scikit_learn():
    with pytest.raises(TypeError, match="takes no 'epochs'"):
        cross_val_score(classifier(linear), X, Y, params={"epochs": 2}, error_score="raise")


# -- names of parameters ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ("learning_rate", "'learning_rate'; is 'optimizer__learning_rate' meant"),
        ("lr", "'lr'; is 'optimizer__learning_rate' meant"),
        ("optimizer__lr", "'lr'.*is 'optimizer__learning_rate' meant"),
        ("optimizer__learnin_rate", "is 'optimizer__learning_rate' meant"),
        ("augmenter__rotation", "'augmenter__rotation'; is 'rotation_range' meant"),
        ("epoch", "'epoch'; is 'epochs' meant"),
        ("model_units", "'model_units'; is 'model__units' meant"),
        ("optimizer_learning_rate", "is 'optimizer__learning_rate' meant"),
        ("fit_epochs", "is 'fit__epochs' meant"),
        ("predict_verbose", "is 'predict__verbose' meant"),
        ("run_eagerly", "is 'compile__run_eagerly' meant"),
        ("augmenter_zoom_range", "is 'augmenter__zoom_range' meant.* augmenter itself, or to set"),
    ],
)
def test_a_name_that_is_nearly_right(parameter, message):
    clf = classifier(dense, augmenter=ImageAugmenter(), **{parameter: 0.1})
    with pytest.raises((TypeError, ValueError), match=message):
        clf.fit(X, Y)


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ("learning_rate", "is 'optimizer__learning_rate' meant"),
        ("lr", "is 'optimizer__learning_rate' meant"),
        ("augmenter__rotation", "'rotation' for augmenter; is 'rotation_range' meant"),
        ("augmenter__horizontal_fip", "is 'horizontal_flip' meant"),
        ("augmenter__nonsense", "'nonsense' for augmenter. It has blur_sigma"),
        ("model_units", "'model_units' for \\w+; is 'model__units' meant"),
        ("optimizer_epsilon", "is 'optimizer__epsilon' meant"),
        ("augmenter_zoom_range", "is 'augmenter__zoom_range' meant"),
        ("rotation_range", "is 'augmenter__rotation_range' meant"),
        ("stride", "'stride' for \\w+. A parameter of the builder is model__stride; the others"),
    ],
)
def test_a_name_that_is_nearly_right_in_a_search(parameter, message):
    clf = classifier(dense, augmenter=ImageAugmenter())
    with pytest.raises(ValueError, match=message):
        clf.set_params(**{parameter: 1})
    with pytest.raises(ValueError, match=message):
        GridSearchCV(clf, {parameter: [1]}, cv=2).fit(X, Y)


def test_an_augmenter_and_its_parameter_are_set_together():
    clf = classifier(linear).set_params(augmenter=ImageAugmenter(), augmenter__rotation_range=5)
    assert clf.augmenter.rotation_range == 5


# -- labels ----------------------------------------------------------------------------


def test_one_hot_labels_are_warned_of_before_a_scorer_fails():
    with (
        pytest.warns(OneHotLabelsWarning, match=r"y\.argmax\(axis=1\)"),
        pytest.raises(ValueError, match="mix of multilabel-indicator"),
    ):
        cross_val_score(
            classifier(linear), X, np.eye(3)[Y], scoring="accuracy", cv=2, error_score="raise"
        )


def test_labels_that_scikit_learn_has_renumbered():
    clf = classifier(linear, class_weight={10: 2.0, 30: 3.0})
    with pytest.warns(LabelsNotFoundWarning, match=r"renumbers them in sorted order.*0, 1"):
        cross_val_predict(clf, X, (Y + 1) * 10, cv=2, method="predict_proba")


@pytest.mark.parametrize(
    ("parameter", "value"),
    [("class_weight", 2.0), ("class_augmenters", ImageAugmenter()), ("sampling_strategy", 30)],
)
def test_a_label_that_is_nearly_right(parameter, value):
    y = np.array(["Melanoma", "naevus", "class 1"])[Y]
    clf = classifier(linear, **{parameter: {"naevus": value, "melanom": value, "class 2": value}})
    with pytest.warns(LabelsNotFoundWarning) as caught:
        clf.fit(X, y)
    messages = [str(w.message) for w in caught]
    assert any(f"{parameter} names 'melanom'" in m for m in messages)
    assert any("is 'Melanoma' meant" in m for m in messages)
    # One that a fold lacks and others that it has: no name is nearly another.
    clf.set_params(**{parameter: {"naevus": value, "blue naevus": value}}).fit(X, y)


def test_a_label_of_several_that_is_wrong():
    labels = pd.DataFrame(np.eye(3, dtype=int)[Y], columns=["hairy", "red", "round"])
    clf = classifier(linear, multilabel=True, class_weight={"hary": 2.0, "red": 2.0})
    with pytest.raises(ValueError, match=r"\['hary'\], and the labels are \['hairy', 'red', 'rou"):
        clf.fit(X, labels)


# -- several inputs and outputs --------------------------------------------------------


def build_with_two_inputs(meta):
    images, rows = keras.Input(meta["image_shape_"]), keras.Input((2,))
    both = keras.layers.Concatenate()([keras.layers.Flatten()(images), rows])
    return keras.Model([images, rows], keras.layers.Dense(3, activation="softmax")(both))


def build_with_two_outputs(meta):
    images = keras.Input(meta["image_shape_"])
    flat = keras.layers.Flatten()(images)
    return keras.Model(images, [keras.layers.Dense(3)(flat), keras.layers.Dense(1)(flat)])


def test_models_of_several_inputs_or_outputs():
    with pytest.raises(ValueError, match=r"one input, of images .* it has 2.*further channels"):
        classifier(build_with_two_inputs).fit(X, Y)
    with pytest.raises(ValueError, match=r"one output .* it has 2: .*model\.outputs\[0\]"):
        classifier(build_with_two_outputs).fit(X, Y)


@pytest.mark.parametrize("several", [[X, X[:, 0, 0]], (X, X), {"images": X, "rows": X}])
def test_several_arrays_of_images(several):
    with pytest.raises(TypeError, match=r"one array of images; it is a .* of several inputs"):
        classifier(linear).fit(several, Y)


def test_several_targets_as_y():
    with pytest.raises(TypeError, match=r"one label a row; it is a dict of \['a', 'b'\]"):
        classifier(linear).fit(X, {"a": Y, "b": Y})


@pytest.mark.parametrize("class_mode", ["categorical", "binary", "sparse"])
@pytest.mark.parametrize("n_rows", [2, 3])
def test_several_columns_of_labels_in_a_table(class_mode, n_rows):
    table = pd.DataFrame({"filename": ["a.png"] * n_rows, "a": "x", "b": "y"})
    with pytest.raises(ValueError, match=r"one column.*\['a', 'b'\].*class_mode='raw'"):
        ImageAugmenter().flow_from_dataframe(
            table, "folder", y_col=["a", "b"], class_mode=class_mode, validate_filenames=False
        )
