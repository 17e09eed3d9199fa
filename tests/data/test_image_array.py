"""ImageArray: memory maps, HDF5 and Zarr score as the array of their pixels, uncopied."""

import pickle
import tracemalloc

import h5py
import joblib
import numpy as np
import pytest
from builders import linear
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    StratifiedKFold,
    cross_val_score,
    cross_validate,
)

from skimgcv import AugmentedKerasClassifier, ImageArray, ImageAugmenter

N, SHAPE = 30, (6, 5, 3)
IMAGES = np.random.default_rng(0).integers(0, 256, (N, *SHAPE)).astype(np.uint8)
y = np.arange(N) % 2


def mapped(folder, images):
    np.save(folder / "images.npy", images)
    return np.load(folder / "images.npy", mmap_mode="r")


def mapped_part(folder, images):
    """Rows of a larger map."""
    np.save(folder / "images.npy", np.concatenate([images[:2] * 0, images]))
    return np.load(folder / "images.npy", mmap_mode="r")[2:]


def hdf5(folder, images):
    with h5py.File(folder / "images.h5", "w") as file:
        file.create_dataset("group/images", data=images, chunks=(4, *images.shape[1:]))
    return h5py.File(folder / "images.h5")["group/images"]


def zarr(folder, images):
    zarr = pytest.importorskip("zarr", reason="zarr is not installed")
    zarr.save_array(str(folder / "images.zarr"), images)
    return zarr.open_array(str(folder / "images.zarr"), mode="r")


SOURCES = {
    "array": lambda folder, images: images,
    "memory map": mapped,
    "part of a memory map": mapped_part,
    "HDF5": hdf5,
    "Zarr": zarr,
}


@pytest.fixture(params=SOURCES)
def source(request, tmp_path):
    return SOURCES[request.param](tmp_path, IMAGES)


@pytest.fixture(name="X")
def image_array(source):
    return ImageArray(source)


def est(**parameters):
    augmenter = ImageAugmenter(rotation_range=20, featurewise_center=True, rescale=1 / 255)
    return AugmentedKerasClassifier(
        linear, augmenter=augmenter, batch_size=8, epochs=2, random_state=0, **parameters
    )


def test_it_looks_like_the_array(X):
    assert (X.shape, X.dtype, X.ndim, len(X)) == (IMAGES.shape, IMAGES.dtype, 4, N)
    assert "30 images of 6 x 5 x 3 uint8" in repr(X)
    np.testing.assert_array_equal(np.asarray(X), IMAGES)
    np.testing.assert_array_equal(X[-1], IMAGES[-1])
    np.testing.assert_array_equal(X[3, :, 1], IMAGES[3, :, 1])
    np.testing.assert_array_equal(np.stack(list(X)), IMAGES)


@pytest.mark.parametrize(
    "key",
    [slice(2, 20, 3), [7, 7, 1, 29], np.arange(N)[::-1], np.arange(N) % 3 == 0, []],
    ids=["slice", "repeats", "descending", "mask", "none"],
)
def test_rows_in_any_order_are_those_of_the_array(key, X):
    np.testing.assert_array_equal(np.asarray(X[key]), IMAGES[key])
    np.testing.assert_array_equal(np.asarray(X[key, ...]), IMAGES[key])
    np.testing.assert_array_equal(np.asarray(X[5:][[4, 0]][::-1]), IMAGES[[5, 9]])


def test_rows_are_given_in_the_constructor_too(source):
    X = ImageArray(source, rows=[3, -1], groups=["a", "b"])
    np.testing.assert_array_equal(np.asarray(X), IMAGES[[3, -1]])
    assert X.rows.tolist() == [3, N - 1]
    assert X[[1]].groups.tolist() == ["b"]
    mask = np.arange(N) < 2
    assert ImageArray(source, rows=mask).rows.tolist() == [0, 1]


def test_it_scores_as_its_array_bit_for_bit(X):
    cv = StratifiedKFold(3, shuffle=True, random_state=0)
    np.testing.assert_array_equal(
        cross_val_score(est(), X, y, cv=cv), cross_val_score(est(), IMAGES, y, cv=cv)
    )
    np.testing.assert_array_equal(
        est().fit(X, y).predict_proba(X), est().fit(IMAGES, y).predict_proba(IMAGES)
    )


def test_grey_images_need_no_channel_axis(tmp_path):
    grey = IMAGES[..., 0]
    X = ImageArray(mapped(tmp_path, grey))
    np.testing.assert_array_equal(
        est().fit(X, y).predict_proba(X), est().fit(grey, y).predict_proba(grey)
    )


@pytest.mark.parametrize("kind", ["memory map", "part of a memory map", "HDF5", "Zarr"])
def test_a_pickle_holds_the_name_and_not_the_pixels(kind, tmp_path):
    large = np.random.default_rng(0).integers(0, 256, (64, 64, 64, 3)).astype(np.uint8)
    X = ImageArray(SOURCES[kind](tmp_path, large))[10:]
    text = pickle.dumps(X)
    assert len(text) < 20_000  # 750 kB of pixels
    again = pickle.loads(text)
    np.testing.assert_array_equal(np.asarray(again[[5, 1]]), large[[15, 11]])


def test_workers_open_the_file_themselves(X):
    results = joblib.Parallel(2)(joblib.delayed(np.asarray)(X[rows]) for rows in ([4, 2], [0]))
    np.testing.assert_array_equal(results[0], IMAGES[[4, 2]])
    np.testing.assert_array_equal(results[1], IMAGES[[0]])


def test_folds_in_workers_score_as_here(tmp_path):
    X = ImageArray(hdf5(tmp_path, IMAGES))
    np.testing.assert_array_equal(
        cross_val_score(est(), X, y, cv=2, n_jobs=2), cross_val_score(est(), IMAGES, y, cv=2)
    )


def test_a_changed_map_is_sent_itself(tmp_path):
    """Its changes are nowhere but in this process."""
    np.save(tmp_path / "images.npy", IMAGES)
    changed = np.load(tmp_path / "images.npy", mmap_mode="c")
    changed[0] = 7
    again = pickle.loads(pickle.dumps(ImageArray(changed)))
    np.testing.assert_array_equal(np.asarray(again), changed)


def test_a_file_that_was_replaced_is_read_anew(tmp_path):
    text = pickle.dumps(ImageArray(hdf5(tmp_path, IMAGES)))
    np.testing.assert_array_equal(np.asarray(pickle.loads(text)), IMAGES)
    (tmp_path / "images.h5").unlink()
    text = pickle.dumps(ImageArray(hdf5(tmp_path, 255 - IMAGES)))
    np.testing.assert_array_equal(np.asarray(pickle.loads(text)), 255 - IMAGES)


@pytest.mark.parametrize("kind", ["memory map", "HDF5"])
def test_folds_are_not_copied(kind, tmp_path):
    images = np.zeros((256, 128, 128, 3), np.uint8)
    images[1::2] = 200
    labels = np.arange(len(images)) % 2
    clf = AugmentedKerasClassifier(linear, batch_size=4, random_state=0)
    clf.fit(images[:8], labels[:8])  # compiled beforehand

    def peak(X):
        tracemalloc.start()
        try:
            cross_val_score(clf, X, labels, cv=2)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    # scikit-learn copies the half that trains.
    lazy = peak(ImageArray(SOURCES[kind](tmp_path, images)))
    assert lazy < peak(mapped(tmp_path, images)) - images.nbytes / 2 * 0.9


def test_groups_reach_every_hold_out(X):
    groups = np.arange(N) // 3
    X = X.with_groups(groups)
    clf = est(validation_split=0.3)
    kept = {"return_estimator": True, "return_indices": True}
    result = cross_validate(clf, X, y, groups=X.groups, cv=GroupKFold(2), **kept)
    for fitted, rows in zip(result["estimator"], result["indices"]["train"], strict=True):
        held = groups[rows][fitted.validation_indices_]
        assert len(held)
        assert not set(held) & set(groups[rows][fitted.sample_indices_])
    search = GridSearchCV(clf, {"epochs": [1]}, cv=GroupKFold(2)).fit(X, y, groups=groups)
    refitted = search.best_estimator_
    assert not set(groups[refitted.validation_indices_]) & set(groups[refitted.sample_indices_])


def test_values_that_are_not_finite_are_found(tmp_path):
    images = IMAGES.astype(np.float32)
    images[21, 2, 2] = np.nan
    with pytest.raises(ValueError, match="NaN or infinity, in row 21"):
        est().fit(ImageArray(hdf5(tmp_path, images)), y)


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: ImageArray([1, 2]), TypeError, "list has no shape"),
        (lambda: ImageArray(IMAGES.reshape(N, -1)), ValueError, r"it has shape \(30, 90\)"),
        (
            lambda: ImageArray(IMAGES.astype(str)),
            ValueError,
            "it has dtype <U",
        ),
        (lambda: ImageArray(np.ma.array(IMAGES)), TypeError, "mask"),
        (lambda: ImageArray(IMAGES, rows=[N]), IndexError, "rows must be in the 30.*it has 30"),
        (lambda: ImageArray(IMAGES, rows=[0.5]), ValueError, "rows must be integers"),
        (lambda: ImageArray(IMAGES, rows=[0], groups=[1, 2]), ValueError, r"each image, 1"),
        (lambda: ImageArray(IMAGES)[0.5], IndexError, "ImageArray take an integer"),
    ],
)
def test_bad_arguments_are_refused(make, error, said):
    with pytest.raises(error, match=said):
        make()


def test_a_file_that_no_worker_could_open_is_refused(tmp_path):
    with (
        h5py.File(tmp_path / "core.h5", "w", driver="core", backing_store=False) as core,
        h5py.File(tmp_path / "images.h5", "w") as writing,
    ):
        core["images"] = writing["images"] = IMAGES
        for file, said in ((core, "driver 'core'; use n_jobs=1"), (writing, "open for writing")):
            X = ImageArray(file["images"])
            with pytest.raises(TypeError, match=said):
                pickle.dumps(X)
    with pytest.raises(TypeError, match="is closed; keep it open"):
        pickle.dumps(X)
