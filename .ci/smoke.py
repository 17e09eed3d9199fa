"""What an installed skimgcv does in an environment that holds it and its dependencies alone.

Run with `python -I`, so that neither the checkout nor a user's own packages are found.
"""

import importlib.metadata
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np

import skimgcv
from skimgcv import AugmentedKerasClassifier, ImageAugmenter
from skimgcv.display import FoldScoresDisplay


def files_are_the_package_alone():
    assert Path(skimgcv.__file__).is_relative_to(sys.prefix), skimgcv.__file__
    assert importlib.metadata.version("skimgcv") == skimgcv.__version__
    files = {str(file) for file in importlib.metadata.files("skimgcv")}
    assert {"skimgcv/py.typed", "skimgcv/report/templates/report.html"} <= files
    tops = {file.split("/")[0] for file in files if not file.startswith("..")}  # no commands
    assert tops == {"skimgcv", f"skimgcv-{skimgcv.__version__}.dist-info"}, tops
    assert any(re.search(r"dist-info/.*LICENSE", file) for file in files)


def fits_predicts_and_saves():
    def build(meta):
        layers = keras.layers
        return keras.Sequential(
            [
                layers.Input(meta["image_shape_"]),
                layers.Flatten(),
                layers.Dense(meta["n_classes_"], activation="softmax"),
            ]
        )

    y = np.repeat(["dark", "light"], 20)
    X = np.random.default_rng(0).integers(0, 60, (40, 8, 8, 1), dtype=np.uint8)
    X[20:] += 190
    augmenter = ImageAugmenter(rotation_range=10, horizontal_flip=True, rescale=1 / 255)
    clf = AugmentedKerasClassifier(
        build, augmenter=augmenter, epochs=30, optimizer__learning_rate=0.03, random_state=0
    )
    assert clf.fit(X, y).score(X, y) == 1
    with tempfile.TemporaryDirectory() as folder:
        clf.save(Path(folder) / "clf.skimgcv")
        loaded = AugmentedKerasClassifier.load(Path(folder) / "clf.skimgcv")
    np.testing.assert_array_equal(loaded.predict_proba(X), clf.predict_proba(X))


def names_the_extra_that_is_missing():
    try:
        FoldScoresDisplay.from_scores({"score": [1.0, 2.0]})
        said = "nothing: matplotlib is here, so the environment is not empty"
    except ImportError as err:
        said = str(err)
    assert 'pip install "skimgcv[plot]"' in said, said


def answers_on_the_command_line():
    script = shutil.which("skimgcv", path=Path(sys.executable).parent)
    assert script, "the command is not installed"
    for command in ([sys.executable, "-I", "-m", "skimgcv"], [script]):
        subprocess.run([*command, "--help"], check=True, stdout=subprocess.DEVNULL, timeout=300)


if __name__ == "__main__":
    files_are_the_package_alone()
    fits_predicts_and_saves()
    names_the_extra_that_is_missing()
    answers_on_the_command_line()
    print(f"skimgcv {skimgcv.__version__} in {sys.prefix} works")
