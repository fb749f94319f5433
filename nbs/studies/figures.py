"""Figures by which a change of the code is judged: errors, seconds and memory of every solver.

Errors on the shared sets, and on planted ones:

    python nbs/studies/figures.py errors.json [--solvers bayes] [--kinds mask] [--seeds 5]

Seconds and peak memory, each fit in a process of its own:

    python nbs/studies/figures.py speed.json --speed

One line of json for each fit. A digest of all predictions tells whether two versions agree in every bit.
The sets are found through MFREC_DATA.
"""
import argparse
import hashlib
import json
import resource
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import ndtri

import mfrec

MASKS = ("ml-latest-small", "ml-100k", "movietweetings", "ml-1m-timed", "ml-1m", "goodbooks-10k")
DATED = ("ml-latest-small", "ml-100k", "movietweetings", "ml-1m-timed")
SOLVERS = {"bias": mfrec.BiasModel, "adam": mfrec.AdamMF, "als": mfrec.ALSMF, "bayes": mfrec.BayesianMF}
# as in the study of ratings unlike those we know
PLANTED = {"thumbs 19:1": lambda z: (z > ndtri(0.05)) * 1.0, "hours": np.exp}


def planted(
    scale, n_rows=100_000, n_users=2_000, n_items=2_000, n_factors=6, noise=0.62, seed=0, with_rng=False
):
    "Made ratings whose scale is not one of stars; if asked for, with the generator as it is then."
    rng = np.random.default_rng(seed)

    def some(size, spread):
        weights = np.exp(spread * rng.standard_normal(size))
        return rng.choice(size, 2 * n_rows, p=weights / weights.sum())

    users, items = np.divmod(
        rng.permutation(np.unique(some(n_users, 1.0) * n_items + some(n_items, 1.5)))[:n_rows], n_items
    )
    p, q = rng.standard_normal((n_users, n_factors)), rng.standard_normal((n_items, n_factors))
    score = 0.4 * rng.standard_normal(n_users)[users] + 0.5 * rng.standard_normal(n_items)[items]
    score += (0.2 / n_factors) ** 0.5 * (p[users] * q[items]).sum(1) + noise * rng.standard_normal(len(users))
    frame = pd.DataFrame({"userId": users, "movieId": items, "rating": scale(score)})
    return (frame, rng) if with_rng else frame


def situations():
    "Each as (kind, set, function that makes its training rows, shown rows, test rows and items)."

    def read(name):
        return mfrec.read_ratings(name, on_duplicates="last")

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
    for name, scale in PLANTED.items():
        yield "planted", name, lambda scale=scale: alone(mfrec.split_mask(planted(scale)))
        yield "planted five", name, lambda scale=scale: (*met(planted(scale)), None)


def cold(ratings):
    train, test = mfrec.split_cold_items(ratings, 0.1, seed=0)
    return train, None, test


def met(ratings, n=5):
    "A tenth of the people apart: `n` ratings of each to fold in, the others to predict."
    train, apart = mfrec.split_users(ratings, 0.1, seed=0)
    order = apart.sample(frac=1, random_state=0).groupby(apart.columns[0]).cumcount().reindex(apart.index)
    return train, apart[order < n], apart[order >= n]


def error(model, test):
    "RMSE, mean std and a digest of what is predicted."
    frame = model.predict_frame(test)
    bits = np.concatenate([frame[c].to_numpy() for c in ("prediction", "std") if c in frame])
    facts = {
        "rmse": mfrec.rmse(test.iloc[:, 2], frame.prediction),
        "digest": hashlib.sha256(bits.tobytes()).hexdigest()[:12],
    }
    return facts | ({"std": float(frame["std"].mean())} if "std" in frame else {})


def errors(path, solvers, kinds, sets, n_seeds):
    "Fit every solver in every situation, with seeds where a solver draws, and write as it goes."
    found = []
    for kind, name, make in situations():
        if kind not in kinds or name not in sets:
            continue
        train, shown, test, items = make()
        for solver in solvers:
            for seed in range(1 if solver == "bias" else n_seeds):
                start = time.perf_counter()
                model = SOLVERS[solver](**({} if solver == "bias" else {"seed": seed})).fit(
                    train, items=items
                )
                took = time.perf_counter() - start
                model = model if shown is None else model.fold_in(shown)
                found.append({
                    "kind": kind, "set": name, "solver": solver, "seed": seed, **error(model, test),
                    "seconds": round(took, 2)
                })
                print(json.dumps(found[-1]), flush=True)
        Path(path).write_text(json.dumps(found, indent=0), encoding="utf-8")


def one_fit(solver, name):
    """Seconds of a fit, of folding in a tenth of the people, of one user's predictions; peak memory in MB.
    For a process of its own."""
    ratings = mfrec.read_ratings(name, on_duplicates="last")
    user, item = ratings.columns[:2]
    start = time.perf_counter()
    model = SOLVERS[solver]().fit(ratings)
    fit, peak = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    some = ratings[ratings[user].isin(ratings[user].unique()[::10])]
    one = pd.DataFrame({user: ratings[user].iloc[0], item: ratings[item].unique()})

    def best(call):
        times = []
        for _ in range(5):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        return min(times)

    return {
        "solver": solver, "set": name, "fit": fit, "fold_in": best(lambda: model.fold_in(some)),
        "one user": best(lambda: model.predict_frame(one)), "peak_mb": peak
    }


def speed(path, solvers, n_runs=3):
    "The least of several processes a solver."
    found = []
    for name in ("ml-latest-small", "ml-1m"):
        for solver in solvers:
            runs = [
                json.loads(
                    subprocess.run(
                        [sys.executable, __file__, "-", "--one", solver, name], capture_output=True,
                        text=True, check=True
                    ).stdout
                )
                for _ in range(n_runs)
            ]
            found.append(
                runs[0]
                | {
                    key: round(min(run[key] for run in runs), 4)
                    for key in ("fit", "fold_in", "one user", "peak_mb")
                }
            )
            print(json.dumps(found[-1]), flush=True)
    Path(path).write_text(json.dumps(found, indent=0), encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("path")
    parser.add_argument("--solvers", nargs="*", default=list(SOLVERS))
    parser.add_argument(
        "--kinds", nargs="*",
        default=["mask", "time", "cold items", "five ratings", "planted", "planted five"]
    )
    parser.add_argument("--sets", nargs="*", default=[*MASKS, *PLANTED])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--one", nargs=2)
    args = parser.parse_args()
    warnings.filterwarnings("ignore", category=mfrec.MfrecWarning)
    if args.one:
        return print(json.dumps(one_fit(*args.one)))
    if args.speed:
        return speed(args.path, args.solvers)
    errors(args.path, args.solvers, args.kinds, args.sets, args.seeds)


if __name__ == "__main__":
    main()
