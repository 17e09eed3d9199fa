"""The figure of mistakes: which images it draws, and what it writes below them."""

import numpy as np
import pytest

from skimgcv.display import MistakesDisplay

PROBA = np.array([[0.1, 0.9], [0.45, 0.55], [0.95, 0.05], [0.2, 0.8], [0.3, 0.7]])
LABELS = np.array(["cat", "cat", "dog", "dog", "cat"])  # rows 0, 1, 2 and 4 are wrong


class LazyImages:
    """X that is read from files: knows its shape, and notes what is asked of it."""

    dtype = np.dtype(np.uint8)

    def __init__(self, shape):
        self.shape = shape
        self.read = []

    def __getitem__(self, rows):
        self.read += np.asarray(rows).tolist()
        first = np.full((len(rows), *self.shape[1:]), 10, np.uint8)
        return first * np.asarray(rows, np.uint8).reshape(-1, 1, 1, 1)


@pytest.mark.parametrize("channels", [1, 3])
def test_draws_the_most_confident_first_and_reads_no_other(channels):
    X = LazyImages((5, 6, 4, channels))
    display = MistakesDisplay.from_predictions(X, LABELS, PROBA, n_images=3)
    assert display.rows.tolist() == [2, 0, 4] == X.read
    shape = (6, 4) if channels == 1 else (6, 4, 3)
    for artist, row in zip(display.images_, display.rows, strict=True):
        np.testing.assert_allclose(artist.get_array(), np.full(shape, 10 * row / 255), rtol=1e-6)
        assert artist.get_clim() == (0, 1)
    assert [text.get_text() for text in display.texts_] == [
        "true: dog\npredicted: cat (0.95)",
        "true: cat\npredicted: dog (0.90)",
        "true: cat\npredicted: dog (0.70)",
    ]
    assert display.ax_.get_title() == "4 wrong of 5: the 3 most confident"


def test_columns_have_the_order_of_the_classes_given(axes):
    display = MistakesDisplay.from_predictions(
        np.zeros((5, 36)), LABELS, PROBA, classes=["dog", "cat"], image_shape=(6, 6), ax=axes
    )
    assert display.rows.tolist() == [3]
    assert display.predicted_labels.tolist() == ["cat"]
    assert display.ax_ is axes
    assert axes.get_title() == "1 wrong of 5"


def test_ten_classes_and_no_mistakes(digits):
    X, y = digits
    assert MistakesDisplay.from_predictions(X, y, np.eye(10)[y]).images_ == []
    wrong = MistakesDisplay.from_predictions(X, y, np.eye(10)[(y + 1) % 10], n_images=7)
    assert wrong.rows.tolist() == list(range(7))  # equally confident: in the order of X
    np.testing.assert_allclose(wrong.images_[6].get_array(), X[6, ..., 0] / 255, rtol=1e-6)


def test_one_class_alone_is_never_wrong():
    assert (
        MistakesDisplay.from_predictions(np.zeros((2, 3, 3)), [1, 1], [[1], [1]]).n_mistakes == 0
    )


def test_images_and_texts_are_drawn_as_matplotlib_is_told():
    display = MistakesDisplay.from_predictions(
        np.zeros((5, 6, 6)),
        LABELS,
        PROBA,
        im_kw={"cmap": "viridis", "interpolation": "nearest"},
        text_kw={"size": 5, "color": "red"},
    )
    assert {image.get_cmap().name for image in display.images_} == {"viridis"}
    assert {text.get_fontsize() for text in display.texts_} == {5}
    assert {text.get_horizontalalignment() for text in display.texts_} == {"center"}
    with pytest.raises(TypeError, match="extent"):  # where an image goes is not for the user
        display.plot(im_kw={"extent": (0, 1, 0, 1)})


def test_errors_say_what_is_needed():
    images = np.zeros((5, 6, 6))
    with pytest.raises(ValueError, match=r"\(5, 2\), it has \(5,\)"):
        MistakesDisplay.from_predictions(images, LABELS, PROBA[:, 0])
    with pytest.raises(ValueError, match="needs images"):
        MistakesDisplay.from_predictions(np.zeros((5, 36)), LABELS, PROBA)
    with pytest.raises(ValueError, match="n_images"):
        MistakesDisplay.from_predictions(images, LABELS, PROBA, n_images=0)


def test_several_labels_stand_side_by_side():
    y = np.array([[1, 1, 0], [0, 0, 0], [0, 1, 1], [1, 0, 0]])
    proba = np.array([[0.9, 0.8, 0.1], [0.1, 0.7, 0.2], [0.1, 0.9, 0.05], [0.6, 0.3, 0.2]])
    display = MistakesDisplay.from_predictions(
        np.zeros((4, 4, 4)), y, proba, classes=["mass", "nodule", "fluid"]
    )
    assert display.rows.tolist() == [2, 1]  # 0.95 sure that there is no fluid
    np.testing.assert_allclose(display.confidence, [0.95, 0.7])
    assert display.true_labels.tolist() == ["nodule, fluid", "none"]
    assert display.predicted_labels.tolist() == ["nodule", "nodule"]
    assert (display.n_mistakes, display.n_predictions) == (2, 4)
