"""In scikit-learn's tools a model is traced once, for training, validation and prediction."""

import numpy as np
import pytest
from builders import cnn
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_validate

from skimgcv import AugmentedKerasClassifier, ImageAugmenter, clear_compiled_models

ONCE = {"train_step": 1, "test_step": 1, "predict_step": 1}


@pytest.fixture(autouse=True)
def _empty_store():
    clear_compiled_models()
    yield
    clear_compiled_models()


def estimator():
    # 300 rows, 3 folds, a quarter held out: no number of rows is a multiple of 32.
    return AugmentedKerasClassifier(
        cnn,
        augmenter=ImageAugmenter(rotation_range=20, rescale=1 / 255),
        validation_split=0.25,
        epochs=2,
        metrics=["accuracy"],
        random_state=0,
    )


def test_cross_validate(digits, traces):
    cross_validate(estimator(), *digits, cv=3, return_train_score=True)
    assert traces == ONCE


def test_cross_val_predict(digits, traces):
    cross_val_predict(estimator(), *digits, cv=3, method="predict_proba")
    assert traces == ONCE


def test_a_search_traces_once_an_architecture(digits, traces):
    grid = {
        "model__filters": [2, 3],
        "augmenter__rotation_range": [0, 20],
        "optimizer__learning_rate": [1e-3, 1e-2],
        "class_weight": [None, "balanced"],
    }
    search = GridSearchCV(estimator().set_params(epochs=1), grid, cv=2)
    search.fit(*digits)
    # Weighted rows bring a third part to a batch, which is a step of its own.
    assert traces == {"train_step": 4, "test_step": 2, "predict_step": 2}
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
