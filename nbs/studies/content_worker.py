"""cmfrec for people and items with and without ratings, in a process of its own.

    python content_worker.py job.json

Run by the peers' Python. A job has `params`, `train` and `test` (parquet: user, item, rating), `threads`,
`predictions` (where to write them, .npy), and perhaps
- `features` (parquet: item and a column per feature) and `people` (the same of users): what else is known;
- `shown` (parquet like train): what people without training ratings have rated. Each test row's person has
  shown the first `n` of them (a column of `test`; without it, all).
"""
import json
import sys
from pathlib import Path

from peers_worker import positions  # first: it sets the number of threads of numpy

# isort: split
import numpy as np
import pandas as pd
from cmfrec import CMF


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


def of_newcomer(model, items, shown, about):
    """Predictions of some (known) items for one new user,
    from what this user has shown and what is known of them."""
    if shown is not None and len(shown):
        factors, bias = model.factors_warm(
            X_col=shown.item.to_numpy(), X_val=shown.rating.to_numpy(), return_bias=True, **about
        )
        return beside_bias(model, items) + bias + model.B_[positions_of(model.item_mapping_, items)] @ factors
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
        out[later_item] += model.user_bias_[positions_of(model.user_mapping_, user[later_item])]
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


if __name__ == "__main__":
    JOB = json.loads(Path(sys.argv[1]).read_text())
    train, test = (pd.read_parquet(JOB[part]) for part in ("train", "test"))
    known = {part: pd.read_parquet(JOB[part]) for part in ("features", "people", "shown") if part in JOB}
    predictions = all_pairs(
        CMF(verbose=False, nthreads=JOB["threads"], random_state=0, **JOB["params"]), train, test, **known
    )
    np.save(JOB["predictions"], np.clip(predictions, train.rating.min(), train.rating.max()))
    print(json.dumps({"cmfrec": len(predictions)}))
