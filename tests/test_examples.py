"""The examples run, on less than they run on for their readers."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def example(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_quickstart_compares_on_the_same_folds(capsys, monkeypatch):
    quickstart = example("quickstart")
    scores = quickstart.compare(n_splits=2, epochs=3)
    assert set(scores) == {"plain", "augmented"}
    assert all(values.shape == (2,) for values in scores.values())
    assert min(values.min() for values in scores.values()) > 0.1  # better than guessing

    monkeypatch.setattr(quickstart, "compare", lambda: scores)
    quickstart.main()
    printed = capsys.readouterr().out
    assert f"difference{np.mean(scores['augmented'] - scores['plain']):10.3f}" in printed
    assert "rotation_range" in printed


# The legacy generator calls scipy.ndimage.interpolation, which SciPy is about to remove.
@pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning")
# It reports that its data set was not asked for workers, which it does not take.
@pytest.mark.filterwarnings("ignore:Your `PyDataset` class should call:UserWarning")
# Its flow(seed=...) reseeds NumPy's global generator, and the bare model draws from Python's.
@pytest.mark.usefixtures("own_random")
@pytest.mark.slow
def test_kfold_by_hand_and_by_skimgcv_learn_alike(tmp_path):
    two_ways = example("kfold_two_ways")
    results = two_ways.compare(n_images=250, n_splits=2, epochs=8)
    two_ways.plot(results, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 0
    by_hand, by_skimgcv = (scores for scores, _ in results.values())
    assert by_hand.shape == by_skimgcv.shape == (2,)
    # 250 images: the standard error of each accuracy is about 0.03.
    assert by_skimgcv.mean() == pytest.approx(by_hand.mean(), abs=0.15)
    assert by_skimgcv.mean() > 0.5


@pytest.mark.slow
def test_imbalanced_digits_go_through_all_four_policies(tmp_path):
    imbalanced = example("plot_imbalanced")
    data = imbalanced.load_rare_digits()
    table = imbalanced.compare(data, n_repeats=1, steps=10)
    assert set(table.steps) == {10}
    assert table.policy.drop_duplicates().tolist() == [
        "plain",
        "class weights",
        "oversampling",
        "class-wise",
    ]
    assert len(table) == 4 * 3
    assert list(imbalanced.gains(table)) == ["class weights", "oversampling", "class-wise"]
    recalls = table[["recall 3", "recall 5", "recall 8"]].to_numpy(dtype=float)
    np.testing.assert_allclose(recalls.mean(axis=1), table["balanced accuracy"].to_numpy())
    imbalanced.plot(table, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 0


@pytest.mark.data
def test_rare_cells_are_rare(blood_cells):
    data = example("plot_imbalanced").load_cells()
    assert data.images.shape == (436, 24, 24)
    assert np.unique(data.labels, return_counts=True)[1].tolist() == [12, 400, 24]
    assert data.labels[0] == "RBC"  # the first class is the common one


def test_two_generators_differ_in_what_they_hold_out_alone(tmp_path):
    two = example("plot_two_generators")
    results = two.compare(n_images=200, n_splits=2, epochs=2)
    plain, shifted = (result["estimator"] for result in results.values())
    for one, other in zip(plain, shifted, strict=True):
        np.testing.assert_array_equal(one.validation_indices_, other.validation_indices_)
        # The same training, to the bit: the second generator has no part in it.
        assert one.history_["loss"] == other.history_["loss"]
        assert one.history_["val_loss"] != other.history_["val_loss"]
    two.plot(results, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 0


def test_files_score_as_the_array(tmp_path, capsys):
    files = example("plot_files")
    files.write_tiles(tmp_path, n_images=40, side=60)
    results = files.compare(tmp_path, size=16, epochs=1)
    (of_array, _), (of_files, _), (uncached, _) = results.values()
    np.testing.assert_array_equal(of_files, of_array)
    np.testing.assert_array_equal(uncached, of_array)
    files.plot(results, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 0


def test_halving_gives_the_best_candidates_more_epochs(tmp_path, monkeypatch):
    grid = {"augmenter__rotation_range": [0, 10, 30]}
    halving_epochs = example("halving_epochs")
    monkeypatch.setattr(halving_epochs, "GRID", grid)
    results = halving_epochs.compare(n_images=120, max_epochs=3, grid=grid)
    halving_epochs.plot(results, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 0
    halving, full = (search for search, _ in results.values())
    assert halving.n_resources_ == [1, 3]
    assert halving.n_candidates_ == [3, 1]
    assert halving.best_params_["epochs"] == 3
    # The survivor's last round is the grid's fit of it: same folds, same epochs, same bits.
    survivor = halving.best_params_["augmenter__rotation_range"]
    place = grid["augmenter__rotation_range"].index(survivor)
    assert halving.best_score_ == full.cv_results_["mean_test_score"][place]


def test_a_study_prunes_in_the_middle_of_a_fit(tmp_path):
    optuna = pytest.importorskip("optuna", reason='needs pip install "skimgcv[tune]"')
    pruning = example("optuna_pruning")
    study = pruning.run(n_images=120, n_trials=5, epochs=3, n_startup_trials=1)
    pruning.plot(study, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 0
    states = [trial.state for trial in study.trials]
    assert states[0] is optuna.trial.TrialState.COMPLETE
    pruned = [t for t in study.trials if t.state is optuna.trial.TrialState.PRUNED]
    assert pruned
    assert pruned == [trial for trial in study.trials if pruning.is_pruned(trial)]
    assert all(0 < len(trial.intermediate_values) <= 3 for trial in pruned)


def test_leakage_is_estimated_in_four_ways(tmp_path, monkeypatch, capsys):
    leakage = example("plot_leakage")
    # A few steps for 20 digits: that it runs, and that no image is on both sides.
    images, labels = leakage.load_noisy_digits(n_images=200)
    repeats, held_out = leakage.draw(labels, n_repeats=2, n_pictures=20)
    assert len(np.unique(np.concatenate([*repeats, held_out]))) == 200
    scores = leakage.compare(images, labels, n_repeats=1, n_pictures=20, n_splits=2, steps=2)
    assert list(scores) == ["augmented first", "random folds", "statistics of all", "by groups"]
    assert all(pairs.shape == (2, 2) for pairs in scores.values())

    monkeypatch.setattr(leakage, "compare", lambda images, labels: scores)
    monkeypatch.setattr(leakage, "FIGURE", tmp_path / "figure.png")
    leakage.main()
    assert (tmp_path / "figure.png").stat().st_size > 0
    estimate, held_out = scores["augmented first"].mean(axis=0)
    shown = f"augmented first{estimate:14.3f}{held_out:10.3f}{estimate - held_out:+9.3f}"
    assert shown in capsys.readouterr().out


def test_a_pretrained_network_is_frozen_then_tuned(tmp_path):
    transfer = example("plot_transfer")
    results = transfer.compare(n_splits=2, epochs=2, first_epochs=1)
    assert list(results) == ["from scratch", "head only", "two phases"]
    assert all(scores.shape == (2,) for scores, _ in results.values())
    transfer.plot(results, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 0


def test_two_digits_are_found_in_an_image(tmp_path):
    two = example("plot_two_digits")
    images, labels, groups = two.pairs_of_digits(n_images=80)
    assert set(labels.sum(axis=1)) == {1, 2}
    np.testing.assert_array_equal(labels[::2], labels[1::2])  # of one group
    proba = two.out_of_fold(images, labels, groups, n_splits=2, epochs=1)
    scores = two.scores_of(labels, proba)
    assert all(values.shape == (10,) for values in scores.values())
    two.plot(images, proba, scores, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 0


def test_an_angle_is_told_better_than_by_its_mean(tmp_path):
    angle = example("plot_angle")
    images, degrees = angle.turned_digits()
    predicted = angle.compare(images, degrees, n_splits=2, epochs=12)
    assert min(np.corrcoef(degrees, angles)[0, 1] for angles in predicted.values()) > 0.6
    angle.plot(degrees, predicted, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 0
