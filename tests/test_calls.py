"""Every public call, each argument in turn of a wrong kind: a result, or our exception in one short line.

MFREC_FUZZ=10 makes ten times as many of these calls, MFREC_FUZZ=all makes every one.
"""
import dataclasses
import datetime
import inspect
import os
import random
import signal
import warnings
from contextlib import contextmanager
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import mfrec
from mfrec import metrics, plots
from mfrec.errors import MfrecError
from mfrec.model.methods import CHAPTERS

RATINGS = mfrec.sample_ratings(1_000, seed=3)
ITEMS = mfrec.sample_items(1_000, seed=3)
TRAIN, TEST = mfrec.split_random(RATINGS, seed=1)
PREDICTED = np.full(len(TEST), 3.0)
USER, FILM = int(TRAIN.userId.iloc[0]), int(TRAIN.movieId.iloc[0])
PAIR = [int(user) for user in TRAIN.userId.unique()[:2]]
ESTIMATOR = mfrec.ALSMF(n_factors=2, n_sweeps=2, n_taste=4, n_jobs=1).fit(TRAIN, items=ITEMS, progress=False)
MODEL = ESTIMATOR.with_interest(seed=0).model_
LEVELS = mfrec.BayesianMF(n_factors=2, n_samples=4, burn_in=1, n_taste=0, n_jobs=1)
LEVELS.fit(TRAIN, progress=False)
HISTORY = pd.DataFrame({"train_rmse": [1.0, 0.9], "validation_rmse": [1.0, 0.95], "seconds": [1.0, 2.0]})
FILMS = pd.DataFrame({"title": ITEMS.title[:5], "year": ITEMS.year[:5], "rating": 4.0, "date": pd.NaT})
COUNTS = metrics.errors_by_count(TEST, PREDICTED, TRAIN)
COVERAGE = mfrec.coverage_table(MODEL, TEST, TRAIN)
PREFERENCES, LINES = MODEL.preferences(USER), MODEL.explain(USER, FILM)
MATCHED = mfrec.match_titles(FILMS, ITEMS)
EXPORT = "Date,Name,Year,Letterboxd URI,Rating\n2022-01-02,Heat,1995,e1,3.5\n"


class StuckError(Exception):
    "A call that did not end in its time."


@contextmanager
def limited(seconds):
    "Break off what takes longer."
    def stop(*_):
        raise StuckError(f"not done in {seconds} s")

    old = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


class Unknown:
    "Something that nobody can use, of which even the text is long."
    def __repr__(self):
        return "Unknown(" + 1000 * "x" + ")"


def polars_frame():
    "A frame as polars has them, for all that a message can tell."
    kind = type("DataFrame", (), {"__module__": "polars.dataframe.frame"})
    return kind()


def twins():
    "A frame in which two columns have one name."
    frame = RATINGS.head(9)
    return pd.concat([frame, frame], axis=1)


ENDLESS = {  # what can be had by who has the time
    ("sample_ratings", "n_ratings"), ("sample_items", "n_ratings"), ("ALSMF", "n_sweeps"),
    ("BayesianMF", "n_samples"), ("BayesianMF", "burn_in")}
WRONG = {
    "None": lambda: None, "nan": lambda: float("nan"), "inf": lambda: float("inf"), "zero": lambda: 0,
    "int": lambda: 5, "negative": lambda: -3, "billion": lambda: 10**9, "huge": lambda: 2**70,
    "vast": lambda: 1e300, "bool": lambda: True, "text": lambda: "abc", "empty text": lambda: "",
    "line end": lambda: "\n", "null": lambda: "a\0b",
    "rot13": lambda: "rot13", "long text": lambda: 5000 * "ab\n",
    "bytes": lambda: b"abc", "list": lambda: [1, "a", None], "empty list": list,
    "nested": lambda: [[1], [2, 3]],
    "dict": lambda: {"a": 1}, "tuple": lambda: (5, 1), "set": lambda: {1, 2}, "object": Unknown,
    "type": lambda: int, "nobody": lambda: "~nouser/x", "path": lambda: Path("nowhere/at all"),
    "date": lambda: datetime.date(9999, 12, 31), "moment": lambda: pd.Timestamp("2020-01-01"),
    "gap": lambda: pd.NA, "function": lambda: repr, "failing": lambda: lambda *_: 1 / 0,
    "array": lambda: np.arange(4.0), "matrix": lambda: np.eye(3), "number": lambda: np.float32(2.5),
    "series": lambda: pd.Series(["a", None, 3]), "polars": polars_frame, "twins": twins,
    "empty frame": pd.DataFrame, "no rows": lambda: RATINGS.head(0), "no columns": lambda: RATINGS[[]],
    "ratings": lambda: RATINGS, "items": lambda: ITEMS, "texts": lambda: RATINGS.head(20).astype(str),
    "pivot": lambda: pd.DataFrame(np.ones((2, 3000)), columns=[f"film {n}" for n in range(3000)]),
    "dates": lambda: RATINGS.head(20).assign(timestamp=datetime.date(9999, 12, 31)),
    "far": lambda: RATINGS.head(20).assign(timestamp=np.int64(2**62)),
    "vast ratings": lambda: RATINGS.head(20).assign(rating=1e300),
    "no ids": lambda: RATINGS.head(20).assign(userId=np.nan, movieId=None),
    "objects": lambda: RATINGS.head(20).assign(userId=[[n] for n in range(20)]),
    "counted": lambda: pd.DataFrame(np.arange(12).reshape(3, 4)),
    "model": lambda: MODEL, "estimator": lambda: ESTIMATOR, "unfitted": mfrec.BiasModel,
    "class": lambda: mfrec.ALSMF,
}


def in_test(**given):
    return {"actual": TEST.rating, "predicted": PREDICTED} | given


def functions(folder):
    "What is called, by name: function and good arguments, which are then replaced one by one."
    csv, films, export, saved = (folder / name for name in ("r.csv", "i.csv", "e.csv", "saved"))
    RATINGS.head(50).to_csv(csv, index=False)
    ITEMS.assign(genres="Drama").to_csv(films, index=False)
    export.write_text(EXPORT)
    if not saved.exists():
        MODEL.save(saved)
    ratings, pair = {"ratings": RATINGS}, {"train": TRAIN, "test": TEST}
    users = {"users": TEST.userId}
    good = {
        "read_ratings": {"source": csv}, "read_items": {"source": films}, "read_users": {"source": csv},
        "download": {"name": "ml-100k", "dest": folder, "base_url": "http://127.0.0.1:9"},
        "ratings_of": {"rated": FILMS, "matched": MATCHED}, "read_export": {"path": export},
        "describe_ratings": ratings, "rating_counts": ratings, "make_items": {"raw": ITEMS},
        "match_titles": {"wanted": FILMS, "items": ITEMS}, "find_items": {"items": ITEMS, "text": "the"},
        "sample_items": {"n_ratings": 100}, "sample_ratings": {"n_ratings": 100}, "check_disjoint": pair,
        "k_folds": ratings, "split_cold_items": ratings, "split_mask": ratings, "split_random": ratings,
        "split_time": ratings, "split_users": ratings, "error_report": in_test(groups=TEST.userId, n_boot=9),
        "mae": in_test(), "rmse": in_test(**users), "item_features": {"items": ITEMS},
        "user_features": {"users": TRAIN}, "coverage_table": {"fitted": MODEL, **pair},
        "load": {"path": saved},
        "write_lists": {"fitted": MODEL, "folder": folder / "lists"},
        "ranking_report": {"model": MODEL, "test": TEST, "liked": 4.0},
        "user_errors": in_test(**users), "bootstrap_interval": in_test(**users, n_boot=9),
        "mean_report": {"values": COVERAGE, "n_boot": 9},
        "errors_by_count": pair | {"predicted": PREDICTED}, "plot_ratings": ratings,
        "plot_decades": ratings | {"items": ITEMS}, "plot_split": pair | {"n_points": 50},
        "plot_errors_by_count": {"report": COUNTS}, "plot_errors": in_test(),
        "plot_history": {"history": HISTORY}, "plot_chain": {"history": HISTORY},
        "plot_preferences": {"preferences": PREFERENCES}, "plot_calibration": {"table": COVERAGE},
        "plot_explanation": {"lines": LINES},
    }
    homes = {name: mfrec for name in mfrec.__all__} | dict.fromkeys(metrics.__all__, metrics)
    homes |= {name: plots for name in plots.__all__}
    return {name: (getattr(homes[name], name), given) for name, given in good.items()}


METHODS = {
    "predict_frame": {"pairs": TEST}, "predict": {"pairs": TEST}, "predict_proba": {"pairs": TEST},
    "predict_chances": {"pairs": TEST}, "scores": {"users": [USER]}, "preferences": {"user": USER},
    "describe_preferences": {"user": USER}, "fold_in": {"ratings": TEST}, "fold_in_items": {"ratings": TEST},
    "evaluate": {"test": TEST, "n_boot": 9}, "score": {"ratings": TEST}, "sample_predictions": {"test": TEST},
    "add_unrated": {}, "add_rated": {"ratings": TEST}, "update": {"new": TEST},
    "partial_fit": {"ratings": TEST},
    "save": {"path": "a model"}, "with_interest": {}, "recommend": {"users": [USER]},
    "find_items": {"text": "the"},
    "explain": {"user": USER, "item": FILM}, "why": {"user": USER, "item": FILM},
    "similar_items": {"item": FILM}, "similar_users": {"user": USER},
    "together": {"users": PAIR}, "taste_match": {"users": PAIR}, "disagreements": {"users": PAIR},
}
FITS = {"BiasModel": {}, "ALSMF": {"n_factors": 2, "n_sweeps": 2, "n_taste": 4, "n_jobs": 1},
        "AdamMF": {"n_factors": 2, "n_epochs": 1, "n_jobs": 1},
        "BayesianMF": {"n_factors": 2, "n_samples": 2, "burn_in": 1, "n_taste": 0, "n_jobs": 1}}


def fit_with(name, given):
    "Call a solver's class with some arguments and fit with others."
    kind = getattr(mfrec, name)
    own = {key: value for key, value in given.items() if key in inspect.signature(kind).parameters}
    return kind(**own).fit(**{key: value for key, value in given.items() if key not in own})


def method_with(fitted, name, given):
    if name == "partial_fit" and fitted is ESTIMATOR:
        fitted = clone(fitted).fit(TRAIN, items=ITEMS, progress=False)
    if name in ("predict_proba", "predict_chances"):
        fitted = LEVELS
    return getattr(fitted, name)(**given)


def calls(folder):
    "Every call there is: (name, parameter, wrong value), what is called, and its good arguments."
    for (name, parameter, wrong), function, good in each_call(folder):
        own = parameter == "callback" and callable(WRONG[wrong]())  # its errors are those of whoever wrote it
        if not own and not (wrong == "billion" and (name, parameter) in ENDLESS):
            yield (name, parameter, wrong), function, good


def each_call(folder):
    for name, (function, good) in functions(folder).items():
        for parameter, about in inspect.signature(function).parameters.items():
            if about.kind is not about.VAR_KEYWORD:
                yield from (((name, parameter, wrong), function, good) for wrong in WRONG)
    for name, good in METHODS.items():
        for kind, fitted in (("model", MODEL), ("estimator", ESTIMATOR)):
            parameters = [*inspect.signature(getattr(fitted, name)).parameters]
            for parameter in parameters[parameters[0] in ("model", "self"):]:
                def function(fitted=fitted, name=name, **given):
                    return method_with(fitted, name, given)
                yield from (((f"{kind}.{name}", parameter, wrong), function, good) for wrong in WRONG)
    for name, good in FITS.items():
        own = inspect.signature(getattr(mfrec, name)).parameters
        fit = inspect.signature(mfrec.BiasModel().fit).parameters
        for parameter in [*own, *fit]:
            def function(name=name, **given):
                return fit_with(name, given)
            given = good | {"ratings": RATINGS.head(300), "progress": False}
            yield from (((name, parameter, wrong), function, given) for wrong in WRONG)


def fault_of(function, given):
    "What is wrong with how a call ended, or None."
    try:
        with limited(10), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            function(**given)
    except (MfrecError, NotFittedError) as error:
        said = str(error)
        if plt.get_fignums():
            return f"an empty figure is left after {said!r}"
        if "\n" in said or len(said) >= 400:
            return f"a message of {len(said):,} characters: {said[:200]!r}"
    except Exception as error:
        return f"{type(error).__name__}: {error!s:.200}"
    return None


def chosen(found):
    "A share of all calls, as the environment says; the same ones each time."
    every, wanted = list(found), os.environ.get("MFREC_FUZZ", "1")
    if wanted == "all":
        return every
    return random.Random(26).sample(every, min(len(every), 900 * int(wanted)))


def test_wrong_arguments(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    places, faults = functions(tmp_path), []
    assert {name for name in (*plots.__all__, *metrics.__all__) if name[0].islower()} <= {*places}
    assert {name for name in mfrec.__all__ if name[0].islower()} == {*places} & {*mfrec.__all__}
    assert {*METHODS} == {name for names in CHAPTERS.values() for name in names}
    some = chosen(calls(tmp_path))
    plt.close("all")  # what other tests have drawn
    for (name, parameter, wrong), function, good in some:
        fault = fault_of(function, good | {parameter: WRONG[wrong]()})
        if fault:
            faults.append(f"{name}({parameter}={wrong}): {fault}")
        plt.close("all")
    assert not faults, f"{len(faults)} of {len(some)} calls:\n" + "\n".join(faults)


def test_plots_take_models():
    "The ratings that a model keeps and the history that an estimator has; where there are none, a fix."
    assert plots.plot_ratings(MODEL).get_title() == plots.plot_ratings(TRAIN).get_title()
    assert plots.plot_decades(ESTIMATOR, ITEMS) is not None
    watched = clone(ESTIMATOR).fit(TRAIN, validation=TEST, progress=False)
    assert "sweeps" in plots.plot_chain(watched).get_title()
    plt.close("all")
    for call, fix in ((lambda: plots.plot_history(MODEL), "give the history_"),
                      (lambda: plots.plot_ratings(clone(ESTIMATOR).set_params(keep_ratings=False).fit(TRAIN)),
                       "keep_ratings=True"),
                      (lambda: plots.plot_preferences(MODEL), "a pandas DataFrame is needed, not a Model")):
        with pytest.raises(MfrecError, match=fix):
            call()
    assert not plt.get_fignums()


def test_messages_name_what_was_given():
    pivot = TRAIN.pivot_table(index="userId", columns="movieId", values="rating")
    with pytest.raises(mfrec.DataError, match="a column per item\\? melt it into rows") as caught:
        mfrec.BiasModel().fit(pivot)
    assert len(str(caught.value)) < 250
    with pytest.raises(mfrec.DataError, match="not a DataFrame of polars"):
        mfrec.describe_ratings(polars_frame())
    with pytest.raises(mfrec.SettingError, match=r"scale=5; it must be a tuple of numbers or None"):
        mfrec.read_ratings("r.csv", scale=5)


def test_one_pair_and_one_title():
    "A user and an item in the place of a frame; a search in what the model was told."
    user, item = (int(TEST[col].iloc[0]) for col in ("userId", "movieId"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for fitted in (MODEL, ESTIMATOR):
            assert fitted.predict(user, item) == fitted.predict(TEST.head(1))[0]
            assert fitted.find_items("the", 3).equals(mfrec.find_items(ITEMS, "the", 3))
            assert mfrec.find_items(fitted, "the", 3).equals(mfrec.find_items(ITEMS, "the", 3))
    for call in (lambda: MODEL.predict(user), lambda: MODEL.predict(TEST, item)):
        with pytest.raises(mfrec.SettingError, match="a frame of pairs, or the id of a user and that of an"):
            call()
    with pytest.raises(mfrec.SettingError, match="knows no titles"):
        mfrec.BiasModel().fit(TRAIN).find_items("the")


def test_clipped_predictions_order_nothing(monkeypatch):
    "Of predictions beyond the scale the higher comes first; a calibration's groups go by them as well."
    far = dataclasses.replace(MODEL.item, biases=MODEL.item.biases + np.linspace(9, 20, len(MODEL.item)))
    model = dataclasses.replace(MODEL, item=far)
    best = model.recommend([USER], 5, order="rating", seen=True)
    stars = model.scores([USER], clip=False)[0]
    known = np.flatnonzero(MODEL.item.n_ratings > 0)
    expected = model.item.ids.classes_[known[np.argsort(-stars[known])[:5]]]
    assert best["movieId"].tolist() == expected.tolist() and (best["stars"] == model.scale[1]).all()
    monkeypatch.setattr("mfrec.use.calibration.pit_values", lambda model, test, seed: test.movieId % 97 / 97)
    there, back = (mfrec.coverage_table(model, TEST[::step], TRAIN) for step in (1, -1))
    assert there.loc["prediction"].equals(back.loc["prediction"])
