"""ImageAugmenter: every parameter of Keras' ImageDataGenerator, with one warp for each image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from skimgcv._runtime.links import DocumentationLink

from .._runtime.random_streams import fresh_seed, stream
from ._dtypes import check_dtype
from ._format import Format
from ._geometry import Warp
from ._mixing import mix
from ._parameters import columns, slots
from ._policies import RAND_AUGMENT, STRENGTHS
from ._protocol import by_rows
from ._ranges import (
    check_choice,
    check_flag,
    check_function,
    check_limit,
    check_number,
    check_whole,
)
from ._statistics import (
    Standardizer,
    channel_moments,
    check_whitening_fits,
    read_chunks,
    whitening_matrix,
)
from ._table import draw_table
from ._transform import Transform
from .keras_api.methods import GeneratorMethods

_FLAGS = (
    "featurewise_center",
    "samplewise_center",
    "featurewise_std_normalization",
    "samplewise_std_normalization",
    "zca_whitening",
    "channelwise_shift",
    "horizontal_flip",
    "vertical_flip",
)
_STATISTICS = ("mean_", "std_", "zca_whitening_matrix_")


class ImageAugmenter(GeneratorMethods, DocumentationLink, BaseEstimator):
    """Random transforms and standardisation of images, as in ImageDataGenerator.

    It has every parameter of Keras' ``ImageDataGenerator``, with its documented
    meaning, and its methods. It is also a scikit-learn estimator: you can search over
    its parameters (``augmenter__rotation_range``), and ``clone`` returns an unfitted copy.

    The random steps (``draw`` and ``apply``) run in training. The deterministic steps
    (``standardize``) run in training and at prediction, in Keras' order:
    ``preprocessing_function``, ``rescale``, samplewise, featurewise, whitening.
    Statistics are computed from the output of the steps before, so standardised
    training rows have mean 0 and standard deviation 1.

    :doc:`/augmentation_gallery` has a picture of each parameter.

    Parameters
    ----------
    featurewise_center : bool, default=False
        Subtract the training rows' mean, by channel.
    samplewise_center : bool, default=False
        Subtract each image's own mean.
    featurewise_std_normalization : bool, default=False
        Divide by the training rows' standard deviation, by channel. Also centres.
    samplewise_std_normalization : bool, default=False
        Divide by each image's own standard deviation. Also centres.
    zca_whitening : bool, default=False
        Decorrelate all values of an image (ZCA). Also centres, and replaces
        ``featurewise_std_normalization``. Use it for small images: the matrix has
        (height * width * channels) ** 2 values.
    zca_epsilon : float, default=1e-6
        Added to the singular values that whitening divides by.
    rotation_range : float, default=0
        Degrees. Angles are uniform in (-r, r).
    width_shift_range, height_shift_range : float, int or list, default=0.0
        Shifts sideways, and up and down, uniform in (-s, s). A float below 1 is a share
        of the size; a float from 1 on is pixels. An integer k means the whole pixels
        -k+1 to k-1. A list means its own values; those within (-1, 1) are shares of the
        size.
    brightness_range : (float, float), optional
        Factor of all values. Results are clipped: for integers to the dtype's range; for
        floats to [0, 1] if the image is within it, else to [0, 255], or to the image's
        own extremes if they are outside.
    shear_range : float, default=0.0
        Degrees. Angles are uniform in (-s, s).
    zoom_range : float or (float, float), default=0.0
        A float z means (1 - z, 1 + z). Values below 1 magnify. Each axis draws its own.
    channel_shift_range : float, default=0.0
        Adds a number of grey levels, uniform in (-c, c), to all channels, and clips to the
        image's own extremes. All channels share the number, as in Keras, unless
        ``channelwise_shift``.
    fill_mode : {"constant", "nearest", "reflect", "wrap"}, default="nearest"
        How to fill the outside of the image: with ``cval``; aaaa|abcd|dddd;
        abcddcba|abcd|dcbaabcd; abcdabcd|abcd|abcdabcd.
    cval : float, default=0.0
        The value outside for "constant".
    horizontal_flip, vertical_flip : bool, default=False
        Flip each image with probability 0.5.
    rescale : float, optional
        Factor of all values. None and 0 do not rescale.
    preprocessing_function : callable, optional
        A function of one float32 image (height, width, channels) that returns an image of
        that shape. It is deterministic, and runs in training and at prediction.
    data_format : {"channels_last", "channels_first"}, optional
        None means "channels_last", whatever Keras' own setting is.
    validation_split : float, default=0.0
        The share of ``flow(subset="validation")``.
    interpolation_order : int, default=1
        0 (nearest) and 1 (linear) are fast; 2 to 5 are SciPy's splines.
    dtype : dtype, optional
        Dtype of prepared images: None means float32; float16 and float64 are possible.
    p : float, default=1.0
        Probability that an image is augmented.
    channelwise_shift : bool, default=False
        Whether ``channel_shift_range`` draws a number for each channel. This changes
        colours.
    contrast_range : (float, float), optional
        Factor of the distance to the image's mean brightness.
    saturation_range : (float, float), optional
        Factor of the distance to each pixel's grey; RGB only.
    hue_range : float, default=0.0
        Turns of the colour circle, at most 0.5, uniform in (-h, h); RGB only.
    blur_sigma : float, default=0.0
        Largest standard deviation b of a Gaussian blur, in pixels. Each image draws its own
        from (0, b).
    noise_std : float, default=0.0
        Largest standard deviation s of Gaussian noise, as a share of white (255, or 1 for
        floats within [0, 1]). Each image draws its own from (0, s).
    jpeg_quality_range : (int, int), optional
        Quality of JPEG compression, 1 to 100; grey or RGB only.
    erasing_p : float, default=0.0
        Probability that a rectangle is erased.
    erasing_scale, erasing_ratio : (float, float), default=(0.02, 0.33), (0.3, 3.3)
        The rectangle's share of the image's area, and its height over its width.
    erasing_value : float, default=0.0
        The value that fills the rectangle.
    policy : {"RandAugment", "TrivialAugment"}, optional
        Adds random operations to the parameters above: "RandAugment" adds
        ``policy_num_ops`` operations of one strength, "TrivialAugment" one operation of
        random strength.
    policy_magnitude : int, default=9
        Strength of RandAugment's operations, 0 to 30.
    policy_num_ops : int, default=2
        Number of RandAugment's operations.
    mixup_alpha, cutmix_alpha : float, default=0.0
        Mix training images and their labels with others of the epoch: by a weighted
        sum, or by a rectangle. The image's own share is drawn from Beta(alpha, alpha).
        0 is off. If both are on, each mixes half of the images.

    Attributes
    ----------
    mean_, std_ : ndarray of shape (channels,), or None
        Statistics of the rows of ``fit``, float64.
    zca_whitening_matrix_ : ndarray of shape (d, d), or None
        Float32, with d = height * width * channels.

    Notes
    -----
    Row k of a table belongs to the k-th image of the epoch. Its numbers depend only on the
    generator passed to ``draw`` and on k. They do not depend on the batch size, on threads,
    or on which other parameters are on.

    uint8 images stay uint8 until they are standardised. Results are rounded and clipped,
    and never wrap around. Other types are transformed in float32, which keeps integers up
    to 2**24 exactly and 24 leading bits of other values, and returned in their own type.

    Keras' own generator differs from its documentation. The differences, with the behaviour
    here:

    - ``width_shift_range`` moves sideways and ``height_shift_range`` up and down; Keras
      exchanges them. In parameter dicts ``tx`` and ``zx`` are sideways.
    - Rotations and zooms of images that are not square keep their centre.
    - A shift from a list gets no random sign. All values of an integer's range are equally
      frequent, 0 included. Negative shares are shares.
    - Brightness multiplies and rounds. Keras first stretches floats to 0..255 (images
      within [0, 1] become black), truncates values twice, ignores the fourth channel, and
      fails on five channels.
    - Fill modes "constant" and "wrap" are SciPy's "grid-constant" and "grid-wrap": the
      image's border blends into ``cval``, and a wrapped image repeats after its own
      size. In Keras it repeats after one pixel less.
    - Statistics are computed after ``preprocessing_function`` and samplewise
      standardisation. Keras' ``fit`` ignores both, and its whitening amplifies directions
      in which the training rows do not vary.
    - ``standardize`` never changes its input. If it needs statistics, it raises an error
      before ``fit``; Keras warns.
    - ``flow(subset="validation")`` takes the last rows and does not augment them; Keras
      takes the first rows, and augments them.
    - uint8 images stay uint8, which takes a quarter of the memory.
    - No global generator is read or seeded, with a ``seed`` or without.

    References
    ----------
    https://www.tensorflow.org/api_docs/python/tf/keras/preprocessing/image/ImageDataGenerator

    Zhong et al. (2020), "Random erasing data augmentation". Cubuk et al. (2020),
    "RandAugment". Mueller and Hutter (2021), "TrivialAugment". Zhang et al. (2018),
    "mixup: beyond empirical risk minimization". Yun et al. (2019), "CutMix".

    Examples
    --------
    >>> import numpy as np
    >>> from skimgcv.augment import ImageAugmenter
    >>> images = np.zeros((4, 8, 8, 3), np.uint8)
    >>> augmenter = ImageAugmenter(rotation_range=20, rescale=1 / 255).fit(images)
    >>> table = augmenter.draw(np.random.default_rng(0), 4, (8, 8, 3))
    >>> augmenter.apply(images, table).dtype
    dtype('uint8')
    >>> augmenter.prepare(images, table).dtype
    dtype('float32')
    """

    def __init__(
        self,
        featurewise_center: bool = False,
        samplewise_center: bool = False,
        featurewise_std_normalization: bool = False,
        samplewise_std_normalization: bool = False,
        zca_whitening: bool = False,
        zca_epsilon: float = 1e-6,
        rotation_range: float = 0,
        width_shift_range: float | Sequence[float] = 0.0,
        height_shift_range: float | Sequence[float] = 0.0,
        brightness_range: tuple[float, float] | None = None,
        shear_range: float = 0.0,
        zoom_range: float | Sequence[float] = 0.0,
        channel_shift_range: float = 0.0,
        fill_mode: str = "nearest",
        cval: float = 0.0,
        horizontal_flip: bool = False,
        vertical_flip: bool = False,
        rescale: float | None = None,
        preprocessing_function: Callable[[np.ndarray], np.ndarray] | None = None,
        data_format: str | None = None,
        validation_split: float = 0.0,
        interpolation_order: int = 1,
        dtype: Any = None,
        *,
        p: float = 1.0,
        channelwise_shift: bool = False,
        contrast_range: tuple[float, float] | None = None,
        saturation_range: tuple[float, float] | None = None,
        hue_range: float = 0.0,
        blur_sigma: float = 0.0,
        noise_std: float = 0.0,
        jpeg_quality_range: tuple[int, int] | None = None,
        erasing_p: float = 0.0,
        erasing_scale: tuple[float, float] = (0.02, 0.33),
        erasing_ratio: tuple[float, float] = (0.3, 3.3),
        erasing_value: float = 0.0,
        policy: str | None = None,
        policy_magnitude: int = 9,
        policy_num_ops: int = 2,
        mixup_alpha: float = 0.0,
        cutmix_alpha: float = 0.0,
    ) -> None:
        self.featurewise_center = featurewise_center
        self.samplewise_center = samplewise_center
        self.featurewise_std_normalization = featurewise_std_normalization
        self.samplewise_std_normalization = samplewise_std_normalization
        self.zca_whitening = zca_whitening
        self.zca_epsilon = zca_epsilon
        self.rotation_range = rotation_range
        self.width_shift_range = width_shift_range
        self.height_shift_range = height_shift_range
        self.brightness_range = brightness_range
        self.shear_range = shear_range
        self.zoom_range = zoom_range
        self.channel_shift_range = channel_shift_range
        self.fill_mode = fill_mode
        self.cval = cval
        self.horizontal_flip = horizontal_flip
        self.vertical_flip = vertical_flip
        self.rescale = rescale
        self.preprocessing_function = preprocessing_function
        self.data_format = data_format
        self.validation_split = validation_split
        self.interpolation_order = interpolation_order
        self.dtype = dtype
        self.p = p
        self.channelwise_shift = channelwise_shift
        self.contrast_range = contrast_range
        self.saturation_range = saturation_range
        self.hue_range = hue_range
        self.blur_sigma = blur_sigma
        self.noise_std = noise_std
        self.jpeg_quality_range = jpeg_quality_range
        self.erasing_p = erasing_p
        self.erasing_scale = erasing_scale
        self.erasing_ratio = erasing_ratio
        self.erasing_value = erasing_value
        self.policy = policy
        self.policy_magnitude = policy_magnitude
        self.policy_num_ops = policy_num_ops
        self.mixup_alpha = mixup_alpha
        self.cutmix_alpha = cutmix_alpha

    def fit(
        self, images: Any, augment: bool = False, rounds: int = 1, seed: int | None = None
    ) -> ImageAugmenter:
        """Learn the statistics for standardisation from the training rows.

        Parameters
        ----------
        images : ndarray or memory map of shape (n, height, width, channels)
            Read in slices of a few megabytes, once (twice for whitening).
        augment : bool, default=False
            Whether to compute the statistics of transformed images.
        rounds : int, default=1
            Number of passes over the images if ``augment``.
        seed : int, optional
            Seed of those transforms.

        Returns
        -------
        self : ImageAugmenter

        Raises
        ------
        ValueError
            If a parameter or the shape is invalid.
        MemoryError
            If ``zca_whitening`` needs more memory than is available.
        """
        images = images if hasattr(images, "shape") else np.asarray(images)
        shape = tuple(images.shape)
        if len(shape) != 4 or 0 in shape:
            raise ValueError(
                "`fit` needs at least one image, as an array (n, height, width, channels), "
                f"got shape {shape}; grey images have an axis of one channel: images[..., None]"
            )
        self._check(self._format.shape_to_last(shape[1:]))
        seed = fresh_seed() if seed is None else seed
        rounds = check_whole("rounds", rounds, least=1, most=10**6) if augment else 0
        n_rows = shape[0] * max(1, rounds)
        if self.zca_whitening:
            check_whitening_fits(n_rows, shape[1:])

        def values(standardizer: Standardizer) -> Iterator[np.ndarray]:
            for part in self._parts(images, rounds, seed):
                yield standardizer(part)

        mean = std = whitening = None
        before = self._before_statistics()
        if self._needs_mean():
            mean, std = channel_moments(values(before.centered(None)))
        if self.zca_whitening:
            whitening = whitening_matrix(
                values(before.centered(mean)),
                self.zca_epsilon,
                n_rows=n_rows,
                image_shape=shape[1:],
            )
        self.mean_ = mean
        self.std_ = std if self._needs_std() else None
        self.zca_whitening_matrix_ = whitening
        return self

    def _parts(self, images: Any, rounds: int, seed: int) -> Iterator[np.ndarray]:
        """Read the images in parts, channels last: plain, or transformed in rounds."""
        if not rounds:
            yield from map(self._format.to_last, read_chunks(images))
        for number in range(rounds):
            table = self.draw(stream(seed, "fit", number), len(images), images.shape[1:])
            start = 0
            for part in map(self._format.to_last, read_chunks(images)):
                yield self._transform().apply(part, table[start : start + len(part)])
                start += len(part)

    @property
    def mixes(self) -> bool:
        """Whether prepared images are mixed with their partners, by :meth:`mix`."""
        return bool(self.mixup_alpha or self.cutmix_alpha)

    @by_rows
    def draw(self, rng: np.random.Generator, n: int, image_shape: tuple[int, ...]) -> np.ndarray:
        """Draw all random numbers for the images of an epoch.

        Parameters
        ----------
        rng : numpy.random.Generator
        n : int
            Number of images in the epoch.
        image_shape : tuple of int
            (height, width, channels).

        Returns
        -------
        ndarray of shape (n,), structured
            A row for each image, in the order of the epoch. Its columns include those of Keras:
            "theta" and "shear" in degrees, "tx" and "ty" in pixels, "zx", "zy", "flip_horizontal",
            "flip_vertical", "channel_shift_intensity", "brightness". With mixing, "partner" is the
            position in the epoch of each image's partner.
        """
        shape = self._format.shape_to_last(image_shape)
        self._check(shape)
        parameters = self.get_params(deep=False)
        return draw_table(
            rng,
            n,
            columns(parameters, n, shape),
            slots=slots(parameters, shape[2]),
            probability=self.p,
        )

    def apply(self, images: np.ndarray, table: np.ndarray) -> np.ndarray:
        """Transform each image by its row of the table, in the images' own dtype.

        Parameters
        ----------
        images : ndarray of shape (n, height, width, channels)
        table : ndarray of shape (n,)
            Rows of the result of :meth:`draw`.

        Returns
        -------
        ndarray like ``images``
        """
        last = self._format.to_last(images)
        return self._format.from_last(self._transform().apply(last, table))

    def standardize(self, images: np.ndarray) -> np.ndarray:
        """Standardise images, or one image, for the model: a new array of float32.

        Parameters
        ----------
        images : ndarray of shape (n, height, width, channels) or (height, width, channels)

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If statistics are needed, and ``fit`` was not called.
        """
        images = np.asarray(images)
        if images.ndim == 3:
            return self.standardize(images[np.newaxis])[0]
        last = self._format.to_last(images)
        return self._format.from_last(self.standardizer(last))

    def prepare(self, images: np.ndarray, table: np.ndarray | None = None) -> np.ndarray:
        """Return ``standardize(apply(images, table))``, computed in one pass.

        Without a table only the deterministic steps run, as in evaluation.

        Parameters
        ----------
        images : ndarray of shape (n, height, width, channels)
        table : ndarray of shape (n,), optional
        """
        if table is None:
            return self.standardize(images)
        last = self._format.to_last(images)
        return self._format.from_last(self._transform().prepare(last, table, self.standardizer))

    def mix(
        self, images: np.ndarray, partners: np.ndarray, table: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mix prepared images with their prepared partners.

        Parameters
        ----------
        images, partners : ndarray of shape (n, height, width, channels)
        table : ndarray of shape (n,)
            The rows of the images.

        Returns
        -------
        mixed : ndarray like ``images``
        own_share : ndarray of shape (n,), float32
            The weight of each image's own label; the rest is its partner's.
        """
        mixed, own_share = mix(self._format.to_last(images), self._format.to_last(partners), table)
        return self._format.from_last(mixed), own_share

    def to_config(self) -> dict[str, Any]:
        """Return the parameters, and the statistics of ``fit``."""
        fitted = {name: value for name, value in vars(self).items() if name.endswith("_")}
        return {"parameters": self.get_params(deep=False), "fitted": fitted}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Return an augmenter with these parameters and statistics."""
        augmenter, fitted = cls(**config["parameters"]), config["fitted"]
        if not set(fitted) <= set(_STATISTICS):
            raise ValueError(f"an ImageAugmenter has no attributes {sorted(fitted)}")
        augmenter.__dict__.update(fitted)
        return augmenter

    def to_layers(self) -> list[Callable[[Any], Any]]:
        """Return the steps of :meth:`standardize` in Keras' operations.

        Raises
        ------
        ValueError
            If ``preprocessing_function`` is your own Python code.
        """
        from ._layers import standardizing_layers

        return standardizing_layers(
            self.standardizer,
            self.preprocessing_function,
            channels_first=self._format.channels_first,
        )

    def _check(self, image_shape: tuple[int, int, int]) -> None:
        for name in _FLAGS:
            check_flag(name, getattr(self, name))
        check_limit("p", self.p, most=1)
        check_limit("zca_epsilon", self.zca_epsilon)
        for name in ("cval", "erasing_value", "rescale"):
            if name != "rescale" or self.rescale is not None:
                check_number(name, getattr(self, name))
        check_function("preprocessing_function", self.preprocessing_function)
        check_dtype(self.dtype)
        if check_limit("validation_split", self.validation_split) >= 1:
            raise ValueError(
                "`validation_split` needs a share strictly between 0 and 1, or 0 for none, "
                f"got {self.validation_split!r}"
            )
        columns(self.get_params(deep=False), 1, image_shape)

    def _transform(self) -> Transform:
        return Transform(
            warp=Warp(self.interpolation_order, self.fill_mode, float(self.cval)),
            erasing_value=self.erasing_value,
            strengths=STRENGTHS.get(self.policy or "", RAND_AUGMENT),
        )

    def _needs_mean(self) -> bool:
        return bool(
            self.featurewise_center or self.featurewise_std_normalization or self.zca_whitening
        )

    def _needs_std(self) -> bool:
        return bool(self.featurewise_std_normalization and not self.zca_whitening)

    def _before_statistics(self) -> Standardizer:
        function = self.preprocessing_function
        return Standardizer(
            preprocess=function and self._format.function_to_last(function),
            rescale=self.rescale,
            samplewise_center=bool(self.samplewise_center),
            samplewise_std=bool(self.samplewise_std_normalization),
            dtype=np.dtype(self.dtype or np.float32),
        )

    @property
    def standardizer(self) -> Standardizer:
        """The deterministic steps, with the statistics that they need."""
        statistics = {
            "mean": self._learned("mean_", self._needs_mean()),
            "std": self._learned("std_", self._needs_std()),
            "whitening": self._learned("zca_whitening_matrix_", bool(self.zca_whitening)),
        }
        return replace(self._before_statistics(), **statistics)

    def _learned(self, name: str, needed: bool) -> Any:
        value = getattr(self, name, None) if needed else None
        if needed and value is None:
            raise NotFittedError(
                f"standardising needs `{name}` of the training rows; "
                "call fit(images) first, on those rows only"
            )
        return value

    @property
    def _format(self) -> Format:
        check_choice("data_format", self.data_format, (None, "channels_last", "channels_first"))
        return Format(self.data_format == "channels_first")
