"""The methods of Keras' ImageDataGenerator beyond the protocol of augmenters."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..._runtime.random_streams import fresh_seed, stream
from .._format import Format
from .._parameters import columns
from .._table import neutral_table

if TYPE_CHECKING:
    from .._protocol import FlowingAugmenter
    from .file_flow import FileFlow
    from .flow import ImageFlow


class GeneratorMethods:
    """Keras' methods, built on ``draw``, ``apply`` and ``standardize``."""

    if TYPE_CHECKING:
        # Other members of ImageAugmenter.
        data_format: str | None
        channel_shift_range: float
        channelwise_shift: bool
        brightness_range: tuple[float, float] | None

        draw: Callable[[np.random.Generator, int, tuple[int, ...]], np.ndarray]
        apply: Callable[[np.ndarray, np.ndarray], np.ndarray]
        get_params: Callable[..., dict[str, Any]]

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
            Keras' ten parameters, and those of other transforms that are on; see ``draw``.
            "channel_shift_intensity" and "brightness" are None if they are off.

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
        if not self.channel_shift_range or self.channelwise_shift:
            parameters["channel_shift_intensity"] = None
        if self.brightness_range is None:
            parameters["brightness"] = None
        return parameters

    def apply_transform(self, x: np.ndarray, transform_parameters: dict[str, Any]) -> np.ndarray:
        """Transform one image by the parameters of ``get_random_transform``.

        Parameters
        ----------
        x : ndarray of shape (height, width, channels)
        transform_parameters : dict
            A missing name, or None, means no change.

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
        """Return batches of transformed and standardised images, epoch after epoch.

        Parameters
        ----------
        x : ndarray of shape (n, height, width, channels), or (images, [others])
            Other arrays are batched with the images, row by row.
        y : array of length n, optional
        batch_size : int, default=32
        shuffle : bool, default=True
            Whether to use a new order in each epoch.
        sample_weight : array of length n, optional
        seed : int, optional
            Seed of the order and of the transforms.
        save_to_dir : str, optional
            Folder for the images of each batch, stretched to 0..255, to look at.
        save_prefix, save_format : str
            Prefix and format of those files.
        ignore_class_split : bool, default=False
            Allow subsets with different classes.
        subset : {"training", "validation"}, optional
            The first rows, or the last ``validation_split`` of them. The latter are only
            standardised.

        Returns
        -------
        ImageFlow
            A ``keras.utils.PyDataset``, and an endless iterator.
        """
        from .flow import ImageFlow

        return ImageFlow(
            x,
            y,
            cast("FlowingAugmenter", self),
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

    def flow_from_directory(
        self,
        directory: str | os.PathLike[str],
        target_size: tuple[int, int] = (256, 256),
        color_mode: str = "rgb",
        classes: Sequence[str] | None = None,
        class_mode: str | None = "categorical",
        batch_size: int = 32,
        shuffle: bool = True,
        seed: int | None = None,
        save_to_dir: str | None = None,
        save_prefix: str = "",
        save_format: str = "png",
        follow_links: bool = False,
        subset: str | None = None,
        interpolation: str = "nearest",
        keep_aspect_ratio: bool = False,
        *,
        dtype: Any = "uint8",
        cache: Any = "memory",
        ignore_class_split: bool = False,
    ) -> FileFlow:
        """Return batches of the images in a folder of class folders, epoch after epoch.

        Parameters
        ----------
        directory : str or path-like
        target_size : (height, width), default=(256, 256)
        color_mode : {"rgb", "grayscale", "rgba"}
        classes : list of str, optional
            The sub-folders to use, in the order of their class numbers.
        class_mode : {"categorical", "binary", "sparse", "input", None}
            Targets: one-hot rows, numbers, the images themselves, or none.
        batch_size, shuffle, seed, save_to_dir, save_prefix, save_format
            As for :meth:`flow`.
        follow_links : bool, default=False
        subset : {"training", "validation"}, optional
            The last ``validation_split`` of each class is for validation, and is only
            standardised. (Keras takes the first, and augments it.)
        interpolation : {"nearest", "bilinear", "bicubic", "area", "lanczos"}
            As in OpenCV. Use "area" to reduce images without aliasing.
        keep_aspect_ratio : bool, default=False
            Whether to crop the centre instead of changing the aspect ratio.
        dtype : {"uint8", "uint16"}, default="uint8"
            "uint16" keeps the values of files with 16 bits for each channel.
        cache : "memory", int, path or None, default="memory"
            Where decoded images are kept: see :class:`skimgcv.ImageFiles`.
        ignore_class_split : bool, default=False
            Allow subsets with different classes, which a class of few images may cause.

        Returns
        -------
        FileFlow
            An :meth:`flow`, with Keras' ``class_indices``, ``classes``, ``filenames``,
            ``filepaths`` and ``samples``.
        """
        from .file_flow import flow_from_directory

        return flow_from_directory(
            cast("FlowingAugmenter", self),
            directory,
            target_size,
            classes=classes,
            class_mode=class_mode,
            subset=subset,
            ignore_class_split=ignore_class_split,
            follow_links=follow_links,
            files={
                "color_mode": color_mode,
                "interpolation": interpolation,
                "keep_aspect_ratio": keep_aspect_ratio,
                "dtype": dtype,
                "cache": cache,
            },
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            save_to_dir=save_to_dir,
            save_prefix=save_prefix,
            save_format=save_format,
        )

    def flow_from_dataframe(
        self,
        dataframe: Any,
        directory: str | os.PathLike[str] | None = None,
        x_col: str = "filename",
        y_col: Any = "class",
        weight_col: str | None = None,
        target_size: tuple[int, int] = (256, 256),
        color_mode: str = "rgb",
        classes: Sequence[str] | None = None,
        class_mode: str | None = "categorical",
        batch_size: int = 32,
        shuffle: bool = True,
        seed: int | None = None,
        save_to_dir: str | None = None,
        save_prefix: str = "",
        save_format: str = "png",
        subset: str | None = None,
        interpolation: str = "nearest",
        keep_aspect_ratio: bool = False,
        validate_filenames: bool = True,
        *,
        dtype: Any = "uint8",
        cache: Any = "memory",
        ignore_class_split: bool = False,
    ) -> FileFlow:
        """Return batches of the images that a table lists, epoch after epoch.

        Parameters
        ----------
        dataframe : data frame
            Of pandas or Polars; not changed.
        directory : str or path-like, optional
            The folder to which names are relative.
        x_col : str, default="filename"
            The column of names.
        y_col : str or list of str, default="class"
            The column of labels, of type str. A list in a cell means several labels. With
            "raw" and "multi_output", one or several columns of any type.
        weight_col : str, optional
            The column of sample weights.
        target_size : (height, width), default=(256, 256)
        color_mode : {"rgb", "grayscale", "rgba"}
        classes : list of str, optional
            The labels to use, in the order of their class numbers.
        class_mode : {"categorical", "binary", "sparse", "input", "raw", "multi_output", None}
            Targets: one-hot rows, numbers, the images themselves, the columns unchanged (in
            one array, or in several), or none.
        batch_size, shuffle, seed, save_to_dir, save_prefix, save_format
            As for :meth:`flow`.
        subset : {"training", "validation"}, optional
            The last ``validation_split`` of the rows is for validation, and is only
            standardised. (Keras takes the first, and augments it.)
        interpolation, keep_aspect_ratio, dtype, cache
            As for :meth:`flow_from_directory`.
        ignore_class_split : bool, default=False
            Allow subsets with different classes, which a sorted table causes.
        validate_filenames : bool, default=True
            Whether to leave out names that are not image files, with a warning.

        Returns
        -------
        FileFlow
            As of :meth:`flow_from_directory`.
        """
        from .file_flow import flow_from_dataframe

        return flow_from_dataframe(
            cast("FlowingAugmenter", self),
            dataframe,
            directory,
            target_size,
            x_col=x_col,
            y_col=y_col,
            weight_col=weight_col,
            classes=classes,
            class_mode=class_mode,
            subset=subset,
            ignore_class_split=ignore_class_split,
            validate_filenames=validate_filenames,
            files={
                "color_mode": color_mode,
                "interpolation": interpolation,
                "keep_aspect_ratio": keep_aspect_ratio,
                "dtype": dtype,
                "cache": cache,
            },
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            save_to_dir=save_to_dir,
            save_prefix=save_prefix,
            save_format=save_format,
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
