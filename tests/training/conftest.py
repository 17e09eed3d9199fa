"""What tests of checkpoints use."""

import keras
import pytest
from fits import X, Y


class BegunError(Exception):
    """A fit has begun to train: it was not read back."""


@pytest.fixture
def goes_on(monkeypatch, own_random):
    """Return a function that fits with a checkpoint, and tells whether nothing was to be trained.

    Where there is something it ends there, unless it is told to ``train``.
    """
    may_train = [True]

    def begin(self, batch, logs=None):
        if not may_train[0]:
            raise BegunError
        begin_batch(self, batch, logs)

    begin_batch = keras.callbacks.CallbackList.on_train_batch_begin
    monkeypatch.setattr(keras.callbacks.CallbackList, "on_train_batch_begin", begin)

    def fit(folder, clf, X=X, y=Y, *, train=False, **arguments):
        may_train[0] = train
        try:
            clf.fit(X, y, checkpoint_dir=folder, **arguments)
        except BegunError:
            return False
        finally:
            may_train[0] = True
        return True

    return fit
