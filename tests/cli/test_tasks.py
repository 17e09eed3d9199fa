"""--task multilabel and regression: folds, scores and predictions are those of Python by hand."""

import numpy as np
import pytest
from builders import linear
from csv_tables import Columns, read, written
from PIL import Image
from sklearn.base import BaseEstimator
from sklearn.compose import TransformedTargetRegressor
from sklearn.metrics import get_scorer
from sklearn.model_selection import KFold, cross_validate
from sklearn.preprocessing import StandardScaler

from skimgcv import (
    AugmentedKerasClassifier,
    AugmentedKerasRegressor,
    ImageAugmenter,
    load_image_table,
)
from skimgcv._cli.command import TASKS, main
from skimgcv._cli.estimator import builder_of, make_estimator
from skimgcv._cli.multilabel import Multilabel
from skimgcv._cli.options import make_parser
from skimgcv._cli.regression import Regression
from skimgcv._cli.small_cnn import small_cnn
from skimgcv._cli.table import Table
from skimgcv._cli.tables import printed
from skimgcv.model_selection import MultilabelStratifiedKFold

N = 24
RNG = np.random.default_rng(0)
LABELS = ["nodule;mass", "mass", " nodule ; ", "", "nodule", "mass;nodule"]
TRANSFORMS = {
    "rotation_range": 10,
    "width_shift_range": 0.1,
    "height_shift_range": 0.1,
    "zoom_range": 0.1,
    "horizontal_flip": True,
    "rescale": 1 / 255,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for i in range(N):
        image = RNG.integers(0, 255, (8, 8, 3)).astype(np.uint8)
        Image.fromarray(image).save(folder / f"{i}.png")
    return folder


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """The command line writes into the current folder where it is told no other."""
    monkeypatch.chdir(tmp_path)


def rows():
    return [
        {
            "file": f"{i}.png",
            "label": LABELS[i % 6],
            "nodule": int("nodule" in LABELS[i % 6]),
            "mass": int("mass" in LABELS[i % 6]),
            "age": 20 + i % 7,
            "weight": 60.5 - i,
            "patient": f"p{i // 2}",
            "both": f"a;{i}",
        }
        for i in range(N)
    ]


def run(path, *more):
    options = ["--folds", 2, "--epochs", 1, "--size", 8, "--batch-size", 4]
    options += ["--duplicates", "ignore"]
    return main([str(option) for option in ["--table", path, *options, *more]])


def images_of(of_rows, folder):
    return load_image_table(
        Columns.of(of_rows),
        "file",
        "label",
        folder=folder,
        group_col="patient",
        image_shape=(8, 8),
    )[0]


def common():
    return {"augmenter": ImageAugmenter(**TRANSFORMS), "batch_size": 4, "random_state": 0}


def splits_in(predictions):
    """Return the folds that predictions.csv tells of."""
    folds = np.array([int(row["fold"]) for row in predictions])
    return [(np.flatnonzero(folds != f), np.flatnonzero(folds == f)) for f in (1, 2)]


def assert_same_scores(path, cv_results, names):
    for fold, scores in enumerate(read(path)):
        for name in names:
            by_hand = abs(cv_results[f"test_{name}"][fold])
            assert abs(float(scores[name.removeprefix("neg_")])) == by_hand


def assert_groups_are_whole(of_rows, splits):
    groups = np.array([row["patient"] for row in of_rows])
    for train, test in splits:
        assert set(groups[train]).isdisjoint(groups[test])


def test_numbers_score_as_by_hand(folder, tmp_path, capsys):
    path = written(folder, rows())
    options = ["--task", "regression", "--label-column", "age", "weight", "--out", tmp_path]
    options += ["--group-column", "patient", "--checkpoint", tmp_path / "kept"]
    assert run(path, *options) == 0
    captured = capsys.readouterr()
    assert "24 images with 2 numbers each and 12 groups, as (8, 8, 3): age from 20" in captured.out
    predictions = read(tmp_path / "predictions.csv")
    splits = splits_in(predictions)
    assert_groups_are_whole(rows(), splits)
    y = np.array([[row["age"], row["weight"]] for row in rows()])
    regressor = TransformedTargetRegressor(
        AugmentedKerasRegressor(small_cnn, **common()), transformer=StandardScaler()
    )
    names = ["r2", "neg_mean_absolute_error", "neg_root_mean_squared_error"]
    X = images_of(rows(), folder)
    cv_results = cross_validate(regressor, X, y, cv=splits, scoring=names, return_estimator=True)
    assert_same_scores(tmp_path / "scores.csv", cv_results, names)
    for fitted, (_, test) in zip(cv_results["estimator"], splits, strict=True):
        said = [
            [float(predictions[i][f"predicted({n})"]) for n in ("age", "weight")] for i in test
        ]
        np.testing.assert_array_equal(said, fitted.predict(X[test]))
    assert [float(p["weight"]) for p in predictions] == y[:, 1].tolist()
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert f"{cv_results['test_r2'].mean():.3f}" in page
    assert f"{cv_results['test_r2'].mean():19.3f}" in captured.out
    assert "same mixture of small and large numbers" in page
    assert "predictions are scaled back" in page
    # The same command finds its epochs, although the regressor is inside another.
    assert captured.err.count("epoch 1/1") == 2
    assert run(path, *options) == 0
    assert "epoch 1/1" not in capsys.readouterr().err


def test_labels_score_as_by_hand(folder, tmp_path, capsys):
    path = written(folder, rows())
    options = ["--task", "multilabel", "--group-column", "patient", "--out", tmp_path]
    assert run(path, *options, "--balanced") == 0
    out = capsys.readouterr().out
    said = "24 images with 2 labels and 12 groups, as (8, 8, 3): mass (12), nodule (16), no label"
    assert said in out
    y = np.array([[row["mass"], row["nodule"]] for row in rows()])
    groups = [row["patient"] for row in rows()]
    cv = MultilabelStratifiedKFold(2, shuffle=True, random_state=0)
    splits = list(cv.split(y, y, groups))
    predictions = read(tmp_path / "predictions.csv")
    for (_, by_hand), (_, test) in zip(splits, splits_in(predictions), strict=True):
        np.testing.assert_array_equal(test, by_hand)
    classifier = AugmentedKerasClassifier(
        small_cnn, multilabel=True, class_weight="balanced", **common()
    )
    names = ["accuracy", "f1_macro", "average_precision"]
    X = images_of(rows(), folder)
    cv_results = cross_validate(classifier, X, y, cv=splits, scoring=names, return_estimator=True)
    assert_same_scores(tmp_path / "scores.csv", cv_results, names)
    for fitted, (_, test) in zip(cv_results["estimator"], splits, strict=True):
        of_test = [predictions[i] for i in test]
        proba = [[float(row[f"p({label})"]) for label in ("mass", "nodule")] for row in of_test]
        np.testing.assert_array_equal(proba, fitted.predict_proba(X[test]))
        predicted = [[name in row["predicted"] for name in ("mass", "nodule")] for row in of_test]
        np.testing.assert_array_equal(predicted, fitted.predict(X[test]))
    assert [row["label"] for row in predictions[:4]] == ["mass;nodule", "mass", "nodule", ""]
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert f"{cv_results['test_average_precision'].mean():.3f}" in page
    assert "same mixture of labels" in page


def test_labels_in_a_cell_are_those_of_columns_of_0_and_1(folder):
    table = Table(written(folder, rows()))
    in_cells, names = Multilabel().read(table, ["label"])
    of_columns, _ = Multilabel().read(table, ["mass", "nodule"])
    assert names == ["mass", "nodule"]
    np.testing.assert_array_equal(in_cells, of_columns)


@pytest.mark.parametrize("outputs", [1, 2])
def test_folds_of_numbers_have_small_and_large_ones(outputs):
    rng = np.random.default_rng(0)
    y = rng.exponential(size=(100, outputs))
    folds = Regression().splits(y[:, 0] if outputs == 1 else y, None, 5, 0)
    assert np.sort(np.concatenate([test for _, test in folds])).tolist() == list(range(100))
    assert {len(test) for _, test in folds} <= {19, 20, 21}
    tenths = y.argsort(axis=0).argsort(axis=0) // 10
    by_chance = list(KFold(5, shuffle=True, random_state=0).split(y))

    def apart(splits):
        """How far folds are from two of each tenth of the numbers."""
        counts = [np.bincount(t[test], minlength=10) for _, test in splits for t in tenths.T]
        return np.abs(np.array(counts) - 2).sum()

    assert apart(folds) == 0 if outputs == 1 else apart(folds) < 0.5 * apart(by_chance)
    groups = np.arange(100) // 4
    for train, test in Regression().splits(y[:, 0], groups, 5, 0):
        assert set(groups[train]).isdisjoint(groups[test])


def test_folds_of_few_different_numbers():
    y = np.repeat([0.0, 1.0], [97, 3])
    tests = [test for _, test in Regression().splits(y, None, 3, 0)]
    assert {len(test) for test in tests} <= {33, 34}


class Sure(BaseEstimator):
    """Gives the same answer for each image."""

    def __init__(self, answer):
        self.answer = answer

    def predict(self, X):
        return np.array([self.answer] * len(X))


def test_a_score_that_a_fold_does_not_define_is_no_number():
    y = np.array([[1, 0], [0, 0], [1, 0]])
    score = Multilabel().scorers(y)["f1_macro"]
    assert np.isnan(score(Sure([1, 0]), y, y))
    whole = np.array([[1, 0], [0, 1], [1, 0]])
    assert score(Sure([1, 0]), whole, whole) == get_scorer("f1_macro")(Sure([1, 0]), whole, whole)
    score = Regression().scorers(y)["r2"]
    assert np.isnan(score(Sure(1.0), np.zeros(3), np.ones(3)))
    assert score(Sure(1.0), np.zeros(2), np.array([0.0, 1.0])) == -1


def test_the_table_says_what_is_undefined_and_where_no_interval_can_be_told():
    scores = {
        "accuracy": np.array([0.5, 0.5]),
        "f1_macro": np.array([np.nan, 0.25]),
        "mean_absolute_error": np.array([1234.56, 0.0001234]),
    }
    folds = [
        {"fold": f + 1, "n_train": 1, "n_test": 1, **{n: v[f] for n, v in scores.items()}}
        for f in range(2)
    ]
    none = (np.nan, np.nan)
    lines = printed(
        folds, scores, {"accuracy": none, "f1_macro": none, "mean_absolute_error": (0.0, 2e4)}
    ).split("\n")
    assert lines[1].split()[3:] == ["0.500", "undefined", "1,235"]
    assert lines[2].split()[3:] == ["0.500", "0.250", "0.0001234"]
    assert lines[3].split()[1:] == ["0.500", "0.250", "617.3"]
    assert " ".join(lines[4].split()) == "95% interval cannot be told cannot be told 0 to 20,000"
    assert lines[5].startswith("accuracy: all folds score the same. That does not make it certain")
    assert lines[6].startswith("f1_macro: an interval needs the scores of 2 folds or more; there")
    assert len({len(line) for line in lines[:5]}) == 1


@pytest.mark.usefixtures("own_random")  # as any bare Keras model
@pytest.mark.parametrize("backbone", [[], ["--backbone", "MobileNetV2", "--weights", "none"]])
@pytest.mark.parametrize(
    ("task", "y", "activation"),
    [("multilabel", np.eye(3, dtype=int), "sigmoid"), ("regression", np.eye(3), "linear")],
)
def test_every_network_ends_as_the_task_needs_it(task, y, activation, backbone):
    asked = make_parser().parse_args(["--table", "t.csv", "--task", task, *backbone])
    meta = TASKS[task]().meta(y, ["a", "b", "c"])
    model = builder_of(asked)(meta | {"image_shape_": (32, 32, 3)})
    assert model.output_shape == (None, 3)
    assert model.layers[-1].activation.__name__ == activation


def test_options_reach_the_estimator_of_the_task():
    arguments = ["--table", "t", "--task", "regression", "--epochs", "7", "--val-split", "0.2"]
    asked = make_parser().parse_args(arguments)
    regressor = make_estimator(asked, Regression(), linear).regressor
    assert (regressor.model, regressor.epochs, regressor.validation_split) == (linear, 7, 0.2)


MULTI, REGRESSION = ["--task", "multilabel"], ["--task", "regression"]


@pytest.mark.parametrize(
    ("change", "more", "said"),
    [
        ({}, ["--label-column", "nodule", "mass"], "pass --task multilabel, for several numbers"),
        ({}, ["--label-column", "weight"], "has 1; for numbers pass --task regression"),
        ({}, ["--label-column", "both"], "has 1; for several labels an image pass --task multi"),
        ({}, [*MULTI, "--oversample"], "pass --balanced, which weighs each label by itself"),
        ({}, [*MULTI, "--label-column", "mass", "mass"], "needs each column once; got mass mass"),
        ({}, [*MULTI, "--label-column", "mass"], "has 0 and 1: name two such columns or more"),
        ({}, [*MULTI, "--label-column", "mass", "no"], "no column 'no'; --label-column needs one"),
        ({"mass": 2}, [*MULTI, "--label-column", "mass", "nodule"], "line 7 has '2'"),
        ({"mass": ""}, [*MULTI, "--label-column", "mass", "nodule"], "no 'mass' in line 7"),
        ({"label": "rare"}, MULTI, "needs as many images of each label; 'rare' has 1"),
        ({}, [*MULTI, "--label-column", "patient", "--folds", 3], "each label; 'p0' has 2"),
        ({}, [*REGRESSION, "--balanced"], "--balanced is about rare classes, and --task regr"),
        ({}, [*REGRESSION, "--oversample"], "--oversample is about rare classes"),
        (
            {},
            [*REGRESSION, "--label-column", "both"],
            "needs numbers such as 3.5 in 'both' for --task",
        ),
        ({"age": "3,5"}, [*REGRESSION, "--label-column", "age"], "line 7 has '3,5'"),
        ({"age": "nan"}, [*REGRESSION, "--label-column", "age"], "line 7 has 'nan'"),
        ({"age": ""}, [*REGRESSION, "--label-column", "age"], "no 'age' in line 7"),
        ({}, [*REGRESSION, "--label-column", "age", "--folds", 13], "needs 26 images or more"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(folder, capsys, change, more, said):
    of_rows = rows()
    of_rows[5] |= change
    with pytest.raises(SystemExit) as caught:
        run(written(folder, of_rows), *more)
    assert caught.value.code == 2
    assert said in capsys.readouterr().err.splitlines()[-1]


def test_a_single_label_and_equal_numbers_are_refused(folder, capsys):
    of_rows = [row | {"label": "mass", "age": 3} for row in rows()]
    path = written(folder, of_rows)
    for more, said in (
        (MULTI, "needs 2 labels or more for --task multilabel; it has ['mass']"),
        ([*REGRESSION, "--label-column", "age"], "all numbers of 'age' are 3"),
    ):
        with pytest.raises(SystemExit):
            run(path, *more)
        assert said in capsys.readouterr().err


def test_a_label_of_a_single_group_is_refused_before_training(folder, capsys):
    of_rows = [row | {"patient": row["patient"] if row["mass"] else "the rest"} for row in rows()]
    for row in of_rows:
        row["label"] = "mass;nodule" if row["mass"] else "nodule;other"
    with pytest.raises(SystemExit):
        run(written(folder, of_rows), *MULTI, "--group-column", "patient")
    assert "would be trained without any image of 'other'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file;label\na.png;x;y\n", "more cells in line 2 than columns; a cell with ';' in it"),
        ("file,label\na.png\n", "ends line 2 before column 'label'"),
        ("file,label,label\na.png,x,y\n", "has 2 columns 'label'; --label-column needs one of"),
    ],
)
def test_a_table_whose_lines_do_not_fit_is_refused(tmp_path, text, said):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=said):
        Multilabel().read(Table(path), ["label"])
