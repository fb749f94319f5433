"Every picture: drawn where it is asked for, labelled, with its numbers; and no matplotlib before one."
import subprocess
import sys

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from mfrec import plots
from mfrec.errors import DataError, SettingError
from mfrec.metrics import errors_by_count
from mfrec.plots import (
    plot_calibration, plot_chain, plot_decades, plot_errors_by_count, plot_errors, plot_explanation,
    plot_history, plot_preferences, plot_ratings, plot_split)
from mfrec.ratings.sample import sample_items, sample_ratings
from mfrec.ratings.splitting import split_random

RATINGS, ITEMS = sample_ratings(5_000, seed=1), sample_items(5_000, seed=1)
TRAIN, TEST = split_random(RATINGS)
PREDICTED = np.full(len(TEST), 3.0)
HISTORY = pd.DataFrame({"train_rmse": [1.0, 0.9, 0.8], "validation_rmse": [1.0, 0.95, 0.97],
                        "seconds": [1.0, 2.0, 3.0]}, index=[1, 2, 3])
PREFERENCES = pd.DataFrame({"feature": ["Drama", "War", "1990s"], "preference": [0.1, -0.4, 0.3],
                            "std": [0.1, 0.1, 0.2]})
EXPLANATION = pd.DataFrame({"part": ["mean", "item", "rating", "rating"], "name": ["all", "A", "B", "C"],
                            "rating": [None, None, 5, 2], "stars": [3.5, 0.4, -0.1, 0.2]})
GROUPS = [("all", ""), ("user spread", 1), ("user spread", 2), ("prediction", 1), ("prediction", 2)]
COVERAGE = pd.DataFrame({0.8: [0.8, 0.75, 0.85, 0.82, 0.78]},
                        pd.MultiIndex.from_tuples(GROUPS, names=["by", "group"]))
ON_AXES = {  # name: how it is called; each of these takes ax=
    "plot_ratings": lambda **ax: plot_ratings(RATINGS, **ax),
    "plot_split": lambda **ax: plot_split(TRAIN, TEST, **ax),
    "plot_errors_by_count": lambda **ax: plot_errors_by_count(errors_by_count(TEST, PREDICTED, TRAIN), **ax),
    "plot_errors": lambda **ax: plot_errors(TEST.rating, PREDICTED, **ax),
    "plot_history": lambda **ax: plot_history(HISTORY, **ax),
    "plot_chain": lambda **ax: plot_chain(HISTORY, **ax),
    "plot_preferences": lambda **ax: plot_preferences(PREFERENCES, **ax),
    "plot_explanation": lambda **ax: plot_explanation(EXPLANATION, **ax),
    "plot_calibration": lambda **ax: plot_calibration(COVERAGE, **ax),
}


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_matplotlib_is_loaded_only_to_draw():
    code = ("import sys, mfrec.plots as plots, pandas as pd\n"
            "assert 'matplotlib' not in sys.modules\n"
            "plots.plot_ratings(pd.DataFrame({'rating': [1, 2, 2]})).figure.canvas.draw()\n"
            "assert 'matplotlib.pyplot' in sys.modules")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_plot_is_tried_here():
    assert {name for name in plots.__all__ if name.startswith("plot_")} == {*ON_AXES, "plot_decades"}


@pytest.mark.parametrize("name", ON_AXES)
def test_draws_on_the_axes_given_or_on_new_ones(name):
    new = ON_AXES[name]()
    assert plt.get_fignums() == [new.figure.number]
    _, mine = plt.subplots()
    assert ON_AXES[name](ax=mine) is mine and len(plt.get_fignums()) == 2
    for ax in (new, mine):
        assert ax.has_data() and ax.get_xlabel() and ax.get_ylabel()
        ax.figure.canvas.draw()


def test_the_callers_settings_stay_as_they_are():
    before = matplotlib.rcParams.copy()
    for draw in ON_AXES.values():
        draw()
    plot_decades(RATINGS, ITEMS)
    assert matplotlib.rcParams == before


def test_ratings_add_up_to_all():
    bars = plot_ratings(RATINGS).patches
    share = RATINGS.rating.value_counts(normalize=True).sort_index() * 100
    assert np.allclose([bar.get_height() for bar in bars], share)
    assert np.allclose([bar.get_x() + bar.get_width() / 2 for bar in bars], share.index)
    one = plot_ratings(pd.DataFrame({"stars": [4.0, 4.0]}), rating_col="stars")
    assert [bar.get_height() for bar in one.patches] == [100]


def test_decades_are_those_of_the_rated_items():
    items = pd.DataFrame({"movieId": [1, 2, 3], "year": [1994, None, 1950],
                          "genres": [("Drama", "War"), ("Drama",), ("War",)]})
    ratings = pd.DataFrame({"userId": range(60), "movieId": [1] * 40 + [2] * 20,
                            "rating": [4.0] * 40 + [2.0] * 20})
    left, right = plot_decades(ratings, items).axes[:2]
    assert [label.get_text() for label in left.get_yticklabels()] == ["1990s", "unknown"]
    assert [label.get_text() for label in right.get_yticklabels()] == ["Drama", "War"]
    means = right.images[0].get_array()
    assert means.filled(0).tolist() == [[4, 2], [4, 0]]
    few = plot_decades(ratings.iloc[21:], items).axes[1].images[0].get_array()     # 19 ratings of film 1
    assert few.filled(0).tolist() == [[0, 2], [0, 0]]
    renamed = ratings.rename(columns={"rating": "score", "movieId": "film"})
    again = plot_decades(renamed, items, item_col="film", rating_col="score").axes[1].images[0].get_array()
    assert again.filled(0).tolist() == means.filled(0).tolist()


def test_history_marks_the_lowest_epoch():
    ax = plot_history(HISTORY)
    assert [line.get_xdata().tolist() for line in ax.lines] == [[1, 2, 3], [1, 2, 3], [2]]
    assert ax.lines[2].get_ydata().tolist() == [0.95] and ax.get_title() == "3 epochs in 3.0 s"
    assert len(plot_history(HISTORY.assign(validation_rmse=np.nan)).lines) == 1    # none was watched


def test_chain_needs_rows_that_were_watched():
    assert plot_chain(HISTORY).lines[0].get_ydata().tolist() == HISTORY.validation_rmse.tolist()
    with pytest.raises(SettingError, match="give fit.*validation=.*rows to watch"):
        plot_chain(HISTORY.drop(columns="validation_rmse"))


def test_preferences_show_those_farthest_from_zero():
    ax = plot_preferences(PREFERENCES, n=2)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["War", "1990s"]
    assert np.allclose([bar.get_width() for bar in ax.patches], [-0.4, 0.3])
    bars = [segment[:, 0].tolist() for segment in ax.collections[0].get_segments()]
    assert np.allclose(bars, [[-0.5, -0.3], [0.1, 0.5]])            # one standard deviation either side
    other = plot_preferences(PREFERENCES.rename(columns={"preference": "slope"}), value="slope")
    assert len(other.patches) == 3


def test_calibration_has_a_line_for_each_grouping():
    ax = plot_calibration(COVERAGE)
    lines = {line.get_label(): list(line.get_ydata()) for line in ax.lines}
    assert lines == {"user spread": [0.75, 0.85], "prediction": [0.82, 0.78], "all": [0.8, 0.8]}
    assert np.allclose(ax.get_ylim(), (0.7, 0.9)) and ax.get_xticks().tolist() == [1, 2]


@pytest.mark.parametrize("call, error, message", [
    (lambda: plot_split(TRAIN, TEST, by="rows"), SettingError, "by='rows'"),
    (lambda: plot_split(TRAIN.drop(columns="timestamp"), TEST), DataError, "train: no time column"),
    (lambda: plot_errors_by_count(errors_by_count(TEST, PREDICTED, TRAIN), "n"), SettingError, "value='n'"),
    (lambda: plot_errors(TEST.rating, PREDICTED, by="both"), SettingError, "by='both'"),
    (lambda: plot_errors(TEST.rating, PREDICTED[1:]), DataError, "predicted"),
    (lambda: plot_decades(RATINGS, ITEMS.drop(columns="genres")), DataError, "no column 'genres'"),
])
def test_refusals_draw_nothing(call, error, message):
    with pytest.raises(error, match=message):
        call()
    assert not plt.get_fignums()
