"Every chapter runs, twice: in its own namespace (nbdev_test), and with its cells testing the exported package."
import os
import subprocess
import sys

import nbtools
import pytest

INDEX = nbtools.NBS / "index.ipynb"


@pytest.mark.parametrize("path", [*nbtools.chapters(), INDEX], ids=lambda p: p.stem)
def test_package_mode(path):
    nbtools.run(path, package_mode=True)


def test_nbdev_test():
    done = subprocess.run([sys.executable, "-c", "from nbdev.test import nbdev_test; nbdev_test()"], cwd=nbtools.ROOT, capture_output=True, text=True,
                          env=os.environ | {"OMP_NUM_THREADS": "1"})  # two notebooks at a time, a thread each
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Success." in done.stdout


def test_package_mode_would_catch_a_missing_import(tmp_path):
    "A name imported by a lesson cell only works in the notebook; package mode must not let it pass."
    from execnb.nbio import mk_cell, new_nb, write_nb

    broken = tmp_path / "broken.ipynb"
    write_nb(new_nb([mk_cell(s) for s in ("#| default_exp encoding", "#| export\ndef half(x): return math.floor(x / 2)", "import math",
                                          "assert half(3) == 1")]), broken)
    nbtools.run(broken)
    with pytest.raises(nbtools.NotebookError):
        nbtools.run(broken, package_mode=True)
