"""Flows of files, beside those of Keras' own generator on the same files."""

import cv2
import numpy as np
import pandas as pd
import polars
import pytest
from PIL import Image

from skimgcv import ImageAugmenter, ImageReadError

SIZE = (6, 5)
FILES = {"a": 5, "b": 7}
IMAGES = np.random.default_rng(0).integers(0, 256, (12, *SIZE, 3)).astype(np.uint8)
NAMES = [f"{label}/{i}.png" for label, n in FILES.items() for i in range(n)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classes")
    for name, image in zip(NAMES, IMAGES, strict=True):
        (folder / name).parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(folder / name)
    return folder


@pytest.fixture(scope="module")
def table():
    return pd.DataFrame(
        {
            "filename": NAMES,
            "class": [name[0] for name in NAMES],
            "weight": np.arange(12.0),
            "age": np.arange(12) + 20,
        }
    )


@pytest.fixture
def theirs(own_random):  # Keras' iterators draw from NumPy's generator
    from tensorflow.keras.preprocessing.image import ImageDataGenerator

    return ImageDataGenerator(rescale=1 / 255)


OURS = ImageAugmenter(rescale=1 / 255)
OPTIONS = {"target_size": SIZE, "batch_size": 5, "shuffle": False}


def assert_same_batches(ours, theirs):
    assert len(ours) == len(theirs)
    for batch in range(len(ours)):
        a, b = ours[batch], theirs[batch]
        assert type(a) is type(b)
        for x, y in zip(*((v,) if isinstance(v, np.ndarray) else v for v in (a, b)), strict=True):
            for p, q in zip(
                *([v] if isinstance(v, np.ndarray) else v for v in (x, y)), strict=True
            ):
                # Values of 0..255 times a float32, there in float32 too: the last digit.
                np.testing.assert_allclose(p, q, rtol=1e-6)
    assert ours.filenames == theirs.filenames
    assert ours.filepaths == theirs.filepaths
    assert ours.samples == ours.n == theirs.samples


@pytest.mark.parametrize("class_mode", ["categorical", "binary", "sparse", "input", None])
@pytest.mark.parametrize("color_mode", ["rgb", "rgba"])
def test_a_directory_flows_as_keras_has_it(folder, theirs, class_mode, color_mode, capsys):
    options = OPTIONS | {"class_mode": class_mode, "color_mode": color_mode}
    ours = OURS.flow_from_directory(folder, **options)
    assert_same_batches(ours, theirs.flow_from_directory(folder, **options))
    assert ours.class_indices == {"a": 0, "b": 1}
    assert ours.classes.tolist() == [0] * 5 + [1] * 7


@pytest.mark.parametrize("class_mode", ["categorical", "binary", "sparse", "input", "raw", None])
@pytest.mark.parametrize("weight_col", [None, "weight"])
def test_a_data_frame_flows_as_keras_has_it(folder, theirs, table, class_mode, weight_col, capsys):
    options = OPTIONS | {
        "class_mode": class_mode,
        "weight_col": weight_col if class_mode else None,
        "y_col": "age" if class_mode == "raw" else "class",
    }
    ours = OURS.flow_from_dataframe(table, folder, **options)
    assert_same_batches(ours, theirs.flow_from_dataframe(table, str(folder), **options))


def test_several_outputs_and_several_labels_flow_as_keras_has_them(folder, theirs, table, capsys):
    options = OPTIONS | {"class_mode": "multi_output", "y_col": ["age", "weight"]}
    ours = OURS.flow_from_dataframe(table, folder, **options)
    assert_same_batches(ours, theirs.flow_from_dataframe(table, str(folder), **options))
    several = table.assign(**{"class": [["a"], ["a", "b"], ["b", "c"]] * 4})
    options = OPTIONS | {"classes": ["b", "a"]}
    ours = OURS.flow_from_dataframe(several, folder, **options)
    assert_same_batches(ours, theirs.flow_from_dataframe(several, str(folder), **options))
    assert ours.class_indices == {"b": 0, "a": 1}


def test_a_polars_frame_flows(folder, table):
    ours = OURS.flow_from_dataframe(polars.DataFrame(table.to_dict("list")), folder, **OPTIONS)
    np.testing.assert_allclose(ours[0][0], IMAGES[:5] / np.float32(255), rtol=1e-6)


def test_names_that_are_no_images_are_left_out_with_a_warning(folder, table):
    bad = pd.concat(
        [
            pd.DataFrame({"filename": ["none.png", None, "a"], "class": ["a", "a", "b"]}),
            table.iloc[::-1],
        ]
    )
    with pytest.warns(UserWarning, match="3 of 15 names in the column 'filename' are not image"):
        flow = OURS.flow_from_dataframe(bad, folder, **OPTIONS)
    assert flow.filenames == NAMES[::-1]
    np.testing.assert_allclose(flow[0][0], IMAGES[:-6:-1] / np.float32(255), rtol=1e-6)


def test_subsets_of_a_directory_take_a_share_of_each_class_and_part_it(folder):
    random = ImageAugmenter(rescale=1 / 255, brightness_range=(0.1, 0.2), validation_split=0.4)
    options = OPTIONS | {"batch_size": 12}
    training = random.flow_from_directory(folder, subset="training", seed=0, **options)
    held = random.flow_from_directory(folder, subset="validation", **options)
    assert held.filenames == ["a/3.png", "a/4.png", "b/5.png", "b/6.png"]
    assert sorted(training.filenames + held.filenames) == NAMES
    rows = [NAMES.index(name) for name in held.filenames]
    np.testing.assert_allclose(held[0][0], IMAGES[rows] / np.float32(255), rtol=1e-6)
    rows = [NAMES.index(name) for name in training.filenames]
    assert training[0][0].max() < 0.21
    assert held[0][1].tolist() == [[1, 0], [1, 0], [0, 1], [0, 1]]


def test_subsets_of_a_table_are_its_first_and_last_rows(folder, table):
    random = ImageAugmenter(validation_split=0.25)
    held = random.flow_from_dataframe(
        table, folder, subset="validation", ignore_class_split=True, **OPTIONS
    )
    assert held.filenames == NAMES[-3:]


@pytest.mark.parametrize("subset", ["training", "validation"])
def test_subsets_need_the_same_classes_in_every_flow(folder, table, subset):
    """A table that is sorted by class would train on some classes and validate on another."""
    words = (
        r"the training and the validation subset need the same classes, got {} and {}; "
        "shuffle sorted rows first"
    )
    share = ImageAugmenter(validation_split=0.4)
    several = table.assign(**{"class": [["a"], ["a", "b"], ["b"]] * 3 + [["c"]] * 3})
    options = {"subset": subset, **OPTIONS}
    for mode in ("categorical", "binary", "sparse"):
        with pytest.raises(ValueError, match=words.format(r"\['a', 'b'\]", r"\['b'\]")):
            share.flow_from_dataframe(table, folder, class_mode=mode, **options)
    with pytest.raises(ValueError, match=words.format(r"\['a', 'b'\]", r"\['b', 'c'\]")):
        share.flow_from_dataframe(several, folder, **options)
    few = ImageAugmenter(validation_split=0.15)  # less than one of the five of a
    with pytest.raises(ValueError, match=words.format(r"\['a', 'b'\]", r"\['b'\]")):
        few.flow_from_directory(folder, **options)
    names = np.repeat(["a", "b"], [5, 7])
    with pytest.raises(ValueError, match=words.format(r"\['a', 'b'\]", r"\['b'\]")):
        share.flow(IMAGES, names, subset=subset)
    # Shuffled rows, targets that are no classes, and who asks for it.
    shuffled = table.sample(frac=1, random_state=0)
    share.flow_from_dataframe(shuffled, folder, **options)
    share.flow_from_dataframe(table, folder, class_mode="input", **options)
    share.flow_from_dataframe(table, folder, class_mode=None, **options)
    flow = share.flow_from_dataframe(table, folder, ignore_class_split=True, **options)
    assert flow.n == (8 if subset == "training" else 4)
    few.flow_from_directory(folder, ignore_class_split=True, **options)


def test_transforms_are_those_of_the_array(folder):
    turning = ImageAugmenter(rotation_range=40, width_shift_range=0.2)
    options = {"batch_size": 5, "seed": 3}
    files = turning.flow_from_directory(folder, SIZE, class_mode="sparse", **options)
    array = turning.flow(IMAGES, np.repeat([0, 1], [5, 7]), **options)
    for epoch in range(2):
        for batch in range(3):
            np.testing.assert_array_equal(files[batch][0], array[batch][0], err_msg=str(epoch))
            np.testing.assert_array_equal(files[batch][1], array[batch][1])
        files.on_epoch_end(), array.on_epoch_end()


def test_mixing_takes_the_one_hot_rows(folder):
    mixing = ImageAugmenter(mixup_alpha=1.0)
    _, y = mixing.flow_from_directory(folder, SIZE, batch_size=12, seed=0)[0]
    np.testing.assert_allclose(y.sum(axis=1), 1, rtol=1e-6)
    assert ((y > 0) & (y < 1)).any()


def test_arguments_that_do_not_go_together_are_told(folder, table):
    with pytest.raises(ValueError, match="class_mode"):
        OURS.flow_from_directory(folder, class_mode="raw")
    with pytest.raises(ValueError, match="needs 2 classes; there are 1"):
        OURS.flow_from_directory(folder, class_mode="binary", classes=["a"])
    with pytest.raises(ValueError, match="channels last"):
        ImageAugmenter(data_format="channels_first").flow_from_directory(folder)
    with pytest.raises(ValueError, match="needs `validation_split`"):
        OURS.flow_from_directory(folder, subset="training")
    with pytest.raises(TypeError, match='class_mode="raw"'):
        OURS.flow_from_dataframe(table, folder, y_col="age")


def test_values_of_16_bits_are_kept_if_asked_for(tmp_path):
    deep = np.random.default_rng(0).integers(0, 2**16, (4, *SIZE)).astype(np.uint16)
    for i, image in enumerate(deep):
        (tmp_path / "ab"[i % 2]).mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / "ab"[i % 2] / f"{i}.png"), image)
    options = {**OPTIONS, "color_mode": "grayscale", "class_mode": None}
    kept = ImageAugmenter(rescale=1 / 65535).flow_from_directory(
        tmp_path, **options, dtype="uint16"
    )
    expected = deep[[0, 2, 1, 3], ..., np.newaxis] / np.float32(65535)
    np.testing.assert_allclose(kept[0], expected, rtol=1e-6)  # float32's last digit
    table = pd.DataFrame({"filename": ["a/0.png", "b/1.png"]})
    kept = OURS.flow_from_dataframe(table, tmp_path, **options, dtype="uint16")
    np.testing.assert_allclose(kept[0], deep[:2, ..., np.newaxis] / np.float32(255), rtol=1e-6)
    plain = OURS.flow_from_directory(tmp_path, **options)
    with pytest.raises(ImageReadError, match=r'16 bits a channel: pass dtype="uint16"'):
        plain[0]
