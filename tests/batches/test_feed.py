"""What TensorFlow reads of a feed."""

import keras
import numpy as np
import pytest

from skimgcv._batches.feed import Feed

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="other backends read arrays"
)


class Numbers(keras.utils.PyDataset):
    """Batches of two rows with one number, and which of them were read."""

    def __init__(self, n_batches, first):
        super().__init__()
        self.n_batches, self.first, self.read = n_batches, first, []

    def __len__(self):
        return self.n_batches

    def __getitem__(self, batch):
        self.read.append(batch)
        return (np.full((2, 1), self.first + batch, "float32"),)


def read(batches):
    return [int(batch[0][0, 0]) for batch in batches]


def test_each_iterator_is_an_epoch():
    dataset = Feed(Numbers(3, 10)).dataset()
    assert read(dataset) == read(dataset) == [10, 11, 12]


def test_data_of_any_length_is_read_without_a_new_trace(monkeypatch):
    import tensorflow as tf

    traced = []
    from_python = tf.numpy_function
    monkeypatch.setattr(tf, "numpy_function", lambda *args: traced.append(1) or from_python(*args))
    for n_batches in (4, 2, 5):
        feed = Feed(Numbers(n_batches, 0))
        assert read(feed.dataset()) == list(range(n_batches))
        feed.release()
    assert len(traced) <= 1  # none, if another test had such batches


def test_an_iterator_of_earlier_data_reads_none_of_the_next():
    stopped = Feed(Numbers(9, 0))
    iterator = iter(stopped.dataset())
    next(iterator)
    stopped.release()
    numbers = Numbers(3, 100)
    feed = Feed(numbers)
    assert read(feed.dataset()) == [100, 101, 102]
    n_read = len(numbers.read)
    with pytest.raises(Exception, match="StopIteration"):
        read(iterator)
    assert len(numbers.read) == n_read
