"""What duplicate_groups finds, what it joins wrongly, how long it takes and how much memory.

Run as ``python benchmarks/duplicates.py [--blood-cells FOLDER] [--sheet FILE.png]``.

Copies of known images are planted, changed in each of six ways. Recall is the share of the
copies whose label is their original's. A wrong join is one that links two originals which
were not linked without the copies; what is linked without any copies is for the eye: the
sheet shows it. The 20,000 images are overlays of two others each. Blood cells
need their folder (one folder of JPEG files a class).
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from sklearn.datasets import load_digits, load_sample_images

from skimgcv.model_selection import duplicate_groups

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def jpeg(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    _, code = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 50])
    return cv2.imdecode(code, cv2.IMREAD_UNCHANGED)


def brightness(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.clip(np.rint(image * rng.choice([0.9, 1.1])), 0, 255).astype(np.uint8)


def crop(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    height, width = image.shape[:2]
    cut = max(1, round(0.04 * height))
    top, left = rng.integers(cut + 1, size=2)
    part = image[top : top + height - cut, left : left + width - cut]
    return cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR)


def mirror(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.flip(image, axis=rng.integers(2))


def turn(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.rot90(image, rng.integers(1, 4))


def resize(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    height, width = image.shape[:2]
    small = cv2.resize(
        image, (round(width * 0.75), round(height * 0.75)), interpolation=cv2.INTER_AREA
    )
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


CHANGES: dict[str, Change] = {
    "JPEG, quality 50": jpeg,
    "brightness +-10 %": brightness,
    "crop of 4 %": crop,
    "mirrored": mirror,
    "quarter turns": turn,
    "resized to 75 % and back": resize,
}


def plant(images: np.ndarray, n_each: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return changed copies (6 * n_each, ...), kind by kind, and the rows they come from."""
    rng = np.random.default_rng(seed)
    sources = np.concatenate(
        [rng.choice(len(images), n_each, replace=n_each > len(images)) for _ in CHANGES]
    )
    kinds = np.repeat(list(CHANGES), n_each)
    copies = [CHANGES[kind](images[row], rng) for kind, row in zip(kinds, sources, strict=True)]
    return np.array(copies), sources


def report(name: str, images: np.ndarray, seed: int = 1) -> np.ndarray:
    """Print what is found of planted copies, and return the labels without them."""
    without = duplicate_groups(images, n_jobs=2)
    # All of a few, a quarter of many.
    copies, sources = plant(images, min(len(images), max(500, len(images) // 4)), seed)
    labels = duplicate_groups(np.concatenate([images, copies]), n_jobs=2)
    originals, planted = labels[: len(images)], labels[len(images) :]
    found = (planted == originals[sources]).reshape(len(CHANGES), -1)
    wrong = len(np.unique(np.c_[originals, without], axis=0)) - len(np.unique(originals))
    linked = len(images) - len(np.unique(without))
    print(f"\n{name}: {len(images)} images of {images.shape[1]} px, {len(copies)} copies")
    for kind, hits in zip(CHANGES, found, strict=True):
        print(f"  {kind:26} recall {hits.mean():.4f}")
    print(f"  joins that the copies bring to the originals: {wrong} ({wrong / len(images):.2%})")
    print(f"  joins without copies (see the sheet): {linked} ({linked / len(images):.2%})")
    return without


def blend(images: np.ndarray, n: int, pixels: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Make n images that look like these: two of them, turned, one over the other.

    Also return which two, (n, 2): where both are others, so is the image.
    """
    rng = np.random.default_rng(seed)
    parents = rng.integers(len(images), size=(n, 2))
    made = np.empty((n, pixels, pixels, 3), np.uint8)
    for i, rows in enumerate(parents):
        one, other = (
            cv2.resize(np.rot90(images[row], rng.integers(4)), (pixels, pixels)) for row in rows
        )
        share = rng.uniform(0.3, 0.7)
        made[i] = cv2.addWeighted(one, share, other, 1 - share, 0)
    return made, parents


def joins_of_strangers(labels: np.ndarray, parents: np.ndarray) -> int:
    """Count images that share a label with others, and no parent with any of them."""
    strangers = 0
    for label in np.flatnonzero(np.bincount(labels) > 1):
        members = parents[labels == label]
        counts = np.bincount(members.ravel())
        strangers += int((counts[members].max(axis=1) == 1).sum())
    return strangers


def report_speed(images: np.ndarray, n: int = 20_000, pixels: int = 96) -> None:
    n_each = n // 20
    made, parents = blend(images, n - len(CHANGES) * n_each, pixels, seed=2)
    copies, sources = plant(made, n_each, seed=3)
    X = np.concatenate([made, copies])
    Path("/proc/self/clear_refs").write_text("5")  # the peak of memory starts anew
    before = memory("VmRSS")
    start = time.perf_counter()
    labels = duplicate_groups(X, n_jobs=2)
    seconds = time.perf_counter() - start
    found = (labels[len(made) :] == labels[sources]).mean()
    parents = duplicate_groups(images)[parents]
    strangers = joins_of_strangers(labels[: len(made)], parents)
    print(f"\n{n} images of {pixels} px ({X.nbytes >> 20} MB), 2 threads: {seconds:.1f} s")
    print(f"  at the peak {memory('VmHWM') - before} MB more than before, images aside")
    print(f"  recall of {len(copies)} copies {found:.4f}")
    print(f"  images joined with others that have no part in common: {strangers}")


def memory(field: str) -> int:
    """Return megabytes, as Linux counts them for this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) >> 10


def load_cells(folder: Path) -> np.ndarray:
    return np.array([cv2.imread(str(path)) for path in sorted(folder.glob("*/*.jpg"))])


def photo_tiles(pixels: int) -> np.ndarray:
    """Cut scikit-learn's two photographs into squares that do not overlap."""
    return np.array(
        [
            photo[top : top + pixels, left : left + pixels]
            for photo in load_sample_images().images
            for top in range(0, photo.shape[0] - pixels + 1, pixels)
            for left in range(0, photo.shape[1] - pixels + 1, pixels)
        ]
    )


def draw_sheet(images: np.ndarray, labels: np.ndarray, path: Path) -> None:
    from skimgcv.display import DuplicatesDisplay

    display = DuplicatesDisplay.from_groups(images, labels, max_groups=60).plot()
    display.figure_.savefig(path, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--blood-cells", type=Path, help="folder with a folder a class")
    parser.add_argument("--sheet", type=Path, help="write the groups of the cells as a picture")
    arguments = parser.parse_args()
    tiles = photo_tiles(64)
    cells = load_cells(arguments.blood_cells) if arguments.blood_cells else None
    report_speed(tiles if cells is None else cells)
    report("tiles of two photographs", tiles)
    detail = [(tile - cv2.GaussianBlur(tile, (0, 0), 3).astype(float)).std() for tile in tiles]
    report("those tiles that are not sky or out of focus", tiles[np.array(detail) > 6])
    if cells is not None:
        labels = report("blood cells", cells)
        if arguments.sheet:
            draw_sheet(cells[..., ::-1], labels, arguments.sheet)
    warnings.simplefilter("ignore", UserWarning)  # of small images: that is what is shown
    digits = (load_digits().images * 15).astype(np.uint8)
    report("digits", digits)


if __name__ == "__main__":
    main()
