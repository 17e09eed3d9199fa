"""Epochs as batches for a Keras model. Images are read when their batch is needed."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator

import keras
import numpy as np

from skimgcv._batches.epochs import Draw, Epoch, EpochPlan
from skimgcv._data.rows import Rows
from skimgcv.augment._mixing import mix_targets
from skimgcv.augment._protocol import Augmenter, MixingAugmenter, mixing


class Batches(keras.utils.PyDataset):
    """One epoch, the same each time.

    Items are ``(images, targets, weights)``, or as many of the three as there are.

    Parameters
    ----------
    images : Rows
    epoch : Epoch
        Without draws this is evaluation, with deterministic steps only.
    augmenter : Augmenter
        Fitted. Its deterministic steps make the input of the model.
    batch_size : int
    targets, weights : ndarray, optional
        They have a row for each row of ``images``.
    """

    def __init__(
        self,
        images: Rows,
        epoch: Epoch,
        augmenter: Augmenter,
        *,
        batch_size: int,
        targets: np.ndarray | None = None,
        weights: np.ndarray | None = None,
    ) -> None:
        super().__init__()
        self._images = images
        self._epoch = epoch
        self._augmenter = augmenter
        self._batch_size = batch_size
        self._targets = targets
        self._weights = weights

    def __len__(self) -> int:
        return math.ceil(len(self._epoch.rows) / self._batch_size)

    def __getitem__(self, batch: int) -> tuple[np.ndarray, ...]:
        with self.noted(batch):
            return self._read(self.positions(batch))

    @contextlib.contextmanager
    def noted(self, batch: int) -> Iterator[None]:
        """Add the number of the batch to errors."""
        try:
            yield
        except Exception as error:
            rows = self.rows_of(batch)
            error.add_note(f"while preparing {self._where()}batch {batch}, rows {rows} of X")
            raise

    @property
    def images(self) -> Rows:
        return self._images

    @property
    def epoch(self) -> Epoch:
        """The current epoch."""
        return self._epoch

    @property
    def have_targets(self) -> bool:
        return self._targets is not None

    @property
    def augmenter(self) -> Augmenter:
        return self._augmenter

    def rows_of(self, batch: int) -> list[int]:
        """Return the rows of X in a batch."""
        rows: list[int] = self._epoch.rows[self.positions(batch)].tolist()
        return rows

    def positions(self, batch: int) -> np.ndarray:
        """Return the positions of a batch in the epoch."""
        start = batch * self._batch_size
        return np.arange(start, min(start + self._batch_size, len(self._epoch.rows)))

    def _where(self) -> str:
        return ""

    def _read(self, at: np.ndarray) -> tuple[np.ndarray, ...]:
        draws = self._epoch.draws
        if self._targets is not None and draws and (mixer := mixing(draws[0].augmenter)):
            return self._mix(at, draws[0], mixer)
        return (self.prepare(at), *self.labels(at))

    def labels(self, at: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return targets and weights, if there are any."""
        rows = self._epoch.rows[at]
        return tuple(a[rows] for a in (self._targets, self._weights) if a is not None)

    def prepare(self, at: np.ndarray) -> np.ndarray:
        """Read the images at these positions of the epoch, and prepare them for the model."""
        images = self._images[self._epoch.rows[at]]
        draws = self._epoch.draws
        if not draws:
            return _checked(self._augmenter.prepare(images), images)
        if len(draws) == 1:
            return self._transform(images, draws[0], at)
        prepared = np.empty(images.shape, dtype=np.float32)
        for draw in draws:
            is_own_row = draw.place[at] >= 0
            if is_own_row.any():
                prepared[is_own_row] = self._transform(images[is_own_row], draw, at[is_own_row])
        return prepared

    def _transform(self, images: np.ndarray, draw: Draw, at: np.ndarray) -> np.ndarray:
        table = draw.table[draw.place[at]]
        if draw.augmenter is self._augmenter:
            return _checked(self._augmenter.prepare(images, table), images)
        # At prediction no label is known, so all classes have the same deterministic steps.
        return _checked(self._augmenter.standardize(draw.augmenter.apply(images, table)), images)

    def _mix(self, at: np.ndarray, draw: Draw, mixer: MixingAugmenter) -> tuple[np.ndarray, ...]:
        """Mix each image and its target with those of its partner, by share and weight."""
        table = draw.table[draw.place[at]]
        partners = table["partner"]
        images, share = mixer.mix(self.prepare(at), self.prepare(partners), table)
        return (images, *mix_targets(share, self.labels(at), self.labels(partners)))


def _checked(prepared: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Refuse images of another shape than those of X, for which the model was built."""
    if prepared.shape != images.shape:
        raise ValueError(
            f"the augmenter made images of shape {prepared.shape[1:]} of {images.shape[1:]}, for "
            "which the model was built. Crop or resize images before both fit and predict: "
            "ImageFiles(paths, image_shape), load_images(folder, image_shape), or X itself."
        )
    return prepared


class TrainingBatches(Batches):
    """Epochs of a plan, one after another.

    Parameters
    ----------
    images, augmenter, batch_size, targets, weights
        As for ``Batches``.
    plan : EpochPlan
    first_epoch : int
        Number of the first epoch. An earlier call had those before it.
    """

    def __init__(
        self,
        images: Rows,
        plan: EpochPlan,
        augmenter: Augmenter,
        *,
        first_epoch: int = 0,
        batch_size: int,
        targets: np.ndarray,
        weights: np.ndarray | None,
    ) -> None:
        super().__init__(
            images,
            plan.epoch(first_epoch),
            augmenter,
            batch_size=batch_size,
            targets=targets,
            weights=weights,
        )
        self._plan = plan
        self.number = first_epoch
        self._begun = False

    def on_epoch_begin(self) -> None:
        """Draw the next epoch."""
        if self._begun:
            self.number += 1
            self._epoch = self._plan.epoch(self.number)
        self._begun = True

    @property
    def drawn_rows(self) -> np.ndarray:
        """The rows of the current epoch, in the order in which the model saw them."""
        return self._epoch.rows

    def _where(self) -> str:
        return f"epoch {self.number}, "
