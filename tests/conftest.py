"Where the real rating sets are, for the tests that need them."
import os
from functools import lru_cache
from pathlib import Path

import matplotlib
import pytest

matplotlib.use("Agg")
ROOT = Path(__file__).resolve().parents[1]


def real_path(name: str) -> Path:
    "The folder of a real data set, from $MFREC_DATA or ../shared/data; the test is skipped where it is missing."
    for place in filter(None, (os.environ.get("MFREC_DATA"), ROOT.parent / "shared" / "data")):
        if (path := ROOT / place / name).is_dir():
            return path
    pytest.skip(f"no {name}: set MFREC_DATA to a folder of rating sets")


@lru_cache
def real(name: str):
    "The ratings of a real data set as a frame, read once per run."
    from mfrec import read_ratings

    return read_ratings(real_path(name), on_duplicates="last")
