"""ImageAugmenter: every parameter of Keras' ImageDataGenerator, on one warp an image."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from ._geometry import FILL_MODES
from ._ranges import between, check_limit, check_pair, check_shift, check_zoom, shift, symmetric
from ._statistics import (
    Standardizer,
    channel_moments,
    check_whitening_fits,
    chunks,
    whitening_matrix,
)
from ._table import Column, draw_table
from ._transform import Transform

SLOTS = (
    "augmented",
    "theta",
    "tx",
    "ty",
    "shear",
    "zx",
    "zy",
    "flip_horizontal",
    "flip_vertical",
    "channel_shift_intensity",
    "brightness",
)


class ImageAugmenter(BaseEstimator):
    """Random transforms and standardising of images; see ImageDataGenerator of Keras."""

    def __init__(
        self,
        featurewise_center=False,
        samplewise_center=False,
        featurewise_std_normalization=False,
        samplewise_std_normalization=False,
        zca_whitening=False,
        zca_epsilon=1e-6,
        rotation_range=0,
        width_shift_range=0.0,
        height_shift_range=0.0,
        brightness_range=None,
        shear_range=0.0,
        zoom_range=0.0,
        channel_shift_range=0.0,
        fill_mode="nearest",
        cval=0.0,
        horizontal_flip=False,
        vertical_flip=False,
        rescale=None,
        preprocessing_function=None,
        data_format=None,
        validation_split=0.0,
        interpolation_order=1,
        dtype=None,
        *,
        p=1.0,
    ):
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

    def fit(self, images: Any) -> ImageAugmenter:
        """Learn the statistics that standardising needs from the rows that train."""
        self._check()
        if not hasattr(images, "shape"):
            images = np.asarray(images)
        if len(images.shape) != 4 or len(images) == 0:
            raise ValueError(
                "fit needs at least one image, as (n, height, width, channels), "
                f"got shape {tuple(images.shape)}"
            )
        before = self._standardizer().before_statistics()
        mean = std = whitening = None
        if self.featurewise_center or self.featurewise_std_normalization or self.zca_whitening:
            mean, deviation = channel_moments(before(self._last(part)) for part in chunks(images))
            if self.featurewise_std_normalization and not self.zca_whitening:
                std = deviation
        if self.zca_whitening:
            check_whitening_fits(tuple(images.shape[1:]))
            centered = Standardizer(
                **{**before.__dict__, "mean": mean},
            )
            whitening = whitening_matrix(
                (centered(self._last(part)) for part in chunks(images)), self.zca_epsilon
            )
        self.mean_, self.std_, self.zca_whitening_matrix_ = mean, std, whitening
        return self

    @property
    def mixes(self) -> bool:
        """Whether training images are mixed with partners."""
        return False

    def draw(
        self, rng: np.random.Generator, n: int, image_shape: tuple[int, int, int]
    ) -> np.ndarray:
        """Take all the randomness of ``n`` images: a structured array, a row an image."""
        self._check()
        return draw_table(
            rng, n, self._columns(image_shape), slots=SLOTS, probability=self.p
        )

    def apply(self, images: np.ndarray, table: np.ndarray) -> np.ndarray:
        """Transform each image by its row of the table, in the images' own dtype."""
        return self._back(self._transform().apply(self._last(images), table))

    def standardize(self, images: np.ndarray) -> np.ndarray:
        """Give what the model gets, float32."""
        images = np.asarray(images)
        if images.ndim == 3:
            return self.standardize(images[np.newaxis])[0]
        return self._back(self._standardizer()(self._last(images)))

    def prepare(self, images: np.ndarray, table: np.ndarray | None = None) -> np.ndarray:
        """Equal ``standardize(apply(images, table))``."""
        if table is None:
            return self.standardize(images)
        return self.standardize(self.apply(images, table))

    def _columns(self, image_shape):
        height, width = self._size(image_shape)
        zoom = check_zoom(self.zoom_range)
        limits = self.brightness_range
        draws = {
            "theta": self.rotation_range and (lambda u: symmetric(u["theta"], self.rotation_range)),
            "tx": np.any(self.width_shift_range)
            and (lambda u: shift(u["tx"], self.width_shift_range, width)),
            "ty": np.any(self.height_shift_range)
            and (lambda u: shift(u["ty"], self.height_shift_range, height)),
            "shear": self.shear_range and (lambda u: symmetric(u["shear"], self.shear_range)),
            "zx": zoom != (1, 1) and (lambda u: between(u["zx"], zoom)),
            "zy": zoom != (1, 1) and (lambda u: between(u["zy"], zoom)),
            "flip_horizontal": self.horizontal_flip and (lambda u: u["flip_horizontal"] < 0.5),
            "flip_vertical": self.vertical_flip and (lambda u: u["flip_vertical"] < 0.5),
            "channel_shift_intensity": self.channel_shift_range
            and (lambda u: symmetric(u["channel_shift_intensity"], self.channel_shift_range)),
            "brightness": limits is not None and (lambda u: between(u["brightness"], limits)),
        }
        neutral = {"zx": 1, "zy": 1, "brightness": 1}
        return [
            Column(
                name,
                neutral.get(name, 0),
                draw or None,
                "?" if name.startswith("flip") else "f8",
            )
            for name, draw in draws.items()
        ]

    def _check(self):
        for name in ("rotation_range", "shear_range", "channel_shift_range"):
            check_limit(name, getattr(self, name))
        check_limit("p", self.p, most=1)
        check_zoom(self.zoom_range)
        for name in ("width_shift_range", "height_shift_range"):
            check_shift(name, getattr(self, name))
        if self.brightness_range is not None:
            check_pair("brightness_range", self.brightness_range)
        if self.fill_mode not in FILL_MODES:
            raise ValueError(f"`fill_mode` needs one of {FILL_MODES}, got {self.fill_mode!r}")
        if self.interpolation_order not in range(6):
            raise ValueError(
                f"`interpolation_order` needs an integer from 0 to 5, got {self.interpolation_order!r}"
            )
        if self.data_format not in (None, "channels_last", "channels_first"):
            raise ValueError(
                "`data_format` needs 'channels_last' or 'channels_first', "
                f"got {self.data_format!r}"
            )

    def _transform(self):
        return Transform(
            order=self.interpolation_order, fill_mode=self.fill_mode, cval=float(self.cval)
        )

    def _standardizer(self):
        return Standardizer(
            preprocess=self.preprocessing_function,
            rescale=self.rescale,
            samplewise_center=bool(self.samplewise_center),
            samplewise_std=bool(self.samplewise_std_normalization),
            mean=getattr(self, "mean_", None),
            std=getattr(self, "std_", None),
            whitening=getattr(self, "zca_whitening_matrix_", None),
            dtype=np.dtype(self.dtype or np.float32),
        )

    def _size(self, image_shape):
        return image_shape[1:] if self.data_format == "channels_first" else image_shape[:2]

    def _last(self, images):
        return np.moveaxis(images, 1, 3) if self.data_format == "channels_first" else images

    def _back(self, images):
        return np.moveaxis(images, 3, 1) if self.data_format == "channels_first" else images
