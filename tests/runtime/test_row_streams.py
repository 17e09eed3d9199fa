"""Each image's stream is NumPy's Philox, keyed by the image, whatever others are drawn with it."""

import numpy as np
import pytest

from skimgcv._runtime.random_streams import sequence
from skimgcv._runtime.row_streams import RowStreams

N = 50
RNG = np.random.default_rng(0)
DIGESTS = RNG.integers(0, 2**64, (N, 2), dtype=np.uint64)
DIGESTS[0] = 0
DIGESTS[1] = 2**64 - 1
REPEATS = RNG.integers(0, 3, N)


def streams(rows=slice(None), *, seed=3, purpose="augment", epoch=1):
    return RowStreams(seed, purpose, epoch, DIGESTS[rows], REPEATS[rows])


@pytest.mark.parametrize("k", [1, 4, 29])
def test_a_stream_is_numpys_philox_with_the_image_as_its_counter(k):
    key = sequence(3, "augment", 1).generate_state(2, np.uint64)
    drawn = streams().random((N, k))
    for row in range(N):
        counter = np.array([0, REPEATS[row], *DIGESTS[row].tolist()], np.uint64)
        alone = np.random.Generator(np.random.Philox(key=key, counter=counter))
        np.testing.assert_array_equal(drawn[row], alone.random(k))


def test_a_stream_begins_anew_each_time():
    each = streams()
    first = each.of(2).integers(0, 9, 5, dtype=np.uint32)  # half of a word is left over
    each.of(3).random()
    np.testing.assert_array_equal(each.of(2).integers(0, 9, 5, dtype=np.uint32), first)


def test_an_image_has_its_numbers_in_any_company():
    order = RNG.permutation(N)[:20]
    np.testing.assert_array_equal(streams(order).random((20, 7)), streams().random((N, 7))[order])


def test_whatever_differs_gives_other_numbers():
    one = streams().random((N, 2))
    for other in (streams(seed=4), streams(purpose="validation"), streams(epoch=2)):
        assert not (other.random((N, 2)) == one).any()
    repeated = RowStreams(3, "augment", 1, DIGESTS, REPEATS + 1).random((N, 2))
    assert not (repeated == one).any()
    assert len(np.unique(one)) == one.size


def test_numbers_are_uniform():
    digests = np.arange(40_000, dtype=np.uint64).repeat(2).reshape(-1, 2)
    drawn = RowStreams(0, "augment", 0, digests, np.zeros(40_000)).random((40_000, 3))
    counts = np.array([np.histogram(column, 20, (0, 1))[0] for column in drawn.T])
    # Chi-squared of 19 degrees of freedom: above 52 by chance once in 20,000 times.
    assert (((counts - 2000) ** 2 / 2000).sum(axis=1) < 52).all()
    assert np.abs(np.corrcoef(drawn.T) - np.eye(3)).max() < 0.02  # four deviations


def test_as_many_are_drawn_as_there_are():
    with pytest.raises(ValueError, match="there are 50 streams; 51 more were asked for"):
        streams().random((N + 1, 1))


def test_no_images_have_no_numbers():
    # Such as a class with an augmenter of its own, in a fold that lacks it.
    none = streams(slice(0, 0))
    assert none.random((0, 3)).shape == (0, 3)
    assert none.integers(2**64, size=0, dtype=np.uint64).shape == (0,)


def test_images_are_drawn_for_in_turn():
    each, whole = streams(), streams().random((N, 3))
    drawn = np.concatenate([each.random((20, 3)), each.random((30, 3))])
    np.testing.assert_array_equal(drawn, whole)


def test_integers_are_each_streams_first():
    drawn = streams().integers(2**64, size=N, dtype=np.uint64)
    each = streams()
    assert drawn.tolist() == [int(each.of(i).integers(2**64, dtype=np.uint64)) for i in range(N)]


def test_other_integers_are_refused():
    with pytest.raises(ValueError, match="high must be 2\\*\\*64, not 9"):
        streams().integers(9, size=N, dtype=np.uint64)
