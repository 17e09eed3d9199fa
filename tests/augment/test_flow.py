"""``flow``: Keras' batches, from our engine; and that a model trains on them."""

import keras
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from tensorflow.keras.preprocessing.image import ImageDataGenerator

from skimgcv.augment import ImageAugmenter

AUGMENTER = ImageAugmenter(rotation_range=20, horizontal_flip=True, rescale=1 / 255)


def test_batches_hold_what_was_given_row_by_row(small_photos):
    y, weights, rows = np.arange(24) * 2, np.arange(24) / 10, np.arange(24)
    flow = ImageAugmenter(rescale=1 / 255).flow(
        (small_photos, [rows]), y, batch_size=10, sample_weight=weights, seed=0
    )
    assert len(flow) == 3
    seen = []
    for index in range(3):
        (images, at), labels, weight = flow[index]
        assert_array_equal(images, small_photos[at] * np.float32(1 / 255))
        assert_array_equal(labels, y[at])
        assert_array_equal(weight, weights[at])
        seen += at.tolist()
    assert sorted(seen) == list(range(24))
    assert seen != list(range(24))
    with pytest.raises(IndexError, match="batch 3 of 3"):
        flow[3]


@pytest.mark.parametrize("given", ["x", "x, y", "x, y, w", "(x, m), y"])
def test_items_have_the_form_of_keras(small_photos, global_numbers, given):
    y, weights = np.arange(24), np.ones(24)
    arguments = {
        "x": {"x": small_photos},
        "x, y": {"x": small_photos, "y": y},
        "x, y, w": {"x": small_photos, "y": y, "sample_weight": weights},
        "(x, m), y": {"x": (small_photos, y), "y": y},
    }[given]
    with global_numbers(0):
        expected = next(ImageDataGenerator().flow(**arguments, shuffle=False, batch_size=7))
    batch = next(ImageAugmenter().flow(**arguments, shuffle=False, batch_size=7))

    def compare(a, b):
        assert type(a) is type(b)
        if isinstance(a, np.ndarray):
            assert_array_equal(a, b)
        else:
            assert len(a) == len(b)
            for pair in zip(a, b, strict=True):
                compare(*pair)

    compare(batch, expected)


def test_a_seed_gives_the_same_epochs_in_any_way_of_reading(small_photos):
    def epochs(flow):
        for _ in range(2):
            yield [flow[i] for i in reversed(range(len(flow)))][::-1]
            flow.on_epoch_end()

    by_index = list(epochs(AUGMENTER.flow(small_photos, batch_size=10, seed=3)))
    iterator = AUGMENTER.flow(small_photos, batch_size=10, seed=3)
    for epoch in by_index:
        for batch in epoch:
            assert_array_equal(next(iterator), batch)
    assert not np.array_equal(by_index[0][0], by_index[1][0])
    # Other batches hold the same images.
    whole = AUGMENTER.flow(small_photos, batch_size=24, seed=3)[0]
    assert_array_equal(np.concatenate(by_index[0]), whole)
    other = AUGMENTER.flow(small_photos, batch_size=24, seed=4)[0]
    assert not np.array_equal(whole, other)


def test_without_shuffling_each_epoch_has_its_own_transforms(small_photos):
    flow = ImageAugmenter(brightness_range=(0.1, 1)).flow(
        small_photos, np.arange(24), shuffle=False, batch_size=24
    )
    (first, y), (second, again) = next(flow), next(flow)
    assert_array_equal(y, np.arange(24))
    assert_array_equal(again, y)
    assert not np.array_equal(first, second)


def test_reset_goes_back_to_the_first_batch(small_photos):
    flow = AUGMENTER.flow(small_photos, batch_size=5, seed=0)
    first = next(flow)
    next(flow)
    flow.reset()
    assert_array_equal(next(flow), first)


def test_subsets_share_the_rows(small_photos):
    y = np.arange(24) % 2
    augmenter = ImageAugmenter(brightness_range=(0.5, 0.5), validation_split=0.25)
    training = augmenter.flow(small_photos, y, subset="training", shuffle=False)
    validation = augmenter.flow(small_photos, y, subset="validation", shuffle=False)
    assert (training.n, validation.n) == (18, 6)
    assert_array_equal(next(validation)[0], small_photos[18:])
    assert_array_equal(next(training)[0], np.rint(small_photos[:18] / 2))


def test_subsets_need_the_same_classes(small_photos):
    augmenter = ImageAugmenter(validation_split=0.5)
    options = {"y": np.arange(24) // 12, "subset": "training"}
    with pytest.raises(ValueError, match=r"need the same classes, got \[0\] and \[1\]"):
        augmenter.flow(small_photos, **options)
    assert augmenter.flow(small_photos, **options, ignore_class_split=True).n == 12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"subset": "test"}, "`subset` needs one of None, 'training', 'validation'"),
        ({"subset": "training"}, "needs `validation_split` in the augmenter"),
        ({"y": np.arange(3)}, "`y` needs as many rows as there are images: 24, got 3"),
        ({"sample_weight": np.ones(5)}, "`sample_weight` needs as many rows"),
    ],
)
def test_wrong_arguments_say_what_is_needed(small_photos, arguments, message):
    with pytest.raises(ValueError, match=message):
        ImageAugmenter().flow(small_photos, **arguments)


def test_images_need_four_dimensions():
    with pytest.raises(ValueError, match=r"shape \(n, height, width, channels\), got \(5, 4\)"):
        ImageAugmenter().flow(np.zeros((5, 4)))
    with pytest.raises(ValueError, match="`x` needs an array of images, or the pair"):
        ImageAugmenter().flow([np.zeros((5, 4, 4, 1))])


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_saved_images_are_those_of_the_batch(small_photos, tmp_path, channels):
    images = np.concatenate([small_photos, small_photos], axis=3)[:5, ..., :channels]
    flow = ImageAugmenter(horizontal_flip=True).flow(
        images, batch_size=5, shuffle=False, seed=0, save_to_dir=str(tmp_path), save_prefix="a"
    )
    batch = next(flow)
    assert len(list(tmp_path.iterdir())) == 5
    for row, image in enumerate(batch):
        saved = np.asarray(Image.open(tmp_path / f"a_{row}_0.png")).reshape(image.shape)
        stretched = (image - image.min()) / np.ptp(image) * 255
        assert np.abs(saved - stretched).max() <= 0.51


def test_a_memory_map_is_read_batch_by_batch(tmp_path, small_photos):
    images = np.memmap(tmp_path / "x", np.uint8, "w+", shape=small_photos.shape)
    images[:] = small_photos
    expected = AUGMENTER.flow(small_photos, seed=0)[0]
    flow = AUGMENTER.flow(images, seed=0)
    assert isinstance(flow._images, np.memmap)
    assert_array_equal(flow[0], expected)


def test_a_keras_model_trains_on_it(digits):
    X, y = digits
    augmenter = ImageAugmenter(
        width_shift_range=[-1, 0, 1],
        rescale=1 / 240,
        featurewise_center=True,
        validation_split=0.2,
    ).fit(X)
    initial = keras.initializers.GlorotUniform(seed=0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(10, "softmax", kernel_initializer=initial),
        ]
    )
    adam = keras.optimizers.Adam(0.05)
    model.compile(adam, "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(
        augmenter.flow(X, y, subset="training", seed=0),
        validation_data=augmenter.flow(X, y, subset="validation", seed=0),
        epochs=5,
        shuffle=False,
        verbose=0,
    ).history
    assert history["val_accuracy"][-1] > 0.7
    plain = model.evaluate(augmenter.standardize(X[240:]), y[240:], verbose=0)[1]
    assert_allclose(plain, history["val_accuracy"][-1], atol=1e-6)
