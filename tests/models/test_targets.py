"""Labels as the loss wants them, outputs as probabilities, and the loss that 'auto' chooses."""

from functools import partial

import keras
import numpy as np
import pandas as pd
import polars as pl
import pytest
from builders import linear
from samples import QUICK, blobs, classifier, weights_of
from scipy.special import expit, softmax
from sklearn.exceptions import DataConversionWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import LabelBinarizer

from skimgcv._models.targets import ClassTargets, auto_loss
from skimgcv._runtime.seeding import seeded
from skimgcv.exceptions import OneHotLabelsWarning


def targets_of(model, loss, n_classes):
    return ClassTargets.of(model, loss, {"n_classes_": n_classes})


def model_of(units, activation=None, last=None):
    with seeded(0):
        layers = [keras.layers.Input((2,)), keras.layers.Dense(units, activation=activation)]
        return keras.Sequential(layers + ([] if last is None else [last()]))


def build_one_unit(meta, activation="sigmoid"):
    return keras.Sequential(
        [
            keras.layers.Input(meta["image_shape_"]),
            keras.layers.Flatten(),
            keras.layers.Dense(1, activation=activation),
        ]
    )


def build_units(meta, activation=None):
    return keras.Sequential(
        [
            keras.layers.Input(meta["image_shape_"]),
            keras.layers.Flatten(),
            keras.layers.Dense(meta["n_classes_"], activation=activation),
        ]
    )


# -- the loss that 'auto' chooses ------------------------------------------------------


def auto(model, n_classes, one_hot=False):
    loss = auto_loss(model, "classes", {"n_classes_": n_classes}, one_hot=one_hot)
    return type(loss).__name__, loss.from_logits


@pytest.mark.parametrize(
    ("units", "activation", "n_classes", "expected"),
    [
        (3, "softmax", 3, ("SparseCategoricalCrossentropy", False)),
        (3, None, 3, ("SparseCategoricalCrossentropy", True)),
        (2, "softmax", 2, ("SparseCategoricalCrossentropy", False)),
        (3, "sigmoid", 3, ("BinaryCrossentropy", False)),
        (1, "sigmoid", 2, ("BinaryCrossentropy", False)),
        (1, None, 2, ("BinaryCrossentropy", True)),
    ],
)
def test_auto_follows_the_output(units, activation, n_classes, expected):
    assert auto(model_of(units, activation), n_classes) == expected


def test_auto_takes_rows_of_shares_where_labels_are_mixed():
    assert auto(model_of(3, "softmax"), 3, one_hot=True) == ("CategoricalCrossentropy", False)
    assert auto(model_of(1, "sigmoid"), 2, one_hot=True) == ("BinaryCrossentropy", False)


@pytest.mark.parametrize(
    ("last", "logits"),
    [
        (keras.layers.Softmax, False),
        (partial(keras.layers.Activation, "softmax"), False),
        (partial(keras.layers.Activation, "linear"), True),
    ],
)
def test_auto_looks_at_the_last_layer(last, logits):
    assert auto(model_of(3, last=last), 3)[1] is logits


@pytest.mark.parametrize(("activation", "logits"), [("softmax", False), (None, True)])
def test_auto_looks_into_a_nested_model(activation, logits):
    inner = model_of(3, activation)
    outer = keras.Sequential([keras.layers.Input((2,)), inner])
    assert auto(outer, 3)[1] is logits


def test_auto_does_not_guess_what_it_cannot_see():
    model = model_of(3, last=partial(keras.layers.Dropout, 0.1))
    with pytest.raises(ValueError, match=r"cannot tell .* Dropout .*from_logits=True"):
        auto_loss(model, "classes", {"n_classes_": 3}, one_hot=False)


# -- targets and probabilities ---------------------------------------------------------


def test_targets_are_what_scikit_learns_binarizer_gives():
    y = np.array([2, 0, 1, 0])
    one_hot = targets_of(model_of(3), "categorical_crossentropy", 3).encode(y)
    np.testing.assert_array_equal(one_hot, LabelBinarizer().fit(range(3)).transform(y))
    sparse = targets_of(model_of(3), "sparse_categorical_crossentropy", 3).encode(y)
    assert sparse.tolist() == [[2], [0], [1], [0]]
    one_unit = targets_of(model_of(1), "binary_crossentropy", 2).encode(y % 2)
    assert one_unit.tolist() == [[0], [0], [1], [0]]
    assert one_unit.dtype == one_hot.dtype == np.float32


@pytest.mark.parametrize("activation", [None, "softmax"])
def test_several_logits_are_softmaxed_and_probabilities_kept(activation):
    outputs = np.array([[1000.0, -1000, 0], [0.2, 0.5, 0.3], [-3, -2, -1]], np.float32)
    if activation:
        outputs = softmax(outputs, axis=1)
    targets = targets_of(
        model_of(3, activation),
        keras.losses.CategoricalCrossentropy(from_logits=activation is None),
        3,
    )
    probabilities = targets.predictions(outputs)
    expected = outputs if activation else softmax(outputs.astype(float), axis=1)
    # float32 outputs sum to 1 within their rounding.
    np.testing.assert_allclose(probabilities, expected, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-15)
    assert probabilities.dtype == np.float64


def test_one_unit_gives_two_columns():
    outputs = np.array([[-1000.0], [-0.5], [0], [2], [1000]], np.float32)
    logits = targets_of(model_of(1), keras.losses.BinaryCrossentropy(from_logits=True), 2)
    second = expit(outputs[:, 0].astype(float))
    # tanh and exp round differently in the last place.
    np.testing.assert_allclose(logits.predictions(outputs)[:, 1], second, atol=1e-15)
    sigmoid = targets_of(model_of(1, "sigmoid"), "binary_crossentropy", 2)
    np.testing.assert_array_equal(
        sigmoid.predictions(np.array([[0.25], [1]])), [[0.75, 0.25], [0, 1]]
    )


def test_sigmoids_that_are_all_zero_prefer_no_class():
    targets = targets_of(model_of(3, "sigmoid"), "binary_crossentropy", 3)
    probabilities = targets.predictions(np.array([[0.0, 0, 0], [0.5, 0, 0.5]]))
    np.testing.assert_array_equal(probabilities, [[1 / 3] * 3, [0.5, 0, 0.5]])


@pytest.mark.parametrize(
    ("units", "loss", "activation"),
    [
        (3, "categorical_hinge", None),
        (3, "mse", None),
        (3, "categorical_hinge", "tanh"),
        (1, "hinge", None),
        (1, "hinge", "tanh"),
        (1, "mse", None),
    ],
)
def test_scores_of_any_loss_become_probabilities(units, loss, activation):
    n_classes = max(units, 2)
    targets = targets_of(model_of(units, activation), loss, n_classes)
    outputs = np.array([[-4.0, -1, -2], [0.9, -3, 1.2], [0.1, 0.2, -0.3]])[:, :units]
    probabilities = targets.predictions(outputs)
    assert probabilities.min() >= 0
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-15)
    if units > 1 and activation is None:
        assert probabilities.argmax(axis=1).tolist() == outputs.argmax(axis=1).tolist()
    elif units == 1:
        # A hinge parts the classes at 0, what is fitted to 0 and 1 parts them in the middle.
        assert probabilities.argmax(axis=1).tolist() == [0, 1, 1 if loss == "hinge" else 0]


def test_logits_of_a_partial_function_are_seen():
    loss = partial(keras.losses.binary_crossentropy, from_logits=True)
    targets = targets_of(model_of(1), loss, 2)
    np.testing.assert_allclose(targets.predictions(np.array([[2.0]]))[0, 1], expit(2.0))


# -- the number of outputs -------------------------------------------------------------


def test_too_few_outputs():
    with pytest.raises(ValueError, match=r"2 outputs, but y has 3 classes.*n_classes_"):
        targets_of(model_of(2), "mse", 3)


def test_one_output_is_for_two_classes():
    with pytest.raises(ValueError, match="1 outputs, but y has 3 classes"):
        targets_of(model_of(1, "sigmoid"), "binary_crossentropy", 3)


losses = keras.losses


@pytest.mark.parametrize(
    ("activation", "loss", "message"),
    [
        (None, "sparse_categorical_crossentropy", r"needs .* softmax; .*dense\w*, has linear"),
        (None, "bce", "binary_crossentropy needs .* sigmoid; .* has linear"),
        (None, losses.CategoricalFocalCrossentropy, "needs .* softmax; .* has linear"),
        (None, losses.kl_divergence, "sigmoid or softmax; .* has linear"),
        ("tanh", "binary_crossentropy", "needs .* sigmoid; .* has tanh"),
        ("relu", "sparse_categorical_crossentropy", r"needs .* softmax; .* has relu\. Change one"),
        (
            "gelu",
            losses.BinaryCrossentropy,
            r"needs .* sigmoid; .* has gelu\. Change one of them\.",
        ),
        ("softmax", "binary_crossentropy", "needs .* sigmoid; .* has softmax"),
        ("sigmoid", "categorical_crossentropy", "needs .* softmax; .* has sigmoid"),
        (
            "softmax",
            losses.CategoricalCrossentropy(from_logits=True),
            "from logits needs .* linear",
        ),
        ("sigmoid", partial(losses.binary_crossentropy, from_logits=True), "from logits needs"),
    ],
)
def test_a_crossentropy_that_does_not_fit_the_activation(activation, loss, message):
    X, y = blobs()
    with pytest.raises(ValueError, match=message):
        classifier(build_units, model__activation=activation, loss=loss).fit(X, y)


def doubled(x):
    return 2 * x


def shares(x):
    squares = keras.ops.square(x) + 1e-3
    return squares / keras.ops.sum(squares, axis=-1, keepdims=True)


def smoothed(p):
    return 0.9 * p + 0.1 / 3


def cooled_softmax(x):
    return keras.activations.softmax(x / 2)


def ending(*ends, activation=None):
    """Return a builder of a model whose last dense layer is followed by others."""

    def build(meta):
        copies = [type(end).from_config(end.get_config()) for end in ends]
        return keras.Sequential([*build_units(meta, activation).layers, *copies])

    return build


def smoothing(meta):
    """A function after a softmax, which never sees other numbers."""
    image = keras.Input(meta["image_shape_"])
    end = build_units(meta, "softmax")(image)
    return keras.Model(image, keras.layers.Activation(smoothed)(end))


def convolutional(activation=None):
    """Return a builder of a model that averages over positions at its end."""

    def build(meta):
        return keras.Sequential(
            [
                keras.layers.Input(meta["image_shape_"]),
                keras.layers.Conv2D(meta["n_classes_"], 1, activation=activation),
                keras.layers.GlobalAveragePooling2D(),
            ]
        )

    return build


def ensemble(*activations):
    def build(meta):
        image = keras.Input(meta["image_shape_"])
        members = [build_units(meta, activation)(image) for activation in activations]
        return keras.Model(image, keras.layers.Average()(members))

    return build


@pytest.mark.parametrize(
    ("build", "loss", "message"),
    [
        (ending(keras.layers.ReLU()), "sparse_categorical_crossentropy", r"re_lu\w*, has ReLU\."),
        (ending(keras.layers.LeakyReLU()), "categorical_crossentropy", "has LeakyReLU"),
        (ending(keras.layers.Reshape((3,))), "categorical_crossentropy", r"dense\w*, has linear"),
        (ending(activation=doubled), "categorical_crossentropy", r"softmax; .* has doubled\."),
        (ending(activation="log_softmax"), "categorical_crossentropy", "has log_softmax"),
        (ending(activation=cooled_softmax), "binary_crossentropy", "sigmoid; .* cooled_softmax"),
        (ending(activation="hard_sigmoid"), "categorical_crossentropy", "has hard_sigmoid"),
        (
            ending(activation=shares),
            losses.CategoricalCrossentropy(from_logits=True),
            "from logits needs .* linear; .* has shares",
        ),
        (convolutional(), "sparse_categorical_crossentropy", r"conv\w*, has linear"),
        (ensemble(None, None), "sparse_categorical_crossentropy", "has linear"),
    ],
)
def test_a_crossentropy_that_does_not_fit_other_ends(build, loss, message):
    X, y = blobs()
    with pytest.raises(ValueError, match=message):
        classifier(build, loss=loss).fit(X, y)


@pytest.mark.parametrize(
    ("build", "loss"),
    [
        (ending(activation=shares), "categorical_crossentropy"),
        (ending(activation=cooled_softmax), "categorical_crossentropy"),
        (ending(keras.layers.ReLU(max_value=1)), "binary_crossentropy"),
        (ending(activation="log_softmax"), losses.CategoricalCrossentropy(from_logits=True)),
        (ending(activation=doubled), losses.CategoricalCrossentropy(from_logits=True)),
        (smoothing, "categorical_crossentropy"),
        (ensemble("softmax", None), "categorical_crossentropy"),  # unknown: the user decides
    ],
)
def test_other_ends_that_fit_a_crossentropy(build, loss):
    X, y = blobs()
    proba = classifier(build, loss=loss).fit(X, y).predict_proba(X)
    np.testing.assert_allclose(proba.sum(axis=1), 1)


@pytest.mark.parametrize("build", [convolutional, ensemble])
@pytest.mark.parametrize(("activation", "logits"), [("softmax", False), (None, True)])
def test_auto_looks_past_layers_that_average(build, activation, logits):
    X, y = blobs()
    clf = classifier(
        build(activation) if build is convolutional else build(activation, activation)
    )
    clf.fit(X, y)
    assert clf.model_.loss.from_logits is logits
    outputs = clf.model_.predict(X, verbose=0).astype(float)
    expected = softmax(outputs, axis=1) if logits else outputs
    # A float32 softmax sums to 1 only roughly, and predict_proba divides by the sum.
    np.testing.assert_allclose(clf.predict_proba(X), expected, rtol=1e-5)


def test_log_probabilities_for_a_loss_of_ones_own_become_probabilities():
    def likelihood(y_true, logp):
        return -keras.ops.sum(y_true * logp, axis=-1)

    X, y = blobs()
    clf = classifier(ending(activation="log_softmax"), loss=likelihood).fit(X, y)
    expected = np.exp(clf.model_.predict(X, verbose=0).astype(float))
    np.testing.assert_allclose(clf.predict_proba(X), expected, rtol=1e-5)


def focal_of_numbers(y_true, p):
    t = keras.ops.one_hot(keras.ops.cast(y_true, "int32"), 3)
    return -keras.ops.sum(t * (1 - p) ** 2 * keras.ops.log(p + 1e-7), axis=-1)


def likelihood_of_numbers(y_true, p):
    return -keras.ops.log(keras.ops.take_along_axis(p, keras.ops.cast(y_true, "int32"), axis=-1))


def ordinal(y_true, p):
    expected = keras.ops.sum(p * keras.ops.arange(3.0), axis=-1, keepdims=True)
    return keras.ops.square(keras.ops.cast(y_true, "float32") - expected)


def squares_of_rows(y_true, p):
    assert len(y_true.shape) == len(p.shape)  # as of a tensor
    return keras.ops.square(y_true - p)


def sparsemax_like(y_true, p):
    return keras.ops.sum(keras.ops.square(y_true - p), axis=-1)


@pytest.mark.parametrize(
    ("loss", "sparse"),
    [
        (likelihood_of_numbers, True),
        (ordinal, True),
        (squares_of_rows, False),
        (sparsemax_like, False),
        (lambda y, p: keras.losses.sparse_categorical_crossentropy(y, p), True),
        (lambda y, p: keras.losses.categorical_crossentropy(y, p), False),
        (lambda y, p: keras.ops.mean(keras.ops.abs(y - p)), False),
    ],
)
def test_a_loss_of_ones_own_gets_the_targets_that_it_takes(loss, sparse):
    assert targets_of(model_of(3, "softmax"), loss, 3).sparse is sparse


def test_a_loss_that_would_pair_all_images_with_all_labels_is_refused():
    with pytest.raises(ValueError, match=r"focal_of_numbers takes .* shape \(n,\)"):
        targets_of(model_of(3, "softmax"), focal_of_numbers, 3)


def focal_of_logits(y_true, logits):
    p = keras.ops.sigmoid(logits)
    own = y_true * keras.ops.log(p + 1e-7) + (1 - y_true) * p**2 * keras.ops.log(1 - p + 1e-7)
    return -keras.ops.mean(own, axis=-1)


def squared(y_true, outputs):
    return keras.ops.mean(keras.ops.square(y_true - outputs), axis=-1)


@pytest.mark.parametrize("multilabel", [False, True])
@pytest.mark.parametrize(("loss", "convert"), [(focal_of_logits, expit), (squared, np.clip)])
def test_scores_for_a_loss_of_ones_own_divide_where_the_loss_says(loss, convert, multilabel):
    X, y = blobs(n_classes=2)
    build = build_one_unit if not multilabel else build_units
    clf = classifier(build, model__activation=None, loss=loss, multilabel=multilabel)
    clf.fit(X, np.column_stack([y, 1 - y]) if multilabel else y)
    outputs = clf.model_.predict(X, verbose=0).astype(float)
    expected = convert(outputs, 0, 1) if convert is np.clip else convert(outputs)
    found = clf.predict_proba(X)
    np.testing.assert_allclose(found if multilabel else found[:, 1:], expected, atol=1e-6)


@pytest.mark.parametrize("activation", ["softsign", "hard_tanh"])
def test_signed_outputs_of_a_hinge_divide_at_0(activation):
    model = model_of(1, activation)
    proba = targets_of(model, "hinge", 2).predictions(np.array([[-0.2], [0.2], [0.7]]))
    np.testing.assert_array_equal(proba.argmax(axis=1), [0, 1, 1])


@pytest.mark.usefixtures("own_random")
@pytest.mark.parametrize("again", ["built", "added", "shared"])
def test_layers_that_are_called_again_pass_their_latest_input_on(again):
    cast = keras.layers.Activation("linear", dtype="float32")
    start = [keras.layers.Input((2,)), keras.layers.Dense(3, activation="softmax")]
    if again == "built":
        model = keras.Sequential([*start, cast])
        model.build((None, 2))
    elif again == "added":
        model = keras.Sequential()
        for layer in [*start, keras.layers.Flatten(), cast]:
            model.add(layer)
    else:
        image = keras.Input((2,))
        cast(keras.layers.Dense(3)(image))
        model = keras.Model(image, cast(start[1](image)))
    assert auto(model, 3) == ("SparseCategoricalCrossentropy", False)


@pytest.mark.usefixtures("own_random")
def test_the_output_of_a_nested_model_that_is_used_counts():
    image, outer = keras.Input((2,)), keras.Input((2,))
    ends = [keras.layers.Dense(3)(image), keras.layers.Dense(3, activation="softmax")(image)]
    model = keras.Model(outer, keras.Model(image, ends)(outer)[1])
    assert auto(model, 3) == ("SparseCategoricalCrossentropy", False)


def test_a_layer_of_ones_own_is_not_taken_for_what_it_uses():
    class Head(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.activation = keras.layers.ReLU()
            self.last = keras.layers.Dense(3, activation="softmax")

        def call(self, x):
            return self.last(self.activation(x))

    X, y = blobs()

    def build(meta):
        return keras.Sequential([*build_units(meta).layers, Head()])

    clf = classifier(build, loss="sparse_categorical_crossentropy").fit(X, y)
    expected = clf.model_.predict(X, verbose=0)
    np.testing.assert_allclose(clf.predict_proba(X), expected, rtol=1e-5)


def test_keras_trains_the_sigmoids_of_what_a_softmax_got():
    """Why the binary crossentropy of a softmax is refused: if this fails, allow it."""
    ends = [("softmax", losses.BinaryCrossentropy()), (None, losses.BinaryCrossentropy(True))]
    X, y = blobs()
    trained = []
    for activation, loss in ends:
        with seeded(0):
            model = build_units({"image_shape_": X.shape[1:], "n_classes_": 3}, activation)
        model.compile("sgd", loss)
        model.fit(X, np.eye(3)[y], shuffle=False, verbose=0)
        trained.append(model.get_weights()[1])
    np.testing.assert_array_equal(*trained)


def test_the_layer_that_only_changes_the_dtype_is_no_activation():
    end = keras.layers.Activation("linear", dtype="float32")
    model = keras.Sequential([keras.layers.Input((2,)), model_of(3, "softmax"), end])
    assert auto(model, 3) == ("SparseCategoricalCrossentropy", False)
    outputs = np.array([[0.5, 0.25, 0.25]])
    targets = targets_of(model, "categorical_crossentropy", 3)
    np.testing.assert_array_equal(targets.predictions(outputs), outputs)


@pytest.mark.parametrize(
    ("activation", "loss"),
    [
        ("sigmoid", "categorical_crossentropy"),
        ("softmax", "sparse_categorical_crossentropy"),
        ("softmax", "auto"),
    ],
)
def test_one_output_for_a_loss_of_several(activation, loss):
    X, y = blobs(n_classes=2)
    with pytest.raises(ValueError, match=r"an output for each class, and the model has one"):
        classifier(build_one_unit, model__activation=activation, loss=loss).fit(X, y)


def test_output_of_too_many_dimensions():
    with seeded(0):
        model = keras.Sequential([keras.layers.Input((4, 4, 1)), keras.layers.Conv2D(3, 3)])
    with pytest.raises(ValueError, match=r"\(None, 2, 2, 3\).*Flatten"):
        auto_loss(model, "classes", {"n_classes_": 3}, one_hot=False)


def test_several_outputs():
    x = keras.layers.Input((2,))
    with seeded(0):
        model = keras.Model(x, [keras.layers.Dense(3)(x), keras.layers.Dense(3)(x)])
    with pytest.raises(ValueError, match="must have one output"):
        auto_loss(model, "classes", {"n_classes_": 3}, one_hot=False)


# -- through the estimator -------------------------------------------------------------


@pytest.mark.parametrize(
    ("activation", "loss"),
    [
        ("softmax", "sparse_categorical_crossentropy"),
        ("softmax", "categorical_crossentropy"),
        ("softmax", keras.losses.CategoricalCrossentropy),
        (None, keras.losses.SparseCategoricalCrossentropy(from_logits=True)),
        (None, "auto"),
        (None, "categorical_hinge"),
        ("sigmoid", "binary_crossentropy"),
    ],
)
def test_every_usual_loss_learns(activation, loss):
    X, y = blobs()
    clf = classifier(build_units, model__activation=activation, loss=loss, **QUICK).fit(X, y)
    assert clf.score(X, y) > 0.9


@pytest.mark.parametrize("activation", ["sigmoid", None])
@pytest.mark.parametrize("labels", [[-1, 1], ["no", "yes"]])
def test_one_unit_learns_two_classes_of_any_name(activation, labels):
    X, y = blobs(n_classes=2)
    y = np.array(labels)[y]
    clf = classifier(build_one_unit, model__activation=activation, **QUICK).fit(X, y)
    assert clf.score(X, y) == 1
    assert clf.predict_proba(X).shape == (24, 2)
    assert clf.predict(X).dtype == y.dtype


def test_class_numbers_and_one_hot_rows_train_the_same_weights():
    X, y = blobs()
    losses = ["sparse_categorical_crossentropy", "categorical_crossentropy"]
    sparse, one_hot = (weights_of(classifier(linear, loss=loss).fit(X, y)) for loss in losses)
    for a, b in zip(sparse, one_hot, strict=True):
        # Two ways to sum the same terms in float32.
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_a_loss_of_ones_own_gets_one_hot_rows():
    def squared(y_true, y_pred):
        return keras.ops.sum((y_true - y_pred) ** 2, axis=-1)

    X, y = blobs()
    clf = classifier(linear, loss=squared, **QUICK).fit(X, y)
    assert clf.score(X, y) > 0.9


NAMES = np.array(["ant", "bee", "cat"])
Y = blobs()[1]


@pytest.mark.parametrize(
    "y",
    [
        NAMES[Y],
        NAMES.astype(object)[Y],
        NAMES[Y].tolist(),
        Y - 7,
        Y.astype(np.uint8),
        Y.astype(float) + 1,
        Y > 0,
        (Y > 0).tolist(),
        pd.Series(NAMES[Y]),
        pd.Series(NAMES[Y], dtype="string"),
        pd.Series(pd.Categorical(NAMES[Y])),
        pd.Categorical(NAMES[Y]),
        pd.Series(Y, index=range(100, 124)),
        pl.Series(NAMES[Y].tolist()),
        pl.Series(Y),
    ],
    ids=lambda y: f"{type(y).__module__.partition('.')[0]}-{getattr(y, 'dtype', 'list')}",
)
def test_labels_of_any_kind_come_back_as_scikit_learn_gives_them(y):
    X, _ = blobs()
    clf = classifier(linear, **QUICK).fit(X, y)
    reference = LogisticRegression().fit(X.reshape(24, -1), y)
    np.testing.assert_array_equal(clf.classes_, reference.classes_)
    assert clf.classes_.dtype == reference.classes_.dtype
    assert clf.predict(X).dtype == reference.predict(X.reshape(24, -1)).dtype
    assert clf.score(X, y) == np.mean(clf.predict(X) == np.asarray(y)) > 0.9


@pytest.mark.parametrize("dtype", [bool, np.uint8, float])
def test_one_hot_rows_are_classes_by_number(dtype):
    X, y = blobs()
    one_hot = np.eye(3, dtype=dtype)[y]
    with pytest.warns(OneHotLabelsWarning):
        clf = classifier(linear, **QUICK).fit(X, one_hot)
    assert clf.classes_.tolist() == [0, 1, 2]
    assert clf.predict(X).shape == (24,)
    assert clf.score(X, one_hot) == clf.score(X, y) > 0.9


def test_one_hot_rows_keep_the_class_that_a_fold_lacks():
    X, y = blobs()
    with pytest.warns(OneHotLabelsWarning):
        clf = classifier(linear).fit(X, np.eye(5)[y])
    assert clf.classes_.tolist() == [0, 1, 2, 3, 4]
    assert clf.predict_proba(X).shape == (24, 5)


def test_a_column_of_labels_is_taken_with_scikit_learns_warning():
    X, y = blobs()
    with pytest.warns(DataConversionWarning, match="column-vector"):
        clf = classifier(linear).fit(X, y[:, None])
    assert clf.predict(X).shape == (24,)
