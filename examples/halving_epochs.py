"""
Few epochs for bad candidates
=============================

You learn how to spend few epochs on bad candidates of a search.

``HalvingGridSearchCV`` gives all candidates a few epochs, the best third three times as many, and
so on. The program compares it with a grid search that gives all candidates the largest number of
epochs. Both cross-validate on plain images.

**What comes out.** The number of candidates and epochs in each round; for both searches the time,
the best score and its parameters; and a figure of the scores in each round.

.. image:: /_static/halving_epochs.png
   :alt: Scores of the candidates by the number of epochs, of both searches

Run ``python examples/halving_epochs.py``. Needs matplotlib.
"""

# sphinx_gallery_thumbnail_path = '_static/halving_epochs.png'

import time
from pathlib import Path

import keras
from sklearn.datasets import load_digits
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, StratifiedKFold

from skimgcv import AugmentedKerasClassifier, ImageAugmenter

FIGURE = Path(__file__).with_suffix(".png")
GRID = {
    "augmenter__rotation_range": [0, 10, 30],
    "augmenter__width_shift_range": [0.0, 0.1, 0.3],
    "optimizer__learning_rate": [3e-3, 1e-2],
}


def build(meta):
    return keras.Sequential(
        [
            keras.layers.Input(meta["image_shape_"]),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(meta["n_classes_"], activation="softmax"),
        ]
    )


def compare(*, n_images=300, max_epochs=18, grid=GRID):
    """Return both searches, fitted, and their seconds."""
    digits = load_digits()
    X, y = digits.images[:n_images], digits.target[:n_images]
    clf = AugmentedKerasClassifier(
        build, augmenter=ImageAugmenter(rescale=1 / 16), batch_size=25, random_state=0
    )
    folds = StratifiedKFold(3)
    halving = HalvingGridSearchCV(
        clf,
        grid,
        # The resource is epochs: each candidate trains on all rows.
        resource="epochs",
        min_resources=max(1, max_epochs // 9),
        max_resources=max_epochs,
        factor=3,
        cv=folds,
        random_state=0,
    )
    full = GridSearchCV(clf.set_params(epochs=max_epochs), grid, cv=folds)
    results = {}
    for name, search in [("halving", halving), ("grid", full)]:
        start = time.perf_counter()
        search.fit(X, y)
        results[name] = search, time.perf_counter() - start
    return results


def plot(results, path):
    """Draw the score of each candidate by its epochs, and save the figure."""
    import matplotlib.pyplot as plt

    (halving, _), (full, _) = results["halving"], results["grid"]
    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    rounds = {}
    columns = ("params", "n_resources", "mean_test_score")
    for params, epochs, score in zip(*(halving.cv_results_[c] for c in columns), strict=True):
        candidate = str({name: params[name] for name in GRID})
        rounds.setdefault(candidate, []).append((epochs, score))
    for place, points in enumerate(rounds.values()):
        label = "halving" if place == 0 else None
        axes.plot(*zip(*points, strict=True), "o-", color="#d55e00", label=label)
    scores = full.cv_results_["mean_test_score"]
    at = [1.08 * halving.n_resources_[-1]] * len(scores)
    axes.plot(at, scores, "s", color="#0072b2", fillstyle="none", label="grid search")
    axes.set(xlabel="epochs of a candidate", ylabel="accuracy of three folds", xscale="log")
    axes.set_xticks(halving.n_resources_, halving.n_resources_)
    axes.minorticks_off()
    axes.legend(frameon=False, loc="lower right")
    figure.savefig(path)
    plt.close(figure)


def main():
    results = compare()
    halving, _ = results["halving"]
    epochs = zip(halving.n_resources_, halving.n_candidates_, strict=True)
    print("halving:", ", ".join(f"{n} candidates for {e} epochs" for e, n in epochs))
    print(f"\n{'':10}{'seconds':>8}{'accuracy':>10}   best parameters")
    for name, (search, seconds) in results.items():
        best = {k.partition("__")[2]: v for k, v in search.best_params_.items() if k != "epochs"}
        print(f"{name:10}{seconds:8.0f}{search.best_score_:10.3f}   {best}")
    print("\nThe best of many scores is too high; score the winner on images that it never met.")
    plot(results, FIGURE)
    print("figure:", FIGURE.name)


if __name__ == "__main__":
    main()
