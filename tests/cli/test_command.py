"""The command line cross-validates a folder, and says in one line what is wrong."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from csv_tables import read
from PIL import Image
from sklearn.metrics import accuracy_score
from sklearn.model_selection import StratifiedKFold

import skimgcv._cli.command as command
from skimgcv._cli.command import main
from skimgcv._cli.options import make_parser
from skimgcv._cli.small_cnn import small_cnn
from skimgcv.model_selection import corrected_interval


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Dark and bright images, 9 each."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for label, level in (("bright", 150), ("dark", 0)):
        (folder / label).mkdir()
        for i in range(9):
            image = level + rng.integers(0, 100, (8, 8, 3))
            Image.fromarray(image.astype(np.uint8)).save(folder / label / f"{i}.png")
    return folder


def run(folder, out, *more):
    options = ["--folds", 3, "--epochs", 8, "--size", 8, "--batch-size", 4, "--out", out]
    return main([str(option) for option in [folder, *options, *more]])


def test_a_folder_becomes_a_table_and_a_report(folder, tmp_path, capsys):
    assert run(folder, tmp_path / "out", "--no-augment", "--epochs", 25) == 0
    printed = capsys.readouterr().out
    assert "18 images of 2 classes, as (8, 8, 3): bright (9), dark (9)" in printed
    assert printed.count("[CV] END  accuracy: (test=") == 3  # as soon as a fold is scored
    rows = read(tmp_path / "out" / "predictions.csv")
    assert [row["file"] for row in rows[:2]] == ["bright/0.png", "bright/1.png"]
    y = [row["label"] for row in rows]
    folds = np.array([int(row["fold"]) for row in rows])
    scores = read(tmp_path / "out" / "scores.csv")
    splits = StratifiedKFold(3, shuffle=True, random_state=0).split(y, y)
    for number, (_, test) in enumerate(splits, 1):
        assert np.flatnonzero(folds == number).tolist() == test.tolist()
        of_fold = [rows[i] for i in test]
        accuracy = accuracy_score([r["label"] for r in of_fold], [r["predicted"] for r in of_fold])
        assert float(scores[number - 1]["accuracy"]) == pytest.approx(accuracy)
        assert f"{number:6}{12:7}{6:6}{accuracy:19.3f}" in printed
    for row in rows:
        p = {label: float(row[f"p({label})"]) for label in ("bright", "dark")}
        assert row["predicted"] == max(p, key=p.get)
        assert sum(p.values()) == pytest.approx(1, abs=1e-6)  # of float32
    accuracies = [float(s["accuracy"]) for s in scores]
    assert np.mean(accuracies) > 0.8  # there is nothing to tell apart but brightness
    assert f"{'mean':>19}{np.mean(accuracies):19.3f}" in printed
    losses = [float(s["log_loss"]) for s in scores]
    low, high = corrected_interval(losses, test_train_ratio=6 / 12)
    assert f"{max(low, 0):.3f} to {high:.3f}" in printed
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert f"skimgcv {folder} --folds 3 --epochs 8" in page
    assert f"{np.mean(accuracies):.3f}" in page
    assert "three blocks of convolution" in page


def test_without_jinja2_it_says_that_there_is_no_report(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command.importlib.util, "find_spec", lambda name: None)
    (tmp_path / "mine.py").write_text("from skimgcv._cli.small_cnn import small_cnn as build\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    shutil.copytree(folder, "cells")
    Path("cells/dark/cut.png").write_bytes(b"no image")
    # A name in Latin-1, as old archives have them: no text in UTF-8.
    Path("cells/dark/8.png").rename(os.fsdecode(b"cells/dark/\xe4.png"))
    assert run("cells", "out", "--model", "mine:build", "--epochs", 1, "--balanced") == 0
    captured = capsys.readouterr()
    needed = 'no report: it needs jinja2 and matplotlib, pip install "skimgcv[report]"'
    assert needed in captured.out
    assert "18 images" in captured.out
    assert re.search(r"reading:   0%\| +\| 0/19 \[", captured.err)
    assert captured.err.count("epoch 1/1 100%|") == 3
    assert "dark/cut.png: it is not an image" in captured.err
    assert sorted(os.listdir("out")) == ["predictions.csv", "scores.csv"]
    assert b"\ndark/\xe4.png," in Path("out/predictions.csv").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "needs FOLDER or --table FILE, one of the two"),
        (["/nowhere"], "FOLDER '/nowhere' is not there; it needs a folder of images for each"),
        (["FOLDER/dark/0.png"], "is a file; it needs a folder of images for each class"),
        (["--table", "/nowhere.csv"], "--table /nowhere.csv is not there; it needs a CSV file"),
        (["--table", "FOLDER"], "is a folder; it needs a CSV file"),
        (["FOLDER", "--balanced", "--oversample"], "rare classes would count twice; give one"),
        (["FOLDER", "--task", "multilabel"], "--task multilabel needs --table"),
        (["FOLDER", "--task", "regression"], "--task regression needs --table"),
        (["FOLDER", "--folds", "1"], "argument --folds: needs an integer of 2 or more: '1'"),
        (["FOLDER", "--folds", "10"], "'bright' has 9"),
        (["FOLDER", "--epochs", "many"], "argument --epochs: needs an integer of 1 or more"),
        (["FOLDER", "--model", "os"], "--model needs MODULE:BUILDER; got 'os'"),
        (["FOLDER", "--model", "no_such:build"], "No module named 'no_such'"),
        (["FOLDER", "--model", ".x:build"], "TypeError: the 'package' argument is required"),
        (["FOLDER", "--model", "os:no_such"], "has no attribute 'no_such'"),
        (["FOLDER", "--seed", "4294967296"], "argument --seed: needs an integer below 2**32"),
        (["FOLDER", "--size", "9999999"], "Unable to allocate"),
        (["FOLDER", "--model", "os:name"], "is a str, no function"),
        (["FOLDER", "--color-mode", "bgr"], "invalid choice: 'bgr'"),
        (["FOLDER/dark"], "has no sub-folders"),
        (["FOLDER", "--out", "FOLDER/dark/0.png/x"], "Not a directory"),
        (["FOLDER", "--unknown"], "unrecognized arguments: --unknown"),
        (["FOLDER", "--table", "t.csv"], "needs FOLDER or --table FILE, one of the two"),
        (["FOLDER", "--group-column", "patient"], "--group-column needs --table"),
        (["FOLDER", "--weights", "none"], "--weights needs --backbone"),
        (["FOLDER", "--backbone", "X", "--model", "m:b"], "--model and --backbone each name"),
        (["FOLDER", "--backbone", "VGG16", "--color-mode", "rgba"], "it has 3 channels"),
        (["FOLDER", "--backbone", "NoNet"], "backbone='NoNet' is not in keras.applications"),
        (["FOLDER", "--backbone", "VGG16", "--weights", "no.h5"], "weights='no.h5' is no file"),
        (["FOLDER", "--val-split", "1"], "argument --val-split: needs a share"),
        (["--table", "FOLDER/dark/0.png"], "needs to be a CSV file in UTF-8"),
    ],
)
def test_bad_arguments_end_in_one_line_and_code_2(
    folder, arguments, said, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)  # where it makes the folder of its report
    with pytest.raises(SystemExit) as caught:
        main([argument.replace("FOLDER", str(folder)) for argument in arguments])
    assert caught.value.code == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert said in captured.err


def test_help_names_every_option(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    for option in ("--model", "--folds", "--epochs", "--size", "--out", "(default: 5)"):
        assert option in shown
    assert "(default: 0)" in shown  # of --seed
    assert "default: None" not in shown
    assert all(action.help for action in make_parser()._actions)


def test_python_m_runs_it_and_what_is_wrong_is_all_that_it_prints():
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(
        [sys.executable, "-m", "skimgcv", "/nowhere"],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("skimgcv: FOLDER '/nowhere' is not there")


@pytest.mark.usefixtures("own_random")  # as any bare Keras model
@pytest.mark.parametrize("side", [1, 3, 7, 64])
def test_the_small_model_takes_any_size(side):
    model = small_cnn({"image_shape_": (side, side + 1, 3), "n_classes_": 4})
    assert model.output_shape == (None, 4)


def test_files_of_16_bits_score_as_those_of_8(folder, tmp_path, capsys):
    """White is 1 for the network in both."""
    scores = []
    for dtype, white in (("uint8", 1), ("uint16", 257)):
        for path in folder.glob("*/*.png"):
            grey = np.asarray(Image.open(path).convert("L")).astype(dtype) * white
            copy = tmp_path / dtype / path.parent.name / path.name
            copy.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(copy), grey)
        more = ["--color-mode", "grayscale", "--dtype", dtype, "--epochs", 1, "--no-augment"]
        assert run(tmp_path / dtype, tmp_path / "out", *more) == 0
        scores.append([float(fold["log_loss"]) for fold in read(tmp_path / "out" / "scores.csv")])
    # float32 rounds v / 255 and 257 v / 65535 apart.
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-5)
