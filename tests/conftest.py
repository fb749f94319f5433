"Every solver fitted on one small sample, with and without features, and where the real rating sets are."
import os
import sys
import warnings
from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

import mfrec
from mfrec.doors.command import main

matplotlib.use("Agg")
ROOT = Path(__file__).resolve().parents[1]
SOLVERS = {
    "bias": mfrec.BiasModel(),
    "adam": mfrec.AdamMF(n_factors=4, n_epochs=5),
    "als": mfrec.ALSMF(n_factors=6, n_sweeps=6, n_taste=8),
    "als ridge": mfrec.ALSMF(n_factors=6, reg=8.0, n_sweeps=6),
    "als ridge per rating": mfrec.ALSMF(n_factors=6, reg=2.0, reg_per_rating=0.1, n_sweeps=6),
    "bayes": mfrec.BayesianMF(n_factors=6, n_samples=8, burn_in=2, n_taste=8),
    "bayes numbers": mfrec.BayesianMF(n_factors=6, n_samples=8, burn_in=2, n_taste=8, likelihood="numbers"),
}


SEEING = SOLVERS | {
    "bayes slopes": mfrec.BayesianMF(n_factors=4, n_samples=8, burn_in=2, n_taste=8, user_slopes=True, seed=1)
}


@pytest.fixture(params=SOLVERS, scope="session")
def solver(request):
    return SOLVERS[request.param]


@pytest.fixture(params=SEEING, scope="session")
def observer(request):
    "A solver to be fitted with features."
    return SEEING[request.param]


@pytest.fixture(scope="session")
def ratings():
    return mfrec.sample_ratings(20_000, seed=5)


@pytest.fixture(scope="session")
def items():
    return mfrec.sample_items(20_000, seed=5)


@pytest.fixture(scope="session")
def users(ratings):
    "A column that says nothing of taste, for everybody and for two people without ratings."
    ids = ratings.userId.unique()
    return pd.DataFrame({
        "userId": np.append(ids, [-1, -2]),
        "group": np.where(np.append(ids, [1, 2]) % 2, "odd", "even"),
    })


@pytest.fixture(scope="session")
def rated(ratings):
    "The ratings of eight films in nine, so that a ninth have features only."
    return ratings[ratings.movieId % 9 > 0]


@pytest.fixture(scope="session")
def fitted(solver, ratings):
    return clone(solver).fit(ratings)


@pytest.fixture(scope="session")
def seeing(observer, rated, items, users):
    "Fitted on `rated`, with features of both sides."
    return clone(observer).fit(rated, items=items, users=users)


@pytest.fixture(params=SEEING, scope="session")
def model(request, rated, items, users):
    "Every solver with features of both sides and interest; a ninth of its films have no ratings."
    return clone(SEEING[request.param]).fit(rated, items=items, users=users).with_interest().model_


@pytest.fixture(scope="session")
def als(rated, items):
    "ALS with features of films and interest."
    return clone(SOLVERS["als"]).fit(rated, items=items).with_interest().model_


@pytest.fixture
def command(monkeypatch, capsys):
    "command(*args) -> (exit code, stdout, stderr) of `mfrec`, in this process."
    def run(*args):
        monkeypatch.setattr(sys, "argv", ["mfrec", *map(str, args)])
        code = 0
        with warnings.catch_warnings():  # main shows all of them, for good
            try:
                main()
            except SystemExit as stop:
                code = stop.code or 0
        return code, *capsys.readouterr()
    return run


def real_path(name: str) -> Path:
    """The folder of a real data set, from $MFREC_DATA or ../shared/data;
    the test is skipped where it is missing."""
    for place in filter(None, (os.environ.get("MFREC_DATA"), ROOT.parent / "shared" / "data")):
        if (path := ROOT / place / name).is_dir():
            return path
    pytest.skip(f"no {name}: set MFREC_DATA to a folder of rating sets")


@lru_cache
def real(name: str):
    "The ratings of a real data set as a frame, read once per run."
    return mfrec.read_ratings(real_path(name), on_duplicates="last")
