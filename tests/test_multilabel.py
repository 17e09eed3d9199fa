"""Several labels an image: each as if it were fitted alone."""

import pickle

import keras
import numpy as np
import pandas as pd
import pytest
from builders import linear
from samples import same_model
from scipy import sparse
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import cross_val_predict, cross_val_score
from sklearn.preprocessing import MultiLabelBinarizer
from sklearn.utils import estimator_checks

from skimgcv import AugmentedKerasClassifier, ImageAugmenter, clear_compiled_models
from skimgcv.model_selection import MultilabelStratifiedKFold

NAMES = ["nodule", "mass", "effusion"]
RNG = np.random.default_rng(0)
X = RNG.random((48, 4, 4, 1)).astype(np.float32)
Y = (X.reshape(48, -1)[:, :3] + RNG.normal(0, 0.1, (48, 3)) > [0.4, 0.6, 0.8]).astype(int)
WEIGHTS = RNG.integers(0, 4, 48).astype(float)


def from_zero(meta):
    """Build independent heads, whose training can be written down."""
    outputs = len(meta["classes_"]) if meta["target_type_"] == "multilabel-indicator" else 1
    return keras.Sequential(
        [
            keras.layers.Input(meta["image_shape_"]),
            keras.layers.Flatten(),
            keras.layers.Dense(outputs, activation="sigmoid", kernel_initializer="zeros"),
        ]
    )


def of_labels(model=linear, **parameters):
    settings = {"multilabel": True, "random_state": 0, "optimizer__learning_rate": 0.1}
    return AugmentedKerasClassifier(model, **settings | parameters)


def sgd(rate, **parameters):
    given = {"model": from_zero, "optimizer": "sgd", "optimizer__learning_rate": rate}
    return {**given, "epochs": 3, "batch_size": 8, "random_state": 0, **parameters}


@pytest.mark.parametrize(
    ("class_weight", "of_label"),
    [
        (None, lambda label: None),
        ("balanced", lambda label: "balanced"),
        ({1: 3.0, 2: 0.5}, lambda label: {1: {1: 3.0, 2: 0.5}.get(label, 1.0)}),
    ],
    ids=["plain", "balanced", "dict"],
)
@pytest.mark.parametrize("sample_weight", [None, WEIGHTS], ids=["", "weighted"])
def test_each_label_is_as_if_it_were_fitted_alone(class_weight, of_label, sample_weight):
    # The loss is a mean over labels: a third of the gradient of each.
    together = AugmentedKerasClassifier(**sgd(0.3, multilabel=True, class_weight=class_weight))
    together.fit(X, Y, sample_weight=sample_weight)
    for label in range(3):
        alone = AugmentedKerasClassifier(**sgd(0.1, class_weight=of_label(label)))
        alone.fit(X, Y[:, label], sample_weight=sample_weight)
        # Sums of float32 in another order.
        np.testing.assert_allclose(
            together.predict_proba(X)[:, label], alone.predict_proba(X)[:, 1], rtol=2e-5
        )


def test_a_step_is_the_one_that_is_written_down():
    clf = AugmentedKerasClassifier(
        **sgd(0.6, multilabel=True, epochs=1, batch_size=48, class_weight={0: 2.0})
    ).fit(X, Y, sample_weight=WEIGHTS + 1)
    weights = np.where(Y, [2.0, 1, 1], 1.0) * (WEIGHTS + 1)[:, None]
    kernel = -0.6 * X.reshape(48, -1).T @ (weights * (0.5 - Y)) / (48 * 3)
    np.testing.assert_allclose(clf.model_.get_weights()[0], kernel, rtol=1e-4, atol=1e-6)


def test_what_y_may_be_gives_the_same_fit():
    binarizer = MultiLabelBinarizer(classes=NAMES, sparse_output=True)
    of_sets = binarizer.fit_transform([np.array(NAMES)[row == 1].tolist() for row in Y])
    frame = pd.DataFrame(Y, columns=NAMES)
    frame["mass"] = frame["mass"].astype(bool)  # columns of two kinds are an array of objects
    expected = of_labels().fit(X, Y)
    assert expected.classes_.tolist() == [0, 1, 2]
    for y in (Y.tolist(), Y.astype(bool), Y.astype(float), of_sets, sparse.csc_array(Y), frame):
        assert same_model(of_labels().fit(X, y), expected)
    named = of_labels().fit(X, frame)
    assert named.classes_.tolist() == NAMES
    assert named.score(X, frame) == expected.score(X, of_sets)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (Y[:, 0], r"shape \(48,\). leave multilabel out"),
        (Y[:, :1], "two labels or more; it has shape"),
        ([["a"]] * 47 + [["a", "b"]], "unequal lengths.*MultiLabelBinarizer"),
        (Y * 2, r"it holds \[2\]"),
        (np.where(Y, Y, np.nan), r"it holds \[nan\].*without labels"),
        (np.array(NAMES)[Y], "MultiLabelBinarizer"),
        (Y[:40], "X has 48, y has 40"),
        (None, "requires y to be passed"),
    ],
)
def test_a_y_that_is_no_table_of_labels_is_refused(y, message):
    if isinstance(y, np.ndarray) and y.dtype.kind == "U":
        y = y.astype(object)
    with pytest.raises(ValueError, match=message):
        of_labels().fit(X, y)


@pytest.mark.parametrize("names", [["a", 1, "b"], ["a", "b", "a"]])
def test_labels_have_names_of_one_kind_each_once(names):
    with pytest.raises(ValueError, match="all texts or all numbers, each once"):
        of_labels().fit(X, pd.DataFrame(Y, columns=names))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"sampling_strategy": "auto"}, "sampling_strategy draws rows of one class"),
        ({"class_augmenters": {0: ImageAugmenter()}}, "class_augmenters transform the rows of"),
        ({"class_weight": {"mass": 2}}, r"class_weight has \['mass'\], and the labels are \[0"),
        ({"loss": "categorical_crossentropy"}, "an independent probability for each label"),
        ({"class_weight": "balanced", "loss": "mse"}, "a loss that is a mean over labels"),
        (
            {"class_weight": "balanced", "compile__weighted_metrics": ["mae"]},
            "which weighted_metrics do not support",
        ),
        ({"metrics": ["categorical_accuracy"]}, "is of one class a row, and y has several"),
        ({"multilabel": "yes"}, "The 'multilabel' parameter"),
    ],
)
def test_what_several_labels_cannot_have_is_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        of_labels(**parameters).fit(X, Y)


def test_a_softmax_is_refused():
    def softmax(meta):
        layers = [keras.layers.Flatten(), keras.layers.Dense(3, activation="softmax")]
        return keras.Sequential([keras.layers.Input(meta["image_shape_"]), *layers])

    with pytest.raises(ValueError, match="activation='sigmoid'"):
        of_labels(softmax).fit(X, Y)


def test_predictions_and_scores_are_those_of_scikit_learn():
    clf = of_labels(epochs=3).fit(X, Y)
    proba = clf.predict_proba(X)
    assert proba.shape == (48, 3)
    assert proba.dtype == np.float64
    np.testing.assert_array_equal(clf.predict(X), (proba > 0.5).astype(int))
    np.testing.assert_array_equal(clf.decision_function(X) > 0, proba > 0.5)
    assert clf.score(X, Y) == (clf.predict(X) == Y).all(axis=1).mean()
    outputs = clf.to_keras().predict(X, verbose=0)
    np.testing.assert_allclose(outputs, proba, atol=1e-6)  # float32
    assert not hasattr(AugmentedKerasClassifier(linear), "decision_function")


@pytest.mark.parametrize("n_labels", [2, 3])
def test_scorers_that_people_want(n_labels):
    # Of two labels scikit-learn takes the probabilities of the second alone.
    y, folds = Y[:, :n_labels], MultilabelStratifiedKFold(2, shuffle=True, random_state=0)
    clf = of_labels(epochs=2)
    proba = cross_val_predict(clf, X, y, cv=folds, method="predict_proba")
    by_hand = {"roc_auc": roc_auc_score, "average_precision": average_precision_score}
    for name, measure in by_hand.items():
        scores = cross_val_score(clf, X, y, cv=folds, scoring=name)
        expected = [measure(y[test], proba[test]) for _, test in folds.split(X, y)]
        np.testing.assert_allclose(scores, expected)
    assert np.isfinite(cross_val_score(clf, X, y, cv=folds, scoring="f1_macro")).all()


def test_metrics_of_keras_are_those_of_the_predictions():
    metrics = ["accuracy", keras.metrics.AUC(multi_label=True, num_labels=3, name="auc")]
    metrics += [keras.metrics.F1Score(average="macro", name="f1")]
    clf = of_labels(epochs=1, metrics=metrics).fit(X, Y, validation_data=(X, Y))
    proba, history = clf.predict_proba(X), clf.history_
    assert history["val_accuracy"][0] == pytest.approx((clf.predict(X) == Y).mean(), abs=1e-6)
    # Keras takes 200 thresholds.
    assert history["val_auc"][0] == pytest.approx(roc_auc_score(Y, proba), abs=0.02)
    hits, found = (clf.predict(X) * Y).sum(0), clf.predict(X).sum(0) + Y.sum(0)
    assert history["val_f1"][0] == pytest.approx((2 * hits / found).mean(), abs=1e-5)


def test_the_hold_out_has_its_share_of_each_label_and_whole_groups():
    rare = np.c_[Y, np.arange(48) % 12 == 0].astype(int)
    clf = of_labels(validation_split=0.25).fit(X, rare)
    held = clf.validation_indices_
    assert len(held) == pytest.approx(12, abs=1)
    np.testing.assert_allclose(rare[held].sum(axis=0), rare.sum(axis=0) / 4, atol=1)
    groups = np.arange(48) // 3
    clf = of_labels(validation_split=0.25).fit(X, rare, groups=groups)
    held = clf.validation_indices_
    assert set(groups[held]).isdisjoint(groups[clf.sample_indices_])
    np.testing.assert_allclose(rare[held].sum(axis=0), rare.sum(axis=0) / 4, atol=2)


def test_saved_pickled_and_trained_further(tmp_path):
    frame = pd.DataFrame(Y, columns=NAMES)
    clf = of_labels(epochs=2, class_weight={"mass": 2.0}).fit(X, frame)
    assert clf.class_weight_["mass"] == {0: 1.0, 1: 2.0}
    clf.save(tmp_path / "clf")
    loaded = AugmentedKerasClassifier.load(tmp_path / "clf", {"linear": linear})
    for other in (loaded, pickle.loads(pickle.dumps(clf))):
        assert other.classes_.tolist() == NAMES
        np.testing.assert_array_equal(other.predict_proba(X), clf.predict_proba(X))
    adopted = AugmentedKerasClassifier.from_keras(clf.model_, classes=NAMES, multilabel=True)
    np.testing.assert_array_equal(adopted.predict_proba(X), clf.predict_proba(X))
    loaded.partial_fit(X, frame)
    assert same_model(loaded, clf.partial_fit(X, frame))
    with pytest.raises(ValueError, match="in this order"):
        clf.partial_fit(X, frame[NAMES[::-1]])


def test_weights_that_come_with_a_warm_start():
    clf = of_labels(warm_start=True).fit(X, Y)
    clf.set_params(class_weight="balanced").fit(X, Y)
    again = of_labels(warm_start=True).fit(X, Y).fit(X, Y)
    assert not same_model(clf, again)
    assert clf.model_.loss.get_config()["axis"] == ()

    def compiled(meta):
        model = linear(meta)
        model.compile("sgd", "binary_crossentropy")
        return model

    # The builder's own loss is weighed, too, but not exchanged later.
    parameters = {"multilabel": True, "warm_start": True, "random_state": 0}
    AugmentedKerasClassifier(compiled, class_weight="balanced", **parameters).fit(X, Y)
    clf = AugmentedKerasClassifier(compiled, **parameters).fit(X, Y)
    with pytest.raises(ValueError, match="class_weight"):
        clf.set_params(class_weight="balanced").fit(X, Y)


@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_mixup_mixes_labels_and_their_weights(class_weight):
    mixed = of_labels(
        from_zero, class_weight=class_weight, augmenter=ImageAugmenter(mixup_alpha=1.0)
    )
    clf = mixed.fit(X, Y, sample_weight=WEIGHTS)
    assert np.isfinite(clf.history_["loss"]).all()
    assert same_model(clf, mixed.fit(X, Y, sample_weight=WEIGHTS))


def test_folds_share_a_compiled_model_also_where_their_weights_differ(traces):
    clear_compiled_models()
    folds = MultilabelStratifiedKFold(3, shuffle=True, random_state=0)
    cross_val_score(of_labels(class_weight="balanced", validation_split=0.25), X, Y, cv=folds)
    assert traces == {"train_step": 1, "test_step": 1, "predict_step": 1}


@pytest.mark.parametrize(
    "check",
    [
        estimator_checks.check_classifiers_multilabel_representation_invariance,
        estimator_checks.check_classifiers_multilabel_output_format_predict,
        estimator_checks.check_classifiers_multilabel_output_format_predict_proba,
        estimator_checks.check_classifiers_multilabel_output_format_decision_function,
    ],
    ids=lambda check: check.__name__,
)
def test_scikit_learns_checks(check):
    clf = of_labels()
    assert clf.__sklearn_tags__().classifier_tags.multi_label
    check(type(clf).__name__, clf)
