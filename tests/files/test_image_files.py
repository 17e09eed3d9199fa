"""A list of files is an X as any other: it splits without reading, and reads with errors."""

import itertools
import os
import pickle
import threading
from pathlib import Path

import cv2
import keras
import numpy as np
import pandas as pd
import polars
import pytest
from builders import linear
from PIL import Image
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_files
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedGroupKFold,
    cross_val_predict,
    cross_val_score,
    learning_curve,
    train_test_split,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.validation import check_is_fitted

from skimgcv import (
    AugmentedKerasClassifier,
    ImageAugmenter,
    ImageFiles,
    ImageReadError,
    clear_decoded_images,
    load_image_table,
    load_images,
)
from skimgcv._files import reading
from skimgcv._runtime import threads as thread_module
from skimgcv.exceptions import UnreadableImagesWarning

N = 24
SHAPE = (6, 5)
IMAGES = np.random.default_rng(0).integers(0, 256, (N, *SHAPE, 3)).astype(np.uint8)
y = np.arange(N) % 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """PNG files, by Pillow: what reads them is OpenCV."""
    folder = tmp_path_factory.mktemp("images")
    for i, image in enumerate(IMAGES):
        Image.fromarray(image).save(folder / f"{i:02d}.png")
    return folder


@pytest.fixture
def paths(folder):
    return sorted(folder.iterdir())


@pytest.fixture(name="X")
def files(paths):
    return ImageFiles(paths, SHAPE)


@pytest.fixture
def reads(monkeypatch):
    """Note each file that is opened."""
    opened, real = [], reading.read_file
    monkeypatch.setattr(reading, "read_file", lambda p: opened.append(p) or real(p))
    return opened


def test_it_looks_like_the_array(X):
    assert (X.shape, X.dtype, X.ndim, len(X)) == (IMAGES.shape, IMAGES.dtype, 4, N)
    np.testing.assert_array_equal(np.asarray(X), IMAGES)
    np.testing.assert_array_equal(np.asarray(X, dtype=np.float32), IMAGES.astype(np.float32))
    np.testing.assert_array_equal(list(X), IMAGES)


@pytest.mark.parametrize(
    "key",
    [
        np.array([3, 0, 3, -1]),
        [5, 2],
        [],
        slice(None, None, -3),
        slice(4, 9),
        np.arange(N) % 3 == 0,
        (np.array([1, 2]), Ellipsis),
        Ellipsis,
    ],
)
def test_rows_are_taken_without_reading(X, key, reads):
    part = X[key]
    assert isinstance(part, ImageFiles)
    assert not reads
    expected = IMAGES[key] if not isinstance(key, list) or key else IMAGES[:0]
    np.testing.assert_array_equal(np.asarray(part), expected)


@pytest.mark.parametrize(
    "key", [2, np.int64(-1), (3, 0), (slice(2, 5), 1, 2), (slice(None), 0, 0, 0)]
)
def test_an_image_or_pixels_are_read(X, key):
    np.testing.assert_array_equal(X[key], IMAGES[key])


@pytest.mark.parametrize("key", [N, -N - 1, np.zeros((2, 2), int), [0.5], np.ones(3, bool)])
def test_rows_that_are_not_there_are_index_errors(X, key):
    with pytest.raises(IndexError):
        X[key]


def test_parts_of_parts_know_their_row_in_the_list(X):
    assert X[10:][[2, 1]].rows.tolist() == [12, 11]


def test_it_cannot_be_changed(X):
    with pytest.raises(TypeError):
        X[0] = 1
    for name in ("shape", "dtype", "ndim", "paths", "rows", "on_error"):
        with pytest.raises(AttributeError):
            setattr(X, name, None)
    X.paths[0] = X.rows[0] = 7
    X[0][:] = 0
    assert X.rows[0] == 0
    np.testing.assert_array_equal(X[0], IMAGES[0])


def test_pickles_hold_paths_and_no_pixels(X):
    np.asarray(X)
    state = pickle.dumps(X)
    assert len(state) < 200 * N
    np.testing.assert_array_equal(np.asarray(pickle.loads(state)[3:]), IMAGES[3:])


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_threads_change_no_bit(folder, threads, monkeypatch):
    rng = np.random.default_rng(1)
    paths = [folder.parent / f"{threads}-{i}.jpg" for i in range(40)]
    for path in paths:
        small = rng.integers(0, 256, (8, 8, 3)).astype(np.uint8)
        cv2.imwrite(str(path), cv2.resize(small, (90, 70)))
    monkeypatch.setattr(thread_module, "thread_count", lambda: threads)
    # The first reader waits for a second one, in another thread. It would wait in vain for none.
    first = threading.Barrier(min(threads, 2))
    real = reading.read_file
    turns = itertools.count()

    def read_file(path):
        if next(turns) < first.parties:
            first.wait(timeout=60)
        return real(path)

    monkeypatch.setattr(reading, "read_file", read_file)
    images = np.asarray(ImageFiles(paths, (20, 20), cache=None))
    assert next(turns) == len(paths)
    for path, image in zip(paths, images, strict=True):
        alone = ImageFiles([path], (20, 20), cache=None)[0]
        np.testing.assert_array_equal(image, alone)


def test_the_array_says_what_it_is(X):
    assert repr(X) == "ImageFiles(24 files as 6 x 5 x 3 uint8)"
    shown = X._repr_html_()
    assert repr(X) in shown
    assert shown.count("data:image/png;base64,") == 6


def test_the_display_says_which_file_is_bad(tmp_path):
    X = ImageFiles([tmp_path / "<b>.png"], SHAPE)
    assert "there is no such file" in X._repr_html_()
    assert "&lt;b&gt;.png" in X._repr_html_()
    assert "<img" not in ImageFiles([], SHAPE)._repr_html_()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"image_shape": (0, 4)}, "positive integers"),
        ({"image_shape": 8}, "positive integers"),
        ({"image_shape": (8, 8, 1)}, "has 1 channels, but color_mode='rgb' has 3"),
        ({"color_mode": "bgr"}, "color_mode must be one of"),
        ({"interpolation": "cubic"}, "interpolation must be one of"),
        ({"dtype": "float32"}, "dtype must be one of"),
        ({"on_error": "ignore"}, "on_error must be one of"),
        ({"cache": True}, "cache must be"),
        ({"cache": -1}, "cache must be"),
        ({"max_pixels": 0}, "max_pixels must be a positive integer"),
    ],
)
def test_bad_arguments_are_told(paths, arguments, said):
    with pytest.raises(ValueError, match=said):
        ImageFiles(paths, **{"image_shape": SHAPE, **arguments})


@pytest.mark.parametrize("given", ["a folder", b"a folder", [1.5], [None]])
def test_what_is_no_list_of_paths_is_told(given):
    with pytest.raises(TypeError, match="paths must be"):
        ImageFiles(given, SHAPE)


# -- bad files --------------------------------------------------------------------------------


def bad_files(folder):
    whole = Image.fromarray(np.zeros((300, 300, 3), np.uint8))
    whole.save(folder / "whole.jpg")
    data = (folder / "whole.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(data[: len(data) // 2])
    (folder / "empty.png").touch()
    (folder / "text.jpg").write_text("no image")
    (folder / "dir.png").mkdir()
    (folder / "link.png").symlink_to(folder / "nowhere.png")
    os.mkfifo(folder / "pipe.png")
    return {
        "cut.jpg": "truncated",
        "empty.png": "empty",
        "text.jpg": "not an image of a known format",
        "dir.png": "a directory",
        "link.png": "a link to a file that does not exist",
        "pipe.png": "not a regular file",
        "none.png": "no such file",
        "none.png/inside.png": "no such file",
        "x" * 300: "cannot be opened",
        "whole.jpg/inside.png": "cannot be opened",
    }


def test_each_bad_file_is_told_by_path_row_and_reason(tmp_path, capsys):
    reasons = bad_files(tmp_path)
    X = ImageFiles([tmp_path / "whole.jpg", *(tmp_path / name for name in reasons)], SHAPE)
    for row, (name, reason) in enumerate(reasons.items(), 1):
        with pytest.raises(ImageReadError, match=reason) as caught:
            X[row]
        error = pickle.loads(pickle.dumps(caught.value))
        assert (error.path, error.row) == (str(tmp_path / name), row)
        assert str(error) == str(caught.value)
        assert repr(str(tmp_path / name)) in str(error)
        assert f"(row {row})" in str(error)
    with pytest.raises(ImageReadError, match=r"row 1\)"):  # the first, whatever thread is faster
        np.asarray(X)
    bad = X.verify()
    assert bad["row"].tolist() == list(range(1, len(X)))
    assert bad["path"].tolist() == X.paths[1:]
    assert all(r in said for r, said in zip(reasons.values(), bad["reason"], strict=True))
    drawn = capsys.readouterr().err
    assert f"| {len(X)}/{len(X)} [" in drawn
    assert f"bad={len(reasons)}]" in drawn
    X[:1].verify(progress=False)
    assert capsys.readouterr().err == ""
    assert pd.DataFrame(bad).shape == (len(reasons), 3)


def test_a_file_that_may_not_be_read_is_told(tmp_path, monkeypatch):
    path = tmp_path / "secret.png"
    Image.fromarray(IMAGES[0]).save(path)

    def refuse(*args, **kwargs):  # the tests may run as root, who may read everything
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(ImageReadError, match="may not read it"):
        ImageFiles([path], SHAPE)[0]


def test_contents_count_and_not_extensions_nor_odd_names(tmp_path):
    path = tmp_path / "Zellen, Größe 5 mm, 細胞 (1).jpg"
    Image.fromarray(IMAGES[0]).save(path, "PNG")
    np.testing.assert_array_equal(ImageFiles([str(path)], SHAPE)[0], IMAGES[0])


def test_paths_hold_after_a_change_of_folder(folder, monkeypatch):
    monkeypatch.chdir(folder)
    X = ImageFiles(["03.png"], SHAPE, cache=None)
    monkeypatch.chdir(folder.parent)
    np.testing.assert_array_equal(X[0], IMAGES[3])


# -- where they come from -----------------------------------------------------------------------


@pytest.fixture
def classes(tmp_path):
    names = ["b/2.png", "b/1.JPG", "a/sub/9.png", "a/x.png", "a/notes.txt", "a/.hidden.png"]
    for name in [*names, "c/readme", "top.png", ".git/1.png"]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(IMAGES[0]).save(path, "PNG")
    return tmp_path


def test_a_folder_of_class_folders(classes):
    X, labels, names = load_images(classes, SHAPE, return_names=True)
    assert names == ["a/sub/9.png", "a/x.png", "b/1.JPG", "b/2.png"]
    assert labels.tolist() == ["a", "a", "b", "b"]
    assert X.paths == [str(classes / name) for name in names]
    X, labels = load_images(str(classes), classes=["b"], color_mode="grayscale")
    assert X.shape == (2, 256, 256, 1)
    assert labels.tolist() == ["b", "b"]


def test_a_folder_lists_as_in_scikit_learn_and_in_keras(classes, capsys, own_random):
    (classes / "a" / ".hidden.png").unlink()  # Keras takes them
    (classes / "a" / "sub" / "9.png").unlink()  # scikit-learn does not look into it
    (classes / ".git" / "1.png").unlink()
    (classes / ".git").rmdir()
    (classes / "c" / "last.png").write_bytes((classes / "a" / "x.png").read_bytes())
    X, labels, _ = load_images(classes, return_names=True)
    extensions = [".png", ".JPG"]
    theirs = load_files(classes, load_content=False, shuffle=False, allowed_extensions=extensions)
    assert X.paths == theirs.filenames.tolist()
    assert labels.tolist() == np.array(theirs.target_names)[theirs.target].tolist()
    assert X.paths == keras.utils.image_dataset_from_directory(classes, shuffle=False).file_paths


def test_a_folder_is_shuffled_by_a_seed(classes):
    def loaded(**options):
        return load_images(classes, SHAPE, return_names=True, **options)

    X, labels, names = loaded()
    patients = np.array([f"patient of {name}" for name in names])
    shuffled = loaded(shuffle=0, groups=patients)
    order = [names.index(name) for name in shuffled[2]]
    assert sorted(order) == list(range(len(names))) != order
    assert shuffled[0].paths == X[order].paths
    assert shuffled[0].rows.tolist() == list(range(len(names)))
    np.testing.assert_array_equal(shuffled[1], labels[order])
    np.testing.assert_array_equal(shuffled[0].groups, patients[order])
    assert loaded(shuffle=0)[2] == shuffled[2] != loaded(shuffle=1)[2]
    for seed in (True, -1, 0.5):
        with pytest.raises(ValueError, match="shuffle must be a seed"):
            loaded(shuffle=seed)


def test_a_folder_without_classes_is_told(classes):
    with pytest.raises(ValueError, match=r"no sub-folders; it needs one for each class"):
        load_images(classes / "b")
    with pytest.raises(ValueError, match=r"has no sub-folders \['z'\]; it has \['a', 'b', 'c'\]"):
        load_images(classes, classes=["b", "z"])
    with pytest.raises(ValueError, match="has no image in its sub-folders"):
        load_images(classes, classes=["c"])
    with pytest.raises(FileNotFoundError):
        load_images(classes / "nowhere")


@pytest.mark.parametrize("frame", [pd.DataFrame, polars.DataFrame])
def test_a_data_frame(folder, frame):
    table = frame({"file": ["02.png", "01.png"], "kind": ["p", "q"], "patient": [7, 8]})
    X, labels, patients = load_image_table(
        table, "file", "kind", ["patient"], folder=folder, image_shape=SHAPE
    )
    np.testing.assert_array_equal(np.asarray(X), IMAGES[[2, 1]])
    assert (labels.tolist(), patients.tolist()) == (["p", "q"], [7, 8])


def test_a_table_that_lacks_something_is_told():
    table = pd.DataFrame({"filename": ["a.png", None], "class": [0, 1]})
    with pytest.raises(KeyError, match=r"no columns \['patient'\]"):
        load_image_table(table, columns=["patient"])
    with pytest.raises(TypeError, match="in row 1 it has"):
        load_image_table(table)


# -- in scikit-learn ------------------------------------------------------------------------------


class Mean(ClassifierMixin, BaseEstimator):
    """Predicts by brightness; keeps what it was given."""

    def __init__(self, threshold=128):
        self.threshold = threshold

    def fit(self, X, y):
        assert isinstance(X, ImageFiles)
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        check_is_fitted(self)
        assert isinstance(X, ImageFiles)
        return (np.asarray(X).mean(axis=(1, 2, 3)) > self.threshold).astype(int)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_what_scikit_learn_splits_equals_the_array(X, n_jobs):
    class OfArray(Mean):
        def fit(self, X, y):
            self.classes_ = np.unique(y)
            return self

        def predict(self, X):
            return (X.mean(axis=(1, 2, 3)) > self.threshold).astype(int)

    groups = np.arange(N) // 4
    folds = list(StratifiedGroupKFold(3).split(IMAGES, y, groups))
    for cv in (3, folds):
        scores = cross_val_score(Mean(), X, y, cv=cv, n_jobs=n_jobs)
        np.testing.assert_array_equal(scores, cross_val_score(OfArray(), IMAGES, y, cv=cv))
    by_group = cross_val_score(Mean(), X, y, cv=StratifiedGroupKFold(3), groups=groups)
    np.testing.assert_array_equal(scores, by_group)


def test_other_tools_split_it(X):
    train, test, _, _ = train_test_split(X, y, stratify=y, random_state=0)
    assert len(train) + len(test) == N
    piped = make_pipeline(FunctionTransformer(), Mean())
    assert cross_val_predict(piped, X, y).shape == (N,)
    search = GridSearchCV(Mean(), {"threshold": [100, 150]}, cv=2).fit(X, y)
    assert search.predict(X[:3]).shape == (3,)
    sizes, *_ = learning_curve(Mean(), X, y, cv=2, train_sizes=[0.5, 1.0])
    assert sizes.tolist() == [6, 12]


AUGMENTER = ImageAugmenter(rotation_range=30, featurewise_center=True, rescale=1 / 255)


def classifier(**parameters):
    return AugmentedKerasClassifier(
        linear, augmenter=AUGMENTER, epochs=2, random_state=0, **parameters
    )


@pytest.mark.parametrize("cache", ["memory", None, "folder"])
def test_files_score_as_the_array_bit_for_bit(paths, cache, tmp_path):
    X = ImageFiles(paths, SHAPE, cache=tmp_path if cache == "folder" else cache)
    est = classifier(validation_split=0.25, tta_rounds=2, sampling_strategy={1: 12})
    files = cross_val_predict(est, X, y, cv=3, method="predict_proba")
    array = cross_val_predict(est, IMAGES, y, cv=3, method="predict_proba")
    np.testing.assert_array_equal(files, array)


def test_a_fit_takes_files_for_its_validation_data_and_for_prediction(X):
    fitted = classifier().fit(X, y, validation_data=(X[:6], y[:6]))
    of_array = classifier().fit(IMAGES, y, validation_data=(IMAGES[:6], y[:6]))
    assert fitted.history_ == of_array.history_
    assert (fitted.n_features_in_, fitted.image_shape_) == (90, (6, 5, 3))
    np.testing.assert_array_equal(fitted.predict_proba(X), of_array.predict_proba(IMAGES))


def test_16_bit_files_fit_as_the_array(tmp_path):
    images = np.random.default_rng(0).integers(0, 65536, (12, 4, 4, 1)).astype(np.uint16)
    paths = [tmp_path / f"{i}.png" for i in range(12)]
    for path, image in zip(paths, images, strict=True):
        cv2.imwrite(str(path), image)
    X = ImageFiles(paths, (4, 4), color_mode="grayscale", dtype=np.uint16)
    weights = [
        AugmentedKerasClassifier(linear, random_state=0).fit(data, y[:12]).model_.get_weights()
        for data in (X, images)
    ]
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_error_in_a_fit_is_itself(paths, tmp_path):
    X = ImageFiles([*paths[:-1], tmp_path / "none.png"], SHAPE)
    with pytest.raises(ImageReadError, match=r"none.png' \(row 23\): there is no such file"):
        classifier().fit(X[::-1], y)


def test_a_fit_that_skips_is_the_fit_without_those_rows(paths, tmp_path):
    bad = [0, 7]
    given = [tmp_path / "none.png" if i in bad else path for i, path in enumerate(paths)]
    X = ImageFiles(given, SHAPE, on_error="skip")
    good = np.setdiff1d(np.arange(N), bad)
    said = "2 of 24 files cannot be read and are left out: .*none.png: there is no such file"
    est = classifier(validation_split=0.25, class_weight="balanced")
    with pytest.warns(UnreadableImagesWarning, match=said):
        skipping = est.fit(X, y)
    assert set(skipping.validation_indices_) <= set(good)
    weights = skipping.model_.get_weights()
    held = skipping.history_["val_loss"]
    without = est.fit(IMAGES[good], y[good])
    assert without.history_["val_loss"] == held
    for a, b in zip(weights, without.model_.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ImageReadError, match="row 7"):
        without.predict(X[1:])


def test_a_fit_that_skips_everything_is_refused(tmp_path):
    X = ImageFiles([tmp_path / "1", tmp_path / "2"], SHAPE, on_error="skip")
    with (
        pytest.warns(UnreadableImagesWarning, match="2 of 2"),
        pytest.raises(ValueError, match="None of the 2 files"),
    ):
        classifier().fit(X, [0, 1])


def test_held_out_files_are_skipped_too(X, paths, tmp_path):
    held = ImageFiles([paths[0], tmp_path / "none.png", paths[1]], SHAPE, on_error="skip")
    with pytest.warns(UnreadableImagesWarning, match="1 of 3"):
        skipping = classifier().fit(X, y, validation_data=(held, [0, 1, 1]))
    without = classifier().fit(X, y, validation_data=(IMAGES[:2], [0, 1]))
    assert skipping.history_ == without.history_


def spoil(folder, *names):
    for name in names:
        (folder / name).write_bytes(b"no image")


def test_bad_files_are_left_out_before_the_split(classes):
    """Each would be somebody's test image, and every score NaN."""
    for label in "ab":
        for i, image in enumerate(IMAGES[:4]):
            Image.fromarray(image).save(classes / label / f"more{i}.png")
    spoil(classes, "a/more0.png", "b/more3.png")
    with pytest.warns(UnreadableImagesWarning, match=r"2 of \d+ files cannot be read.*more0\.png"):
        X, labels, names = load_images(
            classes, SHAPE, classes=["a", "b"], on_error="skip", return_names=True
        )
    assert len(X) == len(labels) == len(names)
    assert [str(path.relative_to(classes)) for path in map(Path, X.paths)] == names
    assert [name[0] for name in names] == labels.tolist()
    assert not {"a/more0.png", "b/more3.png"} & set(names)
    scores = cross_val_score(classifier(), X, labels, cv=2)
    np.testing.assert_array_equal(
        scores, cross_val_score(classifier(), np.asarray(X), labels, cv=2)
    )


def test_bad_files_of_a_table_leave_every_column(folder, tmp_path):
    spoil(tmp_path, "bad.png")
    table = pd.DataFrame(
        {
            "filename": [folder / "00.png", tmp_path / "bad.png", folder / "02.png"],
            "class": [0, 1, 1],
            "weight": [0.5, 9, 2],
            "patient": ["p", "q", "r"],
        }
    )
    with pytest.warns(UnreadableImagesWarning, match=r"1 of 3 files cannot be read.*bad\.png"):
        X, labels, weights = load_image_table(
            table, columns=["weight"], group_col="patient", image_shape=SHAPE, on_error="skip"
        )
    np.testing.assert_array_equal(np.asarray(X), IMAGES[[0, 2]])
    assert (labels.tolist(), weights.tolist(), X.groups.tolist()) == ([0, 1], [0.5, 2], ["p", "r"])


def test_a_folder_of_bad_files_is_refused(tmp_path):
    for label in "ab":
        (tmp_path / label).mkdir()
        spoil(tmp_path, f"{label}/1.png")
    with (
        pytest.warns(UnreadableImagesWarning, match="2 of 2"),
        pytest.raises(ValueError, match="None of the 2 files"),
    ):
        load_images(tmp_path, SHAPE, on_error="skip")


def test_files_that_were_checked_are_not_read_again_for_errors(classes, reads):
    X, labels = load_images(classes, SHAPE, classes=["a", "b"], on_error="skip", cache=None)
    assert len(reads) == len(X)
    del reads[:]
    classifier().fit(X, labels)
    n_reads = len(reads)
    clear_decoded_images()
    classifier().fit(ImageFiles(X.paths, SHAPE, cache=None), labels)
    assert len(reads) == 2 * n_reads
