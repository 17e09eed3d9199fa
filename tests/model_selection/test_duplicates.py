"""Copies of a picture are found, other pictures left alone, and splits kept from parting them."""

import cv2
import numpy as np
import pytest
from scipy.spatial import cKDTree
from sklearn.datasets import load_sample_image
from sklearn.model_selection import GroupKFold, KFold

from skimgcv import ImageFiles
from skimgcv.model_selection import check_splits, duplicate_groups
from skimgcv.model_selection._fingerprints import invariants, orient, orientations, spectra
from skimgcv.model_selection._neighbours import near_pairs


def tiles(pixels=64):
    """Squares of the photograph of a flower that do not overlap: (n, pixels, pixels, 3)."""
    photo = load_sample_image("flower.jpg")
    return np.array(
        [
            photo[top : top + pixels, left : left + pixels]
            for top in range(0, photo.shape[0] - pixels, pixels)
            for left in range(0, photo.shape[1] - pixels, pixels)
        ]
    )


def jpeg(image):
    code = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 50])[1]
    return cv2.imdecode(code, cv2.IMREAD_UNCHANGED)


def resized(image, *, to):
    small = cv2.resize(image, to, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, image.shape[1::-1])


CHANGES = {
    "the same": np.copy,
    "jpeg": jpeg,
    "brighter": lambda image: np.clip(image * 1.1, 0, 255).astype(np.uint8),
    "darker": lambda image: (image * 0.9).astype(np.uint8),
    "cropped": lambda image: cv2.resize(image[3:, :-3], image.shape[1::-1]),
    "mirrored": lambda image: image[:, ::-1],
    "upside down": lambda image: image[::-1],
    "turned": np.rot90,
    "transposed": lambda image: image.transpose(1, 0, 2),
    "resized": lambda image: resized(image, to=(48, 48)),
}
# Strong compression leaves nothing of a background that is out of focus.
WITH_TEXTURE = [
    image
    for image in tiles()
    if (cv2.GaussianBlur(image, (0, 0), 3) - image.astype(float)).std() > 6
][:20]


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_a_changed_copy_shares_its_originals_label(change):
    originals = np.array(WITH_TEXTURE)
    labels = duplicate_groups(np.concatenate([originals, [change(image) for image in originals]]))
    np.testing.assert_array_equal(labels, np.tile(np.arange(20), 2))


def test_copies_of_blood_cells_are_found_and_other_cells_left_alone(blood_cells):
    cells = np.array([cv2.imread(str(path)) for path in sorted(blood_cells.glob("*/*.jpg"))[::4]])
    alone = duplicate_groups(cells)
    # Looked at: the data set has a few fields twice. Every other join would be a wrong one.
    assert len(cells) - len(np.unique(alone)) <= 4
    copies = np.array([jpeg(image) for image in cells])
    together = duplicate_groups(np.concatenate([cells, copies]))
    assert np.mean(together[: len(cells)] == together[len(cells) :]) >= 0.98
    assert len(np.unique(alone)) - len(np.unique(together[: len(cells)])) <= 1


def test_known_groups_and_duplicates_are_joined_in_a_chain():
    a, b, c, d = WITH_TEXTURE[:4]
    X = np.array([a, b, np.rot90(a), c, d])
    assert duplicate_groups(X).tolist() == [0, 1, 0, 2, 3]
    # Patient p has b and the copy of a: the three are one.
    assert duplicate_groups(X, groups=["o", "p", "p", "q", "q"]).tolist() == [0, 0, 0, 1, 1]


def test_no_split_by_group_parts_copies():
    X = np.array([*WITH_TEXTURE, *(np.rot90(image) for image in WITH_TEXTURE)])
    for train, test in GroupKFold(5).split(X, groups=duplicate_groups(X)):
        assert not set(train % 20) & set(test % 20)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
def test_other_types_and_scales_give_the_same_labels(dtype):
    X = np.array([*WITH_TEXTURE[:5], *(image[::-1] for image in WITH_TEXTURE[:5])])
    scale = 1 / 255 if np.dtype(dtype).kind == "f" else {1: 1, 2: 200, 4: 5000}[dtype().itemsize]
    scaled = (X * np.float64(scale)).astype(dtype)
    assert duplicate_groups(scaled).tolist() == [0, 1, 2, 3, 4] * 2
    assert duplicate_groups(scaled[..., 1:2]).tolist() == [0, 1, 2, 3, 4] * 2
    assert duplicate_groups(scaled[..., 1]).tolist() == [0, 1, 2, 3, 4] * 2


class Lazy:
    """Rows that are read by index arrays alone; like files, a selection is lazy too."""

    def __init__(self, images, log):
        self.images, self.log = images, log
        self.shape, self.dtype = images.shape, images.dtype

    def __getitem__(self, rows):
        self.log.append(np.asarray(rows))
        return Lazy(self.images[rows], self.log)

    def __array__(self, dtype=None, copy=None):
        return self.images


def test_lazy_images_are_read_once_and_in_pieces(tmp_path):
    X = np.repeat(np.array(WITH_TEXTURE), 50, axis=0)
    expected = np.repeat(np.arange(20), 50)
    log = []
    np.testing.assert_array_equal(duplicate_groups(Lazy(X, log)), expected)
    assert len(log) > 1
    np.testing.assert_array_equal(np.concatenate(log), np.arange(len(X)))
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    np.testing.assert_array_equal(duplicate_groups(mapped), expected)


def test_threads_change_nothing():
    X = np.array([*tiles(), *(jpeg(image) for image in tiles())])
    np.testing.assert_array_equal(duplicate_groups(X), duplicate_groups(X, n_jobs=2))


def test_blank_images_are_joined_only_if_identical():
    blank = [np.full((64, 64), grey, np.uint8) for grey in (0, 0, 100, 110)]
    assert duplicate_groups(np.array(blank)).tolist() == [0, 0, 1, 2]


def test_rectangles_are_found_too():
    photo = load_sample_image("china.jpg")
    X = np.array([photo[i : i + 60, j : j + 90] for i in (150, 250, 320) for j in (200, 400)])
    turned = np.array([cv2.resize(np.rot90(image), (90, 60)) for image in X])
    assert duplicate_groups(np.concatenate([X, turned])).tolist() == [*range(6), *range(6)]


def test_a_long_chain_is_joined_and_warned_of():
    photo = load_sample_image("china.jpg")
    frames = np.array([photo[200:328, left : left + 128] for left in range(100, 160, 2)])
    with pytest.warns(UserWarning, match="One group links 30 of 30 images"):
        labels = duplicate_groups(frames)
    assert set(labels) == {0}


def test_small_images_are_warned_of_and_not_thrown_together(digits):
    X = digits[0][:100]
    with pytest.warns(UserWarning, match="Images of 8x8 pixels are too small"):
        labels = duplicate_groups(np.concatenate([X, X[:, ::-1], X[:, :, ::-1]]))
    np.testing.assert_array_equal(labels, np.tile(np.arange(100), 3))


def test_similarity_can_be_asked_for():
    image = WITH_TEXTURE[0]
    X = np.array([image, jpeg(image)])
    assert duplicate_groups(X).tolist() == [0, 0]
    assert duplicate_groups(X, min_similarity=0.9999).tolist() == [0, 1]


def test_no_orientation_takes_an_image_away_from_its_invariants():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (5, 48, 48)).astype(np.uint8)
    for number in range(8):
        turned = spectra(np.ascontiguousarray(orient(images, number)))
        np.testing.assert_allclose(invariants(turned), invariants(spectra(images)), atol=1e-5)
        found, distance = orientations(spectra(images), turned)
        assert found.tolist() == [number] * 5
        np.testing.assert_allclose(distance, 0, atol=1e-5)  # float32's rounding


class Bar:
    def update(self, n):
        pass


def neighbours(points, n_threads=1):
    options = {"n_neighbours": 4, "radius": 0.5, "n_threads": n_threads, "bar": Bar()}
    return near_pairs(points, **options)


def test_of_few_points_all_that_are_near_are_found():
    points = np.random.default_rng(0).random((500, 3)).astype(np.float32)  # less than 24 cells
    _, others = cKDTree(points).query(points, k=5, distance_upper_bound=0.5)
    expected = {tuple(sorted((i, j))) for i in range(500) for j in others[i] if j not in (i, 500)}
    assert set(map(tuple, neighbours(points).tolist())) == expected


def test_of_many_points_the_copies_are_found_and_threads_change_nothing():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(3000, 20)).astype(np.float32)  # 4 and more apart, in 78 cells
    copies = points + rng.normal(scale=0.05, size=points.shape).astype(np.float32)
    pairs = neighbours(np.concatenate([points, copies]))
    found = np.isin(np.arange(3000), pairs[pairs[:, 1] == pairs[:, 0] + 3000, 0])
    assert found.all()
    both = np.concatenate([points, copies])
    np.testing.assert_array_equal(pairs, neighbours(both, n_threads=2))


def test_files_are_images(tmp_path):
    images = [*WITH_TEXTURE[:3], WITH_TEXTURE[1][:, ::-1]]
    paths = [tmp_path / f"{number}.png" for number in range(4)]
    for path, image in zip(paths, images, strict=True):
        assert cv2.imwrite(str(path), image)
    files = ImageFiles(paths, (64, 64), cache=None)
    assert duplicate_groups(files).tolist() == [0, 1, 2, 1]
    report = check_splits(files, [0, 1, 0, 1], KFold(2))
    assert [rows.tolist() for rows in report.duplicate_rows] == [[1], [3]]


@pytest.mark.parametrize(
    ("X", "options", "message"),
    [
        (np.zeros((4, 64)), {}, r"got shape \(4, 64\); reshape flat rows"),
        (np.full((4, 64, 64), "a"), {}, "dtype <U1"),
        (np.full((4, 64, 64), np.nan), {}, "row 0 has NaN"),
        (np.zeros((4, 64, 64)), {"groups": [1, 2]}, r"\(4,\); got shape \(2,\)"),
        (np.zeros((4, 64, 64)), {"min_similarity": 92}, "as in 0.9; got 92"),
    ],
)
def test_what_are_no_images_is_refused(X, options, message):
    with pytest.raises(ValueError, match=message):
        duplicate_groups(X, **options)


def test_no_images_have_no_groups():
    assert duplicate_groups(np.zeros((0, 64, 64))).tolist() == []


def test_progress_is_shown_where_asked_for(capsys):
    X = np.array(WITH_TEXTURE)
    duplicate_groups(X)
    assert capsys.readouterr().err == ""
    duplicate_groups(X, verbose=True)
    shown = capsys.readouterr().err
    assert "reading: 100%" in shown
    assert "comparing" in shown
