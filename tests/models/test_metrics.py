"""Keras' metrics against scikit-learn's of the same predictions, or refused before training."""

import functools

import keras
import numpy as np
import pytest
from samples import classifier
from scipy.special import expit, logit, rel_entr, softmax
from sklearn import metrics as sk
from sklearn.base import clone
from sklearn.model_selection import cross_validate

from skimgcv import ImageAugmenter, clear_compiled_models
from skimgcv.exceptions import MetricTargetsWarning

km = keras.metrics
RNG = np.random.default_rng(0)
X = RNG.random((50, 4, 4, 1), dtype=np.float32)
WEIGHTS = RNG.uniform(0.2, 3, 50)
# Keras' curves have this many thresholds, scikit-learn's one a row: of 50 rows none share one.
FINE = {"num_thresholds": 30_000}


def build(meta, units=None, activation="softmax"):
    """Build a model whose outputs differ enough that a wrong metric shows."""
    last = keras.layers.Dense(
        units or meta["n_classes_"],
        activation=activation,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.5, seed=3),
    )
    return keras.Sequential(
        [keras.layers.Input(meta["image_shape_"]), keras.layers.Flatten(), last]
    )


def labels(n_classes):
    return np.random.default_rng(n_classes + 1).permutation(np.arange(50) % n_classes)


def one_hot(y, p):
    return y[:, None] if p.shape[1] == 1 else np.eye(p.shape[1])[y]


def by_hand(values):
    """Average what is computed row by row."""
    return lambda y, p, w: np.average(values(one_hot(y, p), p), weights=w)


def of_rows(score, **options):
    return lambda y, p, w: score(one_hot(y, p), p, sample_weight=w, **options)


def of_labels(score, **options):
    return lambda y, p, w: score(y, p.argmax(axis=1), sample_weight=w, **options)


def of_marks(score, **options):
    """Score each row's columns above 0.5."""
    return lambda y, p, w: score(one_hot(y, p), p > 0.5, sample_weight=w, **options)


def hinge(y, p):
    return np.maximum(0, 1 - (2 * y - 1) * p)


def top_2(y, p, w):
    return sk.top_k_accuracy_score(y, p, k=2, sample_weight=w)


def log_loss(y, p, w):
    return sk.log_loss(y, p, sample_weight=w)


def poisson(y, p):
    return (p - y * np.log(p)).mean(axis=1)


def cosine(y, p):
    return (y * p).sum(axis=1) / np.linalg.norm(p, axis=1)


def pearson(y, p):
    return [np.corrcoef(*pair)[0, 1] for pair in zip(y, p, strict=True)]


def concordance(y, p):
    both = 2 * ((y - y.mean(1, keepdims=True)) * (p - p.mean(1, keepdims=True))).mean(1)
    return both / (y.var(1) + p.var(1) + (y.mean(1) - p.mean(1)) ** 2)


def counted(row, column):
    def count(y, p, w):
        w = None if w is None else np.repeat(w, p.shape[1])
        pooled = sk.confusion_matrix(one_hot(y, p).ravel(), p.ravel() > 0.5, sample_weight=w)
        return pooled[row, column]

    return count


def roc(pick):
    """Score a curve of all columns pooled, or of the second of two classes."""

    def score(y, p, w):
        truth, values = one_hot(y, p), p
        if p.shape[1] == 2:
            truth, values = truth[:, 1:], p[:, 1:]
        w = None if w is None else np.repeat(w, values.shape[1])
        return pick(truth.ravel(), values.ravel(), w)

    return score


def sensitivity(truth, values, w):
    false, true, _ = sk.roc_curve(truth, values, sample_weight=w, drop_intermediate=False)
    return true[1 - false >= 0.6].max()


def specificity(truth, values, w):
    false, true, _ = sk.roc_curve(truth, values, sample_weight=w, drop_intermediate=False)
    return (1 - false)[true >= 0.6].max()


def precision_at(truth, values, w):
    precision, recall, _ = sk.precision_recall_curve(truth, values, sample_weight=w)
    return precision[recall >= 0.6].max()


def recall_at(truth, values, w):
    precision, recall, _ = sk.precision_recall_curve(truth, values, sample_weight=w)
    return recall[precision >= 0.45].max()


def roc_auc(truth, values, w):
    return sk.roc_auc_score(truth, values, sample_weight=w)


def pr_of_the_second(y, p, w):
    """Keras' own interpolation, which scikit-learn does not have."""
    return km.AUC(curve="PR")(y, p[:, 1], w)


accuracy = of_labels(sk.accuracy_score)
EACH_COLUMN = {
    "auc": (lambda: km.AUC(**FINE, name="auc"), roc(roc_auc)),
    "sens": (lambda: km.SensitivityAtSpecificity(0.6, **FINE, name="sens"), roc(sensitivity)),
    "spec": (lambda: km.SpecificityAtSensitivity(0.6, **FINE, name="spec"), roc(specificity)),
    "p_at_r": (lambda: km.PrecisionAtRecall(0.6, **FINE, name="p_at_r"), roc(precision_at)),
    "r_at_p": (lambda: km.RecallAtPrecision(0.45, **FINE, name="r_at_p"), roc(recall_at)),
    "mean_squared_error": (km.MeanSquaredError, of_rows(sk.mean_squared_error)),
    "root_mean_squared_error": (
        km.RootMeanSquaredError,
        lambda y, p, w: np.sqrt(sk.mean_squared_error(one_hot(y, p), p, sample_weight=w)),
    ),
    "mean_absolute_error": (km.MeanAbsoluteError, of_rows(sk.mean_absolute_error)),
    "mean_squared_logarithmic_error": (
        km.MeanSquaredLogarithmicError,
        of_rows(sk.mean_squared_log_error),
    ),
    "logcosh": (km.LogCoshError, by_hand(lambda y, p: np.log(np.cosh(p - y)).mean(axis=1))),
    "r2_score": (km.R2Score, of_rows(sk.r2_score)),
    "poisson": (km.Poisson, by_hand(poisson)),
    "hinge": (km.Hinge, by_hand(lambda y, p: hinge(y, p).mean(axis=1))),
    "squared_hinge": (km.SquaredHinge, by_hand(lambda y, p: (hinge(y, p) ** 2).mean(axis=1))),
}
FOR_EACH_CLASS = {
    "accuracy": (lambda: "accuracy", accuracy),
    "acc": (lambda: "acc", accuracy),
    "binary_accuracy": (
        km.BinaryAccuracy,
        by_hand(lambda y, p: ((p > 0.5) == y).mean(axis=1)),
    ),
    "categorical_accuracy": (km.CategoricalAccuracy, accuracy),
    "sparse_categorical_accuracy": (km.SparseCategoricalAccuracy, accuracy),
    "categorical_crossentropy": (km.CategoricalCrossentropy, log_loss),
    "sparse_categorical_crossentropy": (km.SparseCategoricalCrossentropy, log_loss),
    "kl_divergence": (km.KLDivergence, by_hand(lambda y, p: rel_entr(y, p).sum(axis=1))),
    "macro": (
        lambda: km.F1Score(average="macro", name="macro"),
        of_labels(sk.f1_score, average="macro"),
    ),
    "f1_score": (lambda: "f1_score", of_labels(sk.f1_score, average=None)),
    "weighted": (
        lambda: km.FBetaScore(average="weighted", beta=2.0, name="weighted"),
        of_labels(sk.fbeta_score, average="weighted", beta=2),
    ),
    "over": (
        lambda: km.F1Score(average="micro", threshold=0.5, name="over"),
        of_marks(sk.f1_score, average="micro"),
    ),
    "multi_label": (
        lambda: km.AUC(multi_label=True, **FINE, name="multi_label"),
        of_rows(sk.roc_auc_score),
    ),
    "of_class": (
        lambda: km.Precision(class_id=1, name="of_class"),
        lambda y, p, w: sk.precision_score(y == 1, p[:, 1] > 0.5, sample_weight=w),
    ),
    "one_hot_iou": (
        lambda: km.OneHotIoU(num_classes=3, target_class_ids=[1], name="one_hot_iou"),
        of_labels(sk.jaccard_score, average="macro", labels=[1]),
    ),
    "cosine_similarity": (km.CosineSimilarity, by_hand(cosine)),
    "pearson_correlation": (km.PearsonCorrelation, by_hand(pearson)),
    "concordance_correlation": (km.ConcordanceCorrelation, by_hand(concordance)),
    "categorical_hinge": (
        km.CategoricalHinge,
        by_hand(lambda y, p: np.maximum(0, ((1 - y) * p).max(1) - (y * p).sum(1) + 1)),
    ),
    "categorical_focal_crossentropy": (
        lambda: keras.losses.categorical_focal_crossentropy,
        by_hand(lambda y, p: -(0.25 * y * (1 - p) ** 2 * np.log(p)).sum(axis=1)),
    ),
    "huber": (
        lambda: keras.losses.huber,
        by_hand(lambda y, p: (0.5 * (y - p) ** 2).mean(axis=1)),
    ),
}
COUNTS = {
    "tp": (lambda: km.TruePositives(name="tp"), counted(1, 1)),
    "tn": (lambda: km.TrueNegatives(name="tn"), counted(0, 0)),
    "fp": (lambda: km.FalsePositives(name="fp"), counted(0, 1)),
    "fn": (lambda: km.FalseNegatives(name="fn"), counted(1, 0)),
}
OF_THREE = {
    **EACH_COLUMN,
    **FOR_EACH_CLASS,
    **COUNTS,
    "precision": (lambda: "precision", of_marks(sk.precision_score, average="micro")),
    "recall": (lambda: "recall", of_marks(sk.recall_score, average="micro")),
    "best": (lambda: km.Recall(top_k=2, name="best"), top_2),
    "top": (lambda: km.TopKCategoricalAccuracy(k=2, name="top"), top_2),
    "sparse_top": (lambda: km.SparseTopKCategoricalAccuracy(k=2, name="sparse_top"), top_2),
    "mean_iou": (
        lambda: km.OneHotMeanIoU(num_classes=3, name="mean_iou"),
        of_labels(sk.jaccard_score, average="macro"),
    ),
    "numbers_iou": (
        lambda: km.MeanIoU(num_classes=3, sparse_y_pred=False, name="numbers_iou"),
        of_labels(sk.jaccard_score, average="macro"),
    ),
}
OF_TWO = {
    **EACH_COLUMN,
    **FOR_EACH_CLASS,
    "precision": (lambda: "precision", of_labels(sk.precision_score)),
    "recall": (lambda: "recall", of_labels(sk.recall_score)),
    "pr": (lambda: km.AUC(curve="PR", name="pr"), pr_of_the_second),
}
ONE = of_marks(sk.accuracy_score)
OF_ONE = {
    **EACH_COLUMN,
    **COUNTS,
    "accuracy": (lambda: "accuracy", ONE),
    "acc": (lambda: "acc", ONE),
    "binary_accuracy": (lambda: keras.metrics.binary_accuracy, ONE),
    "precision": (lambda: "precision", of_marks(sk.precision_score)),
    "recall": (lambda: "recall", of_marks(sk.recall_score)),
    "f1_score": (lambda: "f1_score", of_marks(sk.f1_score)),
    "fbeta_score": (lambda: km.FBetaScore(beta=2.0), of_marks(sk.fbeta_score, beta=2)),
    "binary_crossentropy": (
        lambda: "binary_crossentropy",
        lambda y, p, w: sk.log_loss(y, p[:, 0], sample_weight=w),
    ),
    "binary_iou": (
        lambda: km.BinaryIoU(name="binary_iou"),
        of_marks(sk.jaccard_score, average="macro"),
    ),
}
OF_ONE_LOGIT = {
    n: OF_ONE[n]
    for n in ("auc", "accuracy", "acc", "binary_accuracy", "binary_crossentropy", "binary_iou")
}
OF_ONE_LOGIT["hinge"] = (km.Hinge, by_hand(lambda y, p: hinge(y, logit(p)).mean(axis=1)))
OF_LOGITS = {
    n: OF_THREE[n]
    for n in (
        *("accuracy", "categorical_accuracy", "sparse_categorical_accuracy", "top", "sparse_top"),
        *("categorical_crossentropy", "sparse_categorical_crossentropy", "best", "mean_iou"),
        *("macro", "f1_score", "weighted", "numbers_iou"),
    )
}
OF_SIGMOIDS = {
    **{n: OF_THREE[n] for n in ("accuracy", "auc", "precision", "tp", "binary_accuracy", "over")},
    "binary_crossentropy": (
        km.BinaryCrossentropy,
        by_hand(lambda y, p: -np.log(np.where(y, p, 1 - p)).mean(axis=1)),
    ),
    "binary_focal_crossentropy": (
        lambda: keras.losses.binary_focal_crossentropy,
        by_hand(
            lambda y, p: -(np.where(y, 1 - p, p) ** 2 * np.log(np.where(y, p, 1 - p))).mean(1)
        ),
    ),
}
CASES = {
    "three": (3, {}, OF_THREE),
    "two": (2, {}, OF_TWO),
    "one": (2, {"model__units": 1, "model__activation": "sigmoid"}, OF_ONE),
    "logit": (2, {"model__units": 1, "model__activation": None}, OF_ONE_LOGIT),
    "logits": (3, {"model__activation": None}, OF_LOGITS),
    "sigmoids": (3, {"model__activation": "sigmoid", "loss": "binary_crossentropy"}, OF_SIGMOIDS),
}


@functools.cache
def untrained(case):
    """Fit at a learning rate of 0, so that each epoch's metrics are of the final predictions."""
    n_classes, parameters, table = CASES[case]
    clf = classifier(
        build,
        metrics=[make() for make, _ in table.values()],
        compile__weighted_metrics=[make() for make, _ in table.values()],
        optimizer=keras.optimizers.SGD(0.0),
        batch_size=16,
        compile__run_eagerly=True,  # quicker than to trace so many
        **parameters,
    )
    y = labels(n_classes)
    clf.fit(X, y, sample_weight=WEIGHTS, validation_data=(X, y, WEIGHTS))
    outputs = clf.model_.predict(X, verbose=0).astype(np.float64)
    if parameters.get("model__activation", "softmax") is None:
        outputs = expit(outputs) if outputs.shape[1] == 1 else softmax(outputs, axis=1)
    if outputs.shape[1] > 1 and "loss" not in parameters:
        outputs /= outputs.sum(axis=1, keepdims=True)  # float32 sums are rounded
    return clf.history_, y, outputs


@pytest.mark.parametrize(("case", "name"), [(c, n) for c in CASES for n in CASES[c][2]])
def test_a_metric_says_what_scikit_learn_says(case, name):
    history, y, p = untrained(case)
    expected = CASES[case][2][name][1]
    for prefix, weights in {"": None, "weighted_": WEIGHTS}.items():
        for part in ("", "val_"):
            # Keras computes in float32, and its quotients have 1e-7 added below.
            np.testing.assert_allclose(
                history[part + prefix + name][-1], expected(y, p, weights), rtol=2e-5, atol=1e-6
            )


def test_every_metric_of_keras_is_either_right_or_refused():
    names = {n for n in dir(km) if n[0].isupper()} - {"Metric", "MeanMetricWrapper"}
    classes = {getattr(km, n) for n in names}
    made = {make() for *_, table in CASES.values() for make, _ in table.values()}
    texts = {km.get(m) for m in made if isinstance(m, str) and m not in ("accuracy", "acc")}
    right = {type(m) for m in made | texts if isinstance(m, km.Metric)} | made
    assert classes - right <= {
        km.Accuracy,
        km.Mean,
        km.Sum,
        km.MeanAbsolutePercentageError,
        km.IoU,
    }


# -- what cannot be right --------------------------------------------------------------

ONE_UNIT = {"model__units": 1, "model__activation": "sigmoid"}
SPARSE = {"loss": "sparse_categorical_crossentropy"}
LINEAR = {"model__activation": None}


@pytest.mark.parametrize(
    ("metric", "parameters", "message"),
    [
        (km.Accuracy(), {}, "never agree; use 'accuracy'"),
        (km.Mean(), {}, "The metric Mean is of one value a row"),
        (km.Sum(), {}, "The metric Sum is of one value a row"),
        ("mape", {}, "MeanAbsolutePercentageError divides by targets that are 0"),
        (km.IoU(num_classes=3, target_class_ids=[0]), {}, "class numbers .* use OneHotIoU"),
        (km.MeanIoU(num_classes=3), {}, "use OneHotMeanIoU"),
        (km.OneHotMeanIoU(num_classes=2), {}, "has num_classes=2; pass 3"),
        (km.BinaryIoU(), {}, "one output; use OneHotIoU"),
        (km.BinaryCrossentropy(), {}, "for sigmoid outputs; use 'categorical_crossentropy'"),
        (km.CategoricalCrossentropy(from_logits=True), {}, "outputs are probabilities"),
        (km.Precision(class_id=3), {}, "class_id=3; the model's outputs are numbered 0 to 2"),
        (km.AUC(multi_label=True, num_labels=4), {}, "the model has 3"),
        (km.PearsonCorrelation(axis=0), {}, "depends on the batches"),
        (keras.losses.dice, {}, "dice is a loss of whole batches"),
        (keras.losses.CategoricalHinge(), {}, "averages each batch.*keras.metrics.Categ"),
        ("f1", {}, "identifier: f1; is 'f1_score' meant"),
        ("recal", {}, "is 'recall' meant"),
        # The loss was chosen by the user, and takes class numbers.
        (km.F1Score(), SPARSE, "F1Score needs one-hot rows, .* pass loss='auto'"),
        ("auc", SPARSE, "AUC needs one-hot rows"),
        (km.categorical_accuracy, SPARSE, "needs one-hot rows"),
        ("mse", SPARSE, "needs one-hot rows"),
        # One unit for two classes.
        (km.CategoricalAccuracy(), ONE_UNIT, "the model has one; use 'accuracy'"),
        (km.SparseCategoricalAccuracy(), ONE_UNIT, "the model has one; use 'accuracy'"),
        (km.TopKCategoricalAccuracy(), ONE_UNIT, "the model has one"),
        ("categorical_crossentropy", ONE_UNIT, "use 'binary_crossentropy'"),
        ("sparse_categorical_crossentropy", ONE_UNIT, "the model has one"),
        ("kl_divergence", ONE_UNIT, "the model has one"),
        ("cosine_similarity", ONE_UNIT, "use 'mean_squared_error'"),
        (km.F1Score(average="macro"), ONE_UNIT, "average='macro' needs an output for each class"),
        (km.Recall(top_k=1), ONE_UNIT, "use thresholds"),
        (km.Recall(class_id=1), ONE_UNIT, "numbered 0 to 0"),
        (km.MeanIoU(num_classes=2), ONE_UNIT, "use BinaryIoU"),
        # Logits and other scores.
        ("auc", LINEAR, "AUC needs probabilities, .* logits; end .* activation='softmax'"),
        ("precision", LINEAR, "needs probabilities"),
        (km.F1Score(threshold=0.5), LINEAR, "needs probabilities"),
        ("mse", LINEAR, "needs probabilities"),
        ("poisson", LINEAR, "needs probabilities"),
        ("binary_accuracy", LINEAR, "needs probabilities"),
        ("f1_score", ONE_UNIT | LINEAR, "activation='sigmoid'"),
        ("recall", ONE_UNIT | LINEAR, "needs probabilities"),
        (km.BinaryAccuracy(threshold=0.3), ONE_UNIT | LINEAR, "needs probabilities"),
        ("auc", ONE_UNIT | LINEAR | {"loss": "mse"}, "outputs are scores"),
        ("f1_score", ONE_UNIT | LINEAR | {"loss": "hinge"}, "outputs are scores"),
        (km.CategoricalCrossentropy(), LINEAR | {"loss": "mse"}, "outputs are scores"),
    ],
)
def test_a_metric_that_would_be_wrong_is_refused_before_training(metric, parameters, message):
    n_classes = 2 if "model__units" in parameters else 3
    clf = classifier(build, **parameters, callbacks=Untrained())
    for key in ("metrics", "compile__weighted_metrics"):
        with pytest.raises(ValueError, match=message):
            clf.set_params(**{key: [metric]}).fit(X, labels(n_classes))
        clf.set_params(metrics=None)


class Untrained(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        raise AssertionError("training has begun")


def test_counts_of_two_softmax_units_are_refused():
    with pytest.raises(ValueError, match=r"counts both classes; end .* one sigmoid unit"):
        classifier(build, metrics=[km.TruePositives()]).fit(X, labels(2))


# -- which targets 'auto' chooses ------------------------------------------------------


def fit(metrics, model=build, **parameters):
    return classifier(model, metrics=metrics, **parameters).fit(X, labels(3))


@pytest.mark.parametrize(
    ("metrics", "loss"),
    [
        (None, "Sparse"),
        (["accuracy"], "Sparse"),
        ([km.SparseCategoricalAccuracy(), "acc"], "Sparse"),
        ({"dense": ["accuracy", "f1_score"]}, "Categorical"),
        ([["accuracy", km.SparseCategoricalAccuracy], ["AUC"]], "Categorical"),
    ],
)
def test_auto_keeps_class_numbers_unless_a_metric_needs_rows(metrics, loss):
    assert type(fit(metrics).model_.loss).__name__.startswith(loss)


def test_metrics_change_no_weights():
    # Two ways to sum the same terms in float32.
    for a, b in zip(fit(None).model_.weights, fit(["auc"]).model_.weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def own(y_true, y_pred):
    """Tell the width of the targets."""
    return keras.ops.cast(
        keras.ops.full((keras.ops.shape(y_pred)[0],), y_true.shape[-1]), "float32"
    )


class OwnF1(km.F1Score):
    def update_state(self, y_true, y_pred, sample_weight=None):
        rows = keras.ops.one_hot(keras.ops.reshape(y_true, (-1,)), 3)
        return super().update_state(rows, y_pred, sample_weight)


def test_a_metric_of_ones_own_gets_what_the_loss_takes():
    with pytest.warns(MetricTargetsWarning, match=r"own is your own.*\(n, 1\).*loss="):
        assert fit([own]).history_["own"] == [1]
    assert fit([own], loss="sparse_categorical_crossentropy").history_["own"] == [1]
    assert fit([own], loss="categorical_crossentropy").history_["own"] == [3]
    one_hot_too = fit([own, "f1_score"], loss="categorical_crossentropy")
    assert one_hot_too.history_["own"] == [3]
    # Sigmoids get the binary crossentropy, which takes rows.
    assert fit([own], model__activation="sigmoid").history_["own"] == [3]
    with pytest.warns(MetricTargetsWarning, match="OwnF1 is your own"):
        fit([OwnF1(average="macro")])


def test_a_metric_of_ones_own_beside_one_that_needs_rows_is_not_guessed():
    with pytest.raises(ValueError, match="F1Score needs one-hot rows"):
        fit([own, "f1_score"])


def test_a_subclass_that_only_names_options_is_as_its_base():
    class MacroF1(km.F1Score):
        def __init__(self, name="macro_f1", dtype=None, **options):
            super().__init__(**{"average": "macro", "name": name, "dtype": dtype, **options})

    clf = fit([MacroF1()])
    assert clf.history_["macro_f1"] == fit([km.F1Score(average="macro")]).history_["f1_score"]


# -- who compiles ----------------------------------------------------------------------


def build_compiled(meta, metrics, loss="categorical_crossentropy"):
    model = build(meta)
    model.compile("sgd", loss, metrics=metrics, weighted_metrics=["acc"])
    return model


def build_with(meta, compile_kwargs):
    model = build(meta)
    model.compile(**compile_kwargs)
    return model


def test_models_that_the_builder_compiles_are_looked_at_too():
    sparse = [km.SparseCategoricalAccuracy(name="s"), "accuracy"]
    clf = classifier(build_compiled, model__metrics=sparse).fit(X, labels(3))
    assert clf.history_["s"] == clf.history_["accuracy"]
    with pytest.raises(ValueError, match="AUC needs one-hot rows"):
        classifier(
            build_compiled, model__metrics=["auc"], model__loss="sparse_categorical_crossentropy"
        ).fit(X, labels(3))
    model = build({"image_shape_": (4, 4, 1), "n_classes_": 3})
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=[km.F1Score()])
    with pytest.raises(ValueError, match="F1Score needs one-hot rows"):
        classifier(model).fit(X, labels(3))


def test_auto_is_chosen_by_the_metrics_of_compile_kwargs():
    history = fit(["accuracy", km.CategoricalAccuracy(name="c")], build_with).history_
    assert history["c"] == history["accuracy"]


def test_a_compile_method_of_ones_own_is_not_called_with_other_metrics():
    class Own(keras.Sequential):
        def compile(self, rate, **more):
            super().compile(keras.optimizers.SGD(rate), "categorical_crossentropy", **more)

    def builder(meta, metric):
        model = Own(build(meta).layers)
        model.compile(0.1, metrics=[metric])
        return model

    clf = classifier(builder, model__metric=km.CategoricalAccuracy()).fit(X, labels(3))
    assert "categorical_accuracy" in clf.history_
    with pytest.raises(ValueError, match=r"CategoricalAccuracy .* Own\.compile"):
        clf.set_params(model__metric=km.SparseCategoricalAccuracy()).fit(X, labels(3))


def test_mixed_labels_are_rows_for_all_metrics():
    clf = fit(
        [own, km.SparseCategoricalAccuracy(), "f1_score"],
        augmenter=ImageAugmenter(mixup_alpha=0.2),
    )
    assert clf.history_["own"] == [3]


# -- names and steps -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metrics", "name"),
    [
        (["AUC"], "AUC"),
        ("auc", "auc"),
        (["mse"], "mse"),
        (km.AUC, "auc"),
        ({"dense": [km.AUC]}, "auc"),
        ([["acc", km.Precision]], "precision"),
    ],
)
def test_a_metric_has_the_name_that_keras_gives_it_in_each_fit(metrics, name):
    # EarlyStopping(monitor="val_auc") would watch nothing from the second fold on.
    assert all(name in fit(metrics).history_ for _ in range(2))


def test_metrics_of_a_builder_have_the_same_names_in_each_fit():
    class Own(km.Mean):
        def __init__(self, name=None):
            super().__init__(name)

        def update_state(self, y_true, y_pred, sample_weight=None):
            return super().update_state(y_pred)

    def builder(meta):
        class FromWithin(Own):
            pass

        metrics = [km.AUC(), km.AUC(curve="PR"), km.AUC(name="auc_2"), km.Precision]
        return build_compiled(meta, [*metrics, Own(), FromWithin(), km.Recall(name="recall_7")])

    names = {"auc", "auc_1", "auc_2", "precision", "own", "from_within", "recall_7", "acc", "loss"}
    clf = classifier(builder)
    for _ in range(3):
        assert set(clone(clf).fit(X, labels(3)).history_) == names
    # Elsewhere Keras goes on counting.
    assert km.AUC().name not in names


def test_operations_in_a_builder_count_on():
    outside = keras.Input((4, 4, 1))
    backbone = keras.Model(outside, outside + keras.ops.mean(outside, (1, 2, 3), keepdims=True))

    def builder(meta):
        means = keras.ops.mean(backbone.output, (1, 2))
        model = keras.Model(backbone.input, keras.layers.Dense(3, activation="softmax")(means))
        model.compile("sgd", "categorical_crossentropy", metrics=[km.Precision()])
        return model

    for _ in range(2):
        assert "precision" in classifier(builder).fit(X, labels(3)).history_


def test_early_stopping_by_a_metric_of_the_builder_works_in_each_fold():
    clf = classifier(
        lambda meta: build_compiled(meta, [km.AUC()]),
        epochs=9,
        callbacks=keras.callbacks.EarlyStopping("val_auc", patience=1, baseline=2.0),
        validation_split=0.25,
    )
    found = cross_validate(clf, X, labels(3), cv=3, return_estimator=True, error_score="raise")
    assert all(len(fitted.history_["val_auc"]) < 9 for fitted in found["estimator"])


def test_a_builder_may_clear_keras_session():
    def builder(meta):
        keras.backend.clear_session()
        return build_compiled(meta, [km.AUC()])

    for _ in range(2):
        assert "auc" in classifier(builder).fit(X, labels(3)).history_


def test_a_class_among_the_metrics_of_ones_own_compile_method_stays():
    class Own(keras.Sequential):
        def compile(self, **more):
            super().compile("sgd", "categorical_crossentropy", **more)

    def builder(meta):
        model = Own(build(meta).layers)
        model.compile(metrics=[km.Precision])
        return model

    assert any("precision" in name for name in classifier(builder).fit(X, labels(3)).history_)


def test_a_routed_name_stays():
    assert "own" in fit(km.AUC, metrics__name="own", metrics__curve="PR").history_


def test_steps_are_shared_with_metrics_that_need_rows(traces):
    clear_compiled_models()
    for metrics in (
        ["f1_score", "auc"],
        [km.Precision(class_id=1), km.SparseCategoricalAccuracy()],
    ):
        fit(metrics)
        before = dict(traces)
        fit(metrics)
        assert traces == before
