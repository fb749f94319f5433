"""How long lists for everybody take, beside implicit's, at equal rank and in one run.

    python nbs/studies/lists_speed.py lists_speed.json --peer PYTHON [--ratings 2000000] [--rounds 3]

PYTHON is that of a virtual environment with implicit, NumPy and SciPy. The ratings are made by mfrec. Both
sides leave out what people have rated, and use all cores. implicit ranks by a product of factors, which are
given to it, since only the time of `recommend` is asked for.
"""
import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

import mfrec

PEER = """
import sys, time, numpy as np
from scipy import sparse
from implicit.cpu.als import AlternatingLeastSquares
d = np.load(sys.argv[1])
lists = sparse.csr_matrix((np.ones(len(d["items"]), np.float32), d["items"], d["starts"]), tuple(d["shape"]))
model = AlternatingLeastSquares(factors=d["vectors"].shape[1], num_threads=0)
model.item_factors, model.user_factors = d["vectors"], d["users"]
n, start = len(d["users"]), time.perf_counter()
for at in range(0, n, 1024):
    some = np.arange(at, min(at + 1024, n))
    model.recommend(some, lists[some], N=10, filter_already_liked_items=True)
print(time.perf_counter() - start)
"""


def seconds(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main():
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("out", type=Path)
    parser.add_argument("--peer", required=True)
    parser.add_argument("--ratings", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    model = mfrec.ALSMF(seed=0).fit(mfrec.sample_ratings(args.ratings, seed=0)).with_interest().model_
    interest, kept = model.item.interest, model.ratings
    users = np.random.default_rng(0).standard_normal((len(model.user), interest.vectors.shape[1]))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder) / "given.npz"
        np.savez(given, vectors=interest.vectors, users=users.astype(np.float32), items=kept.items,
                 starts=kept.starts, shape=(len(model.user), len(model.item)))
        for _ in range(args.rounds):
            peer = subprocess.run([args.peer, "-c", PEER, given], capture_output=True, text=True, check=True)
            row = {"users": len(model.user), "items": len(model.item), "rank": interest.vectors.shape[1],
                   "implicit": float(peer.stdout)}
            row |= {order: seconds(lambda: model.recommend(order=order)) for order in ("interest", "score")}
            row |= {f"{order} ratio": row[order] / row["implicit"] for order in ("interest", "score")}
            rows.append(row)
            print(json.dumps(rows[-1]), flush=True)
    args.out.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


if __name__ == "__main__":
    main()
