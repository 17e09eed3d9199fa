"""Where a model is cut: behind its frozen layers, where these do the same in training."""

import gc
import weakref

import keras
import numpy as np
import pytest
from keras import layers, ops

from skimgcv import clear_features
from skimgcv._compiled.values import UnprovableError
from skimgcv._features import trunk as trunks
from skimgcv._features.cut import cut_of
from skimgcv._features.trunk import BATCH, Trunk
from skimgcv._runtime.graph_internals import fixes_training

# Initial weights come from Python's generator.
pytestmark = pytest.mark.usefixtures("own_random")
X = np.random.default_rng(0).random((BATCH, 6, 6, 1), dtype="float32")
# A step with constant weights multiplies kernels and batch norms first, which rounds otherwise.
ROUNDING = {"rtol": 1e-5, "atol": 1e-6}


def frozen(*of):
    for layer in of:
        layer.trainable = False
    return of if len(of) > 1 else of[0]


def conv(filters=2, name=None):
    return layers.Conv2D(filters, 3, padding="same", bias_initializer="normal", name=name)


def compiled(inputs, outputs, **options):
    model = keras.Model(inputs, outputs)
    model.compile("sgd", "mse", **options)
    return model


def sequential():
    parts = [*frozen(conv(), layers.BatchNormalization()), layers.GlobalAveragePooling2D()]
    model = keras.Sequential(
        [layers.Input((6, 6, 1)), *parts, layers.Dropout(0.5), layers.Dense(2)]
    )
    model.compile("sgd", "mse")
    return model


def separable():
    """Convolutions without biases, each with a batch norm that was trained."""
    first = layers.Conv2D(8, 3, use_bias=False)
    norms = [layers.BatchNormalization(), layers.BatchNormalization()]
    spread = layers.DepthwiseConv2D(3, padding="same", use_bias=False)
    parts = [first, norms[0], layers.ReLU(6), spread, norms[1], layers.ReLU(6)]
    ends = [layers.GlobalAveragePooling2D(), layers.Dense(2)]
    model = keras.Sequential([layers.Input((6, 6, 1)), *frozen(*parts), *ends])
    rng = np.random.default_rng(0)
    for norm in norms:
        norm.set_weights([rng.uniform(0.5, 1.5, 8) for _ in range(4)])
    model.compile("sgd", "mse")
    return model


def nested(*thawed, calls_so=True):
    """A network inside of another one, of which some layers are thawed."""
    inner = keras.Sequential(
        [layers.Input((6, 6, 1)), conv(3, "a"), layers.Dropout(0, name="off"), conv(2, "b")],
        name="inner",
    )
    frozen(inner)
    inner.trainable = bool(thawed)
    for layer in inner.layers:
        layer.trainable = layer.name in thawed
    image = keras.Input((6, 6, 1))
    features = inner(image, training=False) if calls_so else inner(image)
    return compiled(image, layers.Dense(2)(layers.Flatten()(features)))


def residual():
    """Cut within a block: its input and the branch are both needed."""
    image = keras.Input((6, 6, 1))
    start = frozen(conv(2))(image)
    branch = frozen(conv(3))(start)
    end = layers.add([conv(2)(branch), start])
    return compiled(image, layers.Dense(2)(layers.Flatten()(end)))


def past_the_image():
    image = keras.Input((6, 6, 1))
    end = layers.concatenate([frozen(conv(2))(image), image * 2.0])
    return compiled(image, layers.Dense(2)(layers.Flatten()(conv(1)(end))))


def deep():
    """Two levels of nesting, the inner one thawed in part, and a layer that is used twice."""
    shared = frozen(conv(1))
    image = keras.Input((6, 6, 1))
    inner = keras.Model(image, conv(2)(shared(image)))
    outer_image = keras.Input((6, 6, 1))
    outer = keras.Model(outer_image, inner(shared(outer_image)))
    last = keras.Input((6, 6, 1))
    return compiled(last, layers.Dense(2)(layers.Flatten()(outer(last))))


CUTS = {
    "sequential": (sequential, (2,)),
    "separable": (separable, (8,)),
    "nested": (nested, (72,)),
    "nested, thawed in part": (lambda: nested("b"), (6, 6, 3)),
    "called as it comes": (lambda: nested("b", calls_so=False), (6, 6, 3)),
    "several tensors": (residual, (6 * 6 * 5,)),
    "the image, too": (past_the_image, (6, 6, 3)),
    "nested twice": (deep, (6, 6, 1)),
}


@pytest.mark.parametrize("name", CUTS)
def test_two_parts_are_the_whole(name):
    build, shape = CUTS[name]
    model = build()
    if fixes_training(model):
        pytest.skip("this version of Keras obeys training=False: the whole model is run")
    cut = cut_of(model)
    assert cut.feature_shape == shape
    features = Trunk(cut, lambda: X).features(X)
    assert features.shape == (BATCH, *shape)
    expected = model.predict(X, batch_size=BATCH, verbose=0)
    np.testing.assert_allclose(
        cut.head.predict(features, batch_size=BATCH, verbose=0), expected, **ROUNDING
    )
    assert not cut.trunk.trainable_variables
    trained = [id(v) for v in cut.head.trainable_variables]
    assert trained == [id(v) for v in model.trainable_variables]
    assert trained
    assert cut_of(model) is cut


def test_what_is_frozen_later_is_cut_off_later():
    model = nested("b")
    before = cut_of(model)
    frozen(model.get_layer("inner"))
    model.compile("sgd", "mse")
    assert cut_of(model).feature_shape != before.feature_shape
    model.get_layer("inner").trainable = True
    model.compile("sgd", "mse")
    assert cut_of(model) is None


def ending(*parts, model=keras.Model, **options):
    image = it = keras.Input((6, 6, 1))
    for part in parts:
        it = part(it)
    whole = model(image, layers.Dense(2)(layers.Flatten()(it)))
    whole.compile("sgd", "mse", **options)
    return whole


class OwnStep(keras.Model):
    def train_step(self, data):
        return super().train_step(data)


UNCUT = {
    "thawed first": lambda: ending(conv(), frozen(conv())),
    "dropout first": lambda: ending(layers.Dropout(0.1), frozen(conv())),
    "noise first": lambda: ending(layers.GaussianNoise(0.1), frozen(conv())),
    "augmenting layers first": lambda: ending(layers.RandomFlip(seed=0), frozen(conv())),
    "batch norm that learns": lambda: ending(
        layers.BatchNormalization(center=False, scale=False), frozen(conv())
    ),
    "a step of its own": lambda: ending(frozen(conv()), model=OwnStep),
    "run eagerly": lambda: ending(frozen(conv()), run_eagerly=True),
}


def test_a_nested_model_that_converts_its_images_is_not_passed_by():
    inner = keras.Sequential([layers.Input((6, 6, 1), dtype="float16"), frozen(conv()), conv()])
    model = ending(inner)
    images = np.random.default_rng(0).random((2, 6, 6, 1), np.float32) * 500
    try:
        cut = cut_of(model)
    except UnprovableError:
        return
    # Keras 3.8 has the conversion in the graph.
    parts = cut.head.predict(cut.trunk.predict(images, verbose=0), verbose=0)
    np.testing.assert_array_equal(parts, model.predict(images, verbose=0))


@pytest.mark.parametrize("name", UNCUT)
def test_what_cannot_be_cut_says_why(name):
    with pytest.raises(UnprovableError):
        cut_of(UNCUT[name]())


def test_models_without_frozen_weights_are_whole():
    assert cut_of(ending(layers.Rescaling(2.0), conv())) is None


def test_batch_norm_that_learns_ends_the_trunk():
    model = ending(frozen(conv(2)), layers.BatchNormalization(), frozen(conv(1)))
    assert cut_of(model).feature_shape == (6, 6, 2)


class InTraining(layers.Layer):
    """Does something in training that no class, weight or seed tells."""

    def __init__(self, how):
        super().__init__()
        self.how = how
        self.count = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, x, training=None):
        if self.how == "draws":
            return x + keras.random.uniform(ops.shape(x))
        if not training:
            return x
        if self.how == "counts":
            self.count.assign_add(1.0)
        if self.how == "loses":
            self.add_loss(ops.sum(x))
        return x * 2.0 if self.how == "doubles" else x


@pytest.mark.parametrize("how", ["draws", "counts", "loses", "doubles"])
def test_a_trunk_is_tried_in_training(how):
    cut = cut_of(ending(frozen(InTraining(how)), conv()))
    with pytest.raises(UnprovableError, match="its frozen part"):
        Trunk(cut, lambda: X[:2])
    Trunk(cut_of(ending(frozen(InTraining("nothing")), conv())), lambda: X[:2])


class Whitens(layers.Layer):
    """Mixes the images of a batch."""

    def call(self, x):
        return (x - ops.mean(x)) / ops.std(x)


def test_a_trunk_that_mixes_images_is_refused():
    cut = cut_of(ending(Whitens(), frozen(conv()), conv()))
    with pytest.raises(UnprovableError, match="beside other images"):
        Trunk(cut, lambda: np.stack([X[0], 2 * X[1]]))


def test_trunks_of_earlier_structures_are_freed():
    clear_features()
    alive = []
    for filters in range(1, 8):
        cut = cut_of(ending(frozen(conv(filters)), conv()))
        Trunk(cut, lambda: X[:2]).features(X)
        alive.append(weakref.ref(cut.trunk))
    del cut
    gc.collect(), gc.collect()  # finalizers of TensorFlow's functions let go of more
    assert [ref() is None for ref in alive] == [True] * 3 + [False] * 4


def test_a_model_that_is_quantized_is_cut_anew():
    parts = [layers.Flatten(), frozen(layers.Dense(8)), layers.Dense(2)]
    model = keras.Sequential([layers.Input((6, 6, 1)), *parts])
    model.compile("sgd", "mse")
    before = cut_of(model)
    features = Trunk(before, lambda: X).features(X)
    model.layers[1].quantize("int8")
    model.compile("sgd", "mse")
    after = cut_of(model)
    assert after is not before
    quantized = Trunk(after, lambda: X).features(X)
    assert not np.array_equal(quantized, features)
    np.testing.assert_allclose(
        after.head.predict(quantized, verbose=0), model.predict(X, verbose=0), **ROUNDING
    )


@pytest.mark.parametrize("build", [sequential, separable])
def test_an_image_has_the_same_features_in_any_company(build):
    trunk = Trunk(cut_of(build()), lambda: X)
    together = trunk.features(X)
    np.testing.assert_array_equal(trunk.features(X[::-1])[::-1], together)
    np.testing.assert_array_equal(trunk.features(X[5:8]), together[5:8])


def test_weights_that_are_constants_change_rounding_alone(monkeypatch):
    model = separable()
    constant = Trunk(cut_of(model), lambda: X)
    features = constant.features(X)
    known = constant.lasting_key()
    trunks.clear_trunks()
    monkeypatch.setattr(trunks, "MOST_CONSTANT", 0)
    given = Trunk(cut_of(model), lambda: X)
    np.testing.assert_allclose(given.features(X), features, **ROUNDING)
    assert given.lasting_key() != known


@pytest.mark.parametrize("most", [0, trunks.MOST_CONSTANT])
def test_a_trunk_has_the_weights_of_its_making(most, monkeypatch):
    monkeypatch.setattr(trunks, "MOST_CONSTANT", most)
    model = separable()
    old, late = (Trunk(cut_of(model), lambda: X) for _ in range(2))
    features = old.features(X)
    model.layers[1].set_weights([np.full(8, 2.0)] * 4)
    np.testing.assert_array_equal(late.features(X), features)
    new = old.of_now()
    np.testing.assert_allclose(
        cut_of(model).head.predict(new.features(X), verbose=0),
        model.predict(X, verbose=0),
        **ROUNDING,
    )
    np.testing.assert_array_equal(old.features(X), features)
    assert not np.allclose(new.features(X), features)


def test_trunks_of_equal_structure_share_a_step_and_no_weights():
    one, other = sequential(), sequential()
    a, b = Trunk(cut_of(one), lambda: X), Trunk(cut_of(other), lambda: X)
    assert a._steps is b._steps
    assert a.key != b.key
    assert a.lasting_key() != b.lasting_key()
    other.set_weights(one.get_weights())
    c = Trunk(cut_of(other), lambda: X)
    assert c.key == a.key
    assert c.lasting_key() == a.lasting_key()
    np.testing.assert_array_equal(c.features(X), a.features(X))
    assert not np.array_equal(b.features(X), a.features(X))
