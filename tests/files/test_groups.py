"""Groups travel with the files, through each of scikit-learn's tools, to the inner hold-out."""

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from builders import linear
from PIL import Image
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    StratifiedGroupKFold,
    StratifiedKFold,
    cross_val_predict,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skimgcv import AugmentedKerasClassifier, ImageAugmenter, ImageFiles, load_image_table
from skimgcv.model_selection import check_splits

N, SHAPE = 48, (4, 4)
PATIENTS = np.random.default_rng(0).permutation(np.repeat(np.arange(12), 4)) + 100
y = np.arange(N) % 2

fits: list[tuple[np.ndarray, np.ndarray]] = []


class Noting(AugmentedKerasClassifier):
    """Notes the groups that train, and those that are held out."""

    def fit(self, X, y, sample_weight=None, class_weight=None, groups=None, validation_data=None):
        super().fit(X, y, sample_weight, class_weight, groups, validation_data)
        fits.append((X.groups[self.sample_indices_], X.groups[self.validation_indices_]))
        return self


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    images = np.random.default_rng(0).integers(0, 256, (N, *SHAPE), dtype=np.uint8)
    for i, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{i:02d}.png")
    return folder


@pytest.fixture(name="X")
def files(folder):
    table = pd.DataFrame(
        {"file": [f"{i:02d}.png" for i in range(N)], "label": y, "patient": PATIENTS}
    )
    X, labels = load_image_table(
        table, "file", "label", folder=folder, image_shape=SHAPE, group_col="patient"
    )
    assert labels.tolist() == y.tolist()
    return X


@pytest.fixture
def est():
    fits.clear()
    return Noting(
        linear, augmenter=ImageAugmenter(rescale=1 / 255), validation_split=0.25, random_state=0
    )


CALLS = {
    "fit": lambda est, X: est.fit(X, y),
    "cross_val_score": lambda est, X: cross_val_score(
        est, X, y, cv=GroupKFold(3), groups=X.groups
    ),
    "cross_validate": lambda est, X: cross_validate(
        est, X, y, cv=StratifiedGroupKFold(3), groups=X.groups
    ),
    "cross_val_predict": lambda est, X: cross_val_predict(
        est, X, y, cv=GroupKFold(3), groups=X.groups
    ),
    "GridSearchCV": lambda est, X: GridSearchCV(
        est, {"batch_size": [8, 16]}, cv=GroupKFold(3)
    ).fit(X, y, groups=X.groups),
    "a search in a pipeline": lambda est, X: GridSearchCV(
        make_pipeline(FunctionTransformer(), est), {"noting__batch_size": [8]}, cv=GroupKFold(2)
    ).fit(X, y, groups=X.groups),
}


@pytest.mark.parametrize("call", CALLS)
def test_no_group_is_parted_by_an_inner_hold_out(call, est, X):
    CALLS[call](est, X)
    assert fits
    for train, held in fits:
        assert len(held)
        assert not set(train) & set(held)


def test_without_groups_the_hold_out_parts_them(est, folder):
    """The test above would see it."""
    X = ImageFiles(sorted(folder.iterdir()), SHAPE)
    plain = AugmentedKerasClassifier(linear, validation_split=0.25, random_state=0).fit(X, y)
    held = PATIENTS[plain.validation_indices_]
    assert set(held) & set(PATIENTS[plain.sample_indices_])


def test_groups_of_files_hold_out_what_the_fit_argument_does(est, X):
    carried = est.fit(X, y).validation_indices_
    without = X.with_groups(None)
    clf = AugmentedKerasClassifier(linear, validation_split=0.25, random_state=0)
    clf.fit(without, y, groups=PATIENTS)
    np.testing.assert_array_equal(carried, clf.validation_indices_)


def test_the_fit_argument_comes_first(est, X):
    other = np.arange(N) // 2
    clf = AugmentedKerasClassifier(linear, validation_split=0.25, random_state=0)
    held = clf.fit(X, y, groups=other).validation_indices_
    assert not set(other[held]) & set(np.delete(other, held))


@pytest.mark.parametrize(
    "key", [slice(3, 9), [5, 2, 2], np.arange(N) % 3 == 0], ids=["slice", "list", "mask"]
)
def test_rows_keep_their_groups(key, X):
    np.testing.assert_array_equal(X[key].groups, PATIENTS[key])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(X[key])).groups, PATIENTS[key])


def test_groups_cannot_be_changed_from_outside(X):
    X.groups[:] = 0
    np.testing.assert_array_equal(X.groups, PATIENTS)


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ([1, 2], r"one entry for each image, 48; it has \(2,\)"),
        ([None, *range(N - 1)], "row 0 has None.*needs its own group"),
        (np.r_[np.nan, np.arange(N - 1)], "row 0 has.*nan"),
    ],
)
def test_bad_groups_are_refused(groups, said, X):
    with pytest.raises(ValueError, match=said):
        X.with_groups(groups)


def test_a_table_without_the_column_is_refused(folder):
    with pytest.raises(KeyError, match=r"no columns \['patient'\]"):
        load_image_table(pd.DataFrame({"filename": [], "class": []}), group_col="patient")


def test_check_splits_looks_at_the_groups_of_files(X):
    report = check_splits(X, y, cv=StratifiedKFold(3), duplicates=np.arange(N))
    assert any("groups on both sides" in problem for problem in report.problems)
    assert not any(
        map(len, check_splits(X, y, GroupKFold(3), duplicates=np.arange(N)).shared_groups)
    )


# -- an X that is an array: the ways that the docs name ----------------------------------------

IMAGES = np.random.default_rng(1).integers(0, 256, (N, *SHAPE, 1)).astype(np.uint8)


class NotingGroups(AugmentedKerasClassifier):
    """Notes the groups that its fit got, and those that it held out."""

    def fit(self, X, y, sample_weight=None, class_weight=None, groups=None, validation_data=None):
        super().fit(X, y, sample_weight, class_weight, groups, validation_data)
        fits.append((groups[self.sample_indices_], groups[self.validation_indices_]))
        return self


@pytest.fixture
def on_arrays(est):
    return NotingGroups(linear, validation_split=0.25, random_state=0)


@pytest.mark.parametrize("tool", [cross_val_score, cross_validate, cross_val_predict])
def test_groups_are_passed_twice_for_an_array(tool, on_arrays):
    options = {"cv": GroupKFold(3), "groups": PATIENTS, "params": {"groups": PATIENTS}}
    tool(on_arrays, IMAGES, y, **options)
    assert len(fits) == 3
    for train, held in fits:
        assert len(held)
        assert not set(train) & set(held)


def test_a_search_routes_the_groups_of_an_array(on_arrays):
    with sklearn.config_context(enable_metadata_routing=True):
        on_arrays.set_fit_request(groups=True)
        search = GridSearchCV(on_arrays, {"batch_size": [8]}, cv=GroupKFold(3))
        search.fit(IMAGES, y, groups=PATIENTS)
    assert len(fits) == 4
    for train, held in fits:
        assert len(held)
        assert not set(train) & set(held)
