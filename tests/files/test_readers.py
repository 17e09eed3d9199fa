"""A reader brings files of any kind in: their values as they are, cached by the reader's code."""

import functools
import pickle
import subprocess
import sys
import types
from pathlib import Path

import cv2
import keras
import numpy as np
import pandas as pd
import pytest
from builders import linear
from sklearn.model_selection import StratifiedKFold, cross_val_score

import skimgcv
from skimgcv import (
    AugmentedKerasClassifier,
    ImageAugmenter,
    ImageFiles,
    ImageReadError,
    clear_decoded_images,
    load_image_table,
    load_images,
)
from skimgcv._files.readers import Reader
from skimgcv.exceptions import UnreadableImagesWarning

N, SHAPE = 12, (6, 5)
RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 4096, (N, *SHAPE)).astype(np.uint16)
y = np.arange(N) % 2


@pytest.fixture(autouse=True)
def _empty_memory():
    clear_decoded_images()


def load(path):
    return np.load(path)


def pixels_of_dicom(path):
    import pydicom

    return pydicom.dcmread(path).pixel_array


def write_arrays(folder, arrays):
    paths = [folder / f"{i:02d}.npy" for i in range(len(arrays))]
    for path, array in zip(paths, arrays, strict=True):
        np.save(path, array)
    return paths


def write_dicom(path, pixels):
    """12 bits stored in 16, as scanners have it."""
    pydicom = pytest.importorskip("pydicom", reason="pydicom is not installed")
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = pydicom.uid.CTImageStorage
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    dataset = pydicom.dataset.Dataset()
    dataset.file_meta = meta
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.PixelData = pixels.tobytes()
    dataset.save_as(path, enforce_file_format=True)


def est(**parameters):
    augmenter = ImageAugmenter(rotation_range=20, horizontal_flip=True, rescale=1 / 4095)
    return AugmentedKerasClassifier(
        linear, augmenter=augmenter, batch_size=4, epochs=2, random_state=0, **parameters
    )


def test_dicom_scores_as_its_array_bit_for_bit(tmp_path):
    paths = [tmp_path / str(i) for i in range(N)]
    for path, pixels in zip(paths, GREY, strict=True):
        write_dicom(path, pixels)
    X = ImageFiles(paths, SHAPE, dtype="uint16", reader=pixels_of_dicom)
    np.testing.assert_array_equal(np.asarray(X), GREY[..., np.newaxis])
    cv = StratifiedKFold(3, shuffle=True, random_state=0)
    scores = [
        cross_val_score(est(), data, y, cv=cv, scoring="neg_log_loss")
        for data in (X, GREY[..., np.newaxis])
    ]
    np.testing.assert_array_equal(*scores)


@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_tiff_of_floats_or_signed_values_or_many_bands(tmp_path, dtype):
    tifffile = pytest.importorskip("tifffile", reason="tifffile is not installed")
    values = RNG.integers(-3000, 3000, (3, *SHAPE, 7)).astype(dtype) / np.array(4, dtype)
    for i, image in enumerate(values.astype(dtype)):
        tifffile.imwrite(tmp_path / f"{i}.tif", image, photometric="minisblack")
    X = ImageFiles(
        sorted(tmp_path.iterdir()), (*SHAPE, 7), dtype=dtype, reader=lambda p: tifffile.imread(p)
    )
    np.testing.assert_array_equal(np.asarray(X), values.astype(dtype))


@pytest.mark.parametrize("kept", ["memory", "folder"])
@pytest.mark.parametrize("dtype", ["int8", ">i4", "uint64", "float16", "float64"])
def test_values_of_any_type_are_kept(tmp_path, dtype, kept):
    images = RNG.integers(0, 100, (3, *SHAPE, 5)).astype(dtype)
    cache = "memory" if kept == "memory" else tmp_path / "cache"
    paths = write_arrays(tmp_path, images)
    X = ImageFiles(paths, (*SHAPE, 5), dtype=np.dtype(dtype).name, reader=load, cache=cache)
    for _ in range(2):
        np.testing.assert_array_equal(np.asarray(X), images)
    assert X.dtype == np.dtype(dtype).newbyteorder("=")


@pytest.mark.parametrize("interpolation", ["area", "bilinear", "bicubic", "lanczos", "nearest"])
@pytest.mark.parametrize("dtype", ["int16", "int32", "float32", "uint64", "float16"])
def test_resizing_is_opencvs_of_each_channel(tmp_path, interpolation, dtype):
    image = RNG.integers(0, 100, (9, 7, 6)).astype(dtype)
    [path] = write_arrays(tmp_path, [image])
    files = ImageFiles([path], (4, 5, 6), dtype=dtype, interpolation=interpolation, reader=load)
    how = skimgcv._files.decoding.INTERPOLATIONS[interpolation]
    expected = np.dstack(
        [cv2.resize(image[..., i].astype(np.float64), (5, 4), interpolation=how) for i in range(6)]
    )
    if np.dtype(dtype).kind == "u":
        expected = np.clip(expected, 0, None)
    # OpenCV rounds integers, float32 and float16 on its way.
    tolerance = 0.5001 if np.dtype(dtype).kind in "iu" else 0.1
    np.testing.assert_allclose(files[0].astype(float), expected, atol=tolerance, rtol=0)


def test_the_largest_integers_stay_in_their_type_when_they_are_resized(tmp_path):
    for dtype in ("int32", "int64", "uint64"):
        image = np.full((4, 4), np.iinfo(dtype).max, dtype)
        [path] = write_arrays(tmp_path, [image])
        resized = ImageFiles([path], (2, 2), dtype=dtype, reader=load, cache=None)[0]
        np.testing.assert_allclose(resized.astype(float), float(image[0, 0]))


def fails(path):
    raise KeyError("PixelData")


@pytest.mark.parametrize(
    ("reader", "options", "said"),
    [
        (fails, {}, "its reader failed with KeyError: 'PixelData'"),
        (
            lambda path: np.zeros((3, 6, 5)),
            {},
            r"shape \(3, 6, 5\).*needs to be \(height, width\)",
        ),
        (lambda path: np.zeros((6, 5)), {"image_shape": (6, 5, 4)}, r"\(height, width, 4\)"),
        (lambda path: np.full((6, 5), 256), {}, 'uint8 cannot hold; pass dtype="int64"'),
        (lambda path: np.full((6, 5), 0.1), {"dtype": "float32"}, 'pass dtype="float64"'),
        (lambda path: np.full((6, 5), -1), {"dtype": "uint64"}, "uint64 cannot hold"),
        (lambda path: np.full((6, 5), 2**53 + 1), {"dtype": "float64"}, "float64 cannot hold"),
        (lambda path: np.full((6, 5), np.nan), {"dtype": "float32"}, "NaN or infinity"),
        (lambda path: np.full((6, 5), 1j), {}, "complex128, which are not real numbers"),
        (lambda path: None, {}, r"an array of shape \(\)"),
        (lambda path: np.zeros((0, 5)), {}, "it has no pixels"),
        (lambda path: np.zeros((6, 5)), {"max_pixels": 29}, "max_pixels is 29"),
    ],
)
def test_what_a_reader_cannot_give_is_told_by_path_and_row(tmp_path, reader, options, said):
    paths = write_arrays(tmp_path, GREY[:3])
    options = {"image_shape": SHAPE} | options
    X = ImageFiles(paths, reader=reader, **options)
    with pytest.raises(ImageReadError, match=said) as caught:
        X[1:][0]
    assert (caught.value.path, caught.value.row) == (str(paths[1]), 1)
    assert all(reason in str(caught.value) for reason in X[[1]].verify(progress=False)["reason"])


def test_bad_files_are_skipped_before_the_split(tmp_path):
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        write_arrays(tmp_path / label, GREY[:3])
    (tmp_path / "a" / "01.npy").write_bytes(b"no array")
    with pytest.warns(UnreadableImagesWarning, match="1 of 6 files"):
        X, labels, names = load_images(
            tmp_path,
            SHAPE,
            extensions=(".npy",),
            dtype="uint16",
            reader=load,
            on_error="skip",
            return_names=True,
        )
    assert (len(X), labels.tolist().count("a")) == (5, 2)
    assert "a/01.npy" not in names


def test_a_table_takes_a_reader_and_groups(tmp_path):
    table = pd.DataFrame({"file": write_arrays(tmp_path, GREY), "label": y, "patient": y + 7})
    X, _ = load_image_table(
        table, "file", "label", group_col="patient", image_shape=SHAPE, dtype="uint16", reader=load
    )
    assert X[[3, 0]].groups.tolist() == [8, 7]
    np.testing.assert_array_equal(np.asarray(X)[..., 0], GREY)


def test_a_fit_on_what_a_reader_gives_is_saved_and_loaded(tmp_path):
    X = ImageFiles(write_arrays(tmp_path, GREY), SHAPE, dtype="uint16", reader=load)
    clf = est().fit(X, y)
    clf.save(tmp_path / "clf.zip")
    loaded = AugmentedKerasClassifier.load(tmp_path / "clf.zip", custom_objects={"linear": linear})
    np.testing.assert_array_equal(loaded.predict_proba(X), clf.predict_proba(X))
    keras.utils.clear_session()


def test_pickles_take_the_reader_along(tmp_path):
    X = ImageFiles(write_arrays(tmp_path, GREY[:3]), SHAPE, dtype="uint16", reader=Adding(3))
    copy = pickle.loads(pickle.dumps(X[1:]))
    np.testing.assert_array_equal(np.asarray(copy)[..., 0], GREY[1:3] + 3)
    assert copy.fingerprint() == X[1:].fingerprint()


def test_a_notebook_shows_what_a_reader_gives(tmp_path):
    paths = write_arrays(tmp_path, RNG.normal(size=(2, *SHAPE, 6)).astype("float32"))
    X = ImageFiles(paths, (*SHAPE, 6), dtype="float32", reader=load)
    assert X._repr_html_().count("data:image/png") == 2


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"reader": "pydicom"}, TypeError, "a function from a path to an array"),
        ({"reader": load, "color_mode": "grayscale"}, ValueError, "is for files .* without"),
        ({"reader": load, "dtype": "complex64"}, ValueError, "of integers or floats"),
        ({"reader": load, "dtype": "longdouble"}, ValueError, "of integers or floats"),
        ({"image_shape": (6, 5, 7)}, ValueError, "or pass a reader"),
        ({"dtype": "float32"}, ValueError, "dtype must be one of"),
    ],
)
def test_bad_arguments_are_told(options, error, said):
    with pytest.raises(error, match=said):
        ImageFiles(["a.npy"], **{"image_shape": SHAPE} | options)


# -- what tells readers apart ----------------------------------------------------------------


def made(source, **names):
    """Run source as a module of its own, as another process would."""
    module = types.ModuleType("users_own")
    module.__dict__.update(names)
    exec(compile(source, "users_own.py", "exec"), module.__dict__)
    return module.read


PLAIN = """
import numpy as np
LEVEL = 40

def read(path):
    return window(np.load(path))

def window(pixels):
    return pixels + LEVEL
"""


class Adding:
    def __init__(self, level):
        self.level = level

    def __call__(self, path):
        return load(path) + self.level


def adds(level):
    return lambda path: load(path) + level


@pytest.mark.parametrize(
    ("one", "same", "other"),
    [
        (made(PLAIN), made(PLAIN), made(PLAIN.replace("40", "41"))),
        (made(PLAIN), made(PLAIN), made(PLAIN.replace("pixels + ", "pixels - "))),
        (made(PLAIN), made("# a comment\n" + PLAIN), made(PLAIN.replace("np.load", "np.abs"))),
        (adds(1), adds(1), adds(2)),
        (adds(np.arange(3)), adds(np.arange(3)), adds(np.arange(1, 4))),
        (adds({"a", "b"}), adds({"b", "a"}), adds({"b", "c"})),
        (Adding(1), Adding(1), Adding(2)),
        (Adding(1).__call__, Adding(1).__call__, Adding(2).__call__),
        (
            functools.partial(adds, 1),
            functools.partial(adds, 1),
            functools.partial(adds, level=2),
        ),
        (np.load, np.load, cv2.imread),
    ],
)
def test_readers_are_told_apart_by_what_they_do(one, same, other):
    assert Reader.of(one) == Reader.of(same) != Reader.of(other)


def test_a_module_of_the_users_counts_by_what_is_read_of_it(monkeypatch):
    helper = types.ModuleType("helper")
    helper.level, helper.unused = 1, 1
    monkeypatch.setitem(sys.modules, "helper", helper)
    for source in (
        "import helper\ndef read(p): return helper.level",
        "def read(p):\n    import helper\n    return helper.level",
    ):
        names = []
        for name in ("unused", "level"):
            names.append(Reader.of(made(source)).name)
            setattr(helper, name, getattr(helper, name) + 1)
        names.append(Reader.of(made(source)).name)
        assert names[0] == names[1] != names[2]


def test_a_module_that_two_functions_read_counts_by_what_both_read(monkeypatch):
    helper = types.ModuleType("helper")
    helper.first, helper.level = 1, 1
    monkeypatch.setitem(sys.modules, "helper", helper)
    source = (
        "import helper\n"
        "def above(a): return a + helper.level\n"
        "def read(p): return above(helper.first)"
    )
    before = Reader.of(made(source))
    helper.level = 2
    assert Reader.of(made(source)) != before


@pytest.mark.parametrize("cache", ["cache", "lru_cache(maxsize=2)"])
def test_a_cached_function_counts_by_its_code(cache):
    source = (
        f"import functools\n@functools.{cache}\ndef level(): return 1\ndef read(p): return level()"
    )
    assert Reader.of(made(source)) == Reader.of(made(source))
    assert Reader.of(made(source)) != Reader.of(made(source.replace("return 1", "return 2")))


def test_a_reader_that_cannot_be_told_from_others_is_refused():
    with pytest.raises(ValueError, match=r"cannot tell .* an object of builtins\.generator"):
        ImageFiles(["a"], SHAPE, reader=adds(i for i in range(3)))


def test_another_process_gives_a_reader_the_same_name():
    code = (
        "import sys, types\n"
        "package = sys.modules['skimgcv'] = types.ModuleType('skimgcv')\n"
        f"package.__path__ = {list(skimgcv.__path__)!r}\n"
        "from skimgcv._files.readers import Reader\n"
        "module = types.ModuleType('users_own')\n"
        f"exec(compile({PLAIN!r}, 'users_own.py', 'exec'), module.__dict__)\n"
        "print(Reader.of(module.read).name)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == Reader.of(made(PLAIN)).name


@pytest.mark.parametrize("kept", ["memory", "folder"])
def test_another_reader_is_kept_apart(tmp_path, kept):
    paths = write_arrays(tmp_path, GREY[:3])
    cache = "memory" if kept == "memory" else tmp_path / "cache"
    for level in (0, 1, 0):
        X = ImageFiles(paths, SHAPE, dtype="uint16", reader=Adding(level), cache=cache)
        np.testing.assert_array_equal(np.asarray(X)[..., 0], GREY[:3] + level)


@pytest.mark.parametrize("kept", ["memory", "folder"])
def test_a_file_is_read_once(tmp_path, kept):
    read = []
    paths = write_arrays(tmp_path, GREY[:3])
    cache = "memory" if kept == "memory" else tmp_path / "cache"

    class Counting(Adding):
        def __call__(self, path):
            read.append(Path(path).name)
            return super().__call__(path)

        def __reduce_ex__(self, protocol):
            return Adding, (self.level,)

    for _ in range(2):
        X = ImageFiles(paths, SHAPE, dtype="uint16", reader=Counting(0), cache=cache)
        np.asarray(X), np.asarray(X[[1]])
    assert sorted(read) == ["00.npy", "01.npy", "02.npy"]
