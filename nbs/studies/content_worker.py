"""cmfrec for people and items without ratings, in a process of its own.

    python content_worker.py job.json

Run by the peers' Python. A job has `task`, `params`, `train` and `test` (parquet: user, item, rating), `threads`, `predictions` (where to
write them, .npy), and for the task
- "new items": `features` (parquet: item and a column per feature); test items have no training ratings (`predict_new`);
- "new users": `shown` (parquet like train): what is known of the test users, each of whom is folded in (`factors_warm`);
- "rated items": `features` and `people` (parquet: item, or user, and a column per feature, maybe none) beside the ratings.
"""
import json
import sys
from pathlib import Path

from peers_worker import positions  # first: it sets the number of threads of numpy

# isort: split
import numpy as np
import pandas as pd
from cmfrec import CMF


def new_items(model, train, test, features):
    "Predictions for existing users and items of which only the features are known."
    features = features.set_index("item").astype(np.float64)
    model.fit(renamed(train), I=features.loc[np.sort(train.item.unique())].rename_axis("ItemId").reset_index())
    return model.predict_new(test.user.to_numpy(), I=features.loc[test.item].to_numpy())


def new_users(model, train, test, shown):
    "Predictions for new users from the ratings they have shown; with none, the mean and the item's bias."
    model.fit(renamed(train))
    items = np.asarray(model.item_mapping_)
    order = np.argsort(items)
    at = order[positions(items[order], test.item.to_numpy())]
    out = model.glob_mean_ + model.item_bias_[at].astype(np.float64)
    mine = shown[shown.item.isin(items)]
    rows = test.reset_index(drop=True).groupby("user").indices
    for user, ratings in mine.groupby("user"):
        if user in rows:
            factors, bias = model.factors_warm(X_col=ratings.item.to_numpy(), X_val=ratings.rating.to_numpy(), return_bias=True)
            where = rows[user]
            out[where] += bias + model.B_[at[where]] @ factors
    return out


def rated_items(model, train, test, features, people):
    "Predictions for people and items with ratings, with what else is known of them."
    known = {}
    for side, frame, name in (("I", features, "item"), ("U", people, "user")):
        if frame.shape[1] > 1:
            rows = frame[frame[name].isin(train[name])].set_index(name).astype(np.float64)
            known[side] = rows.rename_axis({"item": "ItemId", "user": "UserId"}[name]).reset_index()
    model.fit(renamed(train), **known)
    return model.predict(test.user.to_numpy(), test.item.to_numpy())


def renamed(ratings):
    return ratings.rename(columns={"user": "UserId", "item": "ItemId", "rating": "Rating"})[["UserId", "ItemId", "Rating"]]


if __name__ == "__main__":
    JOB = json.loads(Path(sys.argv[1]).read_text())
    task, *extra = {"new items": (new_items, "features"), "new users": (new_users, "shown"), "rated items": (rated_items, "features", "people")}[JOB["task"]]
    frames = [pd.read_parquet(JOB[part]) for part in ("train", "test", *extra)]
    predictions = task(CMF(verbose=False, nthreads=JOB["threads"], random_state=0, **JOB["params"]), *frames)
    np.save(JOB["predictions"], np.clip(predictions, frames[0].rating.min(), frames[0].rating.max()))
    print(json.dumps({"cmfrec": len(predictions)}))
