"""Batches of features instead of images. Missing features are made ahead, in full batches."""

from __future__ import annotations

import collections
import hashlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from skimgcv._batches.batches import Batches
from skimgcv._batches.epochs import Draw, Epoch
from skimgcv._compiled.content import content_digest
from skimgcv._compiled.values import UnprovableError
from skimgcv._features.cache import FeatureCache
from skimgcv._features.trunk import BATCH, Trunk
from skimgcv.augment._protocol import mixing


class FeatureBatches(keras.utils.PyDataset):
    """Batches of the features that a trunk makes of images.

    The key of features is a digest of the image, the fitted augmenter, and the random numbers of
    the transform. So folds and candidates share features.

    Parameters
    ----------
    batches : Batches
    trunk : Trunk
    where : str or int
        As for ``FeatureCache``.
    watched : bool
        Whether the trunk's weights may change between epochs.

    Raises
    ------
    UnprovableError
        If an augmenter or its random numbers cannot be compared.
    """

    def __init__(
        self, batches: Batches, trunk: Trunk, where: str | int, *, watched: bool = False
    ) -> None:
        super().__init__()
        self._batches = batches
        self._trunk = trunk
        self._where = where
        self._watched = watched
        self._cache = FeatureCache(where, trunk)
        self._recipes: dict[int, bytes] = {}
        self._begin()

    def __len__(self) -> int:
        return len(self._batches)

    def on_epoch_begin(self) -> bool:
        """Let the image batches draw their next epoch; return whether the trunk changed."""
        self._batches.on_epoch_begin()
        trunk = self._trunk.of_now() if self._watched else self._trunk
        if trunk is self._trunk:
            return False
        self._trunk, self._cache = trunk, FeatureCache(self._where, trunk)
        self._begin()
        return True

    def __getitem__(self, batch: int) -> tuple[np.ndarray, ...]:
        at = self._batches.positions(batch)
        with self._batches.noted(batch):
            if self._batches.epoch is not self._epoch:
                self._begin()
            return (self._features(at), *self._batches.labels(at))

    def _begin(self) -> None:
        self._epoch: Epoch = self._batches.epoch
        self._keys = self._keys_of(self._epoch)
        # Features to make, in the order in which they will be needed.
        self._ahead = collections.deque(
            place for key, place in _firsts(self._keys).items() if self._cache.lacks(key)
        )
        # Features that were made, and are not needed yet.
        self._made: dict[str, np.ndarray] = {}

    # -- keys ---------------------------------------------------------------------------------

    def _keys_of(self, epoch: Epoch) -> list[str]:
        digests = self._batches.images.digests(epoch.rows)
        if not epoch.draws:
            recipe = self._recipe(None)
            return [_key(recipe, digest.tobytes()) for digest in digests]
        keys = [""] * len(epoch.rows)
        for draw in epoch.draws:
            recipe = self._recipe(draw)
            for at in np.flatnonzero(draw.place >= 0):
                drawn = draw.table[draw.place[at]].tobytes()
                keys[at] = _key(recipe, digests[at].tobytes(), drawn)
        return keys

    def _recipe(self, draw: Draw | None) -> bytes:
        """Return a digest of the augmenter, without its random numbers."""
        augmenter = self._batches.augmenter
        images = self._batches.images
        parts: list[Any] = [augmenter, str(images.dtype), images.shape[1:]]
        if draw is not None:
            if mixing(draw.augmenter) and self._batches.have_targets:
                raise UnprovableError("MixUp and CutMix mix images, not features")
            if draw.table.dtype.hasobject:
                raise UnprovableError("what an augmenter draws are objects")
            own = "its own" if draw.augmenter is augmenter else draw.augmenter
            parts += [own, draw.table.dtype.str, str(draw.table.dtype.descr)]
        known = id(draw.augmenter) if draw is not None else 0
        if known not in self._recipes:
            said = content_digest(tuple(parts)).encode()
            self._recipes[known] = hashlib.blake2b(said, digest_size=16).digest()
        return self._recipes[known]

    # -- features -----------------------------------------------------------------------------

    def _features(self, at: np.ndarray) -> np.ndarray:
        keys = [self._keys[place] for place in at]
        out = np.empty((len(at), *self._trunk.shape), self._trunk.dtype)
        missing = self._cache.fetch(keys, out)
        while missing:
            for i in missing:
                if keys[i] in self._made:
                    out[i] = self._made[keys[i]]
            missing = [i for i in missing if keys[i] not in self._made]
            if missing and not self._make([int(at[i]) for i in missing]):
                self._cache.wait(keys[missing[0]])
            if missing:
                missing = self._fetch_again(keys, missing, out)
        for key in keys:
            self._made.pop(key, None)
        return out

    def _fetch_again(self, keys: list[str], places: list[int], out: np.ndarray) -> list[int]:
        part = out[places]
        missing = self._cache.fetch([keys[i] for i in places], part)
        out[places] = part
        return [places[i] for i in missing]

    def _make(self, wanted: list[int]) -> bool:
        """Make features of some positions, and of later ones to fill a batch of the trunk.

        Returns
        -------
        bool
            False if all of them exist, or are being made elsewhere.
        """
        claimed: dict[str, int] = {}
        try:
            for place in self._candidates(wanted):
                key = self._keys[place]
                if key not in self._made and key not in claimed and self._cache.claim(key):
                    claimed[key] = place
                if len(claimed) == BATCH:
                    break
            if claimed:
                places = np.array(list(claimed.values()))
                features = self._trunk.features(self._batches.prepare(places))
                self._cache.store(list(claimed), features)
                self._made.update(zip(claimed, features, strict=True))
        finally:
            self._cache.give_up(claimed)
        return bool(claimed)

    def _candidates(self, wanted: list[int]) -> Iterator[int]:
        yield from wanted
        while self._ahead:
            place = self._ahead.popleft()
            if place > wanted[-1]:  # earlier ones were used
                yield place


def _key(*parts: bytes) -> str:
    return hashlib.blake2b(b"".join(parts), digest_size=16).hexdigest()


def _firsts(keys: list[str]) -> dict[str, int]:
    """Return the first position of each key."""
    firsts: dict[str, int] = {}
    for place, key in enumerate(keys):
        firsts.setdefault(key, place)
    return firsts
