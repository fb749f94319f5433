"""Every chapter runs, twice: in its own namespace (nbdev_test),
and as part of the book, in order, with its cells testing the exported package."""
import json
import os
import subprocess
import sys

import nbtools
import pytest
from execnb.nbio import mk_cell, new_nb, write_nb
from nbdev.config import get_config

INDEX = nbtools.NBS / "index.ipynb"


def run_book(report, *args):
    "What was wrong with each chapter that ran, and the run: a process that has nothing of the package."
    command = [sys.executable, nbtools.__file__, "book", "--report", report, *args]
    done = subprocess.run([*map(str, command)], cwd=nbtools.ROOT, capture_output=True, text=True)
    rows = json.loads(report.read_text(encoding="utf-8")) if report.exists() else []
    return {row["chapter"]: row["wrong"] for row in rows}, done


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    return run_book(tmp_path_factory.mktemp("book") / "report.json")


@pytest.mark.parametrize("chapter", [path.stem for path in [*nbtools.chapters(), INDEX]])
def test_the_book_uses_nothing_before_it_is_made(book, chapter):
    found, done = book
    before = f"the run ended with {done.returncode} before this chapter:\n{done.stderr[-2000:]}"
    assert chapter in found, before
    assert found[chapter] is None, found[chapter]


def test_nbdev_test():
    command = [sys.executable, "-c", "from nbdev.test import nbdev_test; nbdev_test()"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}  # two notebooks at a time, a thread each
    done = subprocess.run(command, cwd=nbtools.ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Success." in done.stdout


HALF = ("#| default_exp halves", "#| export\nimport math\ndef half(x): return math.floor(x / 2)")
TWICE = (
    "#| default_exp sums.twice",
    "#| export\nfrom demo.halves import half\ndef twice(x): return 4 * half(x)",
    "assert twice(2) == 4",
)
PACKAGE = """
def __getattr__(name):
    import importlib
    place = {"half": "demo.halves", "twice": "demo.sums.twice"}
    if name not in place:
        raise AttributeError(name)
    return getattr(importlib.import_module(place[name]), name)
"""


def planted(folder, first=HALF, second=TWICE, lazy=PACKAGE):
    "Runs a book of two chapters, and the package they make, which finds its names when asked for them."
    for place in ("nbs", "demo/sums"):
        (folder / place).mkdir(parents=True, exist_ok=True)
    (folder / "demo" / "__init__.py").write_text(lazy)
    (folder / "demo" / "sums" / "__init__.py").write_text("")
    for name, module, cells in (("00_half", "halves", first), ("01_twice", "sums/twice", second)):
        write_nb(new_nb([mk_cell(source) for source in cells]), folder / "nbs" / f"{name}.ipynb")
        exported = [source for source in cells if source.startswith("#| export")]
        (folder / "demo" / f"{module}.py").write_text("\n".join(exported))
    return run_book(folder / "report.json", "--folder", folder / "nbs", "--package", "demo")


def test_a_book_in_order_runs(tmp_path):
    found, done = planted(
        tmp_path, (*HALF, "assert half(3) == 1", "#| slow\nraise ValueError('only if asked for')")
    )
    assert found == {"00_half": None, "01_twice": None} and done.returncode == 0
    assert "00_half" in done.stdout and "01_twice" in done.stdout


def test_a_tour_stands_first_and_runs_last(tmp_path):
    "It may import everything, from the package itself, and no chapter is let off for it."
    (tmp_path / "nbs").mkdir()
    write_nb(new_nb([mk_cell("from demo import half, twice\nassert twice(2) == 4 * half(2)")]),
             tmp_path / "nbs" / "00_a_tour.ipynb")
    found, _ = planted(tmp_path, (*HALF, "from demo.sums.twice import twice"))
    assert [*found] == ["00_half", "01_twice", "00_a_tour"]
    assert LATE in found["00_half"] and found["00_a_tour"] is None


def test_a_name_that_only_a_lesson_imports_is_missed(tmp_path):
    "It is there in the notebook, and not in the module: the lesson runs by itself, and not in the book."
    cells = (
        "#| default_exp halves", "#| export\ndef half(x): return math.floor(x / 2)", "import math",
        "assert half(3) == 1"
    )
    found, done = planted(tmp_path, cells)
    nbtools.run(tmp_path / "nbs" / "00_half.ipynb")
    assert done.returncode == 1 and "NameError" in found["00_half"]
    assert "assert half(3) == 1" in found["00_half"]
    assert "00_half.ipynb, cell" in found["00_half"] and "math" in found["01_twice"]


LATE = "00_half reaches up: it imports demo.sums.twice, the module of chapter 01_twice"


@pytest.mark.parametrize("lesson, said", [
    ("from demo.sums.twice import twice", LATE),
    ("import demo.sums.twice", LATE),
    ("import demo\ndemo.twice(2)", LATE),
    ("try:\n    import demo.sums.twice\nexcept ImportError:\n    pass", LATE),
    ("from demo import half", "00_half imports from demo itself: name the module that defines half"),
    ("from demo import twice", LATE),
], ids=["name", "module", "attribute of the package", "caught", "package", "name of the package"])
def test_a_lesson_that_reaches_up_is_found(tmp_path, lesson, said):
    found, done = planted(tmp_path, (*HALF, lesson))
    assert done.returncode == 1 and said in found["00_half"] and lesson in found["00_half"]
    assert found["01_twice"] is None


@pytest.mark.parametrize("source", [
    "from demo.sums.twice import four\ndef half(x): return x / 2",
    "def half(x):\n    from demo.sums.twice import four\n    return x * 2 / four",
])
def test_a_module_that_reaches_up_is_found(tmp_path, source):
    "At once, or when a lesson calls what imports it."
    late = ("#| default_exp sums.twice", "#| export\nfour = 4")
    found, done = planted(tmp_path, ("#| default_exp halves", "#| export\n" + source, "half(2)"), late)
    assert done.returncode == 1 and LATE in found["00_half"] and found["01_twice"] is None


def test_a_package_that_imports_everything_at_once_is_found(tmp_path):
    found, _ = planted(tmp_path, lazy="from demo.sums.twice import twice\nfrom demo.halves import half")
    assert LATE in found["00_half"]


def test_the_book_wants_a_process_of_its_own():
    with pytest.raises(RuntimeError, match="'nbtools'.* loaded before the first chapter"):
        next(nbtools.run_book(package="nbtools"))


def test_cells_that_are_left_out_are_the_same_in_both_runs():
    assert set(get_config().tst_flags.split()) == nbtools.FLAGS


def test_a_chapter_run_on_the_package_does_not_see_its_own_cells(tmp_path):
    "What the notebook defines and the package does not, a lesson must not find."
    broken = tmp_path / "broken.ipynb"
    sources = ("#| default_exp errors", "#| export\ndef half(x): return x / 2", "assert half(3) == 1.5")
    write_nb(new_nb([mk_cell(source) for source in sources]), broken)
    nbtools.run(broken)
    with pytest.raises(nbtools.NotebookError, match="name 'half' is not defined"):
        nbtools.run(broken, package="mfrec")
