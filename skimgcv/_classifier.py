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

    ``fit`` transforms the rows that it is given, at random and anew each epoch.
    Prediction, and every score, is on plain images. So any scikit-learn tool that
    fits on one fold and scores another is free of leakage.

    Parameters
    ----------
    model : callable or keras.Model
        Builds a model, as in SciKeras: ``build(meta, compile_kwargs, ...)``, each
        parameter optional. ``meta`` is a dict with ``n_classes_``, ``classes_``,
        ``X_shape_`` (of the images), ``image_shape_``, ``X_dtype_``,
        ``n_features_in_``, ``target_type_`` and ``n_outputs_expected_``. The
        model may be compiled or not. A keras.Model is cloned, with fresh
        weights, in each fit: load pretrained weights in a function. A warning says so
        where the model can be seen to be trained.
    augmenter : optional
        ``None``; an ``ImageAugmenter``; a Keras ``ImageDataGenerator``; a Keras
        image layer or a ``Sequential`` of them; an Albumentations transform; any
        ``f(image, rng) -> image``. Never fitted itself: see ``augmenter_``.
    class_augmenters : dict of label to augmenter, optional
        Rows of that class are transformed by theirs instead. At prediction no
        label is known, so what is done there is ``augmenter``'s to say: a class
        augmenter standardises as it does, or not at all.
    validation_augmenter : augmenter, optional
        Transforms the inner hold-out's images, the same way each epoch. Without
        it they are plain, as test images are: what one wants, unless the images
        to come vary in ways that those at hand do not.
    validation_split : float in [0, 1), default=0.0
        Share of the training rows that is held out for ``val_loss`` and early
        stopping. It is stratified. It keeps groups whole if X carries them
        (``load_image_table(..., group_col="patient")``) or ``fit`` gets ``groups``;
        scikit-learn's ``groups=`` reaches the splitter of the folds, but not ``fit``.
    sampling_strategy : None, str, float, dict or callable, default=None
        Which classes an epoch draws more often, or less, in imbalanced-learn's
        words: ``"auto"``, ``"minority"``, ``{label: rows}``. Each repeat of a row
        has a transform of its own.
    class_weight : None, "balanced" or dict of label to float, default=None
        ``"balanced"`` is computed from the rows of the fit. Labels that a dict
        lacks weigh 1; if ``y`` has none of its labels, a warning says so. Weights
        count in training, not in ``val_loss``.
    multilabel : bool, default=False
        Whether an image has several labels, or none: ``y`` is then (n, labels) of 0 and 1.
        That is said here, and not guessed, since a fold of such a ``y`` can look one-hot.
        ``loss="auto"`` is the binary crossentropy; ``class_weight`` weighs each label as if
        it were fitted alone, a number in a dict the rows that have it. See :doc:`/targets`.
    tta_rounds : int, default=0
        Prediction averages the plain image and this many transformed ones. It can be
        set on a fitted classifier, ``set_params(tta_rounds=8)``, which needs no new
        fit; a grid search fits each candidate all the same.
    tta_augmenter : augmenter, optional
        What transforms them: ``augmenter``, unless given.
    image_shape : tuple of int, optional
        For a flat 2-D X the image that each row is: ``(28, 28, 1)``.
    augmentation_views : int, optional
        In how many versions each image is seen, in turn: epoch e shows version e modulo
        this. By default an image is transformed anew in each epoch.
    feature_cache : "memory", int, path or None, default="memory"
        Where the results of frozen first layers are kept, so that these run once for each
        version of an image, over all epochs, folds and candidates: see Notes. "memory": as
        many as fit into a quarter of what is free in this process; an int: into so many
        bytes. A path: a memory-mapped file in that folder, shared by all processes and by
        later runs; it only grows. None: all layers run on each batch.
    optimizer, loss, metrics
        As for ``keras.Model.compile``, where the builder leaves that open.
        ``loss="auto"`` is the crossentropy that fits the model's output and the metrics:
        of class numbers, or of one-hot rows where MixUp or a metric of Keras needs them.
        A metric of Keras is what scikit-learn gives for the same predictions, of the
        second of two classes where it is of one; one that cannot be is an error. A metric
        of one's own gets ``y_true`` as the loss does: see :doc:`/metrics`.
    batch_size : int or None, default=32
        ``None`` is 32, as in Keras. Rounded up to a multiple of 24 at prediction, where
        it changes no bit.
    epochs : int, default=1
    fine_tune_epochs : int, default=0
        Epochs of a second phase, after ``epochs``: frozen layers are unfrozen, and the model
        is compiled anew and trained on, on the same rows. Callbacks begin each phase anew,
        as in two calls of Keras' ``fit``; a ``CSVLogger`` appends to its file.
    fine_tune_layers : "all", int, str or callable, default="all"
        Which of the frozen layers the second phase trains: all of them; the last so many,
        as ``backbone.layers[-20:]`` counts; those with a name such as ``"block_1[56]*"``;
        or those that a function of the model returns. Batch normalisation stays frozen,
        unless that function returns the layer itself.
    fine_tune_learning_rate : float, default=1e-5
        Learning rate of the second phase. Its optimizer is a fresh one, of the same kind and
        with the same other parameters as the first.
    shuffle : bool, default=True
        Whether each epoch has an order of its own.
    callbacks : keras.callbacks.Callback, function, list or dict of them, optional
        Each fit uses its own copies: see ``callbacks_``. A function without arguments is
        called for each fit, and gives a callback or a list of them: so that each writes to
        a path of its own, ``lambda: keras.callbacks.CSVLogger(new_path())``.
    verbose : int, default=0
        1 is a line for each fit, with its losses and its time, on standard error: drawn
        on a terminal and in a notebook; written once, when the fit ends, with ``n_jobs``
        and into a file. 2 is Keras' line for each epoch. A bar for the folds and searches
        that fits are part of is scikit-learn's: see Notes. Predictions show nothing but
        by ``predict__verbose=1``.
    random_state : int, RandomState instance or None, default=None
        An int gives the same weights, bit for bit, in any process on one kind of
        machine. No global generator has a say in it, and all stay as they were: those of
        ``random``, NumPy and Keras are seeded while the builder runs, and then restored.
    warm_start : bool, default=False
        Whether ``fit`` goes on from the model of the last call: see Notes.
    **routed
        Parameters of these parameters: ``model__filters=32`` goes to the
        builder, ``optimizer__learning_rate=1e-3``, ``loss__...``,
        ``metrics__...``, ``callbacks__...``, ``compile__...`` to what is made of
        the parameter, and ``fit__...``, ``predict__...`` to Keras' methods. A
        name without a prefix goes to the builder, as SciKeras has it; one that
        begins or ends with ``_``, or that is a method's, needs the prefix.

    Attributes
    ----------
    model_ : keras.Model
        Trained and compiled, nobody else's.
    classes_ : ndarray of shape (n_classes,)
        With ``multilabel`` the labels: the columns of a data frame, or their numbers.
    n_features_in_ : int
        How many values a row has: ``X.shape[1]`` of a 2-D X, and of images height times
        width times channels. Rows of that width pass for images at prediction.
    feature_names_in_ : ndarray of str
        Of a data frame.
    image_shape_ : tuple of int
        One row as the model gets it: (height, width, channels) or (features,).
    history_ : dict of str to list of float
        A value an epoch: ``loss``, the metrics, and ``val_...`` of a hold-out. The second
        phase goes on in the same lists.
    fine_tune_start_ : int or None
        How many epochs the first phase had. None where there was no second one.
    augmenter_ : Augmenter
        The fitted copy, with the statistics of the rows that trained.
    callbacks_ : list of keras.callbacks.Callback
        This fit's copies; copies and pickles of the estimator lack them.
    class_weight_ : dict of label to float
        With ``multilabel`` of label to ``{0: weight, 1: weight}``, of rows that lack and that
        have it.
    sample_indices_ : ndarray of int
        The rows of the last epoch, in the order in which the model saw them.
    validation_indices_ : ndarray of int
        The rows that were held out.

    Notes
    -----
    Rows whose weight is 0, by ``sample_weight`` or by their class's, are left out as if
    they were not in X: a class that has no other rows is not in ``classes_``, unless
    ``partial_fit(classes=...)`` named it. ``y`` may be one-hot, (n, classes): its classes
    are then 0 to classes - 1.

    Keras' global switches (dtype policy, ``floatx``, ``epsilon``, image data format,
    TensorFlow's determinism and the like) go with a pickle: workers fit, and a later
    session predicts, as they stood where it was made, and nothing stays switched there.
    Workers with another Keras backend are refused.

    Where a call goes on with a model, by ``warm_start`` or ``partial_fit``, parameters
    may have changed. ``optimizer``, ``loss``, ``metrics`` and ``compile__...`` are those of
    now, if the builder left the model to be compiled here; an optimizer of the same class
    keeps its momenta and its count of steps. The augmenter may change in what is random,
    and keeps its statistics. Those that are read in each call (``epochs``, ``batch_size``,
    ``callbacks``, ``class_weight``, ``sampling_strategy``, ``validation_split`` and so on)
    have their effect. The builder and its parameters, ``random_state``, and how images are
    standardised, cannot change: an error says what they were.

    Where the first layers of a functional or ``Sequential`` model are frozen
    (``trainable=False``) and do the same in training as in evaluation, with no dropout or
    other randomness and no batch normalisation that learns, they are run once for each image
    and transform, and the rest is trained on the results. ``model_`` is the whole model, and
    callbacks see it. Predictions, losses and weights are those of training the whole model to
    float precision, since batches differ in size; where features are kept, and how many,
    changes no bit. All of the model runs on each batch where that cannot be shown (a training
    step of one's own, MixUp, callbacks of one's own that look at single batches), and with
    Keras on JAX or PyTorch; the logger ``skimgcv`` says why, at level DEBUG.

    With scikit-learn 1.9 or later ``set_callbacks`` takes its callbacks,
    ``sklearn.callback.ProgressBar`` and ``ScoringMonitor``: epochs are tasks within a
    fit, as fits are within a search: ``GridSearchCV(clf, grid).set_callbacks(bar)``. A
    callback that asks for the fitted estimator of an epoch gets the model that is being
    trained: it may score it, but not keep it.

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
            Never changed, never copied whole.
        y : array-like of shape (n,), or one-hot (n, classes)
            With ``multilabel`` (n, labels) of 0 and 1: an array, a data frame with the labels'
            names, or a sparse matrix.
        sample_weight : array-like of shape (n,), optional
            Multiplies the class's weight. Not negative.
        class_weight : None, "balanced" or dict, optional
            Beats the parameter of the same name.
        groups : array-like of shape (n,), optional
            ``validation_split`` keeps the rows of one group together. By default the
            groups that X carries: see :class:`ImageFiles`.
        validation_data : (X, y) or (X, y, sample_weight), optional
            Used for ``val_...`` instead of ``validation_split``.
        checkpoint_dir : path-like, optional
            A folder in which each epoch's state is kept. Call the same fit again to resume
            it: it goes on from its last epoch and ends with the same bits, and a fit that
            had ended is read back. So ``cross_validate(..., params={"checkpoint_dir":
            folder})``, or a search's ``fit(X, y, checkpoint_dir=folder)``, is called again to
            go on. Two fits are the same if nothing of this differs:

            - the model that the builder makes: its layers and how they are connected, its
              initial weights, optimizer, loss and metrics, and all of their settings;
            - callbacks, augmenters and ``sampling_strategy``, with their parameters;
            - the code of your own layers, losses, metrics, callbacks, augmenters and
              functions, of the functions that they call, and the globals that they read;
            - the rows that train and those that are held out, in their order, with their
              labels and weights: arrays by their values, files by path, size, time of
              change and how they are decoded;
            - ``random_state``, which must be an int, ``batch_size`` and ``epochs``;
            - Keras' global settings, and the versions of the packages that are used.

            Nothing else counts: not ``verbose``, nor what concerns prediction alone, nor
            the process, ``n_jobs``, the builder's code where it makes an equal model, or
            the file and line where a function is written. What cannot be compared in
            another process, such as an open file, a random generator, or a function that
            reads the clock or the environment, is an error before training.

            Of callbacks numbers, texts and arrays among their attributes are kept. Nothing
            deletes these files. (``joblib.Memory(folder).cache(cross_val_score)`` keeps a whole
            call once it has ended, but knows a builder by its name alone: clear it when
            code changes.)

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            Where an argument or a parameter is not usable, saying what is.
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
        """Train one more epoch, going on from the model as it is.

        Parameters
        ----------
        X, y, sample_weight, class_weight
            As for ``fit``. Statistics are those of the first call's rows.
        classes : array-like, optional
            All labels; needed in the first call where its ``y`` lacks some.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            Where ``y`` has a label that the first call did not know.
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

        It predicts, and is calibrated, scored, displayed, saved and exported as any other:
        ``FrozenEstimator(clf)`` keeps scikit-learn's tools from fitting it.

        Parameters
        ----------
        model : keras.Model
            With one input of a fixed shape. It is copied. ``fit`` of the classifier, or of
            its clone, would train a new one, with fresh weights.
        classes : array-like of shape (n_classes,)
            The label of each output, in sorted order: scikit-learn takes the columns of
            probabilities to be in it. Of one output, the labels of 0 and 1. With
            ``multilabel=True`` the label of each output, in any order.
        augmenter : augmenter, optional
            What standardises images before the model gets them, as in its training. One that
            needs statistics must have them: ``ImageAugmenter(...).fit(images)``. Its random
            half is for ``tta_rounds`` and ``partial_fit``.
        **parameters
            Others of the constructor, such as ``tta_rounds``, and ``optimizer``, ``loss``
            and ``metrics`` where the model is not compiled.

        Returns
        -------
        AugmentedKerasClassifier
            With an empty history.

        Raises
        ------
        ValueError, TypeError
            Where the classes are not those of the outputs, or are not sorted.

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
                "classes must be two labels or more, each once and sorted: scikit-learn takes the "
                f"columns of probabilities to be so; got {labels.tolist()}. keras.Model("
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
            Plain, in the range that ``fit`` got: rescaling is done here. Flat rows of
            ``n_features_in_`` values are the same as images.

        Returns
        -------
        ndarray of shape (n, n_classes), float64
            In the order of ``classes_``. With ``multilabel`` each is by itself, and rows do
            not sum to 1.

        Raises
        ------
        ValueError
            Where the shape is not that of ``fit``, or a value is not finite.
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
            In the order of ``classes_``; minus infinity where the probability is 0.

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

        With ``multilabel`` alone. scikit-learn's scorers ``roc_auc`` and
        ``average_precision`` ask for it first.

        Parameters
        ----------
        X : array-like of shape (n, height, width[, channels]) or (n, features)
            As for ``predict_proba``.

        Returns
        -------
        ndarray of shape (n, labels), float64
        """
        return np.nan_to_num(logit(self.predict_proba(X)))

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
