"""The doors of the package: an import that loads next to nothing, and names that are found when asked for.

Each test asks a process of its own, since what this one has loaded says nothing."""
import ast
import json
import subprocess
import sys

import nbtools
import pytest

HEAVY = ("torch", "matplotlib", "sklearn", "scipy", "pandas", "numpy", "pyarrow", "tqdm", "typer", "pooch",
         "joblib", "safetensors")


def ask(program, *args):
    "What a process of its own prints, from JSON."
    command = [sys.executable, "-c", program, *args]
    done = subprocess.run(command, cwd=nbtools.ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def loaded(program):
    "The top-level modules of HEAVY, and the modules of mfrec, that a program leaves loaded."
    names = set(ask(f"{program}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"))
    return sorted(names & set(HEAVY)), sorted(name for name in names if name.startswith("mfrec"))


def test_the_package_alone_loads_nothing():
    assert loaded("import mfrec\nmfrec.__version__, dir(mfrec), mfrec.__all__") == ([], ["mfrec"])


@pytest.mark.parametrize("program, without", [
    ("import mfrec.plots", ["matplotlib", "torch"]),
    ("import mfrec; mfrec.errors.DataError; mfrec.MfrecError", HEAVY),
    ("import mfrec; mfrec.read_ratings, mfrec.read_items, mfrec.describe_ratings", ["torch", "matplotlib"]),
    ("import mfrec; mfrec.sample_ratings, mfrec.split_random, mfrec.rmse", ["torch", "matplotlib"]),
    ("import mfrec; mfrec.ALSMF, mfrec.BayesianMF, mfrec.AdamMF", ["matplotlib", "typer", "pooch"]),
    ("import mfrec; mfrec.load", ["matplotlib", "typer", "pooch"]),
    ("import mfrec.doors.command", ["torch", "pandas", "numpy", "scipy", "sklearn", "matplotlib"]),
], ids=["plots", "errors", "reading", "sample", "solvers", "load", "command"])
def test_a_name_loads_what_it_needs(program, without):
    heavy, modules = loaded(program)
    assert not set(heavy) & set(without) and len(modules) > 1


def test_what_is_loaded_is_seen():
    "A planted import that the checks above must find."
    assert loaded("import mfrec, numpy") == (["numpy"], ["mfrec"])


RESOLVE = """
import importlib, json, mfrec
listed, found = dir(mfrec), {}
for name in [*mfrec.__all__, *mfrec.MODULES]:
    thing = getattr(mfrec, name)
    home = mfrec.HOMES.get(name)
    same = thing is (getattr(importlib.import_module("mfrec." + home), name) if home
                     else importlib.import_module("mfrec." + name))
    found[name] = [same, name in listed, getattr(mfrec, name) is thing]
print(json.dumps(found))
"""


def test_every_public_name_is_there_and_listed():
    found = ask(RESOLVE)
    assert len(found) > 30 and {"ALSMF", "load", "read_ratings", "DataError"} <= found.keys()
    assert {"plots", "errors"} <= found.keys()
    assert {name: told for name, told in found.items() if not all(told)} == {}


def test_names_of_the_type_checker_are_those_of_the_package():
    "What stands under TYPE_CHECKING is what `__getattr__` finds, from the same modules."
    tree = ast.parse((nbtools.ROOT / "mfrec" / "__init__.py").read_text(encoding="utf-8"))
    blocks = [node.body for node in tree.body if isinstance(node, ast.If)]
    imports = [node for body in blocks for node in body if isinstance(node, ast.ImportFrom)]
    told = {alias.asname: node.module.removeprefix("mfrec.") for node in imports for alias in node.names}
    assert told == ask("import json, mfrec; print(json.dumps(mfrec.HOMES))")


def test_an_unknown_name_is_named():
    program = """
import json, mfrec
said = []
for ask in (lambda: mfrec.nonsense, lambda: getattr(mfrec, "plot_ratings"), lambda: mfrec.als):
    try:
        ask()
    except AttributeError as error:
        said.append(str(error))
try:
    from mfrec import nonsense
except ImportError as error:
    said.append(str(error))
print(json.dumps([said, hasattr(mfrec, "__wrapped__")]))
"""
    said, wrapped = ask(program)
    lacks = [f"module 'mfrec' has no attribute '{name}'" for name in ("nonsense", "plot_ratings", "als")]
    assert said[:3] == lacks and "cannot import name 'nonsense' from 'mfrec'" in said[3] and not wrapped


def test_a_star_imports_the_public_names():
    program = "from mfrec import *\nimport json, mfrec\n"
    program += "print(json.dumps([sorted(mfrec.__all__), [n for n in mfrec.__all__ if n in globals()]]))"
    names, found = ask(program)
    assert sorted(found) == names and names


# A child for each module, which has the libraries already, and nothing of the package.
ALONE = """
import importlib, json, os, sys
import matplotlib.pyplot, pandas, pooch, pyarrow.parquet, safetensors.numpy, scipy.special, sklearn.base
import torch, tqdm.auto, typer
failed = []
for name in sys.argv[1:]:
    child = os.fork()
    if not child:
        try:
            importlib.import_module(name)
        except BaseException as error:
            print(name, repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        failed.append(name)
print(json.dumps([failed, [name for name in sys.modules if name.split(".")[0] == "mfrec"]]))
"""


def modules():
    folder = nbtools.ROOT / "mfrec"
    paths = [path.relative_to(folder.parent).with_suffix("") for path in folder.rglob("*.py")]
    return sorted(".".join(path.parts) for path in paths if path.name not in ("_modidx", "__init__"))


def test_any_module_may_be_the_first():
    failed, seen = ask(ALONE, *modules())
    assert failed == [] and seen == [] and len(modules()) > 40


def test_a_module_that_cannot_be_the_first_is_seen(tmp_path, monkeypatch):
    (tmp_path / "first.py").write_text("import second\nx = 1")
    (tmp_path / "second.py").write_text("from first import x")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert ask(ALONE, "first", "second")[0] == ["first"]
