"""The command line on a table with groups: its folds, what it finds, and how it trains."""

import shutil
import sys

import keras
import numpy as np
import pytest
from csv_tables import Columns, read, written
from PIL import Image
from sklearn.model_selection import StratifiedGroupKFold, cross_validate

from skimgcv import AugmentedKerasClassifier, ImageAugmenter, load_image_table
from skimgcv._cli.classification import Classification
from skimgcv._cli.command import main
from skimgcv._cli.estimator import about_network, make_estimator
from skimgcv._cli.options import make_parser
from skimgcv._cli.small_cnn import small_cnn


@pytest.fixture
def cells(tmp_path):
    """A folder of 24 images of two classes, and rows that say whose they are."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(24):
        label = ("dark", "bright")[i % 2]
        image = (100 * (i % 2) + rng.integers(0, 100, (8, 8, 3))).astype(np.uint8)
        Image.fromarray(image).save(tmp_path / f"{i}.png")
        rows.append({"file": f"{i}.png", "label": label, "patient": f"p{i // 4}"})
    return tmp_path, rows


def run(path, out, *more):
    options = ["--folds", 3, "--epochs", 1, "--size", 8, "--batch-size", 4, "--out", out]
    return main([str(option) for option in ["--table", path, *options, *more]])


TRANSFORMS = {
    "rotation_range": 10,
    "width_shift_range": 0.1,
    "height_shift_range": 0.1,
    "zoom_range": 0.1,
    "rescale": 1 / 255,
}
SCORES = ["accuracy", "balanced_accuracy", "neg_log_loss"]


def by_hand(rows, folder, size, folds, repeats, **parameters):
    """What cross_validate gives for the command line's classifier and folds."""
    table = Columns.of(rows)
    group = list(rows[0])[2]
    X, y = load_image_table(
        table, "file", "label", folder=folder, group_col=group, image_shape=(size, size)
    )
    classifier = AugmentedKerasClassifier(
        small_cnn, augmenter=ImageAugmenter(**TRANSFORMS), random_state=0, **parameters
    )
    splits = [
        split
        for seed in range(repeats)
        for split in StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(
            y, y, X.groups
        )
    ]
    return cross_validate(classifier, X, y, cv=splits, scoring=SCORES), splits


def assert_same_scores(written_scores, cv_results, splits):
    for number, (fold, (train, test)) in enumerate(zip(written_scores, splits, strict=True)):
        assert (int(fold["n_train"]), int(fold["n_test"])) == (len(train), len(test))
        for name in SCORES:
            by_hand = abs(cv_results[f"test_{name}"][number])
            assert float(fold[name.removeprefix("neg_")]) == by_hand


def test_its_scores_are_those_of_cross_validate_with_the_same_groups(cells, tmp_path, capsys):
    folder, rows = cells
    path = written(
        folder, [rows[0] | {"label": "dark "}, *rows[1:]], separator=";", encoding="utf-8-sig"
    )
    more = ["--group-column", "patient", "--folds", 2, "--repeats", 2, "--val-split", 0.25]
    assert run(path, tmp_path / "out", *more, "--oversample", "--no-flip") == 0
    printed = capsys.readouterr().out
    assert "24 images of 2 classes and 6 groups" in printed
    stop = keras.callbacks.EarlyStopping(patience=5, restore_best_weights=True)
    cv_results, splits = by_hand(
        rows,
        folder,
        8,
        2,
        2,
        batch_size=4,
        sampling_strategy="auto",
        validation_split=0.25,
        callbacks=stop,
    )
    assert_same_scores(read(tmp_path / "out" / "scores.csv"), cv_results, splits)
    predictions = read(tmp_path / "out" / "predictions.csv")
    assert len(predictions) == 48  # each image is tested twice
    patients = {row["file"]: row["patient"] for row in rows}
    tested = [{patients[p["file"]] for p in predictions if p["fold"] == f} for f in ("1", "2")]
    assert sum(map(len, tested)) == len(set.union(*tested)) == 6
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "of 6 groups" in page
    assert "no group is parted" in page


def test_copies_are_said_first_and_kept_together_where_asked(cells, tmp_path, capsys):
    folder, rows = cells
    for i, copy in ((4, 1), (8, 3), (20, 5)):
        shutil.copy(folder / f"{i}.png", folder / f"{copy}.png")
        rows[copy]["label"] = rows[i]["label"]
    path = written(folder, rows)
    assert run(path, tmp_path / "out", "--no-augment") == 0
    printed = capsys.readouterr().out
    assert "have a copy, or nearly one, among the training images" in printed
    assert "such as 1.png" in printed
    assert printed.index("have a copy") < printed.index("[CV] END")
    assert "have a copy" in (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    more = ["--group-column", "patient", "--duplicates", "group", "--folds", 2]
    assert run(path, tmp_path / "out", *more) == 0
    printed = capsys.readouterr().out
    assert "have a copy" not in printed
    assert "3 groups" in printed  # p0 and p1, p0 and p2, p1 and p5 share pictures
    page = tmp_path / "out" / "index.html"
    assert "No groups were given" not in page.read_text(encoding="utf-8")
    # Copies alone say nothing of patients.
    assert run(path, tmp_path / "out", "--duplicates", "group", "--folds", 2) == 0
    assert "No groups were given" in page.read_text(encoding="utf-8")


def test_an_interrupted_run_goes_on(cells, tmp_path, capsys):
    folder, rows = cells
    path = written(folder, rows)
    more = ["--group-column", "patient", "--checkpoint", tmp_path / "kept"]
    assert run(path, tmp_path / "one", *more) == 0
    assert capsys.readouterr().err.count("epoch 1/1") == 3
    assert run(path, tmp_path / "two", *more) == 0
    assert "epoch 1/1" not in capsys.readouterr().err  # nothing is trained again
    one, two = ((tmp_path / n / "predictions.csv").read_bytes() for n in ("one", "two"))
    assert one == two


@pytest.mark.parametrize("more", [[], ["--checkpoint", "kept"]])
def test_an_interruption_is_told_in_a_line(cells, tmp_path, capsys, monkeypatch, more):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    folder, rows = cells
    monkeypatch.setattr("sklearn.model_selection.cross_validate", interrupted)
    with pytest.raises(SystemExit) as caught:
        run(written(folder, rows), tmp_path / "out", "--duplicates", "ignore", *more)
    assert caught.value.code == 130
    said = capsys.readouterr().err.splitlines()[-1]
    assert ("the same command goes on" in said) == bool(more)


def test_fine_tuning_is_passed_on_and_told(cells, tmp_path, monkeypatch):
    folder, rows = cells
    (tmp_path / "frozen_first.py").write_text(
        "import keras\n"
        "def build(meta):\n"
        "    first = keras.layers.Dense(4, trainable=False, name='first')\n"
        "    return keras.Sequential([keras.layers.Input(meta['image_shape_']),\n"
        "        keras.layers.Flatten(), first,\n"
        "        keras.layers.Dense(meta['n_classes_'], activation='softmax')])\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    tuned = ["--fine-tune-epochs", 1, "--fine-tune-layers", "fir*"]
    rate = ["--fine-tune-learning-rate", 0.01]
    model = ["--model", "frozen_first:build", "--duplicates", "ignore"]
    assert run(written(folder, rows), "out", *model, *tuned, *rate) == 0
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "went through its training images 2 times" in page
    assert "(fine-tuning)" in page
    assert "<strong>not looked for</strong>" in page
    assert "fir*" in page
    assert "learning rate 0.01" in page


@pytest.mark.parametrize(
    ("change", "more", "said"),
    [
        (
            {},
            ["--label-column", "class"],
            "no column 'class'; --label-column needs one of ['file', ",
        ),
        ({}, ["--file-column", "path"], "no column 'path'; --file-column needs one of ['file', "),
        ({}, ["--group-column", "p"], "has no column 'p'; --group-column needs one of ['file', "),
        ({"label": ""}, [], "has no 'label' in line 7"),
        ({"patient": " "}, ["--group-column", "patient"], "has no 'patient' in line 7"),
        ({}, ["--group-column", "patient", "--folds", 7], "--folds 7 needs as many groups; there"),
        ({}, ["--group-column", "label"], "needs as many groups; there are 2"),
        ({}, ["--root", "nowhere"], "--root 'nowhere' is not there; paths of --table begin there"),
        ({}, ["--root", "/"], "none of the 24 files can be read: "),
        ({}, ["--fine-tune-epochs", 1], "needs a network with frozen layers"),
        ({}, ["--fine-tune-layers", 2], "--fine-tune-layers needs --fine-tune-epochs"),
        ({}, ["--fine-tune-learning-rate", 0], "needs a number above 0: '0'"),
        ({}, ["--no-augment", "--no-flip"], "leave --no-flip out"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(cells, tmp_path, capsys, change, more, said):
    folder, rows = cells
    rows[5] |= change
    with pytest.raises(SystemExit) as caught:
        run(written(folder, rows), tmp_path / "out", *more)
    assert caught.value.code == 2
    assert said in capsys.readouterr().err.splitlines()[-1]


def test_a_class_of_a_single_group_is_refused_before_training(cells, tmp_path, capsys):
    folder, rows = cells
    for i in range(0, 24, 2):
        rows[i]["patient"] = "the only one"
    with pytest.raises(SystemExit):
        run(written(folder, rows), tmp_path / "out", "--group-column", "patient")
    assert "would be trained without any image of 'dark'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "weights", "trainable", "rescale"),
    [
        (["--weights", "none"], None, True, None),
        ([], "imagenet", False, None),
        (["--weights", "w.h5", "--dtype", "uint16"], "w.h5", False, 255 / 65535),
    ],
)
def test_a_backbone_gets_values_of_0_to_255(more, weights, trainable, rescale):
    asked = make_parser().parse_args(["cells", "--backbone", "MobileNetV2", *more])
    classifier = make_estimator(asked, Classification(), None)
    options = classifier.model.keywords
    assert options["backbone"] == "MobileNetV2"
    assert (options["weights"], options["trainable"]) == (weights, trainable)
    assert classifier.augmenter.rescale == rescale
    assert "MobileNetV2" in about_network(asked)


@pytest.mark.data
def test_blood_cells_by_smear_score_as_by_hand(blood_cells, tmp_path):
    rows = read(blood_cells / "labels.csv")[:400]
    more = ["--root", blood_cells, "--group-column", "smear", "--size", 16, "--batch-size", 32]
    path = written(tmp_path, rows)
    assert run(path, tmp_path / "out", *more, "--no-flip", "--balanced") == 0
    cv_results, splits = by_hand(rows, blood_cells, 16, 3, 1, class_weight="balanced")
    assert_same_scores(read(tmp_path / "out" / "scores.csv"), cv_results, splits)
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    for name in SCORES:
        assert f"{abs(cv_results[f'test_{name}']).mean():.3f}" in page
    assert "smear" in page
