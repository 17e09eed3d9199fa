"""The methods of Keras' ImageDataGenerator that work on images in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ._format import Format
from ._parameters import columns
from ._random import fresh_seed, stream
from ._table import neutral_table

if TYPE_CHECKING:
    from ._augmenter import ImageAugmenter
    from ._flow import ImageFlow


class GeneratorMethods:
    """Drop-in methods, on top of ``draw``, ``apply`` and ``standardize``."""

    if TYPE_CHECKING:
        # What ImageAugmenter has beside them.
        data_format: str | None
        channel_shift_range: float
        brightness_range: tuple[float, float] | None

        def draw(
            self, rng: np.random.Generator, n: int, image_shape: tuple[int, ...]
        ) -> np.ndarray: ...
        def apply(self, images: np.ndarray, table: np.ndarray) -> np.ndarray: ...
        def get_params(self, deep: bool = True) -> dict[str, Any]: ...
        @property
        def _format(self) -> Format: ...

    def get_random_transform(
        self, img_shape: tuple[int, int, int], seed: int | None = None
    ) -> dict[str, Any]:
        """Draw the parameters of one transform.

        Parameters
        ----------
        img_shape : (height, width, channels)
        seed : int, optional

        Returns
        -------
        dict of str to number
            Keras' ten, and those of other parameters that are on; see ``draw``.
            "channel_shift_intensity" and "brightness" are None where they are off.

        Examples
        --------
        >>> from skimgcv.augment import ImageAugmenter
        >>> flips = ImageAugmenter(horizontal_flip=True)
        >>> flips.get_random_transform((8, 8, 3), seed=0)["flip_horizontal"]
        False
        """
        rng = stream(fresh_seed() if seed is None else seed, "augment")
        row = self.draw(rng, 1, img_shape)[0]
        parameters = {name: row[name].tolist() for name in row.dtype.names}
        if not self.channel_shift_range:
            parameters["channel_shift_intensity"] = None
        if self.brightness_range is None:
            parameters["brightness"] = None
        return parameters

    def apply_transform(self, x: np.ndarray, transform_parameters: dict[str, Any]) -> np.ndarray:
        """Transform one image by parameters as ``get_random_transform`` gives them.

        Parameters
        ----------
        x : ndarray of shape (height, width, channels)
        transform_parameters : dict
            Names that are missing, or None, leave the image as it is.

        Returns
        -------
        ndarray of the shape and dtype of ``x``
        """
        x = np.asarray(x)
        everything = self.get_params(deep=False)
        known = columns(everything, 1, self._format.shape_to_last(x.shape))
        unknown = transform_parameters.keys() - {column.name for column in known}
        if unknown:
            raise ValueError(
                f"`transform_parameters` has no meaning for {sorted(unknown)}; it needs some of "
                f"{[column.name for column in known]}"
            )
        row = neutral_table(1, known)
        for name, value in transform_parameters.items():
            if value is not None:
                row[name] = value
        return self.apply(x[np.newaxis], row)[0]

    def random_transform(self, x: np.ndarray, seed: int | None = None) -> np.ndarray:
        """Transform one image at random, in its own dtype.

        Parameters
        ----------
        x : ndarray of shape (height, width, channels)
        seed : int, optional

        Returns
        -------
        ndarray like ``x``
        """
        return self.apply_transform(x, self.get_random_transform(np.shape(x), seed))

    def flow(
        self,
        x: Any,
        y: Any = None,
        batch_size: int = 32,
        shuffle: bool = True,
        sample_weight: Any = None,
        seed: int | None = None,
        save_to_dir: str | None = None,
        save_prefix: str = "",
        save_format: str = "png",
        ignore_class_split: bool = False,
        subset: str | None = None,
    ) -> ImageFlow:
        """Give batches of transformed and standardised images, epoch after epoch.

        Parameters
        ----------
        x : ndarray of shape (n, height, width, channels), or (images, [others])
            Other arrays go along, row by row.
        y : array of length n, optional
        batch_size : int, default=32
        shuffle : bool, default=True
            Whether each epoch has an order of its own.
        sample_weight : array of length n, optional
        seed : int, optional
            Of the order and of the transforms.
        save_to_dir : str, optional
            Where to write the images of each batch, stretched to 0..255, for a look.
        save_prefix, save_format : str
            Of those files.
        ignore_class_split : bool, default=False
            Allow subsets with different classes.
        subset : {"training", "validation"}, optional
            The first rows, or the last ``validation_split`` of them, which are only
            standardised.

        Returns
        -------
        ImageFlow
            A ``keras.utils.PyDataset``, and an endless iterator.
        """
        from ._flow import ImageFlow

        return ImageFlow(
            x,
            y,
            cast("ImageAugmenter", self),
            batch_size=batch_size,
            shuffle=shuffle,
            sample_weight=sample_weight,
            seed=seed,
            save_to_dir=save_to_dir,
            save_prefix=save_prefix,
            save_format=save_format,
            ignore_class_split=ignore_class_split,
            subset=subset,
        )

    @property
    def mean(self) -> np.ndarray | None:
        """Keras' name of ``mean_``, of shape (1, 1, channels), or channels first."""
        return self._keras_shape(getattr(self, "mean_", None))

    @mean.setter
    def mean(self, value: Any) -> None:
        self.mean_ = None if value is None else np.ravel(value)

    @property
    def std(self) -> np.ndarray | None:
        """Keras' name of ``std_``, of shape (1, 1, channels), or channels first."""
        return self._keras_shape(getattr(self, "std_", None))

    @std.setter
    def std(self, value: Any) -> None:
        self.std_ = None if value is None else np.ravel(value)

    @property
    def zca_whitening_matrix(self) -> np.ndarray | None:
        """Keras' name of ``zca_whitening_matrix_``."""
        return getattr(self, "zca_whitening_matrix_", None)

    @zca_whitening_matrix.setter
    def zca_whitening_matrix(self, value: np.ndarray | None) -> None:
        self.zca_whitening_matrix_ = value

    def _keras_shape(self, values: np.ndarray | None) -> np.ndarray | None:
        if values is None:
            return None
        first = self.data_format == "channels_first"
        return values.reshape((-1, 1, 1) if first else (1, 1, -1))
