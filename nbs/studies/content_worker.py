"""cmfrec for people and items without ratings, in a process of its own.

    python content_worker.py job.json

Run by the peers' Python. A job has `task`, `params`, `train` and `test` (parquet: user, item, rating), `threads`, `predictions` (where to
write them, .npy), and for the task
- "new items": `features` (parquet: item and a column per feature); test items have no training ratings (`predict_new`);
- "new users": `shown` (parquet like train): what the test users have rated, each of whom is folded in (`factors_warm`), and `people`
  (parquet: user and a column per feature, maybe none), by which alone those are known who have shown nothing (`predict_cold`);
- "rated items": `features` and `people` (the same of items and users) beside the ratings;
- "all pairs": the same, of test rows whose people and items may be new.
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


def new_users(model, train, test, shown, people):
    "Predictions for new users from the ratings they have shown and what is known of them; with neither, the mean and the item's bias."
    fit_known(model, train, train[["item"]], people)
    told = people.set_index("user").astype(np.float64)
    rows, mine = test.reset_index(drop=True).groupby("user").indices, dict(list(shown[shown.item.isin(model.item_mapping_)].groupby("user")))
    out = beside_bias(model, test.item)
    items = positions_of(model.item_mapping_, test.item)
    for user, where in rows.items():
        about = {"U": told.loc[user].to_numpy()} if told.shape[1] else {}
        if user in mine:
            factors, bias = model.factors_warm(X_col=mine[user].item.to_numpy(), X_val=mine[user].rating.to_numpy(), return_bias=True, **about)
            out[where] += bias + model.B_[items[where]] @ factors
        elif about:
            out[where] = model.predict_cold(test.item.to_numpy()[where], **about)
    return out


def fit_known(model, train, features, people):
    "Fits with what is known of items and users; a frame of ids alone says nothing."
    known = {}
    for side, frame, name in (("I", features, "item"), ("U", people, "user")):
        if frame.shape[1] > 1:
            rows = frame[frame[name].isin(train[name])].set_index(name).astype(np.float64)
            known[side] = rows.rename_axis({"item": "ItemId", "user": "UserId"}[name]).reset_index()
    model.fit(renamed(train), **known)


def positions_of(mapping, ids):
    "Where each id stands in a mapping of cmfrec."
    mapping = np.asarray(mapping)
    order = np.argsort(mapping)
    return order[positions(mapping[order], np.asarray(ids))]


def beside_bias(model, items):
    "The mean and the bias of each (known) item."
    return model.glob_mean_ + model.item_bias_[positions_of(model.item_mapping_, items)].astype(np.float64)


def rated_items(model, train, test, features, people):
    "Predictions for people and items with ratings, with what else is known of them."
    fit_known(model, train, features, people)
    return model.predict(test.user.to_numpy(), test.item.to_numpy())


def all_pairs(model, train, test, features, people):
    "Predictions for any pairs: by `predict`, `predict_new`, `predict_cold`; else by the bias of the one with ratings, or the mean."
    fit_known(model, train, features, people)
    of_item, of_user = features.set_index("item").astype(np.float64), people.set_index("user").astype(np.float64)
    old_user, old_item = (test[side].isin(train[side]).to_numpy() for side in ("user", "item"))
    user, item, out = test.user.to_numpy(), test.item.to_numpy(), np.full(len(test), float(model.glob_mean_))
    both, later_item, later_user = old_user & old_item, old_user & ~old_item, ~old_user & old_item
    if both.any():
        out[both] = model.predict(user[both], item[both])
    if later_item.any() and of_item.shape[1]:
        out[later_item] = model.predict_new(user[later_item], I=of_item.loc[item[later_item]].to_numpy())
    elif later_item.any():
        out[later_item] += model.user_bias_[positions_of(model.user_mapping_, user[later_item])]
    if later_user.any() and of_user.shape[1]:
        for one, where in pd.Series(np.flatnonzero(later_user)).groupby(user[later_user]):
            out[where] = model.predict_cold(item[where], U=of_user.loc[one].to_numpy())
    elif later_user.any():
        out[later_user] = beside_bias(model, item[later_user])
    return out


def renamed(ratings):
    return ratings.rename(columns={"user": "UserId", "item": "ItemId", "rating": "Rating"})[["UserId", "ItemId", "Rating"]]


if __name__ == "__main__":
    JOB = json.loads(Path(sys.argv[1]).read_text())
    task, *extra = {"new items": (new_items, "features"), "new users": (new_users, "shown", "people"),
                    "rated items": (rated_items, "features", "people"), "all pairs": (all_pairs, "features", "people")}[JOB["task"]]
    frames = [pd.read_parquet(JOB[part]) for part in ("train", "test", *extra)]
    predictions = task(CMF(verbose=False, nthreads=JOB["threads"], random_state=0, **JOB["params"]), *frames)
    np.save(JOB["predictions"], np.clip(predictions, frames[0].rating.min(), frames[0].rating.max()))
    print(json.dumps({"cmfrec": len(predictions)}))
