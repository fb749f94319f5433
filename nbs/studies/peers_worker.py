"""One fit, in a process of its own: reads a job (JSON), fits, predicts, prints seconds and memory as JSON.

    python peers_worker.py job.json

Run by the Python that has the library in question: the peers' own, or ours for the models of mfrec. A job has
`model` (a name in MODELS, or mfrec.NAME), `params`, `train` and `test` (parquet: user, item, rating),
`threads` and `predictions` (where to write them, .npy). Predictions are clipped to the scale of the training
ratings for everyone; pairs that a library does not predict get the prediction of damped biases.
"""
import json
import operator
import os
import re
import sys
import time
from pathlib import Path

JOB = json.loads(Path(sys.argv[1]).read_text()) if __name__ == "__main__" else {"threads": 1}
for name in ("OMP_NUM", "OPENBLAS_NUM", "MKL_NUM", "RAYON_NUM", "LK_NUM", "LK_NUM_BACKEND"):
    os.environ[f"{name}_THREADS"] = str(JOB["threads"])  # read when the libraries are imported

import numpy as np
import pandas as pd
import pyarrow


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


# Each function below takes the training frame, parameters and threads,
# and returns a function from test frame to predictions
# (nan where there is none). What a library needs is imported before the clock starts: see IMPORTS.

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
    import mfrec
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


def run(job):
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


if __name__ == "__main__":
    predictions, figures = run(JOB)
    np.save(JOB["predictions"], predictions)
    print(json.dumps(figures))
