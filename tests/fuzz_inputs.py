"""Fuzzed calls: each gives the right result, or an error of a documented type.

python tests/fuzz_inputs.py 10000

All of it runs but Keras' own training: in its place a stub takes down what would be trained
on, which has to be what NumPy makes of the same input by itself. Nothing that is passed in
may be changed, and no NumPy warning may come.
"""

import collections
import contextlib
import faulthandler
import sys
import types
import warnings
from unittest import mock

import fuzz_values as values
import numpy as np
from builders import linear
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from skimgcv import AugmentedKerasClassifier, ImageAugmenter, _prediction
from skimgcv._models.targets import ClassTargets
from skimgcv._runtime.random_streams import stream
from skimgcv._training import fitting, phases
from skimgcv._training.frozen import Trained

DOCUMENTED = (ValueError, TypeError)
"""NotFittedError, SavedFileError and scikit-learn's InvalidParameterError are such."""


# -- what stands in for Keras ------------------------------------------------------------------


class Recorder:
    """In place of a model: notes the batches that it is to learn."""

    variables = ()
    optimizer = types.SimpleNamespace(variables=())


def _build(factory, seed):
    targets = ClassTargets(n_classes=factory.n_classes_, one_unit=False, sparse=True, logits=False)
    return Recorder(), targets


def _fit(model, rebuild, batches, *, epochs, initial_epoch, validation, **_):
    model.seen = []
    for _ in range(initial_epoch, epochs):
        batches.on_epoch_begin()
        model.seen += [batches[i] for i in range(len(batches))]
    model.held = [] if validation is None else [validation[i] for i in range(len(validation))]
    return {"loss": [0.0] * (epochs - initial_epoch)}


def _whole(model, rebuild, batches, validation, *_):
    return Trained(None, rebuild, batches, validation)


def _predict(model, batches, **_):
    return outputs(np.concatenate([batches[i][0] for i in range(len(batches))]))


def outputs(images):
    """Score three classes: a row depends on its own pixels alone."""
    first = images.reshape(len(images), -1)[:, :1].astype(float)
    return np.where(np.isclose(first % 3 // 1, [0, 1, 2]), 0.6, 0.2)


@contextlib.contextmanager
def without_training(*, build=True):
    """Leave out the training, and if so wished the model as well."""
    with contextlib.ExitStack() as stack:
        if not build:
            stack.enter_context(mock.patch.object(fitting, "_build", _build))
        stack.enter_context(mock.patch.object(phases, "trained_part", _whole))
        stack.enter_context(mock.patch.object(phases, "fit_model", _fit))
        stack.enter_context(mock.patch.object(_prediction, "cut_and_fed", return_value=None))
        stack.enter_context(mock.patch.object(_prediction, "predict_model", _predict))
        yield


# -- calls -------------------------------------------------------------------------------------

WRONG = [(argument, how) for argument, table in values.WRONG.items() for how in table]
seeds = st.integers(0, 2**32 - 1)


@st.composite
def fits(draw, wrong):
    """Arguments of ``fit`` in any form, one of them perhaps wrong; and what is right."""
    rng = np.random.default_rng(draw(seeds))
    n = draw(st.integers(6, 14))
    shape = draw(st.sampled_from(values.SHAPES))
    images = values.images(rng, n, shape, draw(st.sampled_from(values.DTYPES)))
    form = draw(st.sampled_from(list(values.FORMS)))
    labels = draw(st.sampled_from(list(values.LABELS)))
    classes = values.LABELS[labels]
    codes = rng.permutation(np.arange(n) % len(classes))
    y_form = draw(st.sampled_from(list(values.Y_FORMS)))
    weighted = draw(st.sampled_from([None, *values.WEIGHT_FORMS]))
    weights = rng.integers(1, 9, n) / 4
    arguments = {
        "X": values.FORMS[form](images),
        "y": values.Y_FORMS[y_form]([classes[code] for code in codes]),
    }
    expected = [values.as_pixels(images), codes, None]
    if weighted is not None:
        arguments["sample_weight"] = values.WEIGHT_FORMS[weighted](weights)
        expected[2] = values.as_weights(arguments["sample_weight"])
    if draw(st.booleans()):
        per_class = {label: 0.5 + code for code, label in enumerate(np.unique(classes).tolist())}
        arguments["class_weight"] = per_class
        by_row = np.array([0.5 + code for code in codes])
        expected[2] = by_row * (1 if expected[2] is None else expected[2])
    name = f"X {form}, y {y_form} of {labels}, weights {weighted}"
    if not wrong:
        return name, arguments, expected
    argument, how = draw(st.sampled_from(WRONG))
    original = {"X": images, "y": [classes[c] for c in codes], "sample_weight": weights}
    arguments[argument] = values.WRONG[argument][how](original.get(argument, images))
    return f"{argument}: {how}", arguments, None


def check_fit(case):
    """Fit, and hold what would be trained on against what is right."""
    _, arguments, expected = case
    before = values.snapshot(arguments)
    clf = AugmentedKerasClassifier(linear, shuffle=False, batch_size=5, random_state=0)
    if "groups" in arguments:
        clf.set_params(validation_split=0.25)
    if getattr(arguments["X"], "ndim", None) == 2 and expected is not None:
        clf.set_params(image_shape=expected[0].shape[1:])
    outcome = _outcome(lambda: clf.fit(**arguments), before, arguments, right=expected is not None)
    if expected is None:
        assert not hasattr(clf, "model_"), "it failed, and is fitted"
        return outcome
    images, codes, weights = expected
    seen = [np.concatenate(parts) for parts in zip(*clf.model_.seen, strict=True)]
    np.testing.assert_array_equal(seen[0], images)
    np.testing.assert_array_equal(seen[1].ravel(), codes)
    assert len(seen) == (2 if weights is None else 3)
    if weights is not None:
        np.testing.assert_array_equal(seen[2], np.float32(weights))
    return outcome


@st.composite
def predictions(draw):
    rng = np.random.default_rng(draw(seeds))
    images = values.images(rng, draw(st.integers(1, 9)), (4, 4, 1), "u1")
    images = images.astype(draw(st.sampled_from(values.DTYPES)))
    if draw(st.booleans()):
        return "right", values.FORMS[draw(st.sampled_from(list(values.FORMS)))](images), images
    how = draw(st.sampled_from(list(values.WRONG_X)))
    return how, values.WRONG_X[how](images), None


_fitted = {}


def check_prediction(case):
    """Predict with a fitted classifier, whatever X is."""
    _, X, images = case
    flat = getattr(X, "ndim", None) == 2
    if flat not in _fitted:
        clf = AugmentedKerasClassifier(linear, image_shape=(4, 4) if flat else None)
        train = np.arange(96).reshape(6, 16) if flat else np.arange(96).reshape(6, 4, 4, 1)
        _fitted[flat] = clf.fit(train * 2, [0, 1, 2] * 2)
    found = []

    def call():
        found.append(_fitted[flat].predict_proba(X))

    outcome = _outcome(call, values.snapshot(X), X, right=images is not None)
    if images is not None:
        np.testing.assert_array_equal(found[0], outputs(values.as_pixels(images)))
    return outcome


def parameters_of(estimator):
    names = list(estimator.get_params(deep=False))
    routed = ["fit__epochs", "fit__verbose", "predict__batch_size", "optimizer__learning_rate"]
    return names + (routed if isinstance(estimator, AugmentedKerasClassifier) else [])


def settings_of(estimator):
    """Draw up to three parameters, each of any value."""
    pairs = st.tuples(
        st.sampled_from(parameters_of(estimator)), st.sampled_from(range(len(values.ANYTHING)))
    )
    return st.lists(pairs, min_size=1, max_size=3)


X, Y = values.images(np.random.default_rng(0), 12, (4, 4, 1), "u1"), np.arange(12) % 3


def check_parameters(case):
    """Fit with any parameters; the error says which one is wrong."""
    given = {name: values.ANYTHING[k] for name, k in case}
    for name in {"epochs", "fit__epochs", "tta_rounds"} & set(given):
        # It is done as often as is asked for.
        if isinstance(given[name], int) and given[name] > 1000:
            given[name] = 2
    clf = AugmentedKerasClassifier(linear).set_params(**given)
    before = values.snapshot(given)
    outcome = _outcome(lambda: clf.fit(X, Y).predict(X), before, given)
    assert all(getattr(clf, name) is value for name, value in given.items())
    return outcome


@st.composite
def augmentations(draw):
    rng = np.random.default_rng(draw(seeds))
    shape = draw(st.sampled_from([*values.SHAPES, (0, 3, 1), (3, 0, 1), (3, 3, 0)]))
    dtype = draw(st.sampled_from(values.DTYPES))
    images = values.images(rng, draw(st.integers(0, 4)), shape, dtype)
    given = {name: values.ANYTHING[k] for name, k in draw(settings_of(ImageAugmenter()))}
    usual = draw(st.sampled_from([{}, *values.AUGMENTERS]))
    return {**usual, **(given if draw(st.booleans()) else {})}, images


def check_augmentation(case):
    """Transform images by any parameters."""
    given, images = case
    augmenter = ImageAugmenter(**given)

    def run():
        augmenter.fit(images)
        table = augmenter.draw(stream(0, "augment", 0), len(images), images.shape[1:])
        applied = augmenter.apply(images, table)
        prepared = augmenter.prepare(images, table)
        assert (applied.shape, applied.dtype) == (images.shape, images.dtype)
        assert prepared.shape == images.shape
        assert np.isfinite(prepared).all()
        assert not np.shares_memory(prepared, images)
        np.testing.assert_array_equal(prepared, augmenter.standardize(applied))

    return _outcome(run, values.snapshot((given, images)), (given, images))


def _outcome(call, before, passed, *, right=None):
    """Call; tell what came. No other error, no NumPy warning, and nothing passed in changed.

    ``right`` says whether it has to work, or has to fail, where that is known.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for bad in (RuntimeWarning, DeprecationWarning, FutureWarning):
            warnings.simplefilter("error", bad)
        # TensorFlow's tensors give it, whatever one does with them.
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        try:
            call()
            outcome = "right"
        except DOCUMENTED as error:
            if right or not str(error).strip():
                raise AssertionError(f"what is right was refused: {error!r}") from error
            outcome = type(error).__name__
    assert right is not False or outcome != "right", "what is wrong was accepted"
    assert values.snapshot(passed) == before, "what was passed in was changed"
    return outcome


KINDS = {
    "fit, every form": (fits(wrong=False), check_fit, False),
    "fit, something wrong": (fits(wrong=True), check_fit, False),
    "predict_proba": (predictions(), check_prediction, False),
    "parameters": (settings_of(AugmentedKerasClassifier(linear)), check_parameters, True),
    "ImageAugmenter": (augmentations(), check_augmentation, False),
}


def run(kind, cases, check=None, **options):
    """Run fuzzed calls of a kind."""
    strategy, own_check, build = KINDS[kind]

    @settings(max_examples=cases, deadline=None, database=None, **options)
    @given(strategy)
    def each(case):
        (check or own_check)(case)

    with without_training(build=build):
        each()


def main(cases):
    report = collections.defaultdict(collections.Counter)
    for kind, (_, own_check, _) in KINDS.items():

        def noted(case, kind=kind, own_check=own_check):
            faulthandler.dump_traceback_later(600, exit=True)  # a hang is a failure
            try:
                outcome = own_check(case)
            except Exception as error:
                outcome = "FAILED"
                told = case[0] if isinstance(case[0], str) else " ".join(repr(case).split())
                print(f"{kind}: {told:.200}: {error!r:.400}", flush=True)
            faulthandler.cancel_dump_traceback_later()
            report[kind][outcome] += 1

        everything = {"suppress_health_check": list(HealthCheck), "phases": [Phase.generate]}
        run(kind, cases // len(KINDS), noted, derandomize=True, **everything)
        outcomes = report[kind]
        told = ", ".join(f"{n} {what}" for what, n in outcomes.most_common())
        print(f"{kind:24} {sum(outcomes.values()):6} calls: {told}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
