"""What X may be: containers of images are taken, streams and names are refused with words."""

import itertools

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from builders import linear
from PIL import Image
from samples import blobs, classifier, same_model

from skimgcv import ImageAugmenter

FLOATS, Y = blobs()
X = (FLOATS.clip(0, 1) * 255).round().astype(np.uint8)


@pytest.fixture(scope="module")
def reference():
    return classifier(linear).fit(X, Y)


TAKEN = {
    "tensor": tf.constant(X),
    "Series of images": pd.Series(list(X)),
    "list of Pillow's images": [Image.fromarray(image[..., 0]) for image in X],
    "Series of Pillow's images": pd.Series([Image.fromarray(image[..., 0]) for image in X]),
}


@pytest.mark.parametrize("form", TAKEN)
def test_containers_of_images_train_and_predict_as_their_array(form, reference):
    clf = classifier(linear).fit(TAKEN[form], Y)
    assert same_model(clf, reference)
    np.testing.assert_array_equal(clf.predict_proba(TAKEN[form]), reference.predict_proba(X))


def test_other_libraries_arrays_are_taken(reference):
    jnp = pytest.importorskip("jax.numpy", reason="jax is not installed")
    assert same_model(classifier(linear).fit(jnp.asarray(X), Y), reference)


def test_tensors_of_pytorch_are_taken(reference):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    tensor = torch.tensor(X.astype(np.float32), requires_grad=True)
    assert same_model(classifier(linear).fit(tensor, Y), reference)


class Sequence(keras.utils.PyDataset):
    def __len__(self):
        return 1

    def __getitem__(self, batch):
        raise AssertionError("a batch was read")


def endless():
    for batch in itertools.count():
        raise AssertionError(f"batch {batch} was read")
        yield batch


def legacy_flow():
    return tf.keras.preprocessing.image.ImageDataGenerator().flow(X, Y)


STREAMS = {
    "PyDataset": (Sequence, "a Keras PyDataset, such as a flow"),
    "flow": (lambda: ImageAugmenter().flow(X, Y), "a Keras PyDataset, such as a flow"),
    "legacy flow": (legacy_flow, "a generator of batches"),
    "tf.data": (lambda: tf.data.Dataset.from_tensor_slices((X, Y)), r"a tf\.data\.Dataset"),
    "generator": (endless, r"an iterator \(generator\)"),
    "count": (itertools.count, r"an iterator \(count\)"),
}


@pytest.mark.parametrize("call", ["fit", "predict", "predict_proba", "score"])
@pytest.mark.parametrize("stream", STREAMS)
def test_streams_are_refused_before_a_batch_is_read(stream, call, reference):
    make, named = STREAMS[stream]
    arguments = (make(),) if call.startswith("predict") else (make(), Y)
    clf = classifier(linear) if call == "fit" else reference
    with pytest.raises(TypeError, match=f"X is .*{named}.*ImageFiles"):
        getattr(clf, call)(*arguments)


@pytest.mark.parametrize("names", [list, np.array, pd.Series], ids=["list", "array", "Series"])
def test_names_of_files_are_no_images(names):
    with pytest.raises(TypeError, match=r"names of files.*ImageFiles\(names"):
        classifier(linear).fit(names([f"{i}.png" for i in range(len(Y))]), Y)


def test_numbers_of_a_palette_are_no_colours():
    images = [Image.fromarray(image[..., 0]).convert("P") for image in X]
    with pytest.raises(ValueError, match=r'Image 0 of X has a palette.*convert\("RGB"\)'):
        classifier(linear).fit(images, Y)
