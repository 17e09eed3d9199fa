"""AugmentedKerasClassifier: a Keras model that augments only inside ``fit``."""

from __future__ import annotations

import os
from typing import Any, Self

import keras
import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logit
from sklearn.base import ClassifierMixin
from sklearn.utils.metaestimators import available_if

from skimgcv._data.label_tables import as_label_table
from skimgcv._data.labels import decode_one_hot
from skimgcv._estimator import AugmentedKerasEstimator
from skimgcv._models.targets import Kind
from skimgcv._parameters import options_explained


def _has_labels(estimator: Any) -> bool:
    return bool(estimator.multilabel)


class AugmentedKerasClassifier(ClassifierMixin, AugmentedKerasEstimator):
    """Keras image classifier that augments its training rows, and nothing else.

    In each epoch, ``fit`` applies new random transforms to its training images. Prediction and
    scoring use plain images. So scikit-learn's tools, which fit on one fold and score
    another, do not leak augmented images.

    Parameters
    ----------
    model : callable or keras.Model
        A function that builds a model, as in SciKeras: ``build(meta, compile_kwargs, ...)``.
        All parameters are optional. ``meta`` is a dict with ``n_classes_``, ``classes_``,
        ``X_shape_`` (of the images), ``image_shape_``, ``X_dtype_``, ``n_features_in_``,
        ``target_type_`` and ``n_outputs_expected_``. The model may be compiled or not.
        A keras.Model is cloned in each fit, with fresh weights; a warning says so if it is
        trained. To use pretrained weights, load them in a function.
    augmenter : optional
        ``None``, an ``ImageAugmenter``, a Keras ``ImageDataGenerator``, a Keras image layer
        or a ``Sequential`` of them, an Albumentations transform, or any function
        ``f(image, rng) -> image``. ``fit`` fits a copy: see ``augmenter_``.
    class_augmenters : dict of label to augmenter, optional
        Augmenters for single classes. Rows of these classes use them instead of ``augmenter``.
        At prediction the label is unknown, so ``augmenter`` is used. A class augmenter must
        standardise in the same way, or not at all.
    validation_augmenter : augmenter, optional
        Transforms the images of the hold-out set, in the same way in each epoch. By default
        the hold-out set is not augmented, like test images.
    validation_split : float in [0, 1), default=0.0
        Share of the training rows to hold out for ``val_loss`` and early stopping. The split
        is stratified. It keeps groups whole if X carries them
        (``load_image_table(..., group_col="patient")``) or if ``fit`` gets ``groups``.
        scikit-learn's ``groups=`` reaches only the splitter of the folds, not ``fit``.
    sampling_strategy : None, str, float, dict or callable, default=None
        Draws some classes more or less often in each epoch, as in imbalanced-learn:
        ``"auto"``, ``"minority"``, ``{label: rows}``. Each repeat of a row has its own
        transform. A dict gives the exact number of rows: more than the class has repeat rows,
        fewer leave out other rows in each epoch. ``"auto"`` never leaves out rows.
    class_weight : None, "balanced" or dict of label to float, default=None
        ``"balanced"`` is computed from the training rows of the fit. Labels that are missing
        in a dict have weight 1. If ``y`` has none of the dict's labels, a warning says so.
        Weights apply to training, not to ``val_loss``.
    multilabel : bool, default=False
        Whether an image can have several labels, or none: ``y`` is then (n, labels) of 0 and
        1. It is not guessed from ``y``, since a fold of such a ``y`` can look one-hot.
        ``loss="auto"`` is the binary crossentropy. ``class_weight`` weights each label as if
        it were fitted alone: see :doc:`/targets`.
    tta_rounds : int, default=0
        Number of transformed versions that prediction averages with the plain image (test-time
        augmentation). On a fitted classifier ``set_params(tta_rounds=8)`` needs no new fit. A
        grid search fits each candidate anyway.
    tta_augmenter : augmenter, optional
        Transforms these versions. The default is ``augmenter``.
    image_shape : tuple of int, optional
        Shape of the image in each row of a flat 2-D X, such as ``(28, 28, 1)``.
    augmentation_views : int, optional
        Number of versions of each image. Epoch ``e`` uses version ``e % augmentation_views``.
        By default each epoch has a new version.
    feature_cache : "memory", int, path or None, default="memory"
        Where to keep the outputs of frozen layers at the start of the model, so that these
        layers run once for each version of an image: see Notes. ``"memory"`` uses up to a
        quarter of the free memory; an int is a number of bytes. A path is a folder for a
        memory-mapped file that all processes and later runs share; the file only grows.
        With ``None`` all layers run on each batch.
    optimizer, loss, metrics
        As for ``keras.Model.compile``, if the builder does not compile the model.
        ``loss="auto"`` is the crossentropy that fits the model's output and the metrics: the
        binary one for sigmoid units; else that of class numbers, or of one-hot rows if MixUp or
        a Keras metric needs them. A Keras metric equals scikit-learn's for the same
        predictions; for two classes it is that of the second. A metric for which this is
        impossible is an error. Your own metric gets the ``y_true`` of the loss: see
        :doc:`/metrics`.
    batch_size : int or None, default=32
        ``None`` means 32, as in Keras. ``predict`` pads batches to a multiple of 24; results
        do not depend on it.
    epochs : int, default=1
        Number of epochs, or of epochs in the first phase.
    fine_tune_epochs : int, default=0
        Number of epochs in a second phase, after ``epochs``. The second phase unfreezes layers,
        compiles the model again, and continues on the same rows. Callbacks start again in each
        phase, as in two calls of Keras' ``fit``. A ``CSVLogger`` appends to its file, also in a
        fit that ``checkpoint_dir`` resumes.
    fine_tune_layers : "all", int, str or callable, default="all"
        Only used if ``fine_tune_epochs`` is above 0, so a grid can have both.
        The frozen layers to train in the second phase: all of them; the last ``n``, counted as
        in ``backbone.layers[-n:]``; those whose name matches a pattern such as
        ``"block_1[56]*"``; or those that a function of the model returns. Batch normalisation
        stays frozen, unless the function returns that layer itself.
    fine_tune_learning_rate : float, default=1e-5
        Learning rate of the second phase. The optimizer is new. It has the class and the other
        settings of the first one.
    shuffle : bool, default=True
        Whether to shuffle the rows in each epoch.
    callbacks : keras.callbacks.Callback, function, list or dict of them, optional
        Each fit uses its own copies: see ``callbacks_``. A function without parameters is
        called in each fit, and returns a callback or a list of them. So each fit can write to
        its own path: ``lambda: keras.callbacks.CSVLogger(new_path())``.
    verbose : int, default=0
        With 1, each fit shows a line with its losses and its time on standard error. With
        ``n_jobs``, and if the output is a file, the line appears when the fit ends. 2 is Keras'
        line for each epoch. For a bar over folds and candidates see Notes. ``predict`` is
        silent unless ``predict__verbose=1``.
    random_state : int, RandomState instance or None, default=None
        An int gives the same weights, bit for bit, in any process on one kind of machine.
        Global random generators have no influence, and ``fit`` leaves them unchanged: those of
        ``random``, NumPy and Keras are seeded while the builder runs, and then restored.
    warm_start : bool, default=False
        Whether ``fit`` continues with the model of the last call: see Notes.
    **routed
        Parameters for parts of the estimator. ``model__filters=32`` goes to the builder.
        ``optimizer__learning_rate=1e-3``, ``loss__...``, ``metrics__...``, ``callbacks__...``
        and ``compile__...`` go to the objects of these names, ``fit__...`` and
        ``predict__...`` to Keras' methods. A name without a prefix goes to the builder, as in
        SciKeras. It needs the prefix if it begins or ends with ``_``, or if it is the name of
        a method.

    Attributes
    ----------
    model_ : keras.Model
        The trained, compiled Keras model; no other estimator shares it.
    classes_ : ndarray of shape (n_classes,)
        With ``multilabel``, the names of the labels: the columns of a data frame, or numbers.
    n_features_in_ : int
        Number of values in a row: ``X.shape[1]`` of a 2-D X; height times width times channels
        of images. ``predict`` also takes flat rows of this length.
    feature_names_in_ : ndarray of str
        Column names, if X is a data frame.
    image_shape_ : tuple of int
        Shape of a row as the model gets it: (height, width, channels) or (features,).
    history_ : dict of str to list of float
        ``loss``, the metrics, and ``val_...`` of the hold-out set, with one value for each
        epoch. The second phase continues the same lists.
    fine_tune_start_ : int or None
        Number of epochs of the first phase. None if there was no second phase.
    augmenter_ : Augmenter
        The fitted copy, with the statistics of the training rows.
    callbacks_ : list of keras.callbacks.Callback
        The callbacks of this fit. Copies and pickles of the estimator do not have them.
    class_weight_ : dict of label to float
        With ``multilabel``, the values are ``{0: weight, 1: weight}``, for rows without and
        with the label.
    sample_indices_ : ndarray of int
        The rows of the last epoch, in the order in which the model saw them.
    validation_indices_ : ndarray of int
        The rows of the hold-out set.

    Notes
    -----
    Rows with weight 0, by ``sample_weight`` or by class, are left out as if X did not have
    them. A class without other rows is not in ``classes_``, unless
    ``partial_fit(classes=...)`` names it. ``y`` can be one-hot, (n, classes); the classes are
    then 0 to classes - 1.

    A pickle of the estimator contains Keras' global settings: dtype policy, ``floatx``,
    ``epsilon``, image data format, TensorFlow's determinism and others. Workers and later
    sessions fit and predict with these settings, and restore their own afterwards. A worker
    with another Keras backend raises an error.

    ``warm_start`` and ``partial_fit`` continue with a model, and parameters may have changed
    in between:

    - ``optimizer``, ``loss``, ``metrics`` and ``compile__...`` take effect if the builder did
      not compile the model. An optimizer of the same class keeps its momenta and step count.
    - The random part of the augmenter can change. Its statistics stay.
    - ``epochs``, ``batch_size``, ``callbacks``, ``class_weight``, ``sampling_strategy``,
      ``validation_split`` and the like take effect.
    - The builder and its parameters, ``random_state`` and the standardisation of images
      cannot change. An error names the old value.

    **Frozen layers run once.** The first layers of a functional or ``Sequential`` model can be
    frozen (``trainable=False``). They run once for each image and transform, and the rest of
    the model is trained on their outputs, if they give the same in training as in evaluation:
    no dropout, no other randomness, no batch normalisation that learns. ``model_`` is the whole
    model, and callbacks see the whole model. Predictions, losses and weights equal those of
    ordinary training to float precision, because batch sizes differ. The size and place of the
    cache do not change a bit. Ordinary training is used with a ``train_step`` of your own,
    with MixUp, with callbacks of your own that look at single batches, and on JAX and PyTorch.
    The logger ``skimgcv`` tells the reason at level DEBUG.

    **Callbacks of scikit-learn.** With scikit-learn 1.9 or later, ``set_callbacks`` takes
    ``sklearn.callback.ProgressBar`` and ``ScoringMonitor``, for instance
    ``GridSearchCV(clf, grid).set_callbacks(bar)``. Epochs are tasks within a fit, and fits are
    tasks within a search. A callback that asks for the fitted estimator of an epoch gets the
    model in training. It can score this model, but must not keep it.

    Examples
    --------
    >>> import keras
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import cross_val_score
    >>> from skimgcv import AugmentedKerasClassifier, ImageAugmenter
    >>> def build(meta):
    ...     return keras.Sequential([
    ...         keras.layers.Input(meta["image_shape_"]),
    ...         keras.layers.Flatten(),
    ...         keras.layers.Dense(meta["n_classes_"], activation="softmax"),
    ...     ])
    >>> digits = load_digits()
    >>> clf = AugmentedKerasClassifier(
    ...     build, augmenter=ImageAugmenter(rotation_range=10, rescale=1 / 16),
    ...     optimizer__learning_rate=0.03, random_state=0)
    >>> scores = cross_val_score(clf, digits.images, digits.target, cv=3)
    >>> bool(scores.mean() > 0.8)
    True
    """

    _file_kind = "skimgcv classifier"

    def __init__(
        self,
        model: Any,
        *,
        augmenter: Any = None,
        class_augmenters: dict[Any, Any] | None = None,
        validation_augmenter: Any = None,
        validation_split: float = 0.0,
        sampling_strategy: Any = None,
        class_weight: Any = None,
        multilabel: bool = False,
        tta_rounds: int = 0,
        tta_augmenter: Any = None,
        image_shape: tuple[int, ...] | None = None,
        augmentation_views: int | None = None,
        feature_cache: str | os.PathLike[str] | int | None = "memory",
        optimizer: Any = "adam",
        loss: Any = "auto",
        metrics: Any = None,
        batch_size: int | None = 32,
        epochs: int = 1,
        fine_tune_epochs: int = 0,
        fine_tune_layers: Any = "all",
        fine_tune_learning_rate: float = 1e-5,
        shuffle: bool = True,
        callbacks: Any = None,
        verbose: int = 0,
        random_state: Any = None,
        warm_start: bool = False,
        **routed: Any,
    ) -> None:
        super().__init__(
            model,
            augmenter=augmenter,
            validation_augmenter=validation_augmenter,
            validation_split=validation_split,
            tta_rounds=tta_rounds,
            tta_augmenter=tta_augmenter,
            image_shape=image_shape,
            augmentation_views=augmentation_views,
            feature_cache=feature_cache,
            optimizer=optimizer,
            loss=loss,
            metrics=metrics,
            batch_size=batch_size,
            epochs=epochs,
            fine_tune_epochs=fine_tune_epochs,
            fine_tune_layers=fine_tune_layers,
            fine_tune_learning_rate=fine_tune_learning_rate,
            shuffle=shuffle,
            callbacks=callbacks,
            verbose=verbose,
            random_state=random_state,
            warm_start=warm_start,
            **routed,
        )
        self.class_augmenters = class_augmenters
        self.sampling_strategy = sampling_strategy
        self.class_weight = class_weight
        self.multilabel = multilabel

    @property
    def _target_kind(self) -> Kind:
        return "labels" if self.multilabel else "classes"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = self.multilabel
        tags.target_tags.multi_output = self.multilabel
        tags.target_tags.single_output = not self.multilabel
        return tags

    # -- training -----------------------------------------------------------

    @options_explained
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        class_weight: Any = None,
        groups: ArrayLike | None = None,
        validation_data: tuple[Any, ...] | None = None,
        checkpoint_dir: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Build a model and train it on augmented rows.

        Parameters
        ----------
        X : array-like of shape (n, height, width[, channels]) or (n, features)
            Never changed, and never copied as a whole.
        y : array-like of shape (n,), or one-hot (n, classes)
            With ``multilabel`` (n, labels) of 0 and 1: an array, a data frame with the labels'
            names, or a sparse matrix.
        sample_weight : array-like of shape (n,), optional
            Multiplies the class's weight. Not negative.
        class_weight : None, "balanced" or dict, optional
            Overrides the parameter of the same name.
        groups : array-like of shape (n,), optional
            ``validation_split`` keeps the rows of one group together. By default the
            groups that X carries: see :class:`ImageFiles`.
        validation_data : (X, y) or (X, y, sample_weight), optional
            Used for ``val_...`` instead of ``validation_split``.
        checkpoint_dir : path-like, optional
            A folder in which ``fit`` saves its state after each epoch. Call the same fit again
            to resume it. It continues after the last saved epoch, and the result is the same,
            bit for bit; a finished fit is loaded. The same holds for ``cross_validate(...,
            params={"checkpoint_dir": folder})`` and for a search's ``fit(X, y,
            checkpoint_dir=folder)``. Two fits are the same if these are equal:

            - the model that the builder returns: its layers and their connections, its
              initial weights, optimizer, loss and metrics, and all of their settings;
            - callbacks, augmenters and ``sampling_strategy``, with their parameters;
            - the code of your own layers, losses, metrics, callbacks, augmenters and
              functions, of the functions that they call, and the globals that they read;
            - the training rows and the hold-out rows, in their order, with labels and weights:
              arrays by their values, files by path, size, time of change and decoding;
            - ``random_state``, which must be an int, ``batch_size`` and ``epochs``;
            - Keras' global settings, and the versions of the packages that are used.

            These do not count: ``verbose``, parameters of prediction, the process, ``n_jobs``,
            the code of a builder that returns an equal model, and the file and line of a
            function. Things that another process cannot compare raise an error before training:
            an open file, a random generator, a function that reads the clock or the
            environment.

            Numbers, texts and arrays among the attributes of callbacks are saved. Nothing
            deletes these files. (``joblib.Memory(folder).cache(cross_val_score)`` saves a whole
            call after its end. It knows a builder only by its name: clear it when code changes.)

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
            class_weight=class_weight,
            groups=groups,
            validation_data=validation_data,
            checkpoint_dir=checkpoint_dir,
        )

    @options_explained
    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        class_weight: Any = None,
    ) -> Self:
        """Train the current model for one more epoch.

        Parameters
        ----------
        X, y, sample_weight, class_weight
            As for ``fit``. Statistics are those of the first call's rows.
        classes : array-like, optional
            All labels. The first call needs them if its ``y`` lacks some.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If ``y`` has a label that the first call did not know.
        """
        return self._train(
            X,
            y,
            resume=hasattr(self, "model_"),
            one_epoch=True,
            classes=classes,
            sample_weight=sample_weight,
            class_weight=class_weight,
        )

    @classmethod
    def from_keras(
        cls, model: keras.Model, *, classes: ArrayLike, augmenter: Any = None, **parameters: Any
    ) -> Self:
        """Make a fitted classifier of a Keras model that was trained elsewhere.

        You can calibrate, score, display, save and export it like any other.
        ``FrozenEstimator(clf)`` keeps scikit-learn's tools from fitting it again.

        Parameters
        ----------
        model : keras.Model
            A model with one input of a fixed shape. It is copied. ``fit`` of the classifier, or of
            its clone, trains a new model with new weights.
        classes : array-like of shape (n_classes,)
            The label of each output, in sorted order, as scikit-learn expects the columns of
            probabilities. If the model has one output, the labels for 0 and 1. With
            ``multilabel=True``, the label of each output in any order.
        augmenter : augmenter, optional
            Standardises images for the model, as in its training. An augmenter that needs
            statistics must have them: ``ImageAugmenter(...).fit(images)``. Only ``tta_rounds`` and
            ``partial_fit`` use its random steps.
        **parameters
            Other parameters of the constructor, such as ``tta_rounds``. If the model is not
            compiled, also ``optimizer``, ``loss`` and ``metrics``.

        Returns
        -------
        AugmentedKerasClassifier
            With an empty history.

        Raises
        ------
        ValueError, TypeError
            If the number of classes is not that of the outputs, or if they are not sorted.

        Examples
        --------
        >>> import keras, numpy as np
        >>> from skimgcv import AugmentedKerasClassifier, ImageAugmenter
        >>> model = keras.Sequential([
        ...     keras.layers.Input((4, 4, 1)),
        ...     keras.layers.Flatten(),
        ...     keras.layers.Dense(2, activation="softmax"),
        ... ])
        >>> clf = AugmentedKerasClassifier.from_keras(
        ...     model, classes=["cat", "dog"], augmenter=ImageAugmenter(rescale=1 / 255))
        >>> clf.predict_proba(np.zeros((3, 4, 4, 1), np.uint8)).shape
        (3, 2)
        """
        labels = np.asarray(classes)
        clf = cls(model, augmenter=augmenter, **parameters)
        in_order = np.sort(labels) if clf.multilabel else labels
        if labels.ndim != 1 or len(labels) < 2 or not np.array_equal(in_order, np.unique(labels)):
            raise ValueError(
                "classes must be two labels or more, each once and sorted, as scikit-learn "
                f"expects the columns of probabilities; got {labels.tolist()}. keras.Model("
                "model.inputs, keras.ops.take(model.outputs[0], numpy.argsort(classes), axis=1)) "
                "has its outputs in that order."
            )
        shape = getattr(model, "output_shape", None)
        units = shape[-1] if isinstance(shape, tuple) else len(labels)
        if units != len(labels) and (clf.multilabel or (units, len(labels)) != (1, 2)):
            raise ValueError(
                f"classes must have a label for each output of the model, {units}; it has "
                f"{len(labels)}."
            )
        meta = {"classes_": labels, "n_classes_": len(labels)}
        one: Any = {0: 1.0, 1: 1.0} if clf.multilabel else 1.0
        weights = dict.fromkeys(labels.tolist(), one)
        return clf._adopt(meta, classes_=labels, class_weight_=weights)

    # -- evaluation ---------------------------------------------------------

    @options_explained
    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Return the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n, height, width[, channels]) or (n, features)
            Plain images in the range that ``fit`` got; ``predict_proba`` rescales them. Flat rows
            of ``n_features_in_`` values are the same as images.

        Returns
        -------
        ndarray of shape (n, n_classes), float64
            In the order of ``classes_``. With ``multilabel`` the labels are independent, and rows
            do not sum to 1.

        Raises
        ------
        ValueError
            If the shape is not that of ``fit``, or a value is not finite.
        sklearn.exceptions.NotFittedError
        """
        return self._predict_outputs(X)

    @options_explained
    def predict_log_proba(self, X: ArrayLike) -> np.ndarray:
        """Return the logarithm of the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n, height, width[, channels]) or (n, features)
            As for ``predict_proba``.

        Returns
        -------
        ndarray of shape (n, n_classes), float64
            In the order of ``classes_``. It is minus infinity if the probability is 0.

        Raises
        ------
        ValueError
            As ``predict_proba``.
        sklearn.exceptions.NotFittedError
        """
        with np.errstate(divide="ignore"):  # a probability of 0
            return np.log(self.predict_proba(X))

    @options_explained
    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return the likeliest class; with ``multilabel`` the labels above 0.5.

        Parameters
        ----------
        X : array-like of shape (n, height, width[, channels]) or (n, features)

        Returns
        -------
        ndarray of shape (n,), or (n, labels)
            Labels as in ``classes_``; with ``multilabel`` 0 and 1.
        """
        probabilities = self.predict_proba(X)
        if self._targets.kind == "labels":
            return (probabilities > 0.5).astype(np.intp)
        return self.classes_[probabilities.argmax(axis=1)]

    @available_if(_has_labels)
    @options_explained
    def decision_function(self, X: ArrayLike) -> np.ndarray:
        """Return the log-odds of each label: above 0 where it is predicted.

        Only with ``multilabel``. scikit-learn's scorers ``roc_auc`` and ``average_precision`` use
        it if it exists.

        Parameters
        ----------
        X : array-like of shape (n, height, width[, channels]) or (n, features)
            As for ``predict_proba``.

        Returns
        -------
        ndarray of shape (n, labels), float64
        """
        return np.nan_to_num(logit(self.predict_proba(X)), nan=np.nan)

    @options_explained
    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the accuracy on plain images; with ``multilabel`` of all labels at once.

        Parameters
        ----------
        X : array-like of shape (n, height, width[, channels]) or (n, features)
        y : array-like of shape (n,), or one-hot (n, classes), or (n, labels)
        sample_weight : array-like of shape (n,), optional

        Returns
        -------
        float
        """
        y = as_label_table(y) if self.multilabel else decode_one_hot(y)
        return float(super().score(X, y, sample_weight))
