"""AugmentedKerasRegressor: a Keras model that predicts numbers and augments only in ``fit``."""

from __future__ import annotations

import os
from typing import Any, Self

import keras
import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import RegressorMixin

from skimgcv._estimator import AugmentedKerasEstimator
from skimgcv._models.targets import Kind
from skimgcv._parameters import options_explained


class AugmentedKerasRegressor(RegressorMixin, AugmentedKerasEstimator):
    """Keras regressor of images that augments its training rows, and nothing else.

    It works like :class:`~skimgcv.AugmentedKerasClassifier`, but ``y`` holds numbers: an age, a
    count, an angle, coordinates. Prediction and scoring use plain images.

    All augmented versions of an image have the same numbers. So leave out transforms that would
    change them, such as rotations if the number is an angle.

    Parameters
    ----------
    model : callable or keras.Model
        As for the classifier. Instead of the classes, ``meta`` has ``n_outputs_``, the count of
        numbers in each row.
    augmenter, validation_augmenter : optional
    validation_split : float in [0, 1), default=0.0
        Share of the training rows to hold out for ``val_loss`` and early stopping. The split
        is stratified by quantiles of the numbers. It keeps groups whole.
    tta_rounds : int, default=0
        Number of transformed versions that prediction averages with the plain image.
    tta_augmenter : augmenter, optional
    image_shape : tuple of int, optional
    augmentation_views : int, optional
    feature_cache : "memory", int, path or None, default="memory"
    optimizer, loss, metrics
        As for ``keras.Model.compile``. ``loss="auto"`` is the mean squared error. A Keras
        metric for classes raises an error.
    batch_size : int or None, default=32
    epochs : int, default=1
    fine_tune_epochs : int, default=0
    fine_tune_layers : "all", int, str or callable, default="all"
    fine_tune_learning_rate : float, default=1e-5
    shuffle : bool, default=True
    callbacks : keras.callbacks.Callback, function, list or dict of them, optional
    verbose : int, default=0
    random_state : int, RandomState instance or None, default=None
    warm_start : bool, default=False
    **routed
        All of these are as for :class:`~skimgcv.AugmentedKerasClassifier`.

    Attributes
    ----------
    model_ : keras.Model
    n_features_in_ : int
    feature_names_in_ : ndarray of str
    image_shape_ : tuple of int
    history_ : dict of str to list of float
    fine_tune_start_ : int or None
    augmenter_ : Augmenter
    callbacks_ : list of keras.callbacks.Callback
    sample_indices_ : ndarray of int
    validation_indices_ : ndarray of int
        As for :class:`~skimgcv.AugmentedKerasClassifier`.

    Notes
    -----
    A network learns best from numbers close to 1. Let scikit-learn scale them in each fold:
    ``TransformedTargetRegressor(regressor, transformer=StandardScaler())``. It scales
    ``validation_split``, but not ``validation_data``.

    Rows with ``sample_weight`` 0 are ignored, as if they were not in X.

    MixUp mixes the numbers of two images as it mixes the images.

    Examples
    --------
    >>> import keras, numpy as np
    >>> from sklearn.compose import TransformedTargetRegressor
    >>> from sklearn.model_selection import cross_val_score
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skimgcv import AugmentedKerasRegressor, ImageAugmenter
    >>> def build(meta):
    ...     return keras.Sequential([
    ...         keras.layers.Input(meta["image_shape_"]),
    ...         keras.layers.GlobalAveragePooling2D(),
    ...         keras.layers.Dense(meta["n_outputs_"]),
    ...     ])
    >>> rng = np.random.default_rng(0)
    >>> brightness = rng.uniform(0, 200, 90)
    >>> X = rng.normal(brightness[:, None, None, None], 20, (90, 8, 8, 1)).clip(0, 255)
    >>> reg = AugmentedKerasRegressor(
    ...     build, augmenter=ImageAugmenter(horizontal_flip=True, rescale=1 / 255),
    ...     epochs=60, optimizer__learning_rate=0.1, random_state=0)
    >>> scaled = TransformedTargetRegressor(reg, transformer=StandardScaler())
    >>> scores = cross_val_score(scaled, X, brightness, cv=3)
    >>> bool(scores.min() > 0.95)
    True
    """

    _file_kind = "skimgcv regressor"
    _target_kind: Kind = "numbers"

    @options_explained
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        validation_data: tuple[Any, ...] | None = None,
        checkpoint_dir: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Build a model and train it on augmented rows.

        Parameters
        ----------
        X : array-like of shape (n, height, width[, channels]) or (n, features)
            Never changed, and never copied as a whole.
        y : array-like of shape (n,) or (n, outputs)
            Numbers; predictions have its shape.
        sample_weight : array-like of shape (n,), optional
            Not negative.
        groups, validation_data, checkpoint_dir : optional
            As for :meth:`~skimgcv.AugmentedKerasClassifier.fit`.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If an argument or parameter cannot be used. The message says what is needed.
        """
        return self._train(
            X,
            y,
            resume=self.warm_start and hasattr(self, "model_"),
            sample_weight=sample_weight,
            groups=groups,
            validation_data=validation_data,
            checkpoint_dir=checkpoint_dir,
        )

    @options_explained
    def partial_fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Train the current model for one more epoch.

        Parameters
        ----------
        X, y, sample_weight
            As for ``fit``. Statistics are those of the first call's rows.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If ``y`` has another shape than in the first call.
        """
        return self._train(
            X, y, resume=hasattr(self, "model_"), one_epoch=True, sample_weight=sample_weight
        )

    @classmethod
    def from_keras(cls, model: keras.Model, *, augmenter: Any = None, **parameters: Any) -> Self:
        """Make a fitted regressor of a Keras model that was trained elsewhere.

        Parameters
        ----------
        model : keras.Model
            A model with one input of a fixed shape. It is copied. If it has one output,
            predictions have shape (n,).
        augmenter : augmenter, optional
        **parameters
            As for :meth:`~skimgcv.AugmentedKerasClassifier.from_keras`.

        Returns
        -------
        AugmentedKerasRegressor
            With an empty history.

        Raises
        ------
        ValueError, TypeError
            If the model does not have exactly one output.
        """
        reg = cls(model, augmenter=augmenter, **parameters)
        shape = getattr(model, "output_shape", None)
        units = shape[-1] if isinstance(shape, tuple) else 1
        return reg._adopt({"n_outputs_": units, "y_ndim_": 1 if units == 1 else 2})

    @options_explained
    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return the numbers of each image.

        Parameters
        ----------
        X : array-like of shape (n, height, width[, channels]) or (n, features)
            Plain images in the range that ``fit`` got; ``predict`` rescales them.

        Returns
        -------
        ndarray of shape (n,) or (n, outputs), float64

        Raises
        ------
        ValueError
            If the shape is not that of ``fit``, or a value is not finite.
        sklearn.exceptions.NotFittedError
        """
        return self._predict_outputs(X)

    @options_explained
    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the coefficient of determination, R², on plain images.

        Parameters
        ----------
        X : array-like of shape (n, height, width[, channels]) or (n, features)
        y : array-like of shape (n,) or (n, outputs)
        sample_weight : array-like of shape (n,), optional

        Returns
        -------
        float
            The mean over several outputs.
        """
        return float(super().score(X, y, sample_weight))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
