"""What the studies of content compare with: data with plain names, a ridge regression on features,
and cmfrec in a process of its own."""

import json
import os
import subprocess
import tempfile
from pathlib import Path

import mfrec
import numpy as np
import pandas as pd
from mfrec.kernel.features import item_features
from mfrec.kernel.machine import n_threads
from mfrec.ratings.frames import find_columns
from sklearn.linear_model import Ridge

PEERS = os.environ.get("MFREC_PEERS_PYTHON", "peers/bin/python")
folder = Path(tempfile.mkdtemp())


def read(name):
    """Ratings as user, item, rating and perhaps timestamp; items as item, genres, year;
    users if there are any."""
    ratings, items = mfrec.read_ratings(name, on_duplicates="last"), mfrec.read_items(name)
    cols = find_columns(ratings)
    ratings = ratings.rename(
        columns={cols.user: "user", cols.item: "item", cols.rating: "rating", cols.time: "timestamp"}
    )
    items = items.rename(columns={items.columns[0]: "item"})[["item", "genres", "year"]]
    if name not in ("ml-100k", "ml-1m", "ml-1m-timed"):
        return ratings, items, None
    # the ratings with times are a part of ML-1M's, with the same ids
    users = mfrec.read_users(name.removesuffix("-timed"))
    return (
        ratings, items,
        users.rename(columns={users.columns[0]: "user"})[["user", "age", "gender", "occupation"]]
    )


def portions(items):
    "What is known of the items, in four portions."
    return {
        "none": None, "genres": item_features(items, decades=False),
        "decades": item_features(items, genres=False), "both": item_features(items)
    }


def some_people(ratings, share):
    "The ratings of a random share of the people."
    return ratings if share == 1 else mfrec.split_users(ratings, share, seed=0).test


def people_just_met(ratings, counts):
    """A tenth of the people is held out: training rows,
    all but the first of their rows in random order to test on, and by count the first to show."""
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
    """Slopes and bias of each user, with a fixed ridge,
    of what `data` has beyond `mean` + what is `expected` of the item;
    returns predictions for (users, items)."""
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


def ask_cmfrec(name, train, test, split="mask", **extra):
    """Predictions of cmfrec from a process of its own,
    with the settings that the peers' study found for this kind of split."""
    for part, frame in {"train": train, "test": test, **extra}.items():
        frame.to_parquet(folder / f"{part}.parquet", index=False)
    params = json.loads(Path("peers_params.json").read_text())[f"{name}-{split}"]["cmfrec"]["params"]
    # its exact solver takes minutes a fold there
    params |= {"use_cg": True} if name == "goodbooks-10k" else {}
    job = {"params": params, "threads": n_threads(-1), "predictions": str(folder / "predictions.npy")}
    job |= {part: str(folder / f"{part}.parquet") for part in ("train", "test", *extra)}
    (folder / "job.json").write_text(json.dumps(job))
    done = subprocess.run(
        [PEERS, "content_worker.py", str(folder / "job.json")], capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return np.load(folder / "predictions.npy")
