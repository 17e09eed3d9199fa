"""A Sphinx directive that draws what parameters of ImageAugmenter do to two photographs.

Each line of its content is what stands between the parentheses of ``ImageAugmenter(...)``. The
page shows the line and the picture that it made. The photographs come with scikit-learn.
"""

from functools import cache
from pathlib import Path
from typing import ClassVar

import cv2
import matplotlib.pyplot as plt
import numpy as np
from docutils import nodes
from docutils.parsers.rst import directives
from sklearn.datasets import load_sample_images
from sphinx.util.docutils import SphinxDirective

from skimgcv import ImageAugmenter
from skimgcv.display import AugmentationDisplay

FOLDER = "generated/augmented"
WIDTH, HEIGHT, GAP = 180, 120, 6
SEED = 12  # of 24 tried, the one whose draws show most of every parameter; mixing has its own


@cache
def photographs(width=WIDTH):
    """Return the flower and the temple, (2, height, width, 3), uint8."""
    size = (width, width * HEIGHT // WIDTH)
    temple, flower = load_sample_images().images
    return np.stack([cv2.resize(p, size, interpolation=cv2.INTER_AREA) for p in (flower, temple)])


@cache
def tiles(n_tiles=1500, side=16):
    """Return small squares of the photographs, enough to learn a whitening from."""
    rng = np.random.default_rng(0)
    small, places = photographs(), rng.random((n_tiles, 2))
    corners = (places * (HEIGHT - side, WIDTH - side)).astype(int)
    return np.stack([small[i % 2, y : y + side, x : x + side] for i, (y, x) in enumerate(corners)])


def draws(augmenter, width, seed):
    """Return two rows: each photograph, and three versions of it."""
    figure, axes = plt.subplots()
    shown = AugmentationDisplay.from_estimator(
        augmenter, photographs(width), n_draws=3, random_state=seed, ax=axes
    )
    plt.close(figure)
    return [[one, *some] for one, some in zip(shown.originals, shown.draws, strict=True)]


def values(augmenter, images, n_shown):
    """Return the first images and their prepared values, with 0 as grey, and a caption."""
    prepared = augmenter.fit(images).standardize(images)
    grey = prepared[:n_shown] / (2 * np.quantile(np.abs(prepared[:n_shown]), 0.995)) + 0.5
    caption = (
        f"Values from {prepared.min():.3g} to {prepared.max():.3g}, mean "
        f"{prepared.mean(dtype=float):z.2f}, standard deviation {prepared.std(dtype=float):.3g}."
    )
    return images[:n_shown] / 255, grey, caption.replace("-", "\N{MINUS SIGN}")


def save(rows, file):
    """Write the images as one picture; what is between them is transparent."""
    height, width = (side * (HEIGHT // len(rows[0][0])) for side in rows[0][0].shape[:2])
    shape = (len(rows) * (height + GAP) - GAP, len(rows[0]) * (width + GAP) - GAP, 4)
    picture = np.zeros(shape, np.uint8)
    for i, row in enumerate(rows):
        for j, image in enumerate(row):
            large = cv2.resize(image, (width, height), interpolation=cv2.INTER_NEAREST)
            place = np.s_[i * (height + GAP) :, j * (width + GAP) :]
            picture[place][:height, :width, 2::-1] = np.clip(large * 255, 0, 255).round()
            picture[place][:height, :width, 3] = 255
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(file), picture, [cv2.IMWRITE_WEBP_QUALITY, 82])


class Augmented(SphinxDirective):
    """Draw each line: as rows, as columns beside each other, or as standardised values."""

    has_content = True
    option_spec: ClassVar = {
        "show": lambda given: directives.choice(given, ("columns", "values", "tiles")),
        "width": directives.positive_int,
        "seed": directives.nonnegative_int,
    }

    def run(self):
        """Return the nodes of all lines."""
        self.env.note_dependency(__file__)
        pictures = [self.picture(line) for line in self.content]
        if self.options.get("show") == "columns":
            return [nodes.container("", *pictures, classes=["augmented-columns"])]
        calls = [f"ImageAugmenter({line})" for line in self.content]
        blocks = [
            nodes.literal_block(call, call, language="python", classes=["augmented-line"])
            for call in calls
        ]
        return [node for pair in zip(blocks, pictures, strict=True) for node in pair]

    def picture(self, line):
        """Return the figure that a line makes."""
        augmenter = eval(f"ImageAugmenter({line})", {"ImageAugmenter": ImageAugmenter})
        show, below = self.options.get("show"), []
        if show == "tiles":
            *rows, text = values(augmenter, tiles(), 7)
            below = [nodes.caption("", text)]
        elif show == "values":
            before, after, text = values(augmenter, photographs(), 2)
            rows = [[before[0], after[0], before[1], after[1]]]
            below = [nodes.caption("", text)]
        else:
            width, seed = self.options.get("width", WIDTH), self.options.get("seed", SEED)
            rows = draws(augmenter, width, seed)
        if show == "columns":
            rows = [row[1:2] for row in rows]
            below = [nodes.caption("", "", nodes.literal("", line.replace(", ", ",\n")))]
        number = self.env.new_serialno("augmented")
        file = f"{FOLDER}/{self.env.docname}_{number}.webp"
        save(rows, Path(self.env.srcdir, file))
        image = nodes.image(uri=file, alt=f"Images that ImageAugmenter({line}) made")
        return nodes.figure("", image, *below, classes=["augmented"])


def setup(app):
    app.add_directive("augmented", Augmented)
    return {"parallel_read_safe": True}
