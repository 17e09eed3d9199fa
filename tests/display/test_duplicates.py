"""The figure of duplicates: which images stand together, and what is written above them."""

import numpy as np
import pytest

from skimgcv.display import DuplicatesDisplay

GROUPS = np.array(list("abbcccdeee"))


@pytest.mark.parametrize("shape", [(6, 4), (6, 4, 1), (6, 4, 3)])
def test_draws_the_largest_groups_first_and_leaves_single_images_out(shape):
    X = np.arange(10, dtype=np.uint8).reshape(-1, *(1,) * len(shape)) * np.ones(shape, np.uint8)
    display = DuplicatesDisplay.from_groups(X, GROUPS, max_images=2)
    assert display.labels.tolist() == ["c", "e", "b"]
    assert [rows.tolist() for rows in display.rows] == [[3, 4], [7, 8], [1, 2]]
    for artists, rows in zip(display.images_, display.rows, strict=True):
        for artist, row in zip(artists, rows, strict=True):
            np.testing.assert_allclose(np.unique(artist.get_array()), row / 255, rtol=1e-6)
    assert [text.get_text() for text in display.texts_] == ["c and 1 more", "e and 1 more", "b"]
    assert display.ax_.get_title() == "8 images in 3 groups"


def test_images_do_not_lie_over_each_other():
    display = DuplicatesDisplay.from_groups(np.zeros((60, 8, 8)), np.arange(60) // 3)
    places = [artist.get_extent() for artists in display.images_ for artist in artists]
    corners = {(left, top) for left, _, _, top in places}
    assert len(corners) == 60
    six = DuplicatesDisplay.from_groups(np.zeros((24, 8, 8)), np.arange(24) // 6)
    tops = [artists[0].get_extent()[3] for artists in six.images_]
    assert tops[0] == tops[1] < tops[2] == tops[3]  # two groups of six beside each other
    right, bottom = display.ax_.get_xlim()[1], display.ax_.get_ylim()[0]
    assert max(place[1] for place in places) <= right
    assert max(place[2] for place in places) <= bottom


def test_says_when_there_are_more_groups_or_none(axes):
    some = DuplicatesDisplay.from_groups(np.zeros((10, 4, 4)), GROUPS, max_groups=1, ax=axes)
    assert axes.get_title() == "8 images in 3 groups: the 1 largest"
    assert some.ax_ is axes
    one = DuplicatesDisplay.from_groups(np.zeros((3, 4, 4)), [0, 1, 1])
    assert one.ax_.get_title() == "2 images in 1 group"
    none = DuplicatesDisplay.from_groups(np.zeros((3, 4, 4)), [0, 1, 2])
    assert none.images_ == []
    assert none.ax_.get_title() == "no group of two images or more"


def test_images_and_texts_are_drawn_as_matplotlib_is_told():
    display = DuplicatesDisplay.from_groups(
        np.zeros((3, 4, 4)), [0, 1, 1], im_kw={"cmap": "viridis"}, text_kw={"fontsize": 5}
    )
    assert {image.get_cmap().name for image in display.images_[0]} == {"viridis"}
    assert [text.get_fontsize() for text in display.texts_] == [5]


@pytest.mark.parametrize(
    ("groups", "options", "message"),
    [
        ([0, 1], {}, r"\(3,\); it has shape \(2,\)"),
        ([0, 1, 1], {"max_images": 1}, "max_images 2 to 12, got 24 and 1"),
    ],
)
def test_what_does_not_fit_is_refused(groups, options, message):
    with pytest.raises(ValueError, match=message):
        DuplicatesDisplay.from_groups(np.zeros((3, 4, 4)), groups, **options)
