"""A classifier in a file: the same bits back, and no code in it."""

import copy
import errno
import json
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import cloudpickle
import fuzz_files
import joblib
import keras
import numpy as np
import pytest
from builders import cnn, linear
from samples import Recorder, blobs, classifier, same_model

import skimgcv
from skimgcv import AugmentedKerasClassifier, ImageAugmenter
from skimgcv._persistence import archive
from skimgcv.exceptions import SavedFileError

X, Y = blobs(shape=(8, 8, 1))
load = AugmentedKerasClassifier.load


def halve(image):
    return image / 2


def blur(image, rng):
    return image


class Doubled(keras.layers.Layer):
    def call(self, inputs):
        return inputs * 2


def with_custom_layer(meta):
    model = linear(meta)
    return keras.Sequential([*model.layers[:-1], Doubled(), model.layers[-1]])


def with_normalization(meta):
    layer = keras.layers.Normalization()
    layer.adapt(X)
    return keras.Sequential(
        [keras.layers.Input(meta["image_shape_"]), layer, *linear(meta).layers]
    )


def branched(meta):
    inputs = keras.layers.Input(meta["image_shape_"])
    flat = keras.layers.Flatten()(inputs)
    both = keras.layers.Dropout(0.5)(flat) + keras.ops.relu(flat)
    dense = keras.layers.Dense(3, kernel_regularizer="l2", activation="softmax")
    return keras.Model(inputs, dense(both))


def with_frozen_part(meta):
    part = keras.Sequential([keras.Input(meta["image_shape_"]), keras.layers.Conv2D(2, 3)])
    part.trainable = False
    meta = {**meta, "image_shape_": part.output_shape[1:]}
    return keras.Sequential([part, linear(meta)])


# The least of each kind: (parameters, what has to be given to load).
CASES = {
    "batch norm, dropout, statistics": (
        {"model": cnn, "augmenter": ImageAugmenter(zca_whitening=True, rotation_range=9)},
        {},
    ),
    "standardised": ({"augmenter": ImageAugmenter(featurewise_std_normalization=True)}, {}),
    "a function of the deterministic half": (
        {"augmenter": ImageAugmenter(preprocessing_function=halve)},
        {"halve": halve},
    ),
    "an augmenting function": ({"augmenter": blur, "tta_rounds": 1}, {"blur": blur}),
    "Keras layers as augmenter": (
        {"augmenter": keras.Sequential([keras.layers.RandomFlip(), keras.layers.Rescaling(0.5)])},
        {},
    ),
    "a Keras layer as augmenter": ({"augmenter": keras.layers.Rescaling(0.5)}, {}),
    "a custom layer": ({"model": with_custom_layer}, {"Doubled": Doubled}),
    "a layer with statistics": ({"model": with_normalization}, {}),
    "a graph with operations": ({"model": branched}, {}),
    "a frozen part": ({"model": with_frozen_part}, {}),
    "a keras.Model": ({"model": linear({"image_shape_": (8, 8, 1), "n_classes_": 3})}, {}),
    "Keras objects as parameters": (
        {
            "optimizer": keras.optimizers.SGD(
                keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5), momentum=0.9
            ),
            "loss": keras.losses.CategoricalCrossentropy,
            "loss__label_smoothing": 0.1,
            "metrics": [keras.metrics.CategoricalAccuracy(), "mse"],
        },
        {},
    ),
    "settings of all kinds": (
        {
            "class_weight": {"ant": 2.0, np.str_("bee"): 1},
            "image_shape": [8, 8],
            "sampling_strategy": {"ant": 12, "bee": 9},
            "random_state": np.int64(7),
            "validation_split": np.float32(0.25),
        },
        {},
    ),
}


def fitted(case):
    parameters, custom_objects = CASES[case]
    parameters = {"model": linear, **parameters}
    data = X.reshape(len(X), -1) if "image_shape" in parameters else X
    clf = classifier(parameters.pop("model"), epochs=2, **parameters)
    return clf.fit(data, np.array(["ant", "bee", "cow"])[Y]), data, custom_objects


@pytest.mark.parametrize("case", CASES)
def test_what_is_loaded_predicts_and_goes_on_with_the_same_bits(case, tmp_path):
    clf, data, custom_objects = fitted(case)
    clf.save(tmp_path / "a")
    builder = {} if isinstance(clf.model, keras.Model) else {clf.model.__name__: clf.model}
    loaded = load(tmp_path / "a", {**custom_objects, **builder})
    np.testing.assert_array_equal(loaded.predict_proba(data), clf.predict_proba(data))
    np.testing.assert_array_equal(loaded.predict(data), clf.predict(data))
    assert loaded.classes_.dtype == clf.classes_.dtype
    assert repr(loaded.history_) == repr(clf.history_)
    assert loaded.class_weight_ == clf.class_weight_
    # As repr, since arrays and Keras' objects have no equality: types and values.
    ours, theirs = clf.get_params(deep=False), loaded.get_params(deep=False)
    assert list(ours) == list(theirs)
    for name in ours:
        if not hasattr(ours[name], "get_config") and name != "metrics":
            assert repr(ours[name]) == repr(theirs[name]), name
    loaded.save(tmp_path / "b")
    labels = clf.predict(data)
    labels[:3] = clf.classes_
    assert same_model(clf.partial_fit(data, labels), loaded.partial_fit(data, labels))
    again = load(tmp_path / "b", {**custom_objects, **builder})
    assert same_model(clf, again.partial_fit(data, labels))
    # And the same fit from the start.
    assert same_model(clf.fit(data, labels), loaded.fit(data, labels))


def test_an_unfitted_classifier_is_not_saved(tmp_path):
    with pytest.raises(Exception, match="not fitted"):
        classifier(linear).save(tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_labels_may_be_objects(tmp_path):
    labels = np.array(["ant", "bee", "cow"], dtype=object)[Y]
    classifier(linear).fit(X, labels).save(tmp_path / "a")
    loaded = load(tmp_path / "a")
    assert loaded.classes_.dtype == object
    assert set(loaded.predict(X)) <= {"ant", "bee", "cow"}


# -- what is code ----------------------------------------------------------------------------


def test_without_its_builder_it_predicts_and_fit_says_what_is_missing(tmp_path):
    classifier(linear, callbacks=[Recorder()]).fit(X, Y).save(tmp_path / "a")
    loaded = load(tmp_path / "a")
    loaded.predict(X)
    with pytest.raises(ValueError, match=r"(?s)callbacks.*set_params"):
        loaded.partial_fit(X, Y)
    # The model itself is there: going on needs no builder.
    loaded.set_params(callbacks=None).partial_fit(X, Y)
    with pytest.raises(ValueError, match=r"'linear' \(builders.linear\)"):
        loaded.fit(X, Y)
    assert same_model(loaded.set_params(model=linear).fit(X, Y), classifier(linear).fit(X, Y))


@pytest.mark.parametrize(
    ("case", "name"),
    [("a custom layer", "Doubled"), ("a function of the deterministic half", "halve")],
)
def test_what_prediction_needs_has_to_be_given(case, name, tmp_path):
    clf, _, _ = fitted(case)
    clf.save(tmp_path / "a")
    with pytest.raises(SavedFileError, match=f"{name}.*custom_objects"):
        load(tmp_path / "a")


def test_what_only_code_could_bring_back_is_not_saved(tmp_path):
    def build(meta):
        return keras.Sequential([keras.layers.Lambda(abs), *linear(meta).layers])

    # Keras 3.16 does not get as far as the layer: it names the function.
    with pytest.raises(ValueError, match=r"a file cannot hold .*(Lambda|abs)"):
        classifier(build).fit(X, Y).save(tmp_path / "a")
    assert not list(tmp_path.iterdir())


HARMFUL = {
    "a lambda": {"class_name": "__lambda__", "config": {"value": "x"}},
    "a Lambda layer": {"module": "keras.layers", "class_name": "Lambda"},
    "a saved program": {
        "module": "keras.layers",
        "class_name": "TFSMLayer",
        "config": {"filepath": "/tmp"},
    },
    "a vocabulary file": {
        "module": "keras.layers",
        "class_name": "StringLookup",
        "config": {"vocabulary": "/etc/passwd"},
    },
    "a module of somebody's": {"module": "os", "class_name": "system"},
    "a module of Keras' own": {
        "module": "keras.src.utils.torch_utils",
        "class_name": "TorchModuleWrapper",
    },
    "a function": {"module": "keras.utils", "class_name": "function", "config": "get_file"},
    "a function of Python's": {"module": "builtins", "class_name": "function", "config": "eval"},
    "an older format": {"class_name": "Lambda", "config": {}},
    "a name from elsewhere": {
        "module": "keras.layers",
        "class_name": "Dense",
        "registered_name": "other>Dense",
    },
    "a type of TensorFlow's": {"class_name": "__typespec__", "module": "tensorflow", "config": []},
    "a large constant": {"class_name": "__numpy__", "config": {"value": 0, "dtype": "V99999999"}},
}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "small"
    classifier(linear, epochs=1).fit(X, Y).save(path)
    return path


def forged(path, change):
    """Change a file's fitted values, with checksums that agree."""
    documents, arrays = archive.read_archive(
        path, "skimgcv classifier", ("parameters.json", "fitted.json")
    )
    change(documents[1], arrays)
    new = path.with_name("forged")
    names = ("parameters.json", "fitted.json")
    documents = dict(zip(names, documents, strict=True))
    archive.write_archive(new, "skimgcv classifier", documents, arrays, packages={})
    return new


@pytest.mark.parametrize("harm", HARMFUL)
def test_configs_that_could_do_more_than_compute_are_refused(harm, small, monkeypatch):
    def put_in(fitted, arrays):
        fitted["model_"]["config"]["config"]["layers"].append({"config": {}, **HARMFUL[harm]})

    def fail(*_, **__):
        raise AssertionError("Keras saw it")

    path = forged(small, put_in)
    monkeypatch.setattr(keras.saving, "deserialize_keras_object", fail)
    with pytest.raises(SavedFileError, match="its model"):
        load(path)


def test_weights_larger_than_the_file_get_no_memory(small):
    def grow(fitted, arrays):
        dense = fitted["model_"]["config"]["config"]["layers"][-1]
        dense["config"]["units"] = 10**12

    with pytest.raises(SavedFileError, match="bytes of weights"):
        load(forged(small, grow))


def test_metrics_larger_than_any_get_no_memory(small):
    def grow(fitted, arrays):
        metric = {"module": "keras.metrics", "class_name": "AUC", "registered_name": None}
        metric["config"] = {"num_thresholds": 10**12}
        fitted["model_"]["config"]["compile_config"]["metrics"] = [metric]

    with pytest.raises(SavedFileError, match="1000000000000 values"):
        load(forged(small, grow))


# -- damaged files ---------------------------------------------------------------------------


def test_damage_of_every_kind_is_told_or_harmless(small, tmp_path):
    # The longer profile is `python tests/fuzz_files.py 5000`.
    counts = fuzz_files.run(small, tmp_path, cases=150, seed=0, X=X[:4])
    assert sum(counts.values()) == 150
    assert set(counts) == {"equal", "loaded as forged", "SavedFileError"}
    assert sorted(tmp_path.rglob("*")) == []


def test_another_version_is_told(small, tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "FORMAT_VERSION", 2)
    with pytest.raises(SavedFileError, match=r"format version 1 was written by .*keras"):
        load(small)


def test_other_files_are_told(small, tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(SavedFileError, match="not a readable archive"):
        load(tmp_path / "text")
    with zipfile.ZipFile(tmp_path / "other", "w") as zipped:
        zipped.writestr("../../evil", "x")
    with pytest.raises(SavedFileError, match="not a file of skimgcv classifier"):
        load(tmp_path / "other")


# -- a crash while writing -------------------------------------------------------------------


@pytest.mark.parametrize("step", ["write", "sync", "rename"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(step, small, tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(small.read_bytes())

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    where = {
        "write": (zipfile.ZipFile, "writestr"),
        "sync": (os, "fsync"),
        "rename": (os, "replace"),
    }
    monkeypatch.setattr(*where[step], full)
    clf = load(small)
    with pytest.raises(OSError, match="No space left"):
        clf.save(path)
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == small.read_bytes()


KILLED = """
import os, sys, types
import numpy as np
import psutil

package = types.ModuleType("skimgcv")  # without Keras, which a writer of files does not need
package.__path__ = [sys.argv[1]]
sys.modules["skimgcv"] = package
from skimgcv._persistence import archive

sync = os.fsync

def die(handle):
    sync(handle)
    psutil.Process().kill()

os.fsync = die
archive.write_archive(sys.argv[2], "kind", {"a.json": 1}, [np.zeros(9)], packages={})
"""


def test_a_process_that_is_killed_while_it_writes_leaves_the_old_file(small, tmp_path):
    path = tmp_path / "a"
    path.write_bytes(small.read_bytes())
    package = str(Path(skimgcv.__file__).parent)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, package, str(path)], capture_output=True, check=False
    )
    assert killed.returncode != 0
    assert not killed.stderr
    assert path.read_bytes() == small.read_bytes()
    # What it had written by then is beside it, under a name that nobody asks for.
    (rest,) = set(tmp_path.iterdir()) - {path}
    assert rest.name.startswith(".a.")
    assert rest.name.endswith(".tmp")


@pytest.mark.skipif(os.name == "nt", reason="Windows lets few users make links")
def test_a_link_stays_a_link_and_the_umask_counts(small, tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    link.symlink_to(target)
    load(small).save(link)
    assert link.is_symlink()
    plain = tmp_path / "plain"
    plain.touch()
    assert target.stat().st_mode == plain.stat().st_mode


# -- pickles ---------------------------------------------------------------------------------

READ = """
import pickle, sys
with open(sys.argv[1], "rb") as file:
    unfitted, clf = pickle.load(file), pickle.load(file)
assert unfitted.get_params()["augmenter__rotation_range"] == 7
assert not hasattr(unfitted, "model_")
X = clf.__dict__.pop("X_test")
clf.predict_proba(X).tofile(sys.argv[2])
"""


def test_copies_of_every_kind(tmp_path):
    def build(meta):  # which only cloudpickle can take along
        return linear(meta)

    clf = classifier(linear, augmenter=ImageAugmenter(featurewise_center=True))
    expected = clf.fit(X, Y).predict_proba(X)
    copies = [copy.deepcopy(clf), pickle.loads(pickle.dumps(clf))]
    joblib.dump(clf, tmp_path / "joblib")
    copies.append(joblib.load(tmp_path / "joblib"))
    copies.append(
        pickle.loads(
            cloudpickle.dumps(classifier(build).set_params(augmenter=clf.augmenter).fit(X, Y))
        )
    )
    for other in copies:
        np.testing.assert_array_equal(other.predict_proba(X), expected)
    # Unfitted, and fitted only then.
    for dumps in (pickle.dumps, cloudpickle.dumps):
        fresh = pickle.loads(dumps(classifier(linear).set_params(augmenter=clf.augmenter)))
        np.testing.assert_array_equal(fresh.fit(X, Y).predict_proba(X), expected)


@pytest.mark.parametrize(
    "way",
    ["file", *(pytest.param(way, marks=pytest.mark.slow) for way in ("pickle", "cloudpickle"))],
)
def test_an_interpreter_that_has_not_imported_it_yet(way, tmp_path):
    clf = classifier(linear, augmenter=ImageAugmenter(featurewise_center=True)).fit(X, Y)
    read = READ
    if way == "file":
        clf.save(tmp_path / "clf")
        np.save(tmp_path / "X.npy", X)
        read = (
            "import sys, numpy\nfrom skimgcv import AugmentedKerasClassifier\n"
            "clf = AugmentedKerasClassifier.load(sys.argv[1])\n"
            "X = numpy.load(sys.argv[1][:-3] + 'X.npy')\n"
            "clf.predict_proba(X).tofile(sys.argv[2])\n"
        )
    else:
        expected = copy.copy(clf)
        expected.__dict__["X_test"] = X
        dumps = {"pickle": pickle.dumps, "cloudpickle": cloudpickle.dumps}[way]
        unfitted = classifier(linear, augmenter=ImageAugmenter(rotation_range=7))
        (tmp_path / "clf").write_bytes(dumps(unfitted) + dumps(expected))
    path = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    subprocess.run(
        [sys.executable, "-c", read, str(tmp_path / "clf"), str(tmp_path / "out")],
        env={**os.environ, "PYTHONPATH": path},
        check=True,
        capture_output=True,
    )
    np.testing.assert_array_equal(
        np.fromfile(tmp_path / "out").reshape(-1, 3), clf.predict_proba(X)
    )


def test_the_manifest_is_plain_and_lists_everything(small):
    with zipfile.ZipFile(small) as zipped:
        manifest = json.loads(zipped.read("manifest.json"))
        names = zipped.namelist()
    assert manifest["format"] == "skimgcv classifier"
    assert manifest["packages"]["keras"] == keras.__version__
    assert [entry["name"] for entry in manifest["entries"]] == names[1:]
