"""Settings of the peers: Optuna trials on validation rows cut from the training rows, kept in a JSON file.

    python peers_tune.py FOLDER OUT.json [--seconds 60] [--trials 30] [--cells ...] [--models ...]

Run by the peers' Python, after the notebook wrote FOLDER/SET-SPLIT-train.parquet. Validation rows: 10 % at
random (seed 1) for the mask, the last 10 % in time for the time split. The first trial is the library's
defaults, so tuning cannot lose to them on validation rows. Trials stop at --trials or, once three are done,
after --seconds of processor time; a later call adds what is missing to the trials counted in OUT.json and
keeps the better settings.
"""
import argparse
import json
import time
from pathlib import Path

from peers_worker import MODELS, damped_biases  # first: it sets the number of threads, to one

# isort: split
import numpy as np
import optuna
import pandas as pd

SMALL = 150_000  # rows; SVD++ of Surprise runs up to here


def cmfrec_space(t):
    "cmfrec regularises in one of two ways: a penalty per row, or one per rating."
    per_rating = t.suggest_categorical("scale_lam", [False, True])
    name, low, high = ("lambda_per_rating", 0.01, 0.5) if per_rating else ("lambda_", 1, 60)
    return {"k": t.suggest_int("k", 8, 100, log=True), "niter": t.suggest_int("niter", 5, 30),
            "use_cg": t.suggest_categorical("use_cg", [True, False]), "scale_lam": per_rating,
            "lambda_": t.suggest_float(name, low, high, log=True)}


def cmfrec_implicit_space(t):
    return {
        "add_implicit_features": True,
        "w_implicit": t.suggest_float("w_implicit", 0.05, 5, log=True),
        **cmfrec_space(t),
    }


def lenskit_space(t):
    return {
        "embedding_size": t.suggest_int("embedding_size", 8, 128, log=True),
        "epochs": t.suggest_int("epochs", 5, 30),
        "regularization": t.suggest_float("regularization", 0.005, 0.5, log=True),
        "damping": t.suggest_float("damping", 1, 30, log=True),
    }


def svd_space(t):
    return {
        "n_factors": t.suggest_int("n_factors", 5, 200, log=True),
        "n_epochs": t.suggest_int("n_epochs", 10, 80, log=True),
        "lr_all": t.suggest_float("lr_all", 0.002, 0.02, log=True),
        "reg_all": t.suggest_float("reg_all", 0.01, 0.2, log=True),
    }


def svdpp_space(t):
    return {
        "n_factors": t.suggest_int("n_factors", 5, 50, log=True),
        "n_epochs": t.suggest_int("n_epochs", 10, 40, log=True),
        "lr_all": t.suggest_float("lr_all", 0.003, 0.02, log=True),
        "reg_all": t.suggest_float("reg_all", 0.01, 0.2, log=True),
        "cache_ratings": True,
    }


def knn_space(t):
    return {"k": t.suggest_int("k", 10, 100), "min_k": t.suggest_int("min_k", 1, 10),
            "shrinkage": t.suggest_float("shrinkage", 5, 300, log=True),
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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--cells", nargs="+")
    parser.add_argument("--models", nargs="+", default=list(SPACES))
    args = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    for cell in args.cells or sorted(
        p.name.removesuffix("-train.parquet") for p in args.folder.glob("*-train.parquet")
    ):
        train = pd.read_parquet(args.folder / f"{cell}-train.parquet")
        for model in args.models:
            if model == "surprise SVD++" and len(train) > SMALL:
                continue
            known = json.loads(args.out.read_text()) if args.out.exists() else {}
            found = tune(model, cell, train, args.seconds, args.trials, known.get(cell, {}).get(model))
            known.setdefault(cell, {})[model] = found
            args.out.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")
            print(cell, model, found, flush=True)


if __name__ == "__main__":
    main()
