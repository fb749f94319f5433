"""What ridge stands in for learned priors where ratings have heavy tails: figures_tails.json.

    python nbs/studies/tails.py figures_tails.json

Made ratings of three shapes, four scales and two seeds, and two of two million; per cent of RMSE above the
biases, for learned priors (the rule by kurtosis switched off) and for fixed ridges, plain and growing.
"""
import json
import sys
import warnings
from pathlib import Path

import numpy as np
from scipy.special import ndtri
from scipy.stats import kurtosis

import mfrec
from figures import planted
from mfrec.solvers import als

SCALES = {
    "hours": np.exp,
    "six in ten 5": lambda z: 1.0 + np.searchsorted(ndtri([0.05, 0.1, 0.2, 0.4]), z),
    "nine in ten 5": lambda z: 1.0 + np.searchsorted(ndtri([0.02, 0.03, 0.05, 0.1]), z),
    "thumbs 19:1": lambda z: (z > ndtri(0.05)) * 1.0,
}
RIDGES = {"learned": {}} | {f"{reg}": {"reg": float(reg)} for reg in (12, 20, 40)}
RIDGES |= {f"{reg}+{per}n": {"reg": float(reg), "reg_per_rating": per} for reg, per in
           ((1, 0.1), (1, 0.3), (1, 1.0), (5, 0.1), (5, 0.3), (10, 0.1), (20, 0.1))}
SMALL = [(shape, scale, seed) for shape in ((5_000, 300, 100), (20_000, 1_000, 800), (100_000, 2_000, 2_000))
         for scale in SCALES for seed in range(2)]
LARGE = [((2_000_000, 30_000, 5_000), scale, 0) for scale in ("nine in ten 5", "hours")]


def row(shape, scale, seed):
    "Per cent above the biases of each ridge on one made set."
    frame, rng = planted(SCALES[scale], *shape, seed=seed, with_rng=True)
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


if __name__ == "__main__":
    warnings.filterwarnings("ignore", category=mfrec.MfrecWarning)
    als.HEAVY_TAILS = np.inf
    rows = [row(*job) for job in SMALL + LARGE]
    Path(sys.argv[1]).write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n", encoding="utf-8")
