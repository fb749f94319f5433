"""Workers of the studies: long runs on real ratings, and the tables in which their results are kept.

    python nbs/studies/workers.py COMMAND --help

A study loads its tables with `results` and draws; nothing is measured in a notebook. `fit`, `known` and
`tune-peers` are run by the Python of an environment that has the peers, and need nothing of mfrec:

    python3.11 -m venv peers && peers/bin/pip install scikit-surprise lenskit==2025.8 cmfrec myfm optuna \\
        pandas pyarrow "setuptools<81"

The sets are found through MFREC_DATA, the peers' Python through MFREC_PEERS_PYTHON.
"""
from __future__ import annotations

import argparse
import functools
import hashlib
import itertools
import json
import operator
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd

try:
    import mfrec
    import torch
    from scipy import sparse
    from scipy.special import ndtr, ndtri
    from scipy.stats import kurtosis
    from sklearn.base import clone
    from sklearn.linear_model import Ridge
    from sklearn.preprocessing import LabelEncoder
    from mfrec.kernel import interest as interest_module, taste
    from mfrec.kernel.biases import damped_biases as rows_biases
    from mfrec.kernel.interest import lists_of
    from mfrec.kernel.machine import Workers, generator_of, n_threads, on_device
    from mfrec.kernel.normal_equations import Known, Prior, gather_table, group_both, padded_width, solve_rows
    from mfrec.kernel.passes import Passes
    from mfrec.model import predict
    from mfrec.model.estimator import learn_alone, without_alone
    from mfrec.ratings.frames import find_columns
    from mfrec.ratings.ids import IdEncoder
    from mfrec.ratings.rows import Interactions
    from mfrec.solvers import adam, als, bayes
    from mfrec.use import choice as choosing
    from mfrec.use.calibration import coverage, pit_values
except ImportError:  # the peers' Python
    mfrec = None

HERE = Path(__file__).parent
SOLVERS = {"bias": "BiasModel", "adam": "AdamMF", "als": "ALSMF", "bayes": "BayesianMF"}
MASKS = ("ml-latest-small", "ml-100k", "movietweetings", "ml-1m-timed", "ml-1m", "goodbooks-10k")
DATED = ("ml-latest-small", "ml-100k", "movietweetings", "ml-1m-timed")


# Tables


def results(name):
    "The tables of a study as frames, by name."
    found = json.loads((HERE / name).read_text(encoding="utf-8"))
    return {key: pd.DataFrame(one["rows"], columns=one["index"] + one["columns"]).set_index(one["index"])
            for key, one in found.items()}


def lines(rows):
    "Rows as json, one a line."
    return "[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]\n"


def solver(name, **settings):
    return getattr(mfrec, SOLVERS[name])(**settings)


def read(name):
    return mfrec.read_ratings(name, on_duplicates="last")


def read_plain(name):
    "Ratings as user, item, rating and, where dated, timestamp."
    ratings = read(name)
    cols = find_columns(ratings)
    names = {cols.user: "user", cols.item: "item", cols.rating: "rating", cols.time: "timestamp"}
    return ratings.rename(columns=names)[[new for old, new in names.items() if old]]


def read_known(name):
    "What is known: items as item, genres, year; users as user, age, gender, occupation, or None."
    items = mfrec.read_items(name)
    items = items.rename(columns={items.columns[0]: "item"})[["item", "genres", "year"]]
    if name not in ("ml-100k", "ml-1m", "ml-1m-timed"):
        return items, None
    # the ratings with times are a part of ML-1M's, with the same ids
    users = mfrec.read_users(name.removesuffix("-timed"))
    return items, users.rename(columns={users.columns[0]: "user"})[["user", "age", "gender", "occupation"]]


PEERS = os.environ.get("MFREC_PEERS_PYTHON", "peers/bin/python")


def in_a_process(command, python, job, threads=None, **frames):
    """Predictions and figures of a job of `fit` or `known`, run by the given Python with so many threads
    (all, if None); frames go by parquet."""
    threads = threads or os.cpu_count()
    limits = ("OMP_NUM", "OPENBLAS_NUM", "MKL_NUM", "RAYON_NUM", "LK_NUM", "LK_NUM_BACKEND")
    with tempfile.TemporaryDirectory() as folder:
        for part, frame in frames.items():
            frame.to_parquet(f"{folder}/{part}.parquet", index=False)
        job = job | {"threads": threads, "predictions": f"{folder}/predictions.npy"}
        job |= {part: f"{folder}/{part}.parquet" for part in frames}
        Path(folder, "job.json").write_text(json.dumps(job))
        done = subprocess.run(
            [python, __file__, command, f"{folder}/job.json"], capture_output=True, text=True,
            env=os.environ | {f"{limit}_THREADS": str(threads) for limit in limits},
        )
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
        return np.load(job["predictions"]), json.loads(done.stdout.splitlines()[-1])


# Peers: one fit, in a process of its own


def memory(field):
    "VmRSS (now) or VmHWM (peak) of this process, in MB of 2**20 bytes."
    return int(re.search(rf"{field}:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024


def positions(known, ids):
    "Where each id stands among the sorted `known`, -1 for those that are not there."
    at = np.searchsorted(known, ids).clip(max=len(known) - 1)
    return np.where(known[at] == ids, at, -1)


def damped_biases(train, damping=5.0, sweeps=10):
    "The fallback: mean + user bias + item bias; an unknown user or item has bias 0."
    mean = train.rating.mean()
    user, item = pd.Series(0.0, train.user.unique()), pd.Series(0.0, train.item.unique())
    for _ in range(sweeps):
        for side, bias, other_side, other in (("item", item, "user", user), ("user", user, "item", item)):
            rest = (train.rating - mean - train[other_side].map(other)).groupby(train[side])
            bias.update(rest.sum() / (rest.size() + damping))
    return lambda test: (mean + test.user.map(user).fillna(0) + test.item.map(item).fillna(0)).to_numpy()


# Each function below takes the training frame, parameters and threads, and returns a function from test
# frame to predictions (nan where there is none). What a library needs is imported before the clock starts.


def surprise_model(kind):
    def fit(train, params, threads):
        import surprise
        reader = surprise.Reader(rating_scale=(train.rating.min(), train.rating.max()))
        data = surprise.Dataset.load_from_df(train[["user", "item", "rating"]], reader).build_full_trainset()
        params = dict(params)
        if kind.startswith("KNN"):
            similarity = {
                "name": params.pop("similarity", "pearson_baseline"),
                "shrinkage": params.pop("shrinkage", 100),
            }
            params |= {"sim_options": {**similarity, "user_based": False}, "verbose": False}
        else:
            params |= {"random_state": 0}
        model = getattr(surprise, kind)(**params).fit(data)
        return lambda test: np.array([
            model.predict(u, i).est for u, i in zip(test.user.tolist(), test.item.tolist())
        ])

    return fit


def lenskit_biased_mf(train, params, threads):
    from lenskit.als import BiasedMFScorer
    from lenskit.data import ItemList, from_interactions_df
    data = from_interactions_df(train.rename(columns={"user": "user_id", "item": "item_id"}))
    model = BiasedMFScorer(**params)
    model.train(data)

    def predict(test):
        out = pd.Series(np.nan, test.index)
        for user, rows in test.groupby("user"):
            out[rows.index] = model(user, ItemList(item_ids=rows.item.to_numpy())).scores("numpy")
        return out.to_numpy()
    return predict


def cmfrec_model(train, params, threads):
    from cmfrec import CMF
    model = CMF(**{"verbose": False, "nthreads": threads, "random_state": 0, **params})
    model.fit(train.rename(columns={"user": "UserId", "item": "ItemId", "rating": "Rating"}))
    users, items = np.sort(train.user.unique()), np.sort(train.item.unique())

    def predict(test):
        out = np.full(len(test), np.nan)
        known = (positions(users, test.user.to_numpy()) >= 0) & (positions(items, test.item.to_numpy()) >= 0)
        out[known] = model.predict(test.user.to_numpy()[known], test.item.to_numpy()[known])
        return out
    return predict


def features_of(items, path):
    """The 0/1 matrix of each item's features, from a parquet file with the columns item and features (a list
    per row)."""
    table = pd.read_parquet(path).explode("features").dropna()
    table = table[positions(items, table.item.to_numpy()) >= 0]
    names = np.sort(table.features.unique())
    at = positions(items, table.item.to_numpy()), positions(names, table.features.to_numpy())
    return sparse_matrix(at, (len(items), len(names)))


def sparse_matrix(at, shape):
    "A sparse matrix of ones at the given rows and columns."
    from scipy import sparse
    return sparse.csr_matrix((np.ones(len(at[0])), at), shape=shape)


def myfm_sides(train, params):
    """The known ids of both sides and their rows: one-hot id, who rated what by 1/sqrt(count),
    and for items any features."""
    from scipy import sparse
    users, items = np.sort(train.user.unique()), np.sort(train.item.unique())
    at = positions(users, train.user.to_numpy()), positions(items, train.item.to_numpy())
    seen = sparse_matrix(at, (len(users), len(items)))

    def scaled(m):
        return sparse.diags(1 / np.sqrt(np.asarray(m.sum(axis=1)).ravel())) @ m

    user_parts = [sparse.identity(len(users))] + [scaled(seen)] * params["user_implicit"]
    item_parts = [sparse.identity(len(items))] + [scaled(seen.T.tocsr())] * params["item_implicit"]
    if params["items"]:
        item_parts.append(features_of(items, params["items"]))

    def stack(parts):
        "The parts side by side, and a last row, all zero, for an unknown id."
        empty = sparse.csr_matrix((1, sum(m.shape[1] for m in parts)))
        return sparse.vstack([sparse.hstack(parts), empty], format="csr")

    sizes = [m.shape[1] for m in user_parts + item_parts]
    return ((users, stack(user_parts)), (items, stack(item_parts))), sizes


def myfm_model(train, params, threads):
    """Ids, the user's rated items and the item's raters, as in myFM's own MovieLens 1M example.

    Entries of `params`: `rank`, `n_iter`, `user_implicit`, `item_implicit`, `items` (parquet with item and
    features), `ordered`.
    """
    import myfm

    params = {
        "rank": 10, "n_iter": 200, "user_implicit": True, "item_implicit": True, "items": None,
        "ordered": False, **params
    }
    sides, sizes = myfm_sides(train, params)

    def blocks(frame):
        "One row of features per distinct id, and for each rating the row that it uses."
        result = []
        for (known, features), ids in zip(sides, (frame.user.to_numpy(), frame.item.to_numpy())):
            at = positions(known, ids)
            rows, where = np.unique(np.where(at < 0, len(known), at), return_inverse=True)
            result.append(myfm.RelationBlock(where.tolist(), features[rows]))
        return result

    values = np.sort(train.rating.unique())
    target = np.searchsorted(values, train.rating) if params["ordered"] else train.rating.to_numpy(np.float64)
    model = (myfm.MyFMOrderedProbit if params["ordered"] else myfm.MyFMRegressor)(
        rank=params["rank"], random_seed=42
    )
    model.fit(None, target, X_rel=blocks(train), n_iter=params["n_iter"], group_shapes=sizes)
    if params["ordered"]:
        return lambda test: model.predict_proba(None, blocks(test), n_workers=threads) @ values
    return lambda test: model.predict(None, blocks(test), n_workers=threads)


def mfrec_model(name):
    make = operator.attrgetter(name)(mfrec)  # a class, or a constructor such as ALSMF.quick, loaded by this

    def fit(train, params, threads):
        model = make(**params)
        if "n_jobs" in model.get_params():
            model.set_params(n_jobs=threads)
        model.fit(train)
        return lambda test: model.predict(test)
    return fit


MODELS = {
    "surprise SVD": surprise_model("SVD"), "surprise SVD++": surprise_model("SVDpp"),
    "surprise item-kNN": surprise_model("KNNBaseline"), "lenskit BiasedMF": lenskit_biased_mf,
    "cmfrec": cmfrec_model, "cmfrec implicit": cmfrec_model, "myfm": myfm_model, "myfm ordered": myfm_model
}
IMPORTS = {
    "surprise": "surprise", "lenskit": "lenskit.als", "cmfrec": "cmfrec", "myfm": "myfm", "mfrec": "mfrec"
}


def run_job(job):
    "Fit and predict as the job says; returns predictions, and a dict of seconds and memory."
    name, threads = job["model"], job["threads"]
    library = name.split(" ")[0].split(".")[0]
    if library in IMPORTS:
        __import__(IMPORTS[library])
    if library == "lenskit":
        from lenskit import parallel
        parallel.initialize()
    fit = mfrec_model(name.removeprefix("mfrec.")) if library == "mfrec" else MODELS[name]
    before = memory("VmRSS")
    train, test = pd.read_parquet(job["train"]), pd.read_parquet(job["test"], columns=["user", "item"])
    import pyarrow
    pyarrow.default_memory_pool().release_unused()  # what reading leaves behind is not the library's
    start = time.perf_counter()
    predict = fit(train, dict(job["params"]), threads)
    fitted = time.perf_counter()
    peak = memory("VmHWM")
    predictions = np.asarray(predict(test), dtype=np.float64)
    done = time.perf_counter()
    missing = ~np.isfinite(predictions)
    if missing.any():
        predictions[missing] = damped_biases(train)(test[missing])
    predictions = predictions.clip(train.rating.min(), train.rating.max())
    figures = {
        "seconds_fit": fitted - start, "seconds_predict": done - fitted, "peak_mb": max(peak - before, 0)
    }
    return predictions, {**figures, "filled": int(missing.sum())}


def fit(args):
    "One fit, in a process of its own: predictions of the test rows, seconds and memory."
    job = json.loads(args.job.read_text())
    predictions, figures = run_job(job)
    np.save(job["predictions"], predictions)
    print(json.dumps(figures))


# cmfrec for people and items with and without ratings


def fit_known(model, train, features, people):
    "Fits with what is known of items and users; a frame of ids alone says nothing."
    known = {}
    for side, frame, name in (("I", features, "item"), ("U", people, "user")):
        if frame.shape[1] > 1:
            rows = frame[frame[name].isin(train[name])].set_index(name).astype(np.float64)
            known[side] = rows.rename_axis({"item": "ItemId", "user": "UserId"}[name]).reset_index()
    model.fit(renamed(train), **known)


def positions_in(mapping, ids):
    "Where each id stands in a mapping of cmfrec."
    mapping = np.asarray(mapping)
    order = np.argsort(mapping)
    return order[positions(mapping[order], np.asarray(ids))]


def beside_bias(model, items):
    "The mean and the bias of each (known) item."
    return model.glob_mean_ + model.item_bias_[positions_in(model.item_mapping_, items)].astype(np.float64)


def of_newcomer(model, items, shown, about):
    """Predictions of some (known) items for one new user,
    from what this user has shown and what is known of them."""
    if shown is not None and len(shown):
        factors, bias = model.factors_warm(
            X_col=shown.item.to_numpy(), X_val=shown.rating.to_numpy(), return_bias=True, **about
        )
        return beside_bias(model, items) + bias + model.B_[positions_in(model.item_mapping_, items)] @ factors
    return model.predict_cold(items, **about) if about else beside_bias(model, items)


def all_pairs(model, train, test, features=None, people=None, shown=None):
    """Predictions for any pairs: by `predict`, `predict_new`, `factors_warm`, `predict_cold`;
    else by the bias of the one with ratings, or the mean."""
    features = train[["item"]] if features is None else features
    people = train[["user"]] if people is None else people
    fit_known(model, train, features, people)
    of_item = features.set_index("item").astype(np.float64)
    of_user = people.set_index("user").astype(np.float64)
    old_user, old_item = (test[side].isin(train[side]).to_numpy() for side in ("user", "item"))
    user = test.user.to_numpy()
    item = test.item.to_numpy()
    out = np.full(len(test), float(model.glob_mean_))
    both = old_user & old_item
    later_item = old_user & ~old_item
    later_user = ~old_user & old_item
    if both.any():
        out[both] = model.predict(user[both], item[both])
    if later_item.any() and of_item.shape[1]:
        out[later_item] = model.predict_new(user[later_item], I=of_item.loc[item[later_item]].to_numpy())
    elif later_item.any():
        out[later_item] += model.user_bias_[positions_in(model.user_mapping_, user[later_item])]
    mine = {} if shown is None else dict(list(shown[shown.item.isin(model.item_mapping_)].groupby("user")))
    n = test.n.to_numpy() if "n" in test else np.full(len(test), np.inf)
    for (one, first), where in pd.Series(np.flatnonzero(later_user)).groupby([
        user[later_user], n[later_user]
    ]):
        seen = mine[one][:int(min(first, len(mine[one])))] if one in mine else None
        out[where] = of_newcomer(
            model, item[where], seen, {"U": of_user.loc[one].to_numpy()} if of_user.shape[1] else {}
        )
    return out


def renamed(ratings):
    names = {"user": "UserId", "item": "ItemId", "rating": "Rating"}
    return ratings.rename(columns=names)[list(names.values())]


def known(args):
    """cmfrec for people and items with and without ratings, in a process of its own. A job has `params`,
    `train`, `test` (parquet: user, item, rating), `threads`, `predictions`, and perhaps `features` (item and
    a column per feature), `people` (the same of users) and `shown` (like train: what people without training
    ratings have rated; each test row's person the first `n` of them, a column of `test`)."""
    from cmfrec import CMF
    job = json.loads(args.job.read_text())
    train, test = (pd.read_parquet(job[part]) for part in ("train", "test"))
    more = {part: pd.read_parquet(job[part]) for part in ("features", "people", "shown") if part in job}
    model = CMF(verbose=False, nthreads=job["threads"], random_state=0, **job["params"])
    predictions = all_pairs(model, train, test, **more)
    np.save(job["predictions"], np.clip(predictions, train.rating.min(), train.rating.max()))
    print(json.dumps({"cmfrec": len(predictions)}))


# Settings of the peers


SMALL = 150_000  # rows; SVD++ of Surprise runs up to here


def log_scaled(t, **bounds):
    "Settings on a log scale, each between its two bounds; a whole number if the bounds are."
    return {name: (t.suggest_int if isinstance(low, int) else t.suggest_float)(name, low, high, log=True)
            for name, (low, high) in bounds.items()}


def cmfrec_space(t):
    "cmfrec regularises in one of two ways: a penalty per row, or one per rating."
    per_rating = t.suggest_categorical("scale_lam", [False, True])
    name, low, high = ("lambda_per_rating", 0.01, 0.5) if per_rating else ("lambda_", 1, 60)
    return {"k": t.suggest_int("k", 8, 100, log=True), "niter": t.suggest_int("niter", 5, 30),
            "use_cg": t.suggest_categorical("use_cg", [True, False]), "scale_lam": per_rating,
            "lambda_": t.suggest_float(name, low, high, log=True)}


def cmfrec_implicit_space(t):
    return {"add_implicit_features": True, **log_scaled(t, w_implicit=(0.05, 5.0)), **cmfrec_space(t)}


def lenskit_space(t):
    return {**log_scaled(t, embedding_size=(8, 128)), "epochs": t.suggest_int("epochs", 5, 30),
            **log_scaled(t, regularization=(0.005, 0.5), damping=(1.0, 30.0))}


def svd_space(t):
    return log_scaled(t, n_factors=(5, 200), n_epochs=(10, 80), lr_all=(0.002, 0.02), reg_all=(0.01, 0.2))


def svdpp_space(t):
    return {**log_scaled(t, n_factors=(5, 50), n_epochs=(10, 40), lr_all=(0.003, 0.02), reg_all=(0.01, 0.2)),
            "cache_ratings": True}


def knn_space(t):
    return {"k": t.suggest_int("k", 10, 100), "min_k": t.suggest_int("min_k", 1, 10),
            **log_scaled(t, shrinkage=(5.0, 300.0)),
            "similarity": t.suggest_categorical("similarity", ["pearson_baseline", "msd"])}


def myfm_space(t):
    return {
        "rank": t.suggest_int("rank", 4, 32),
        "user_implicit": t.suggest_categorical("user_implicit", [True, False]),
        "item_implicit": t.suggest_categorical("item_implicit", [True, False]),
        "n_iter": 50,
    }


SPACES = {
    "lenskit BiasedMF": lenskit_space, "cmfrec": cmfrec_space, "cmfrec implicit": cmfrec_implicit_space,
    "surprise SVD": svd_space, "surprise item-kNN": knn_space, "myfm": myfm_space,
    "surprise SVD++": svdpp_space
}
CMFREC = {"k": 40, "niter": 10, "use_cg": True, "scale_lam": False, "lambda_": 10.0}
DEFAULTS = {
    "lenskit BiasedMF": {"embedding_size": 50, "epochs": 10, "regularization": 0.1, "damping": 5.0},
    "cmfrec": CMFREC,
    "cmfrec implicit": {**CMFREC, "w_implicit": 0.5},
    "surprise SVD": {"n_factors": 100, "n_epochs": 20, "lr_all": 0.005, "reg_all": 0.02},
    "surprise item-kNN": {"k": 40, "min_k": 1, "shrinkage": 100.0, "similarity": "pearson_baseline"},
    "myfm": {"rank": 10, "user_implicit": True, "item_implicit": True},
    "surprise SVD++": {"n_factors": 20, "n_epochs": 20, "lr_all": 0.007, "reg_all": 0.02},
}


def validation_rows(train, cell):
    "Which training rows to hold out for the trials."
    if cell.endswith("-time"):
        return (train.timestamp > train.timestamp.quantile(0.9)).to_numpy()
    return np.random.default_rng(1).random(len(train)) < 0.1


def objective(model, train, held_out):
    "RMSE on the validation rows of one trial's settings, clipped and filled as in the final run."
    low, high = train.rating.min(), train.rating.max()
    part, check = train[~held_out].reset_index(drop=True), train[held_out].reset_index(drop=True)
    fallback = damped_biases(part)(check)

    def run(trial):
        params = SPACES[model](trial)
        trial.set_user_attr("params", params)
        predictions = np.asarray(
            MODELS[model](part[["user", "item", "rating"]], params, 1)(check), dtype=np.float64
        )
        predictions = np.where(np.isfinite(predictions), predictions, fallback).clip(low, high)
        return float(np.sqrt(np.mean((check.rating.to_numpy() - predictions) ** 2)))
    return run


def tune(model, cell, train, seconds, n_trials, earlier):
    """The best settings found, with the number of trials and what they gained over the defaults;
    `earlier` is an earlier call's answer."""
    before = earlier["trials"] if earlier else 0
    import optuna
    # a later call draws other settings
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=before, n_startup_trials=6))

    def finished():
        return [t for t in study.trials if t.value is not None]

    if not earlier:
        study.enqueue_trial(DEFAULTS[model])
    run, start = objective(model, train, validation_rows(train, cell)), time.process_time()
    while (done := before + len(finished())) < n_trials and (
        done < 3 or time.process_time() - start < seconds
    ):
        study.optimize(run, n_trials=1)
    values = finished()
    if not values:
        return earlier
    found = {
        "params": study.best_trial.user_attrs["params"],
        "trials": before + len(values),
        "validation_rmse": round(study.best_value, 5),
        "default_rmse": round(values[0].value, 5),
        "seconds_a_trial": round(float(np.mean([t.duration.total_seconds() for t in values])), 2),
    }
    if not earlier:
        return found
    kept = (
        ("params", "validation_rmse", "default_rmse")
        if earlier["validation_rmse"] <= found["validation_rmse"]
        else ("default_rmse",)
    )
    return found | {key: earlier[key] for key in kept}


def tune_peers(args):
    """Settings of the peers: Optuna trials on validation rows cut from the training rows. Reads
    FOLDER/SET-SPLIT-train.parquet. Validation rows are a tenth at random for the mask, the last tenth in time
    for the time split. The first trial is the library's defaults. Trials stop at --trials or, once three are
    done, after --seconds of processor time; a later call adds what is missing and keeps the better settings.
    To be run with OMP_NUM_THREADS=1."""
    import optuna
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    paths = args.folder.glob("*-train.parquet")
    for cell in args.cells or sorted(path.name.removesuffix("-train.parquet") for path in paths):
        train = pd.read_parquet(args.folder / f"{cell}-train.parquet")
        for model in args.models or SPACES:
            if model == "surprise SVD++" and len(train) > SMALL:
                continue
            found = json.loads(args.out.read_text()) if args.out.exists() else {}
            earlier = found.get(cell, {}).get(model)
            found.setdefault(cell, {})[model] = tune(model, cell, train, args.seconds, args.trials, earlier)
            args.out.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
            print(cell, model, found[cell][model], flush=True)


# What the study of content compares with


def portions(items):
    "What is known of the items, in four portions."
    return {
        "none": None, "genres": mfrec.item_features(items, decades=False),
        "decades": mfrec.item_features(items, genres=False), "both": mfrec.item_features(items)
    }


def some_people(ratings, share):
    "The ratings of a random share of the people."
    return ratings if share == 1 else mfrec.split_users(ratings, share, seed=0).test


def people_just_met(ratings, counts):
    """A tenth of the people is held out: training rows, all but the first of their rows in random order to
    test on, and by count the first to show."""
    train, held = mfrec.split_users(ratings, 0.1, seed=0)
    held = held[held.item.isin(train.item)].sample(frac=1, random_state=0)
    place = held.groupby("user").cumcount()
    test = held[place >= max(counts)]
    return train, test, {n: held[(place < n) & held.user.isin(test.user)] for n in counts}


def as_matrix(table, ids):
    "Features of the ids of an encoder, in its order; zero where there are none."
    return table.rows(ids.classes_)[0].astype(np.float64)


def as_frame(table, id_col="item"):
    "A feature table as a frame with a column per feature."
    return pd.DataFrame(table.values, columns=table.schema.names).assign(**{id_col: table.ids.classes_})


def content_biases(data, features, biases):
    "Items' biases as scikit-learn's ridge regression has them from the features, weighted by ratings."
    return Ridge(alpha=100.0).fit(features, biases, sample_weight=data.item_counts).predict(features)


def plain_slopes(data, features, expected, mean):
    """Slopes and bias of each user, with a fixed ridge, of what `data` has beyond `mean` + what is `expected`
    of the item; returns predictions for (users, items)."""
    left, order = data.ratings - mean - expected[data.items], np.argsort(data.users, kind="stable")
    ends = np.cumsum(data.user_counts)
    slopes, bias = np.zeros((data.n_users, features.shape[1])), np.zeros(data.n_users)
    for user in np.flatnonzero(data.user_counts):
        rows = order[ends[user] - data.user_counts[user]:ends[user]]
        # the intercept is penalized less
        x = np.column_stack([features[data.items[rows]], np.full(len(rows), 3.0)])
        found = np.linalg.solve(x.T @ x + 30.0 * np.eye(x.shape[1]), x.T @ left[rows])
        slopes[user], bias[user] = found[:-1], 3.0 * found[-1]
    return lambda users, items: (
        mean + expected[items] + bias[users] + (features[items] * slopes[users]).sum(1)
    )


def plain_regression(data, features, biases, mean):
    """The baseline from scikit-learn: what features say of the items, then what each user makes of them;
    returns predictions for (users, items)."""
    return plain_slopes(data, features, content_biases(data, features, biases), mean)


def without_slopes(model, train, test):
    """Predictions from what features mean to everybody, and how far each user's ratings lie above that,
    damped by three ratings."""
    general = model.user.preferences.mean + model.item.features.values @ model.item.features.slopes
    users, left = model.user.ids.lookup(train.user), train.rating - general[model.item.ids.lookup(train.item)]
    biases = np.bincount(users, weights=left) / (np.bincount(users) + 3)
    return general[model.item.ids.lookup(test.item)] + biases[model.user.ids.lookup(test.user)]


def known_to_cmfrec(name, train, test, split="mask", **extra):
    """Predictions of cmfrec from a process of its own, with the settings that were found for this kind of
    split; `extra` are the other parts of a job of `known`."""
    params = json.loads((HERE / "peers_params.json").read_text())[f"{name}-{split}"]["cmfrec"]["params"]
    # its exact solver takes minutes a fold there
    params |= {"use_cg": True} if name == "goodbooks-10k" else {}
    return in_a_process("known", PEERS, {"params": params}, train=train, test=test, **extra)[0]


# Errors, seconds and memory by which a change of the code is judged


# scales that are not of stars
TAILS = {
    "hours": np.exp,
    "six in ten 5": lambda z: 1.0 + np.searchsorted(ndtri([0.05, 0.1, 0.2, 0.4]), z),
    "nine in ten 5": lambda z: 1.0 + np.searchsorted(ndtri([0.02, 0.03, 0.05, 0.1]), z),
    "thumbs 19:1": lambda z: (z > ndtri(0.05)) * 1.0,
}
PLANTED = ("thumbs 19:1", "hours")


def planted(
    scale, n_rows=100_000, n_users=2_000, n_items=2_000, n_factors=6, noise=0.62, seed=0, with_score=False
):
    "Made ratings whose scale is not one of stars; if asked for, with scores without noise and the generator."
    rng = np.random.default_rng(seed)

    def some(size, spread):
        weights = np.exp(spread * rng.standard_normal(size))
        return rng.choice(size, 2 * n_rows, p=weights / weights.sum())

    users, items = np.divmod(
        rng.permutation(np.unique(some(n_users, 1.0) * n_items + some(n_items, 1.5)))[:n_rows], n_items
    )
    p, q = rng.standard_normal((n_users, n_factors)), rng.standard_normal((n_items, n_factors))
    biases = 0.4 * rng.standard_normal(n_users)[users] + 0.5 * rng.standard_normal(n_items)[items]
    tastes = (0.2 / n_factors) ** 0.5 * (p[users] * q[items]).sum(1)
    rating = scale(biases + (tastes + noise * rng.standard_normal(len(users))))
    frame = pd.DataFrame({"userId": users, "movieId": items, "rating": rating})
    return (frame, biases + tastes, rng) if with_score else frame


def error_situations():
    "Each as (kind, set, function that makes its training rows, shown rows, test rows and items)."

    def alone(split):
        return split[0], None, split[1], None

    for name in MASKS:
        yield "mask", name, lambda name=name: alone(mfrec.split_mask(read(name)))
    for name in DATED:
        yield "time", name, lambda name=name: alone(mfrec.split_time(read(name), 0.1))
    for name in DATED:
        yield "cold items", name, lambda name=name: (*cold(read(name)), mfrec.read_items(name))
    for name in DATED:
        yield "five ratings", name, lambda name=name: (*met(read(name)), None)
    for name in PLANTED:
        yield "planted", name, lambda name=name: alone(mfrec.split_mask(planted(TAILS[name])))
        yield "planted five", name, lambda name=name: (*met(planted(TAILS[name])), None)


def cold(ratings):
    train, test = mfrec.split_cold_items(ratings, 0.1, seed=0)
    return train, None, test


def met(ratings, n=5):
    "A tenth of the people apart: `n` ratings of each to fold in, the others to predict."
    train, apart = mfrec.split_users(ratings, 0.1, seed=0)
    order = apart.sample(frac=1, random_state=0).groupby(apart.columns[0]).cumcount().reindex(apart.index)
    return train, apart[order < n], apart[order >= n]


def facts(model, test):
    "RMSE, mean std and a digest of what is predicted."
    frame = model.predict_frame(test)
    bits = np.concatenate([frame[c].to_numpy() for c in ("prediction", "std") if c in frame])
    facts = {
        "rmse": mfrec.rmse(test.iloc[:, 2], frame.prediction),
        "digest": hashlib.sha256(bits.tobytes()).hexdigest()[:12],
    }
    return facts | ({"std": float(frame["std"].mean())} if "std" in frame else {})


def errors(args):
    """Errors of every solver in every situation, real and planted, with seeds where a solver draws. A digest
    of all predictions tells whether two versions of the code agree in every bit."""
    found = []
    for kind, name, make in error_situations():
        if args.kinds and kind not in args.kinds or args.sets and name not in args.sets:
            continue
        train, shown, test, items = make()
        for label in args.solvers or SOLVERS:
            for seed in range(1 if label == "bias" else args.seeds):
                start = time.perf_counter()
                model = solver(label, **({} if label == "bias" else {"seed": seed})).fit(train, items=items)
                took = round(time.perf_counter() - start, 2)
                model = model if shown is None else model.fold_in(shown)
                row = {"kind": kind, "set": name, "solver": label, "seed": seed}
                found.append(row | facts(model, test) | {"seconds": took})
                print(json.dumps(found[-1]), flush=True)
        args.out.write_text(lines(found))


def one_fit(args):
    """Seconds of a fit, of folding in a tenth of the people, of one user's predictions; peak memory in MB.
    For a process of its own."""
    ratings = read(args.set)
    user, item = ratings.columns[:2]
    start = time.perf_counter()
    model = solver(args.solver).fit(ratings)
    took, peak = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    some = ratings[ratings[user].isin(ratings[user].unique()[::10])]
    one = pd.DataFrame({user: ratings[user].iloc[0], item: ratings[item].unique()})
    fold_in = min(seconds(lambda: model.fold_in(some)) for _ in range(5))
    predict = min(seconds(lambda: model.predict_frame(one)) for _ in range(5))
    row = {"solver": args.solver, "set": args.set, "fit": took, "fold_in": fold_in}
    print(json.dumps(row | {"one user": predict, "peak_mb": peak}))


def speed(args, n_runs=3):
    "Seconds and peak memory of each solver: the least of several processes."
    found = []
    for name, label in itertools.product(("ml-latest-small", "ml-1m"), SOLVERS):
        command = [sys.executable, __file__, "one-fit", label, name]
        runs = [json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
                for _ in range(n_runs)]
        figures = ("fit", "fold_in", "one user", "peak_mb")
        found.append(runs[0] | {key: round(min(run[key] for run in runs), 4) for key in figures})
        print(json.dumps(found[-1]), flush=True)
    args.out.write_text(lines(found))


def seconds(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


# Heavy tails


RIDGES = {"learned": {}} | {f"{reg}": {"reg": float(reg)} for reg in (12, 20, 40)}
RIDGES |= {f"{reg}+{per}n": {"reg": float(reg), "reg_per_rating": per} for reg, per in
           ((1, 0.1), (1, 0.3), (1, 1.0), (5, 0.1), (5, 0.3), (10, 0.1), (20, 0.1))}
SHAPES = ((5_000, 300, 100), (20_000, 1_000, 800), (100_000, 2_000, 2_000))  # ratings, users, items
SMALL_TAILS = [(shape, scale, seed) for shape in SHAPES for scale in TAILS for seed in range(2)]
LARGE_TAILS = [((2_000_000, 30_000, 5_000), scale, 0) for scale in ("nine in ten 5", "hours")]


def tail(shape, scale, seed):
    "Per cent above the biases of each ridge on one made set."
    frame, _, rng = planted(TAILS[scale], *shape, seed=seed, with_score=True)
    held = rng.random(len(frame)) < 0.1
    train, test = frame[~held], frame[held]
    bias = mfrec.BiasModel().fit(train).score(test)
    above = {
        name: round(100 * (mfrec.ALSMF(**ridge).fit(train).score(test) / bias - 1), 2)
        for name, ridge in RIDGES.items()
    }
    return {
        "n": shape[0], "scale": scale, "seed": seed, "kurtosis": round(float(kurtosis(train.rating)), 1)
    } | above


def heavy_tails(args):
    """Which ridge stands in for learned priors where ratings have heavy tails: per cent of RMSE above the
    biases, with learned priors (the rule by kurtosis switched off) and with fixed ridges, plain and
    growing."""
    als.HEAVY_TAILS = np.inf
    args.out.write_text(lines([tail(*job) for job in SMALL_TAILS + LARGE_TAILS]))


# Doors and lists


COMMAND = ["-c", "from mfrec.doors.command import main; main()"]
DOORS = {
    "python": ["-c", "pass"],
    "import torch": ["-c", "import torch"],
    "import mfrec": ["-c", "import mfrec"],
    "mfrec --help": [*COMMAND, "--help"],
    "mfrec fit --help": [*COMMAND, "fit", "--help"],
    "mfrec --version": [*COMMAND, "--version"],
    "a typing error": [*COMMAND, "fitt"],
}


def startup(args):
    "How long the doors take to open, beside `import torch`: each a process, the least of five in turn."

    def opened(arguments):
        return seconds(lambda: subprocess.run([sys.executable, *arguments], capture_output=True))

    rounds = [{name: opened(arguments) for name, arguments in DOORS.items()} for _ in range(5)]
    least = {name: min(taken[name] for taken in rounds) for name in DOORS}
    table = {name: {"seconds": round(value, 3), "of import torch": round(value / least["import torch"], 3)}
             for name, value in least.items()}
    args.out.write_text(json.dumps(table, indent=1) + "\n")


IMPLICIT = """
import sys, time, numpy as np
from scipy import sparse
from implicit.cpu.als import AlternatingLeastSquares
d = np.load(sys.argv[1])
lists = sparse.csr_matrix((np.ones(len(d["items"]), np.float32), d["items"], d["starts"]), tuple(d["shape"]))
model = AlternatingLeastSquares(factors=d["vectors"].shape[1], num_threads=0)
model.item_factors, model.user_factors = d["vectors"], d["users"]
n, start = len(d["users"]), time.perf_counter()
for at in range(0, n, 1024):
    some = np.arange(at, min(at + 1024, n))
    model.recommend(some, lists[some], N=10, filter_already_liked_items=True)
print(time.perf_counter() - start)
"""


def lists(args):
    """How long lists for everybody take, beside implicit's, at equal rank and in one run. Ratings are made;
    both leave out what people have rated and use all cores. implicit ranks by a product of factors that are
    given to it, since only the time of `recommend` is asked for."""
    made = mfrec.sample_ratings(args.ratings, seed=0)
    model = mfrec.ALSMF(seed=0).fit(made).with_interest().model_
    vectors, rated = model.item.interest.vectors, model.ratings
    users = np.random.default_rng(0).standard_normal((len(model.user), vectors.shape[1])).astype(np.float32)
    shape, rows = (len(model.user), len(model.item)), []
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder) / "given.npz"
        np.savez(given, vectors=vectors, users=users, items=rated.items, starts=rated.starts, shape=shape)
        for _ in range(args.rounds):
            command = [args.peer, "-c", IMPLICIT, given]
            peer = subprocess.run(command, capture_output=True, text=True, check=True)
            row = {"users": shape[0], "items": shape[1], "rank": vectors.shape[1]}
            row |= {"implicit": float(peer.stdout)}
            row |= {order: seconds(lambda: model.recommend(order=order)) for order in ("interest", "score")}
            row |= {f"{order} ratio": row[order] / row["implicit"] for order in ("interest", "score")}
            rows.append(row)
            print(json.dumps(rows[-1]), flush=True)
    args.out.write_text(lines(rows))


# Who would choose what


CUTS = (0.5, 0.6, 0.7, 0.8, 0.9)  # of ml-latest-small, whose last tenth has 25 users
EASE_RIDGES = tuple(12.5 * 2.0**i for i in range(12))
HALF_LIVES = (7, 30, 90, 365)  # of recent popularity, in days
GAINS = 1 / np.log2(np.arange(2, 12))
BLOCK = 512


@dataclass
class Situation:
    """Training rows by position; users (positions) with relevant test items; place of the user among them and
    item (-1: not in training) of each such item; from how many stars on an item is liked."""
    table: Interactions
    timely: bool
    users: np.ndarray
    rows: np.ndarray
    items: np.ndarray
    liked: float
    threshold: float

    def ndcg(self, score):
        "NDCG@10 of each user, by a function of users (positions) that gives scores (m, n_items)."
        n_relevant = np.bincount(self.rows, minlength=len(self.users))
        found = np.zeros(len(self.users))
        for start in range(0, len(self.users), BLOCK):
            users = self.users[start:start + BLOCK]
            scores = np.array(score(users), np.float32)
            scores[lists_of(self.table, users).nonzero()] = -np.inf
            top = np.argsort(-scores, 1, kind="stable")[:, :10]
            mine = (self.rows >= start) & (self.rows < start + len(users)) & (self.items >= 0)
            relevant = np.zeros(scores.shape, bool)
            relevant[self.rows[mine] - start, self.items[mine]] = True
            found[start:start + len(users)] = np.take_along_axis(relevant, top, 1) @ GAINS
        return found / np.cumsum(GAINS)[np.minimum(n_relevant, 10) - 1]


def situation(train, test, timely):
    "That of two frames."
    cols = find_columns(train)
    users, items = IdEncoder().fit(train[cols.user]), IdEncoder().fit(train[cols.item])
    times = train[cols.time].to_numpy(np.float64) if timely else None
    table = replace(Interactions.from_frame(train, cols, users, items), times=times).in_order()
    levels = np.unique(train[cols.rating])
    liked = 8 if levels[-1] > 5 else 4
    test = test[test[cols.rating] >= liked]
    at, picked = users.lookup(test[cols.user]), items.lookup(test[cols.item])
    asked = np.unique(at[at >= 0])
    rows, threshold = np.searchsorted(asked, at[at >= 0]), liked - np.diff(levels).min() / 2
    return Situation(table, timely, asked, rows, picked[at >= 0], liked, threshold)


def list_situations():
    "Each as (kind, set, function that makes train and test rows)."
    for name in MASKS:
        yield "mask", name, lambda name=name: mfrec.split_mask(read(name))
    for name in DATED[1:]:
        yield "time", name, lambda name=name: mfrec.split_time(read(name), 0.1)
    for cut in CUTS:
        yield f"time to {cut}", "ml-latest-small", lambda cut=cut: next_tenth(read("ml-latest-small"), cut)


def next_tenth(ratings, cut):
    "What came before the moment at which a share `cut` of the rows were there, and the tenth that came next."
    train, later = mfrec.split_time(ratings, 1 - cut)
    times = later[find_columns(later).time]
    return train, later[times <= np.sort(times)[min(len(ratings) // 10, len(later)) - 1]]


def walk(values, start, fit):
    "The value from which neither neighbour is better, and its fit, from that at `start`."
    fits = {}

    def at(i):
        if i not in fits:
            fits[i] = fit(values[i]) if 0 <= i < len(values) else -np.inf
        return fits[i]

    while max(at(start - 1), at(start + 1)) > at(start):
        start += 1 if at(start + 1) > at(start - 1) else -1
    return values[start], at(start)


def ease_weights(table, ridge):
    "EASE's weights (n_items, n_items), dense; by the inverse over users where these are fewer."
    lists = lists_of(table)
    few = table.n_users < table.n_items
    gram = torch.from_numpy((lists @ lists.T if few else lists.T @ lists).toarray().astype(np.float32))
    gram.diagonal().add_(ridge)
    weights = torch.cholesky_inverse(torch.linalg.cholesky(gram)).numpy()
    if few:
        weights = -(lists.T @ (lists.T @ weights).T)
        weights[np.diag_indices_from(weights)] += 1
    weights /= -np.diag(weights).copy()
    np.fill_diagonal(weights, 0)
    return weights


def recent_counts(table, half_life):
    age = (table.times.max() - table.times) / 86_400
    return np.bincount(table.items, 0.5 ** (age / half_life), table.n_items).astype(np.float32)


def liking(model, threshold, users, n_items):
    "P(stars at least the threshold) of users (positions) and all items, by a model fitted on positions."
    mean, std = model.scores(users, std=True, clip=False)
    known = ndtr((mean - threshold) / std)
    out = np.full((len(users), n_items), known.mean(), np.float32)
    out[:, model.model_.item.ids.classes_] = known
    return out


def frame_of(table):
    return pd.DataFrame({"userId": table.users, "movieId": table.items, "rating": table.ratings})


def inside(here, shown, hidden, n_users=2000, seed=0):
    "The situation of training rows, a part of which is hidden, for some of the users."
    liked = hidden.take((hidden.ratings >= here.liked) & (shown.user_counts[hidden.users] > 0))
    some = np.sort(np.random.default_rng(seed).permutation(np.unique(liked.users))[:n_users])
    liked = liked.take(np.isin(liked.users, some))
    return replace(here, table=shown, users=some, rows=np.searchsorted(some, liked.users), items=liked.items)


def popularity(here, shown, hidden):
    return {}, lambda users: np.tile(here.table.item_counts, (len(users), 1))


def recent_popularity(here, shown, hidden):
    inner = inside(here, shown, hidden)

    def fit(table, half_life):
        counts = recent_counts(table, half_life)
        return lambda users: np.tile(counts, (len(users), 1))

    half_life = max(HALF_LIVES, key=lambda days: inner.ndcg(fit(shown, days)).mean())
    return {"half_life": half_life}, fit(here.table, half_life)


def ease(here, shown, hidden, kept=lambda table: table):
    "EASE by some of the rows; seen items of all rows are left out of the lists all the same."
    inner = inside(here, shown, hidden)

    def fit(table, ridge):
        weights = ease_weights(kept(table), ridge)
        return lambda users: lists_of(kept(table), users) @ weights

    ridge, _ = walk(EASE_RIDGES, 5, lambda ridge: inner.ndcg(fit(shown, ridge)).mean())
    return {"ridge": ridge}, fit(here.table, ridge)


def ease_of_liked(here, shown, hidden):
    return ease(here, shown, hidden, lambda table: table.take(table.ratings >= here.liked))


BASELINES = {"popularity": popularity, "recent popularity": recent_popularity, "EASE": ease,
             "EASE of liked": ease_of_liked}


def draws_of(choices, n=10, seed=0):
    "Settings drawn at random from lists of values, none twice."
    grid = [dict(zip(choices, values)) for values in itertools.product(*choices.values())]
    return [grid[i] for i in np.random.default_rng(seed).permutation(len(grid))[:n]]


def peer(fit, choices):
    "A baseline: of ten draws of settings, those with the best NDCG@10 of liked hidden rows."
    def baseline(here, shown, hidden):
        inner = inside(here, shown, hidden)
        trials = draws_of(choices)
        found = [inner.ndcg(fit(shown, **settings)).mean() for settings in trials]
        best = trials[int(np.argmax(found))]
        return best, fit(here.table, **best)

    return baseline


def implicit_als(table, alpha, **settings):
    from implicit.als import AlternatingLeastSquares
    model = AlternatingLeastSquares(alpha=alpha, random_state=0, **settings)
    model.fit(lists_of(table), show_progress=False)
    return lambda users: model.user_factors[users] @ model.item_factors.T


def item_knn(table, kind, K):
    from implicit import nearest_neighbours
    model = getattr(nearest_neighbours, kind + "Recommender")(K=K)
    lists = lists_of(table)
    model.fit(lists.astype(np.float64), show_progress=False)
    return lambda users: (lists[users] @ model.similarity).toarray()


def implicit_bpr(table, **settings):
    from implicit.bpr import BayesianPersonalizedRanking
    model = BayesianPersonalizedRanking(iterations=200, random_state=0, num_threads=1, **settings)
    model.fit(lists_of(table), show_progress=False)
    return lambda users: model.user_factors[users] @ model.item_factors.T


LIST_PEERS = {
    "implicit ALS": peer(implicit_als, {"factors": (32, 64, 128, 256), "regularization": (0.1, 1, 10, 100),
                                        "alpha": (1, 3, 10)}),
    "BPR": peer(implicit_bpr, {"factors": (32, 64, 128), "learning_rate": (0.01, 0.03, 0.1),
                               "regularization": (0.001, 0.01, 0.1)}),
    "item-kNN": peer(item_knn, {"kind": ("Cosine", "TFIDF", "BM25"), "K": (20, 50, 100, 200, 500)}),
}


def log_chances(interest, table, workers):
    "The function that has logs of the chances of users (positions) to pick each item."
    return lambda users: np.log(np.maximum(interest.chances(lists_of(table, users), workers=workers), 1e-30))


def ablations(here, ridge, label, workers):
    "Interest without neighbours, and the scores of EASE times the chance to like: (method, settings, score)."
    table = here.table
    with patch.object(choosing, "NEAR_RIDGES", choosing.NEAR_RIDGES[-1:]):
        alone = choosing.learn_interest(table, here.timely, workers=workers)
    yield "vectors alone", alone.about, log_chances(alone, table, workers)
    weights, stars = ease_weights(table, ridge), solver(label, seed=0).fit(frame_of(table))

    def log_both(users):
        likes = np.maximum(liking(stars, here.threshold, users, table.n_items), 1e-6)
        return np.log(np.maximum(lists_of(table, users) @ weights, 1e-6)) + np.log(likes)

    yield "EASE x P", {"ridge": ridge}, log_both


def with_stars(here, shown, hidden, interest, label, workers):
    "Interest alone and times the chance to like, and stars alone: (method, settings, score)."
    table, n_items = here.table, here.table.n_items
    log_chance = log_chances(interest, table, workers)
    yield "interest", interest.about, log_chance
    picks = choosing.some_picks(shown, hidden.take(hidden.ratings >= here.liked), 1000)
    settings = choosing.Settings(**{name: interest.about[name] for name in choosing.Settings._fields})
    choice = choosing.Choice(**{name: interest.about[name] for name in choosing.Choice._fields})
    early = choosing.interest_at(choosing.Decomposed(shown, workers=workers), settings, choice)
    early = early.chances(picks.lists, workers=workers)
    stars = solver(label, seed=0).fit(frame_of(shown))
    h = choosing.liking_power(early, liking(stars, here.threshold, picks.users, n_items), picks)
    stars = solver(label, seed=0).fit(frame_of(table))

    def log_likes(users):
        return np.log(np.maximum(liking(stars, here.threshold, users, n_items), 1e-6))

    yield "stars", {}, log_likes
    yield "interest x P", {"h": 1}, lambda users: log_chance(users) + log_likes(users)
    yield "interest x P^h", {"h": h}, lambda users: log_chance(users) + h * log_likes(users)


def interval(differences, seed=0):
    "95 % interval of the mean over users, by 2,000 resamples of them."
    n = len(differences)
    draws = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), 2000) @ differences / n
    return np.quantile(draws, [0.025, 0.975]).round(4).tolist()


def name_of(row):
    return row["kind"], row["set"], row["method"], row.get("solver")


def plain(settings):
    "Settings as json has them; what is infinite is not there."
    def rounded(value):
        return value if isinstance(value, str) else round(float(value), 6)

    return {name: rounded(value) for name, value in settings.items()
            if isinstance(value, str) or np.isfinite(value)}


def baselines_of(timely, peers):
    "Functions that choose settings by hidden rows and make scores, by name."
    names = BASELINES if timely else ("popularity", "EASE")
    return {name: BASELINES[name] for name in names} | (LIST_PEERS if peers else {})


def study(kind, name, make, args, known):
    "One row for each method; a baseline of the `known` rows is not made again. Values of each user are kept."
    train, test = make()
    timely = kind.startswith("time")
    here, row = situation(train, test, timely), {"kind": kind, "set": name}

    def judged(method, settings, score, more):
        found = here.ndcg(score)
        new = row | {"method": method} | more
        np.save(values_at(args.out, new), found)
        return new | {"users": len(found), "ndcg": round(float(found.mean()), 4), "settings": plain(settings)}

    with Workers(args.n_jobs) as workers:
        shown, hidden = choosing.hide(here.table, timely)
        for method, make_baseline in baselines_of(timely, args.peers).items():
            if name_of(row | {"method": method}) not in known:
                settings, score = make_baseline(here, shown, hidden)
                yield judged(method, settings, score, {})
        if args.ablations:
            ridge = known[name_of(row | {"method": "EASE"})]["settings"]["ridge"]
            for method, settings, score in ablations(here, ridge, args.solver, workers):
                yield judged(method, settings, score, {})
        if args.solver == "none" or args.ablations:
            return
        start = time.process_time()
        interest = choosing.learn_interest(here.table, timely, workers=workers)
        seconds = {"cpu_seconds": round(time.process_time() - start, 1)}
        for method, settings, score in with_stars(here, shown, hidden, interest, args.solver, workers):
            more = seconds if method == "interest" else {"solver": args.solver}
            yield judged(method, settings, score, more)


def values_at(out, row):
    "The file of a row's values of each user."
    return out.with_suffix("") / (" ".join(filter(None, name_of(row))) + ".npy")


def pooled(rows, out):
    "A row for each method that all cut dates have: their users together."
    cuts = [f"time to {cut}" for cut in CUTS]
    for method in dict.fromkeys((row["method"], row.get("solver")) for row in rows if row["kind"] in cuts):
        parts = [row for row in rows if row["kind"] in cuts and (row["method"], row.get("solver")) == method]
        if len(parts) == len(cuts):
            new = {name: parts[0][name] for name in ("set", "method", "solver") if name in parts[0]}
            new = {"kind": "time, five cuts"} | new
            found = np.concatenate([np.load(values_at(out, row)) for row in parts])
            np.save(values_at(out, new), found)
            yield new | {"users": len(found), "ndcg": round(float(found.mean()), 4)}


def compared(row, rows, out):
    "The row with intervals of how far it is above each baseline."
    if not row["method"].startswith("interest"):
        return row
    beside = [other for other in rows if (other["kind"], other["set"]) == (row["kind"], row["set"])
              and other["method"] in BASELINES | LIST_PEERS]
    found = np.load(values_at(out, row))
    above = {other["method"]: interval(found - np.load(values_at(out, other))) for other in beside}
    return row | {"above": above}


def interest(args):
    """Who would choose what: NDCG@10 of interest, with and without the stars, beside popularity and EASE. The
    whole catalogue is ranked and what a user has rated in training left out. Relevant are test items with at
    least 4 stars (8 of 10), and the mean is over users who have such an item and training rows. All settings
    come from hidden training rows. Values of each user are kept in a folder beside OUT; a set that is there
    is not made again, but for the solver asked for. With --ablations only parts of interest are judged."""
    args.out.with_suffix("").mkdir(exist_ok=True)
    found = json.loads(args.out.read_text()) if args.out.exists() else []
    found = {name_of(row): row for row in found}
    for kind, name, make in list_situations():
        if args.sets and f"{kind}:{name}" not in args.sets:
            continue
        for row in study(kind, name, make, args, found):
            print(json.dumps(row), flush=True)
            found[name_of(row)] = row
        if kind.startswith("time to"):
            found |= {name_of(row): row for row in pooled(list(found.values()), args.out)}
        rows = list(found.values())
        for row in rows:
            if row["kind"] in (kind, "time, five cuts") and row["set"] == name:
                found[name_of(row)] = compared(row, rows, args.out)
        args.out.write_text(lines(found.values()))


# Tables of the studies: each function measures one and is run by `measure`

STUDIED = ("ml-latest-small", "ml-100k", "movietweetings", "ml-1m", "goodbooks-10k")
TABLES = {}


def table(study, name):
    "Makes a function, of the names of sets, the one that measures this table."
    def put(make):
        TABLES[study, name] = make
        return make

    return put


def record(study, name, frame):
    "Puts a frame among the tables of a study's json, one row a line."
    path = HERE / f"{study}.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    columns = [": ".join(column) if isinstance(column, tuple) else column for column in frame.columns]
    flat = json.loads(frame.reset_index().to_json(orient="values", double_precision=5))
    found[name] = {"index": list(frame.index.names), "columns": columns, "rows": flat}
    parts = []
    for key, one in found.items():
        head = f'"index": {json.dumps(one["index"])},\n  "columns": {json.dumps(one["columns"])}'
        parts.append(f' "{key}": {{\n  {head},\n  "rows": {lines(one["rows"]).strip()}\n }}')
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def measure(args):
    """Measure tables of a study (2_defaults, for one) again, all or those named, and keep them in its json.
    With --sets they are measured on some of the sets only, and printed."""
    for (study, name), make in TABLES.items():
        if study == args.study and (not args.tables or name in args.tables):
            frame = make(tuple(args.sets or STUDIED))
            print(frame.to_string(), flush=True)
            if not args.sets:
                record(study, name, frame)


@functools.cache
def masked(name):
    return mfrec.split_mask(read(name))


@functools.cache
def inner(name):
    "Rows to fit on and validation rows, of the training rows of the mask."
    return mfrec.split_mask(masked(name)[0], seed=1)


def judged(solvers, names, parts=inner, index="setting"):
    "RMSE of solvers, by label, on the test rows of each set."
    def error(one, train, test):
        return -clone(one).fit(train).score(test)

    found = {name: {label: error(one, *parts(name)) for label, one in solvers.items()} for name in names}
    return pd.DataFrame(found).rename_axis(index)


def als_of(settings, **common):
    return {label: mfrec.ALSMF(**common | given) for label, given in settings.items()}


# Study 1


@functools.cache
def starting_sets():
    "Training and test rows by the notebook's shuffle, of the sample and of MovieLens 1M, and all ratings."
    sets = {"sample": mfrec.sample_ratings(2_000_000, seed=0), "ML-1M": mfrec.read_ratings("ml-1m")}
    return {name: (*mfrec.split_random(ratings, 0.2, seed=42), ratings) for name, ratings in sets.items()}


@functools.cache
def starting_recipe(name):
    "The notebook's recipe on one set: the figures it prints, and the seconds it takes."
    train, test, ratings = starting_sets()[name]
    cols, cpu = find_columns(train), torch.device("cpu")
    generator = generator_of(0)
    # the notebook encodes before it splits
    ids = IdEncoder().fit(ratings.userId), IdEncoder().fit(ratings.movieId)
    data, test = (Interactions.from_frame(rows, cols, *ids) for rows in (train, test))
    mean = data.ratings.mean()
    model = adam.MatrixFactorization(*map(len, ids), n_factors=20, global_bias=mean, generator=generator)
    with torch.no_grad():
        on_cpu = on_device(data, cpu)
        predicted = model(on_cpu.users, on_cpu.items, generator)
        initial = float(torch.nn.functional.mse_loss(predicted, on_cpu.ratings))
    history = adam.train(model, data, Passes(), epochs=100, lr=0.01, generator=generator)
    of_train, of_test = (adam.module_rmse(model, on_device(rows, cpu)) for rows in (data, test))
    figures = {"parameters": sum(p.numel() for p in model.parameters()), "initial loss": initial}
    figures |= {f"epoch {epoch}": history.loss[epoch] for epoch in (0, 20, 40, 60, 80)}
    figures |= {"train loss": of_train**2, "test loss": of_test**2, "test RMSE": of_test}
    return figures, history.seconds.iloc[-1]


@table("1_starting_notebook", "recipe")
def recipes(names):
    "Beside the figures that the notebook printed."
    quoted = results("1_starting_notebook.json")["recipe"].quoted
    made = {name: starting_recipe(name)[0] for name in starting_sets()}
    return pd.DataFrame({"quoted": quoted} | made).rename_axis("figure").round(4)


@table("1_starting_notebook", "outcome")
def outcome(names):
    "Test RMSE, not clipped as in the notebook and clipped as by default, and seconds of training."
    rows = {}
    for name, (train, test, _) in starting_sets().items():
        figures, took = starting_recipe(name)
        rows[name, "notebook's recipe"] = {"RMSE": figures["test RMSE"], "seconds": took}
        for label, one in (("BiasModel", mfrec.BiasModel()), ("AdamMF", mfrec.AdamMF(seed=0))):
            took = seconds(lambda: one.fit(train))
            plain = mfrec.rmse(test.rating, one.predict_frame(test, clip=False).prediction)
            rows[name, label] = {"RMSE": plain, "RMSE, clipped": -one.score(test), "seconds": took}
    found = pd.DataFrame(rows).T.rename_axis(["data", "model"])[["RMSE", "RMSE, clipped", "seconds"]]
    return found.round({"RMSE": 4, "RMSE, clipped": 4, "seconds": 1})


# Study 2

QUICK = {"4 sweeps": {"n_taste": 0}, "8 sweeps": {"n_taste": 0, "n_sweeps": 8}}
QUICK |= {f"4 sweeps, {n} taste features": {"n_taste": n} for n in (8, 16, 32)}
DRAWS = [("goodbooks-10k", 5_000), ("movietweetings", 5_000), ("ml-1m", 5_000), ("ml-100k", 5_000),
         ("ml-latest-small", 5_000), ("goodbooks-10k", 20_000), ("movietweetings", 20_000), ("ml-1m", 20_000),
         ("ml-latest-small", 20_000), ("goodbooks-10k", 80_000), ("movietweetings", 60_000)]


@table("2_defaults", "ridges")
def ridges(names):
    tried = {f"ridge {reg}": {"reg": float(reg)} for reg in (4, 8, 12, 16, 24)}
    growing = ((3, 0.06), (3, 0.1), (10, 0.02), (10, 0.04))
    tried |= {f"ridge {reg} and {per} per rating": {"reg": float(reg), "reg_per_rating": per}
              for reg, per in growing}
    tried |= {"learned": {"n_taste": 0}, "learned, 64 taste features": {}}
    return judged(als_of(tried, n_factors=14), names)


@table("2_defaults", "damping")
def taste_damping(names):
    found = {}
    for share in (0.0, 0.1, 0.3, 1.0, 3.0):
        some = {"ALSMF": mfrec.ALSMF()}
        some |= {"BayesianMF": mfrec.BayesianMF()} if share in (0.0, 0.3, 1.0) else {}
        with patch.object(taste, "TASTE_DAMPING", share):
            found[share] = judged(some, names, index="solver")
    return pd.concat(found, names=["share"]).swaplevel().sort_index()


@table("2_defaults", "factors")
def numbers_of_factors(names):
    return judged(als_of({f"{k} factors": {"n_factors": k} for k in (6, 14, 22, 30)}), names)


@table("2_defaults", "taste")
def numbers_of_taste_features(names):
    return judged(als_of({f"{n} taste features": {"n_taste": n} for n in (0, 16, 64, 128)}), names)


@table("2_defaults", "sweeps")
def numbers_of_sweeps(names):
    counts = (2, 4, 6, 8, 10, 12, 16, 24, 32)
    return judged(als_of({f"{n} sweeps": {"n_sweeps": n} for n in counts}), names)


@table("2_defaults", "plain_sweeps")
def sweeps_without_going_on(names):
    "Items do not go on by a share of their last step."
    with patch.object(als, "AHEAD", 0.0):
        return judged(als_of({f"{n} plain sweeps": {"n_sweeps": n} for n in (8, 10, 12, 16)}), names)


@table("2_defaults", "quick")
def quick_presets(names):
    return judged(als_of(QUICK, n_factors=14, n_sweeps=4), names)


@table("2_defaults", "quick_seconds")
def quick_seconds(names):
    "The best of three turns."
    presets = als_of(QUICK, n_factors=14, n_sweeps=4)
    sets = [name for name in names if len(read(name)) > 500_000]
    turns = [{(label, name): seconds(lambda: one.fit(inner(name)[0])) for label, one in presets.items()
              for name in sets} for _ in range(3)]
    return pd.DataFrame(turns).min().unstack()[sets].loc[list(QUICK)].rename_axis("setting").round(2)


NEIGHBOURS = {  # of items in interest: how many, how often an item must have been chosen, grid of their ridge
    "none": (30, 3, ()), "30, ridges 80 to 1,280 by 4": (30, 3, (80, 320, 1280)),
    "30, ridges 40 to 640 by 4": (30, 3, (40, 160, 640)),
    "30, ridges 20 to 1,280 by 2": (30, 3, (20, 40, 80, 160, 320, 640, 1280)),
    "15": (15, 3, (80, 320, 1280)), "60": (60, 3, (80, 320, 1280)),
    "30, of items chosen once": (30, 1, (80, 320, 1280)),
    "30, of items chosen six times": (30, 6, (80, 320, 1280)),
}


def interest_inside(name):
    "NDCG@10 of liked validation rows by interest alone, and the log-likelihood of a pick hidden to learn it."
    here = situation(*inner(name), False)
    with Workers(-1) as workers:
        learned = choosing.learn_interest(here.table, False, workers=workers)
        return here.ndcg(log_chances(learned, here.table, workers)).mean(), learned.about["fit"]


@table("2_defaults", "neighbours")
def numbers_of_neighbours(names):
    "NDCG@10 alone."
    found = {}
    for label, (count, least, ridges) in NEIGHBOURS.items():
        grid = (*map(float, ridges), np.inf)
        start = choosing.START[:2] + (grid.index(320.0) if 320 in grid else len(grid) // 3,) + (0,)
        with (patch.multiple(choosing, NEAR_RIDGES=grid, START=start),
              patch.object(interest_module, "CHOSEN", least),
              patch.object(choosing, "crowd_of", functools.partial(choosing.crowd_of, n_near=count))):
            found[label] = {name: interest_inside(name)[0] for name in names}
    return pd.DataFrame(found).T.rename_axis("setting")


@table("2_defaults", "count_powers")
def powers_of_counts(names):
    found = {}
    for power in (0.0, 0.25, 0.5):
        with patch.object(choosing, "COUNT_POWER", power):
            for name in names:
                found[name, "NDCG@10", power], found[name, "log-likelihood", power] = interest_inside(name)
    return pd.Series(found).unstack(0)[[*names]].rename_axis(["measure", "power"])


@table("2_defaults", "mask")
def defaults_on_the_mask(names):
    solvers = {"biases": mfrec.BiasModel(), "quick": mfrec.ALSMF.quick(),
               "no taste features": mfrec.ALSMF(n_taste=0), "default": mfrec.ALSMF()}
    return judged(solvers, names, masked)


def few(solvers, names):
    """Per cent of RMSE above the biases on a few drawn training rows, judged by 20,000 others; the mean of
    three draws."""
    rows = []
    for (name, n), seed in itertools.product(DRAWS, range(3)):
        if name in names:
            train = masked(name)[0].sample(n, random_state=seed)
            rest = masked(name)[0].drop(train.index)
            test = rest.sample(min(20_000, len(rest)), random_state=seed)
            bias = -mfrec.BiasModel().fit(train).score(test)
            row = {"data": name, "ratings": n, "a user": n / train.iloc[:, 0].nunique()}
            row |= {"an item": n / train.iloc[:, 1].nunique(), "BiasModel": bias}
            rows.append(row | {label: 100 * (-clone(one).fit(train).score(test) / bias - 1)
                               for label, one in solvers.items()})
    mean = pd.DataFrame(rows).groupby(["data", "ratings"], sort=False).mean().sort_values("a user")
    return mean.round({"a user": 1, "an item": 1, "BiasModel": 4} | dict.fromkeys(solvers, 2))


@table("2_defaults", "few_factors")
def factors_of_few_ratings(names):
    solvers = {f"ALSMF, {k}": mfrec.ALSMF(n_factors=k) for k in (2, 4, 8, 14)}
    return few(solvers | {f"BayesianMF, {k}": mfrec.BayesianMF(n_factors=k) for k in (4, 14)}, names)


@table("2_defaults", "few_defaults")
def defaults_of_few_ratings(names):
    solvers = {"ALSMF()": mfrec.ALSMF(), "BayesianMF()": mfrec.BayesianMF(), "AdamMF()": mfrec.AdamMF()}
    return few(solvers, names)


# Study 3


def watched(name, **settings):
    "History of a chain with the validation rows watched (those whose user and item have ratings)."
    train, held = inner(name)
    return mfrec.BayesianMF(**settings).fit(train, validation=held).history_.validation_rmse


@table("3_sampler", "likelihood")
def likelihoods(names):
    found = {name: {kind: watched(name, likelihood=kind).iloc[-1] for kind in ("numbers", "levels")}
             for name in names}
    return pd.DataFrame(found).rename_axis("likelihood")


def starting_at_random(users, items, *args, **kwargs):
    "In the place of sweeps of ALS: items at random."
    items.vectors = 0.1 * torch.randn(items.vectors.shape, generator=torch.Generator().manual_seed(0))
    return als.Sweeps(users, items, 1.25)


@table("3_sampler", "starts")
def starts(names):
    "Running means without burn-in, from six sweeps of ALS, its first guess, and items at random."
    found, usual = {}, (bayes.START_SWEEPS, bayes.run_sweeps)
    runs = {"ALS": usual, "first guess": (0, usual[1]), "random": (0, starting_at_random)}
    for label, (sweeps, run) in runs.items():
        with patch.multiple(bayes, START_SWEEPS=sweeps, run_sweeps=run):
            found |= {(name, label): watched(name, burn_in=0, n_samples=40, likelihood="levels")
                      for name in names if name in ("ml-latest-small", "ml-100k", "ml-1m")}
    return pd.DataFrame(found).sort_index(axis=1, level=0, sort_remaining=False).loc[[1, 2, 5, 10, 20, 40]]


@table("3_sampler", "leaning")
def leaning(names):
    found, burn = {}, mfrec.BayesianMF().burn_in
    for label, relax in (("plain", 0.0), ("over-relaxed", bayes.RELAX)):
        with patch.object(bayes, "RELAX", relax):
            found |= {(name, label): watched(name, likelihood="levels")
                      for name in names if name in ("ml-latest-small", "ml-100k", "ml-1m")}
    found = pd.DataFrame(found).loc[[burn + n for n in (4, 16, 32, 64)]]
    return found.set_axis(pd.Index([4, 16, 32, 64], name="kept sweeps"))


@table("3_sampler", "sizes")
def sizes(names):
    varied = {"default": {}} | {f"{k} factors": {"n_factors": k} for k in (8, 14, 30, 46)}
    varied |= {"no taste features": {"n_taste": 0}, "128 taste features": {"n_taste": 128}}
    varied |= {"256 taste features": {"n_taste": 256}, "128 samples": {"n_samples": 128}}
    return judged({label: mfrec.BayesianMF(**given) for label, given in varied.items()}, names)


@table("3_sampler", "small")
def small_data(names):
    "Validation errors after so many sweeps, five seeds, on few rows."
    rows, burn = {}, mfrec.BayesianMF().burn_in
    for name, n in itertools.product(("ml-latest-small", "ml-100k"), (5_000, 30_000)):
        if name in names:
            train = inner(name)[0].sample(n, random_state=7)
            fits = [mfrec.BayesianMF(n_samples=240, seed=seed).fit(train, validation=inner(name)[1])
                    for seed in range(5)]
            curves = pd.concat([one.history_.validation_rmse for one in fits], axis=1)
            means = curves.mean(axis=1)
            rows[name, n] = {f"{k} sweeps": means.loc[burn + k] for k in (20, 50, 100, 240)}
            rows[name, n]["seeds, sd"] = curves.loc[burn + 50].std()
            rows[name, n]["240 less best"] = means.iloc[-1] - means.iloc[burn:].min()
    return pd.DataFrame(rows).T.rename_axis(["data", "ratings"])


@table("3_sampler", "mask")
def sampler_on_the_mask(names):
    "Errors, and how many hidden ratings the intervals hold."
    rows = {}
    for name in names:
        train, test = masked(name)
        model = mfrec.BayesianMF(seed=0).fit(train)
        pit = pit_values(model, test)
        rows[name] = {"BiasModel": -mfrec.BiasModel().fit(train).score(test)}
        rows[name] |= {"ALSMF": -mfrec.ALSMF().fit(train).score(test), "BayesianMF": -model.score(test)}
        rows[name] |= {f"{level:.0%} inside": coverage(pit, level) for level in (0.5, 0.8, 0.9)}
        at = np.searchsorted(model.model_.link.levels, test.iloc[:, 2])
        chance = np.take_along_axis(model.predict_proba(test), at[:, None], 1)
        rows[name]["log score"] = np.log(chance.clip(1e-12)).mean()
    return pd.DataFrame(rows).T.rename_axis("data")


# Study 7


@functools.cache
def fitted_apart(names):
    """Fitted solvers and test rows by set, kind of row held out and solver: training rows of the mask, split
    again."""
    solvers = {"BiasModel": mfrec.BiasModel(), "ALSMF": mfrec.ALSMF()}
    solvers |= {"BayesianMF": mfrec.BayesianMF(n_samples=32)}
    found = {}
    for name in names:
        rows = mfrec.split_mask(read_plain(name))[0]
        kinds = {"rows": mfrec.split_random(rows, 0.1, seed=1)}
        kinds |= {"people": mfrec.split_users(rows, 0.1, seed=1)}
        kinds |= {"films": mfrec.split_cold_items(rows, 0.1, seed=1)}
        if "timestamp" in rows and rows.timestamp.nunique() > 1:
            kinds["later"] = mfrec.split_time(rows, 0.2)
        found |= {(name, kind, label): (clone(one).fit(train), test)
                  for kind, (train, test) in kinds.items() for label, one in solvers.items()
                  if label != "BayesianMF" or len(train) < 500_000}
    return found


@table("7_edges", "strangers")
def strangers(names):
    "RMSE of mean, biases and products only, and the change in thousandths."
    rows = {}
    for key, (model, test) in fitted_apart(names).items():
        plain = -without_alone(model.model_).score(test)
        rows[key] = {"without": round(plain, 4), "change": round(1_000 * (-model.score(test) - plain), 1)}
    found = pd.DataFrame(rows).T.rename_axis(["data", "held out", "solver"])
    found = found.unstack("solver").swaplevel(axis=1)
    return found.sort_index(axis=1, level=0, sort_remaining=False).loc[list(names)]


@table("7_edges", "strangers_damping")
def strangers_damping(names):
    "`ALSMF` with mean and bias worth so many ratings, where people or films are unknown."
    def error(damping, name, kind):
        model, test = fitted_apart(names)[name, kind, "ALSMF"]
        return -learn_alone(model.model_, model.model_.ratings.table(), damping).score(test)

    found = {(kind, name): {damping: error(damping, name, kind) for damping in (5.0, 10.0, 20.0, 40.0, 80.0)}
             for kind in ("people", "films") for name in names}
    return pd.DataFrame(found).T.rename_axis(["held out", "data"])


@table("7_edges", "strangers_fade")
def strangers_fade(names):
    "`ALSMF`, half of it left after so many ratings of the other one."
    found = {}
    for kind, name in itertools.product(("rows", "later"), names):
        model, test = fitted_apart(names).get((name, kind, "ALSMF"), (None, None))
        for fade in (0.01, 1.0, 2.0, 5.0, 10.0) if model else ():
            with patch.object(predict, "FADE", fade):
                found.setdefault((kind, name), {})[fade] = -model.score(test)
    return pd.DataFrame(found).T.rename_axis(["held out", "data"])


SCALES = {"-10 to 10": lambda z: np.clip(4 * z, -10, 10),
          "1 to 100": lambda z: np.clip(np.round(60 + 15 * z), 1, 100),
          "hours": TAILS["hours"],
          "1 to 5, six in ten 5": TAILS["six in ten 5"], "1 to 5, nine in ten 5": TAILS["nine in ten 5"],
          "0 or 1, even": lambda z: (z > 0) * 1.0, "0 or 1, four in five 1": lambda z: (z > ndtri(0.2)) * 1.0,
          "0 or 1, 19 in 20 1": TAILS["thumbs 19:1"]}


def on_scales(jobs, solvers):
    "Per cent of RMSE above the biases on made ratings, and how many the 80 % intervals of `BayesianMF` hold."
    rows = []
    for *shape, scale in jobs:
        frame, score, rng = planted(SCALES[scale], *shape, with_score=True)
        expected = sum(SCALES[scale](score + 0.62 * rng.standard_normal(len(score))) for _ in range(20)) / 20
        held = rng.random(len(frame)) < 0.1
        train, test = frame[~held], frame[held]
        bias = -mfrec.BiasModel().fit(train).score(test)
        fits = {label: make().fit(train) for label, make in solvers.items()}
        row = {"ratings": len(frame), "items": train.movieId.nunique(), "scale": scale}
        row |= {"kurtosis": kurtosis(train.rating), "BiasModel": bias}
        best = mfrec.rmse(test.rating, expected[held])
        row |= {"planted": round(100 * (best / bias - 1), 1)}
        row |= {label: 100 * (-fit.score(test) / bias - 1) for label, fit in fits.items()}
        rows.append(row | {"inside": coverage(pit_values(fits["BayesianMF"], test), 0.8)})
    digits = {"kurtosis": 1, "BiasModel": 4, "inside": 3} | dict.fromkeys(solvers, 2)
    return pd.DataFrame(rows).set_index(["ratings", "items", "scale"]).round(digits)


@table("7_edges", "scales")
def scales(names):
    jobs = [(*shape, scale) for shape in SHAPES for scale in SCALES]
    solvers = {"ALSMF": mfrec.ALSMF, "ALSMF.quick": mfrec.ALSMF.quick, "AdamMF": mfrec.AdamMF}
    return on_scales(jobs, solvers | {"BayesianMF": mfrec.BayesianMF})


@table("7_edges", "large")
def large_scales(names):
    jobs = [(2_000_000, 30_000, n_items, scale) for n_items in (5_000, 300_000)
            for scale in ("1 to 100", "1 to 5, nine in ten 5")]
    return on_scales(jobs, {"ALSMF": mfrec.ALSMF, "BayesianMF": mfrec.BayesianMF})


def updated():
    "Solvers by label, training rows in the order of time, test rows, and where the first half ends."
    solvers = {"BiasModel": mfrec.BiasModel(), "ALSMF": mfrec.ALSMF(), "ALSMF(reg=12)": mfrec.ALSMF(reg=12.0),
               "AdamMF": mfrec.AdamMF(), "BayesianMF": mfrec.BayesianMF()}
    train, test = mfrec.split_random(read("ml-1m-timed"), 0.1, seed=0)
    return solvers, train.sort_values("timestamp", kind="stable"), test, len(train) // 2


def error_on_known(model, test, seen):
    "RMSE on the test rows whose user and item are among the rows seen."
    return -model.score(test[test.userId.isin(seen.userId) & test.movieId.isin(seen.movieId)])


@functools.cache
def drifted():
    "ML-1M in the order of time: RMSE of models that are only updated and of full fits, by per cent added."
    solvers, train, test, half = updated()
    rows, ends = [], half + np.arange(101) * half // 100
    for label, one in solvers.items():
        model = clone(one).fit(train[:half])
        for percent in range(1, 101):
            model.partial_fit(train[ends[percent - 1]:ends[percent]], refit_after=np.inf)
            if percent in (5, 10, 25, 50, 100):
                seen = train[:ends[percent]]
                whole = error_on_known(clone(one).fit(seen), test, seen)
                lost = error_on_known(model, test, seen) - whole
                rows.append({"solver": label, "added, %": percent, "lost": lost, "full fit": whole})
    return pd.DataFrame(rows)


@table("7_edges", "drift")
def drift(names):
    return drifted().pivot(index="added, %", columns="solver", values="lost")[list(updated()[0])].round(4)


@table("7_edges", "full_fits")
def full_fits(names):
    return drifted().pivot(index="added, %", columns="solver", values="full fit")[list(updated()[0])].round(4)


@table("7_edges", "by_rule")
def updates_by_rule(names):
    "What is lost at the end by the rule of `partial_fit`, and how many batches ended in a full fit."
    (solvers, train, test, half), rows = updated(), []
    for (label, one), n_batches in itertools.product(solvers.items(), (20, 100)):
        model, fits = clone(one).fit(train[:half]), 0
        for batch in np.array_split(np.arange(half, len(train)), n_batches):
            model.partial_fit(train.iloc[batch])
            fits += "n_added" not in model.model_.about
        lost = error_on_known(model, test, train) - error_on_known(clone(one).fit(train), test, train)
        rows.append({"solver": label, "batches": n_batches, "full fits": fits, "lost": round(lost, 4)})
    return pd.DataFrame(rows).set_index("solver")


# Study 8


def item_weights(left, ridge):
    "Ridge regression of each item's residuals on those of the others."
    inverse = np.linalg.inv((left.T @ left).toarray().astype(np.float64) + ridge * np.eye(left.shape[1]))
    weights = -inverse / inverse.diagonal()
    np.fill_diagonal(weights, 0)
    return weights.astype(np.float32)


def neighbours_of(name, ridges=(100, 300, 1_000, 3_000)):
    "Validation RMSE without neighbours and with those of the 6,000 most rated items, by ridge."
    train, cols = masked(name)[0], find_columns(read(name))
    held = np.random.default_rng(1).random(len(train)) < 0.1
    train, check = train[~held], train[held]
    fit = mfrec.BayesianMF().fit(train)
    model, predicted = fit.model_, fit.predict(check)
    kept = np.argsort(-model.item.n_ratings)[:6_000]
    place = np.full(len(model.item) + 1, -1)
    place[kept] = np.arange(len(kept))
    at = model.user.ids.lookup(train[cols.user]), model.item.ids.lookup(train[cols.item])
    left = (train[cols.rating].to_numpy() - fit.predict(train)).astype(np.float32)
    left = sparse.csr_matrix((left, at), shape=(len(model.user), len(model.item)))[:, kept]
    users, items = model.user.ids.lookup(check[cols.user]), place[model.item.ids.lookup(check[cols.item])]
    found = {"without": mfrec.rmse(check[cols.rating], predicted)}
    for ridge in ridges:
        more, weights = predicted.astype(np.float64), item_weights(left, ridge)
        for start in range(0, left.shape[0], 500):
            rows = np.flatnonzero((users >= start) & (users < start + 500) & (items >= 0))
            more[rows] += (left[start:start + 500] @ weights)[users[rows] - start, items[rows]]
        found[str(ridge)] = mfrec.rmse(check[cols.rating], more.clip(*model.scale))
    return found


@table("8_left_out", "neighbours")
def neighbours(names):
    sets = [name for name in ("ml-100k", "ml-latest-small", "ml-1m") if name in names]
    return pd.DataFrame({name: neighbours_of(name) for name in sets}).T.rename_axis("data").round(4)


@table("8_left_out", "slopes")
def slopes(names):
    """Validation RMSE without features, with them, and with slopes of each user; what these gain, with
    interval."""
    rows = []
    for name, seed in itertools.product(names, range(2)):
        items, cols = mfrec.read_items(name), find_columns(read(name))
        train, check = inner(name)
        check = check[check[cols.user].isin(train[cols.user]) & check[cols.item].isin(train[cols.item])]
        found = {}
        for label, given, own in (("no features", None, False), ("features", items, False),
                                  ("and slopes", items, True)):
            found[label] = mfrec.BayesianMF(user_slopes=own, seed=seed).fit(train, items=given).predict(check)
        errors = {label: mfrec.rmse(check[cols.rating], predicted) for label, predicted in found.items()}
        gain = mfrec.metrics.bootstrap_interval(
            check[cols.rating], found["and slopes"], check[cols.user], baseline=found["features"]
        )
        gain = {"difference": gain.estimate, "low": gain.low, "high": gain.high}
        rows.append({"data": name, "seed": seed} | errors | gain)
    return pd.DataFrame(rows).set_index(["data", "seed"]).round(4)


# Study 4

OURS = {"mfrec Bias": ("mfrec.BiasModel", {}), "mfrec Adam": ("mfrec.AdamMF", {}),
        "mfrec ALS quick": ("mfrec.ALSMF.quick", {}), "mfrec ALS": ("mfrec.ALSMF", {}),
        "mfrec ALS 30": ("mfrec.ALSMF", {"n_sweeps": 30}),
        "mfrec Bayes 16": ("mfrec.BayesianMF", {"n_samples": 16}), "mfrec Bayes": ("mfrec.BayesianMF", {}),
        "mfrec Bayes 256": ("mfrec.BayesianMF", {"n_samples": 256})}


@functools.cache
def peer_splits(names):
    "Training and test rows by set and kind of split."
    found = {}
    for name in dict.fromkeys((*names, "ml-1m-timed")) if names == STUDIED else names:
        ratings = read_plain(name)
        found[f"{name}-mask"] = mfrec.split_mask(ratings)
        if "timestamp" in ratings:
            found[f"{name}-time"] = mfrec.split_time(ratings, 0.2)
    return found


def entries(split):
    "What runs on one split: {label: (model of `fit`, parameters)}."
    found = json.loads((HERE / "peers_params.json").read_text()).get(split, {})
    theirs = {peer.replace("surprise", "Surprise").replace("lenskit", "LensKit"): (peer, one["params"])
              for peer, one in found.items() if peer != "myfm"}
    if "myfm" in found:
        theirs |= {f"myFM {n}": ("myfm", found["myfm"]["params"] | {"n_iter": n}) for n in (50, 300)}
    return OURS | theirs


@functools.cache
def peer_runs(names):
    """A row for each split and entry: errors, seconds, memory and the predictions. One after the other, two
    threads."""
    rows = []
    for split, (train, test) in peer_splits(names).items():
        for label, (model, params) in entries(split).items():
            python, job = sys.executable if label in OURS else PEERS, {"model": model, "params": params}
            predicted, figures = in_a_process("fit", python, job, threads=2, train=train, test=test)
            row = {"split": split, "entry": label, "RMSE": mfrec.rmse(test.rating, predicted)}
            row |= {"RMSE per user": mfrec.rmse(test.rating, predicted, users=test.user)}
            row |= {"MAE": mfrec.mae(test.rating, predicted), "fit, s": figures["seconds_fit"]}
            row |= {"predict, s": figures["seconds_predict"], "peak, MB": figures["peak_mb"]}
            rows.append(row | {"predictions": predicted})
    return pd.DataFrame(rows)


@table("4_peers", "results")
def peer_results(names):
    digits = {"RMSE": 4, "RMSE per user": 4, "MAE": 4, "fit, s": 2, "predict, s": 2, "peak, MB": 0}
    found = peer_runs(names).drop(columns="predictions").set_index(["split", "entry"]).round(digits)
    return found.sort_values("RMSE").loc[list(peer_splits(names))]


def duels(names, entry=None):
    "Our best entry, or a given one, against the peers' best on each split, with an interval over users."
    rows = {}
    for split, (_, test) in peer_splits(names).items():
        here = peer_runs(names).query("split == @split").sort_values("RMSE")
        mine = here.entry.isin(OURS)
        ours, peer = here[mine if entry is None else here.entry == entry].iloc[0], here[~mine].iloc[0]
        away = mfrec.metrics.bootstrap_interval(
            test.rating, ours.predictions, test.user, baseline=peer.predictions
        )
        rows[split] = {"mfrec": ours.entry, "peer": peer.entry}
        rows[split] |= {"RMSE, mfrec": ours.RMSE, "RMSE, peer": peer.RMSE}
        rows[split] |= {"difference": away.estimate, "low": away.low, "high": away.high}
        rows[split] |= {"times faster": peer["fit, s"] / ours["fit, s"]}
    return pd.DataFrame(rows).T.rename_axis("split")


@table("4_peers", "best")
def best_of_each_camp(names):
    return duels(names)


@table("4_peers", "as_it_comes")
def sampler_as_it_comes(names):
    return duels(names, "mfrec Bayes")


@table("4_peers", "targets")
def targets(names):
    """MovieLens 1M, all threads, nothing else on the machine: medians of three rounds taken in turns, myFM of
    one."""
    implicit = {"k": 50, "add_implicit_features": True}
    contenders = {
        "ALSMF.quick()": ("mfrec.ALSMF.quick", {}), "ALSMF()": ("mfrec.ALSMF", {}),
        "LensKit BiasedMF, k=32": ("lenskit BiasedMF", {"embedding_size": 32}),
        "cmfrec, k=50, implicit features": ("cmfrec", implicit),
        "cmfrec, the same, lambda 20": ("cmfrec", implicit | {"lambda_": 20}),
        "BayesianMF()": ("mfrec.BayesianMF", {}),
        "myFM, rank 10, 200 iterations": ("myfm", {"rank": 10, "n_iter": 200}),
    }
    train, test = mfrec.split_mask(read_plain("ml-1m"))
    rows = []
    for turn, (label, (model, params)) in itertools.product(range(3), contenders.items()):
        if turn == 0 or model != "myfm":
            python = sys.executable if model.startswith("mfrec") else PEERS
            job = {"model": model, "params": params}
            predicted, figures = in_a_process("fit", python, job, train=train, test=test)
            rows.append({"solver": label, "RMSE": mfrec.rmse(test.rating, predicted)} | figures)
    found = pd.DataFrame(rows).groupby("solver", sort=False).median()
    return found[["RMSE", "seconds_fit", "seconds_predict", "peak_mb"]].round(4)


# Study 5


def in_threads(function, repeats, n):
    "Seconds a call takes, n threads calling side by side; the best of five rounds."
    with Workers(n) as workers:
        def calls(_):
            return [function() for _ in range(repeats)]

        rounds = [seconds(lambda: list(workers.map(calls, range(n)))) for _ in range(5)]
    return min(rounds) / repeats / n


def product_rate(width, n, rows=64):
    "Multiplications and additions per second of Grams of a cache-sized block."
    block = torch.rand(rows, 3 * 2**18 // width // rows, width)
    return 2 * block.numel() * width / in_threads(lambda: torch.bmm(block.mT, block), 20, n)


def copy_rate(n):
    "Bytes per second that go to and from memory."
    source, target = torch.rand(2**25), torch.empty(2**25)
    return 2 * 4 * 2**25 / in_threads(lambda: target.copy_(source), 1, n)


def limit(data, k, n):
    "Seconds below which this machine cannot do a sweep (both sides) over the ratings."
    width = padded_width(k)
    operations = 4 * len(data) * width**2 + (data.n_users + data.n_items) * (k + 2) ** 3 / 3
    return operations / product_rate(width, n) + 2 * len(data) * (8 + 2 * 4 * width) / copy_rate(n)


def swept(data, k, n, rounds=2):
    "Seconds of a full sweep and of building the buckets, the best of some rounds, with the limit."
    centered = data.standardized((float(data.ratings.mean()), 1.0))
    prior = Prior(10 * torch.eye(k + 1))
    taken, building = [], []
    with Workers(n) as workers:
        for _ in range(rounds):
            start = time.perf_counter()
            by_user, by_item = group_both(centered, k, workers=workers)
            building.append(time.perf_counter() - start)
        vectors = 0.1 * torch.randn(by_item.n_rows, k + 1)
        for _ in range(rounds):
            start = time.perf_counter()
            half = solve_rows(by_user, Known(gather_table(vectors), prior), workers=workers).vectors
            vectors = solve_rows(by_item, Known(gather_table(half), prior), workers=workers).vectors
            taken.append(time.perf_counter() - start)
    least = limit(data, k, n)
    return {"sweep, s": min(taken), "limit, s": least, "building, s": min(building),
            "sweep / limit": min(taken) / least}


def sampled(n_ratings):
    ratings = mfrec.sample_ratings(32_000_000, seed=0).iloc[:n_ratings, :3]
    ids = IdEncoder().fit(ratings.userId), IdEncoder().fit(ratings.movieId)
    return Interactions.from_frame(ratings, find_columns(ratings), *ids)


@table("5_speed", "sweep")
def sweep_of_32_million(names):
    return pd.DataFrame({"k = 20": swept(sampled(None), 20, n_threads(-1), 3)}).rename_axis("figure").round(3)


@table("5_speed", "factors")
def what_a_factor_costs(names):
    data = sampled(3_200_000)
    found = {k: swept(data, k, n_threads(-1)) for k in (8, 14, 22, 30, 46, 62, 94, 126, 190, 254)}
    return pd.DataFrame(found).T.rename_axis("k").round(2)


@table("5_speed", "beside")
def beside_peers(names):
    """32 million ratings, 20 factors, ten sweeps, all threads: seconds from frame to fitted model, the better
    of two turns; a sweep is what eight more cost. Regularization is each library's best on validation
    ratings."""
    growing = [{"reg": 10.0, "reg_per_rating": x} for x in (0.02, 0.03, 0.05)]
    contenders = {
        "mfrec ALSMF, fixed ridge": ("mfrec.ALSMF", {"n_factors": 20}, "n_sweeps", [{"reg": 90.0}, *growing]),
        "mfrec ALSMF, learned priors": ("mfrec.ALSMF", {"n_factors": 20, "n_taste": 0}, "n_sweeps", [{}]),
        "LensKit BiasedMF": ("lenskit BiasedMF", {"embedding_size": 20}, "epochs",
                             [{"regularization": x} for x in (0.03, 0.05, 0.1)]),
        "cmfrec": ("cmfrec", {"k": 20}, "niter",
                   [{"lambda_": 80.0}, *({"lambda_": x, "scale_lam": True} for x in (0.03, 0.05, 0.08))]),
    }
    ratings = mfrec.sample_ratings(32_000_000, seed=0).iloc[:, :3]
    ratings = ratings.set_axis(["user", "item", "rating"], axis=1)
    parts = np.zeros(len(ratings), np.int8)
    parts[np.random.default_rng(0).permutation(len(ratings))[:200_000]] = np.repeat((1, 2), 100_000)
    whole = {"train": ratings[parts != 1], "test": ratings[parts == 1]}
    choice = {"train": ratings[parts == 0], "test": ratings[parts == 2]}

    def fitted(label, n, more, rows):
        model, params, sweeps, _ = contenders[label]
        python = sys.executable if model.startswith("mfrec") else PEERS
        job = {"model": model, "params": params | {sweeps: n} | more}
        predicted, figures = in_a_process("fit", python, job, **rows)
        return figures | {"rmse": mfrec.rmse(rows["test"].rating, predicted)}

    found = {}
    for label, (*_, tries) in contenders.items():
        best = min(tries, key=lambda more: fitted(label, 10, more, choice)["rmse"]) if tries[1:] else tries[0]
        tens, twos = ([fitted(label, n, best, whole) for _ in range(2)] for n in (10, 2))
        ten, two = (min(one["seconds_fit"] for one in fits) for fits in (tens, twos))
        found[label] = {"frame to fitted, s": ten, "a sweep, s": (ten - two) / 8}
        found[label] |= {"peak, GB": max(one["peak_mb"] for one in tens) / 1024, "test RMSE": tens[0]["rmse"]}
    return pd.DataFrame(found).T.rename_axis("library")


def on_devices(solvers, train, test, devices=("cuda", "cpu")):
    "RMSE and seconds from frame to fitted model on each device, and the peak of a GPU's memory."
    rows = {}
    for label, make in solvers.items():
        rows[label] = {}
        for device in devices:
            torch.cuda.reset_peak_memory_stats()
            one = make().set_params(device=device)
            took = seconds(lambda: one.fit(train))
            rows[label] |= {f"RMSE, {device}": -one.score(test), f"{device}, s": took}
            if device == "cuda":
                rows[label]["GPU memory, MB"] = torch.cuda.max_memory_allocated() / 1e6
    return pd.DataFrame(rows).T.rename_axis("solver").round(4)


@table("5_speed", "gpu")
def one_million_on_a_gpu(names):
    solvers = {"ALSMF.quick()": mfrec.ALSMF.quick, "ALSMF()": mfrec.ALSMF, "BayesianMF()": mfrec.BayesianMF,
               "AdamMF()": mfrec.AdamMF}
    train, test = masked("ml-1m")
    on_devices(solvers, train[train.userId < 500], test, ("cuda",))  # loads what a first fit loads
    return on_devices(solvers, train, test)


@table("5_speed", "gpu_large")
def thirty_two_million_on_a_gpu(names):
    big = mfrec.sample_ratings(32_000_000, seed=0)[["userId", "movieId", "rating"]]
    held = np.random.default_rng(0).random(len(big)) < 0.02
    ridge = "ALSMF(n_factors=20, reg=30, n_sweeps=10)"
    solvers = {ridge: lambda: mfrec.ALSMF(n_factors=20, reg=30.0, n_sweeps=10), "ALSMF()": mfrec.ALSMF}
    return on_devices(solvers, big[~held], big[held])


READING = r"""
import json, re, sys, time
import pandas, mfrec
mfrec.read_ratings  # loads it
path, reader = sys.argv[1:]
def used():  # of this program alone
    return int(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1]) / 1024
before, start = used(), time.perf_counter()
frame = mfrec.read_ratings(path) if reader == "mfrec" else pandas.read_csv(path)
seconds, peak = time.perf_counter() - start, used() - before
size = frame.memory_usage().sum() / 2**20
print(json.dumps({"seconds": seconds, "peak MB": peak, "frame MB": size, "rows": len(frame)}))
"""


@table("5_speed", "reading")
def reading(names):
    "Five million rows of csv, each reading in a process of its own; medians of three."
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/five.csv"
        mfrec.sample_ratings(5_000_000).to_csv(path, index=False)
        for _, reader in itertools.product(range(3), ("mfrec", "pandas")):
            command = [sys.executable, "-c", READING, path, reader]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            rows.append({"reader": reader} | json.loads(done.stdout))
    return pd.DataFrame(rows).groupby("reader").median().round(2)


@table("5_speed", "encoding")
def encoding(names):
    "Five million ids in shuffled order, beside scikit-learn; the fastest of three."
    rows, rng = mfrec.sample_ratings(5_000_000).sample(frac=1, random_state=0), np.random.default_rng(0)
    wide = rng.integers(0, 2**60, 200_000)[rng.integers(0, 200_000, len(rows))]
    found = {}
    for name, ids in {"user ids": rows.userId, "movie ids": rows.movieId, "60-bit ids": wide}.items():
        theirs, ours = (min(seconds(lambda: make().fit_transform(np.asarray(ids))) for _ in range(3))
                        for make in (LabelEncoder, IdEncoder))
        found[name] = {"LabelEncoder, s": theirs, "IdEncoder, s": ours, "times faster": theirs / ours}
    return pd.DataFrame(found).T.rename_axis("ids").round(3)


# Study 6

SHOWN = (0, 1, 5, 20)
PORTIONS = {"none": ("none", False), "genres": ("genres", False), "decades": ("decades", False),
            "both": ("both", False), "demographics": ("none", True), "both + demographics": ("both", True)}


def content_situations(name):
    """Yields training rows, and what is told from them: (situation, rows shown by people just met or None,
    test rows)."""
    ratings = read_plain(name)
    train, test = mfrec.split_mask(ratings)
    yield train, [("rated films", None, test[test.user.isin(train.user) & test.item.isin(train.item)])]
    # cmfrec takes minutes a fold on goodbooks
    some = some_people(ratings, 0.25 if name == "goodbooks-10k" else 1)
    for train, test in mfrec.k_folds(some, 10, seed=0, by="items"):
        train, test = some.iloc[train], some.iloc[test]
        yield train, [("unrated films", None, test[test.user.isin(train.user)])]
    train, test, shown = people_just_met(ratings, SHOWN)
    yield train, [(f"people after {n}", shown[n], test) for n in SHOWN]
    timed = read_plain("ml-1m-timed") if name == "ml-1m" else ratings
    if "timestamp" in timed:
        train, test = mfrec.split_time(timed, 0.2)
        yield train, [("next month", None, test)]


def of_als(name, train, parts):
    """Predictions of `ALSMF` by taste and portion for each situation, and for unrated films of what features
    mean to everybody."""
    items, users = read_known(name)
    tables, unrated = portions(items), parts[0][0] == "unrated films"
    for (label, n_taste), (portion, (which, with_users)) in itertools.product(
        (("taste", 64), ("no taste", 0)), PORTIONS.items()
    ):
        if with_users and (users is None or unrated) or unrated and not n_taste and portion != "none":
            continue  # there is no such thing, or it changes nothing
        told = users if with_users else None
        model = mfrec.ALSMF(n_taste=n_taste).fit(train, items=tables[which], users=told)
        for situation, shown, test in parts:
            if shown is not None and len(shown):
                theirs = None if told is None else told[told.user.isin(shown.user)]
                predicted = model.fold_in(shown, users=theirs).predict(test)
            else:
                predicted = model.predict(test)
            yield situation, (label, portion), predicted
            if unrated and portion == "both":
                yield situation, (label, "no slopes"), without_slopes(model.model_, train, test)


def of_baselines(name, train, parts):
    "Predictions from biases alone and by the plain regression, of people with what they have shown."
    both = mfrec.item_features(read_known(name)[0])
    for situation, shown, test in parts:
        seen = train if shown is None else pd.concat([train, shown])
        people, films = (IdEncoder().fit(pd.concat([seen[side], test[side]])) for side in ("user", "item"))
        data, known = (Interactions.from_frame(frame, find_columns(frame), people, films)
                       for frame in (seen, train))
        users, items = people.transform(test.user), films.transform(test.item)
        features = as_matrix(both, films)
        mean, of_users, of_items = rows_biases(data, 3, 3)
        typical = np.where(data.item_counts > 0, of_items, data.item_counts @ of_items / len(data))
        yield situation, ("biases", ""), mean + of_users[users] + typical[items]
        mean, _, of_items = rows_biases(known, 3, 3)
        expected = of_items, content_biases(known, features, of_items)
        rated, unrated = (plain_slopes(data, features, one, mean)(users, items) for one in expected)
        yield situation, ("plain regression", ""), np.where(known.item_counts[items] > 0, rated, unrated)


def of_cmfrec(name, train, parts):
    "Predictions of cmfrec for each situation, without features and with all that is known."
    situation, shown, _ = parts[-1]
    items, users = read_known(name)
    cols = ["user", "item", "rating"]
    later = situation == "next month"
    source, split = (f"{name}-timed" if name == "ml-1m" and later else name), "time" if later else "mask"
    counts = [0 if seen is None else seen.groupby("user").size().max() for _, seen, _ in parts]
    test = pd.concat([test[cols].assign(n=n) for n, (_, _, test) in zip(counts, parts)]).fillna({"n": 0})
    everyone = {part: pd.concat([train, test])[[side]].drop_duplicates()
                for part, side in (("features", "item"), ("people", "user"))}
    known = everyone | {"features": as_frame(mfrec.item_features(items))}
    known |= {} if users is None else {"people": as_frame(mfrec.user_features(users), "user")}
    more = {} if shown is None else {"shown": shown[cols]}
    for label, about in {"cmfrec": everyone, "cmfrec, known": known}.items():
        if label == "cmfrec" and situation == "unrated films":
            continue
        found = known_to_cmfrec(source, train[cols], test, split=split, **about, **more)
        ends = np.cumsum([len(rows) for _, _, rows in parts])[:-1]
        for (place, _, _), predicted in zip(parts, np.split(found, ends)):
            yield place, (label, ""), predicted


@functools.cache
def content_grid(name):
    "Test rows and predictions of them by situation."
    found = {}
    for train, parts in content_situations(name):
        columns = {place: {} for place, _, _ in parts}
        makers = (of_als, of_cmfrec, of_baselines)
        for place, key, predicted in itertools.chain(*(make(name, train, parts) for make in makers)):
            columns[place][key] = np.clip(predicted, train.rating.min(), train.rating.max())
        for place, _, test in parts:
            rows = test[["user", "item", "rating"]].reset_index(drop=True)
            found.setdefault(place, []).append((rows, pd.DataFrame(columns[place])))
    return {place: tuple(pd.concat(part, ignore_index=True) for part in zip(*splits))
            for place, splits in found.items()}


def content_errors(names):
    "RMSE by situation and set, of each entry; and numbers of rows."
    found = {(place, name): {key: mfrec.rmse(test.rating, frame[key]) for key in frame}
             for name in names for place, (test, frame) in content_grid(name).items()}
    places = dict.fromkeys(place for place, _ in found)
    order = [(place, name) for place in places for name in names if (place, name) in found]
    return pd.DataFrame(found).T.reindex(order).rename_axis(["situation", "data"])


@table("6_content", "grid")
def grid(names):
    cells = content_errors(names)
    cells = cells.reindex(columns=pd.MultiIndex.from_tuples(dict.fromkeys([
        *cells.columns, ("taste", "both + demographics"), ("no taste", "both + demographics"), ("cmfrec", ""),
        ("cmfrec, known", "")])))

    def known(label):
        return cells[label, "both + demographics"].fillna(cells[label, "both"])

    return pd.DataFrame({
        "rows": [len(content_grid(name)[place][0]) for place, name in cells.index],
        "ALSMF": cells["taste", "none"], "ALSMF, known": known("taste"),
        "no taste": cells["no taste", "none"], "no taste, known": known("no taste"),
        "cmfrec": cells["cmfrec", ""], "cmfrec, known": cells["cmfrec, known", ""],
        "plain regression": cells["plain regression", ""], "biases": cells["biases", ""],
    }).round(4)


@table("6_content", "portions")
def what_portions_change(names):
    "Thousandths of RMSE relative to the same solver without features."
    cells = content_errors(names)
    return pd.concat({label: 1_000 * cells[label].drop(columns=["none", "no slopes"], errors="ignore").sub(
        cells[label]["none"], axis=0) for label in ("taste", "no taste")}, axis=1).round(2)


@table("6_content", "rated_by_solver")
def rated_by_solver(names):
    "RMSE without features on random splits, and what each portion changes, in thousandths."
    splits = {"ml-100k": 5, "ml-latest-small": 5, "movietweetings": 3, "ml-1m": 1, "goodbooks-10k": 1}
    solvers = {"AdamMF": mfrec.AdamMF(), "BayesianMF": mfrec.BayesianMF(),
               "BayesianMF, no taste": mfrec.BayesianMF(n_taste=0)}
    rows = []
    for label, name in itertools.product(solvers, [name for name in splits if name in names]):
        items, users = read_known(name)
        tables = portions(items)
        for seed in range(splits[name]):
            train, test = mfrec.split_random(read_plain(name), test_fraction=0.1, seed=seed)
            errors = {}
            for portion, (which, told) in PORTIONS.items():
                if users is not None or not told:
                    known = {"items": tables[which], "users": users if told else None}
                    errors[portion] = -clone(solvers[label]).fit(train, **known).score(test)
            without = errors.pop("none")
            changes = {portion: 1_000 * (error - without) for portion, error in errors.items()}
            rows.append({"solver": label, "data": name, "RMSE without": without} | changes)
    return pd.DataFrame(rows).groupby(["solver", "data"], sort=False).mean().round(4)

@table("6_content", "first_ratings")
def first_ratings(names):
    """RMSE by how many training ratings the film has, of known people; the mask and the split in time
    together."""
    rows = []
    for name in names:
        name = "ml-1m-timed" if name == "ml-1m" else name
        ratings, both = read_plain(name), mfrec.item_features(read_known(name)[0])
        splits = (mfrec.split_mask, functools.partial(mfrec.split_time, test_fraction=0.2))
        for split in splits if "timestamp" in ratings else ():
            train, test = split(ratings)
            test = test[test.user.isin(train.user)]
            left = {label: (mfrec.ALSMF().fit(train, items=items).predict(test) - test.rating) ** 2
                    for label, items in (("without", None), ("with", both))}
            counts = test.item.map(train.item.value_counts()).fillna(0)
            labels = ["0", "1", "2-3", "4-8", "9-20", "more"]
            bins = pd.cut(counts, [-1, 0, 1, 3, 8, 20, np.inf], labels=labels)
            rows.append(pd.DataFrame({"data": name, "ratings of the film": bins} | left))
    grouped = pd.concat(rows).groupby(["data", "ratings of the film"], observed=True)
    errors = (grouped[["without", "with"]].mean() ** 0.5).round(4)
    return pd.concat([errors, grouped.size().rename("rows")], axis=1)


def chain_slopes(model):
    "Mean and deviation over draws of each user's whole slopes (n_users, f), less the mean user's."
    slopes, users = model.item.errors.prior.slopes, model.user.errors.draws[:, :-1, :-1]
    start = model.user.taste.basis.shape[1]
    draws = np.stack([p @ own.T for p, own in zip(users, slopes[:, start:, :-1])])
    draws = draws - draws[:, model.user.n_ratings > 0].mean(1, keepdims=True)
    return draws.mean(0), draws.std(0, ddof=1)


@table("6_content", "preferences")
def whose_preferences(names):
    """How far the validation RMSE of biases falls when slopes are added, in thousandths; the multiple of them
    that would have been best; and the share more than two deviations from zero."""
    rows = {}
    for name in [name for name in ("ml-latest-small", "ml-100k", "ml-1m") if name in names]:
        (train, check), items = inner(name), mfrec.read_items(name)
        user, item, stars = train.columns[:3]
        check = check[check[user].isin(train[user]) & check[item].isin(train[item])]
        left = check[stars].to_numpy() - mfrec.BiasModel().fit(train).predict(check, clip=False)
        chain, own = (mfrec.BayesianMF(user_slopes=given).fit(train, items=items).model_
                      for given in (False, True))
        mine, features = own.user.preferences, own.item.features
        u, x = own.user.ids.lookup(check[user]), features.values[own.item.ids.lookup(check[item])]
        kinds = {"regression": (mine.slopes, mine.std), "factors": chain_slopes(chain),
                 "factors and slopes": chain_slopes(own)}
        for label, (mean, std) in kinds.items():
            said, varies = (mean[u] * x).sum(1), features.slopes != 0
            fall = np.mean(left**2) ** 0.5 - np.mean((left - said) ** 2) ** 0.5
            sure = 100 * (np.abs(mean) > 2 * std)[:, varies].mean()
            rows[name, label] = {"fall of RMSE": 1_000 * fall, "best multiple": said @ left / (said @ said),
                                 "sure, %": sure}
    return pd.DataFrame(rows).T.rename_axis(["data", "slopes"]).round(2)


# Commands: the function, and what it is asked


def parser():
    "The command line: a command for each worker."
    raw = argparse.RawDescriptionHelpFormatter
    ask = argparse.ArgumentParser("workers.py", description=__doc__, formatter_class=raw)
    commands = ask.add_subparsers(required=True, metavar="COMMAND")

    def command(work, *places, **options):
        name, text = work.__name__.replace("_", "-"), work.__doc__
        one = commands.add_parser(name, help=re.split(r"[:;.,]", text)[0], description=text)
        one.set_defaults(work=work)
        for place in places:
            one.add_argument(place, type=Path if place in ("job", "out", "folder") else str)
        for option, settings in options.items():
            one.add_argument(f"--{option.replace('_', '-')}", **settings)

    some = {"nargs": "*"}
    command(fit, "job")
    command(known, "job")
    command(tune_peers, "folder", "out", seconds={"type": float, "default": float("inf")},
            trials={"type": int, "default": 30}, cells=some, models=some)
    command(errors, "out", solvers=some, kinds=some, sets=some, seeds={"type": int, "default": 5})
    command(one_fit, "solver", "set")
    command(speed, "out")
    command(heavy_tails, "out")
    command(startup, "out")
    command(lists, "out", peer={"required": True}, ratings={"type": int, "default": 2_000_000},
            rounds={"type": int, "default": 3})
    command(measure, "study", tables=some, sets=some)
    command(interest, "out", sets=some, solver={"choices": ["als", "bayes", "none"], "default": "als"},
            n_jobs={"type": int, "default": -1}, peers={"action": "store_true"},
            ablations={"action": "store_true"})
    return ask


def main():
    args = parser().parse_args()
    if mfrec:
        warnings.filterwarnings("ignore", category=mfrec.MfrecWarning)
    args.work(args)


if __name__ == "__main__":
    main()
