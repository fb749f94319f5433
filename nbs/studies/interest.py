"""Who would choose what: NDCG@10 of interest, with and without the stars, beside popularity and EASE.

    python nbs/studies/interest.py interest.json [--sets mask:ml-100k time:movietweetings] [--solver bayes]
                                   [--peers]

The whole catalogue is ranked and what a user has rated in training left out. Relevant are test items with at
least 4 stars (8 of 10), and the mean is over users who have such an item and training rows. Test items that
training has not are missed by all. No setting is chosen on test rows: all come from hidden training rows,
those of baselines and peers by the NDCG@10 of what is liked among these.
Rows of "time, five cuts" pool the users of five cut dates. Peers need `implicit`, and have ten trials each.
The sets are found through MFREC_DATA.
"""
import argparse
import itertools
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.special import ndtr

import mfrec
from mfrec.kernel.machine import Workers
from mfrec.ratings.frames import find_columns
from mfrec.ratings.ids import IdEncoder
from mfrec.ratings.rows import Interactions
from mfrec.use.choice import Choice, Settings, hide, interest_at, learn_interest, liking_power, some_picks
from mfrec.kernel.interest import lists_of

MASKS = ("ml-latest-small", "ml-100k", "ml-1m", "movietweetings", "ml-1m-timed", "goodbooks-10k")
DATED = ("movietweetings", "ml-1m-timed", "ml-100k")
CUTS = (0.5, 0.6, 0.7, 0.8, 0.9)  # of ml-latest-small, whose last tenth has 25 users
RIDGES = tuple(12.5 * 2.0**i for i in range(12))  # of EASE
HALF_LIVES = (7, 30, 90, 365)  # of recent popularity, in days
SOLVERS = {"als": mfrec.ALSMF, "bayes": mfrec.BayesianMF}
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


def situations():
    "Each as (kind, set, function that makes train and test rows)."
    def read(name):
        return mfrec.read_ratings(name, on_duplicates="last")

    for name in MASKS:
        yield "mask", name, lambda name=name: mfrec.split_mask(read(name))
    for name in DATED:
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

    ridge, _ = walk(RIDGES, 5, lambda ridge: inner.ndcg(fit(shown, ridge)).mean())
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


PEERS = {
    "implicit ALS": peer(implicit_als, {"factors": (32, 64, 128, 256), "regularization": (0.1, 1, 10, 100),
                                        "alpha": (1, 3, 10)}),
    "item-kNN": peer(item_knn, {"kind": ("Cosine", "TFIDF", "BM25"), "K": (20, 50, 100, 200, 500)}),
}


def with_stars(here, shown, hidden, interest, solver, workers):
    "Interest alone and times the chance to like, and stars alone: (method, settings, score)."
    table, n_items = here.table, here.table.n_items

    def log_chance(users):
        return np.log(np.maximum(interest.chances(lists_of(table, users), workers=workers), 1e-30))

    yield "interest", interest.about, log_chance
    picks = some_picks(shown, hidden.take(hidden.ratings >= here.liked), 1000)
    settings = Settings(**{name: interest.about[name] for name in Settings._fields})
    choice = Choice(**{name: interest.about[name] for name in Choice._fields})
    early = interest_at(shown, settings, choice, workers=workers).chances(picks.lists, workers=workers)
    stars = solver(seed=0).fit(frame_of(shown))
    h = liking_power(early, liking(stars, here.threshold, picks.users, n_items), picks)
    stars = solver(seed=0).fit(frame_of(table))

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
    return {name: BASELINES[name] for name in names} | (PEERS if peers else {})


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
        shown, hidden = hide(here.table, timely)
        for method, make_baseline in baselines_of(timely, args.peers).items():
            if name_of(row | {"method": method}) not in known:
                settings, score = make_baseline(here, shown, hidden)
                yield judged(method, settings, score, {})
        if args.solver == "none":
            return
        start = time.process_time()
        interest = learn_interest(here.table, timely, workers=workers)
        seconds = {"cpu_seconds": round(time.process_time() - start, 1)}
        solver = SOLVERS[args.solver]
        for method, settings, score in with_stars(here, shown, hidden, interest, solver, workers):
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
              and other["method"] in BASELINES | PEERS]
    found = np.load(values_at(out, row))
    above = {other["method"]: interval(found - np.load(values_at(out, other))) for other in beside}
    return row | {"above": above}


def main():
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sets", nargs="*", help="kind:set, all by default")
    parser.add_argument("--solver", choices=[*SOLVERS, "none"], default="als")
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--n-jobs", type=int, default=-1)
    args = parser.parse_args()
    args.out.with_suffix("").mkdir(exist_ok=True)
    known = {name_of(row): row for row in json.loads(args.out.read_text())} if args.out.exists() else {}
    for kind, name, make in situations():
        if args.sets and f"{kind}:{name}" not in args.sets:
            continue
        for row in study(kind, name, make, args, known):
            print(json.dumps(row), flush=True)
            known[name_of(row)] = row
        if kind.startswith("time to"):
            known |= {name_of(row): row for row in pooled(list(known.values()), args.out)}
        rows = list(known.values())
        for row in rows:
            if row["kind"] in (kind, "time, five cuts") and row["set"] == name:
                known[name_of(row)] = compared(row, rows, args.out)
        lines = ",\n".join(map(json.dumps, known.values()))
        args.out.write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
