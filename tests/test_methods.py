"""The methods of fitted models, each of which a chapter of its own defines: there whenever one is asked for,
in whatever process, and known to a reader, an editor and a type checker."""
import ast
import inspect
import json
import operator
import os
import pickle
import subprocess
import sys
from importlib import import_module

import nbtools
import numpy as np
import pandas as pd
import pytest
from joblib import Parallel, delayed

import mfrec
from mfrec.model.methods import CHAPTERS, Fitted, Method

ROOT = nbtools.ROOT
METHODS = [(name, chapter) for chapter, names in CHAPTERS.items() for name in names]
NAMES = [name for name, _ in METHODS]


@pytest.mark.parametrize("name, chapter", METHODS, ids=NAMES)
def test_the_chapter_defines_the_method(name, chapter):
    function = getattr(import_module(chapter), name)
    assert inspect.isfunction(function) and function.__module__ == chapter
    assert function.__doc__ and inspect.getdoc(getattr(mfrec.ALSMF, name)) == inspect.getdoc(function)
    assert inspect.unwrap(getattr(mfrec.Model, name)) is function
    assert not isinstance(vars(Fitted)[name], Method)


def made_methods(source):
    "Names of functions that a decorator of the records makes methods of fitted models."
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            if {"fitted_method", "own_method"} & set(map(ast.unparse, node.decorator_list)):
                yield node.name


def test_the_table_misses_no_method():
    "One that is not in it would be there only after its chapter was imported for another reason."
    found = set()
    for path in (ROOT / "mfrec").rglob("*.py"):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found |= {(name, module) for name in made_methods(path.read_text(encoding="utf-8"))}
    assert found == set(METHODS)


def test_methods_that_are_made_are_seen():
    source = "@fitted_method\ndef a(m): pass\n@own_method\ndef b(s): pass\ndef c(): pass"
    assert [*made_methods(source)] == ["a", "b"]


@pytest.mark.parametrize("name, chapter", METHODS, ids=NAMES)
def test_a_method_has_the_functions_signature_but_for_the_first(name, chapter):
    first, *others = inspect.signature(getattr(import_module(chapter), name)).parameters.values()
    assert first.name in ("model", "self") and others
    for kind in (mfrec.ALSMF, mfrec.BiasModel):
        assert [*inspect.signature(getattr(kind(), name)).parameters.values()] == others
        assert [*inspect.signature(getattr(kind, name)).parameters.values()][1:] == others


def test_scikit_learn_sees_the_same_methods_in_every_solver():
    "It looks at a class when it is made, which must not depend on what was imported before."
    program = """
import json, sys
from importlib import import_module
kind = getattr(import_module(sys.argv[1]), sys.argv[2])
print(json.dumps(sorted(name for name in dir(kind) if name.startswith("set_"))))
"""
    places = [("mfrec", "ALSMF"), ("mfrec.solvers.als", "ALSMF"), ("mfrec", "BiasModel"),
              ("mfrec.model.estimator", "RatingEstimator")]
    found = [json.loads(alone(program, *place).stdout) for place in places]
    assert "set_fit_request" in found[0] and all(names == found[0] for names in found)


def alone(program, *args):
    command = [sys.executable, "-c", program, *map(str, args)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


# Every method, called with what is in a dict of frames.

def calls(rows, items, folder):
    "{method: its arguments}, of one with and one without a name."
    user, both = rows["userId"].iloc[0], rows["userId"].unique()[:2].tolist()
    people, films = rows.assign(userId=-rows["userId"] - 1), rows.assign(movieId=-rows["movieId"] - 1)
    one = items.head(1).assign(movieId=-1)
    known = {"clip": False}
    return {
        "predict_frame": ((rows,), known), "predict": ((rows,), known), "predict_proba": ((rows,), {}),
        "predict_chances": ((rows,), {}), "scores": (([user, -5],), {"std": False}),
        "preferences": ((user,), {}), "describe_preferences": ((user,), {"n": 2}),
        "fold_in": ((people,), {}), "fold_in_items": ((films,), {"items": one}),
        "evaluate": ((rows,), {"n_boot": 5}), "score": ((rows,), {}),
        "sample_predictions": ((rows, items), {"n": 3}),
        "add_unrated": ((), {"items": one}), "add_rated": ((people,), {}),
        "update": ((people,), {}), "partial_fit": ((people,), {}), "save": ((folder,), {}),
        "find_items": (("the",), {"n": 3}), "with_interest": ((), {"seed": 1}),
        "recommend": ((user,), {"n": 3, "items": items}),
        "explain": ((user, rows["movieId"].iloc[0]), {"items": items}),
        "why": ((user, rows["movieId"].iloc[0]), {"items": items}),
        "similar_items": ((rows["movieId"].iloc[0],), {"n": 3}), "similar_users": ((user,), {"n": 3}),
        "together": ((both,), {"n": 3}), "taste_match": ((both,), {}), "disagreements": ((both,), {"n": 3}),
    }


def simple(found):
    "What a method returned, as something to compare and to pickle."
    if isinstance(found, mfrec.Model):
        return "Model", found.about, found.user.vectors.tolist(), found.item.vectors.tolist()
    if hasattr(found, "fit"):
        return type(found).__name__, simple(found.model_)
    if isinstance(found, pd.DataFrame):
        found = found.astype(object).where(found.notna(), None).to_numpy()
    if isinstance(found, np.ndarray):
        return type(found).__name__, found.tolist()
    return found


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    "A fitted estimator and a loaded model, what to call, and what the calls return here."
    folder = tmp_path_factory.mktemp("asked")
    ratings, items = mfrec.sample_ratings(4_000, seed=2), mfrec.sample_items(4_000, seed=2)
    ratings, items = pd.DataFrame(ratings), pd.DataFrame(items)
    estimator = mfrec.BayesianMF(n_factors=3, n_samples=4, burn_in=1, n_taste=4).fit(ratings, items=items)
    model = mfrec.load(estimator.save(folder / "model"))
    arguments = calls(ratings.head(40), items, str(folder / "again"))
    assert sorted(arguments) == sorted(NAMES)
    found = {}
    for kind, fitted in (("estimator", estimator), ("model", model)):
        (folder / f"{kind}.pickle").write_bytes(pickle.dumps(fitted))
        for name, (args, more) in arguments.items():
            if (kind, name) != ("model", "partial_fit"):
                fresh = pickle.loads((folder / f"{kind}.pickle").read_bytes())
                found[kind, name] = simple(getattr(fresh, name)(*args, **more))
    return folder, estimator, model, arguments, found


# Loads the pickles with nothing of mfrec imported: a child for each method, so that no chapter is there
# because of an earlier call.
PLAIN = """
import os, pickle, sys
import pandas, scipy.special, scipy.stats, sklearn.base, torch, tqdm.auto, safetensors.numpy
folder, kind = sys.argv[1:]
with open(f"{folder}/calls.pickle", "rb") as file:
    arguments = pickle.load(file)
for name, (args, more) in arguments.items():
    assert not [module for module in sys.modules if module.startswith("mfrec")]
    child = os.fork()
    if child:
        if os.waitpid(child, 0)[1]:
            print(name, flush=True)
        continue
    try:
        with open(f"{folder}/{kind}.pickle", "rb") as file:
            fitted = pickle.load(file)
        with open(f"{folder}/{kind}.{name}", "wb") as file:
            pickle.dump(getattr(fitted, name)(*args, **more), file)
    except BaseException as error:
        print(name, repr(error), file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)
"""


@pytest.mark.parametrize("kind", ["estimator", "model"])
def test_every_method_is_there_in_a_process_that_imported_nothing(asked, kind):
    folder, _, _, arguments, expected = asked
    wanted = {name: call for name, call in arguments.items() if (kind, name) in expected}
    (folder / "calls.pickle").write_bytes(pickle.dumps(wanted))
    done = alone(PLAIN, folder, kind)
    assert done.stdout == "", done.stderr
    for name in wanted:
        found = simple(pickle.loads((folder / f"{kind}.{name}").read_bytes()))
        np.testing.assert_equal(found, expected[kind, name], name)


@pytest.mark.parametrize("kind", ["estimator", "model"])
def test_every_method_is_there_in_a_worker_of_joblib(asked, kind):
    _, estimator, model, arguments, expected = asked
    fitted = estimator if kind == "estimator" else model
    names = [name for name in NAMES if (kind, name) in expected]
    asking = [operator.methodcaller(name, *arguments[name][0], **arguments[name][1]) for name in names]
    # workers, not this process: they have imported nothing before the first model arrives
    found = Parallel(n_jobs=2, backend="loky")(delayed(ask)(fitted) for ask in asking)
    for name, result in zip(names, found):
        np.testing.assert_equal(simple(result), expected[kind, name], name)


# What a type checker says.

SCRIPT = '''
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

import mfrec
from mfrec import ALSMF, BayesianMF, DataError, Model


def watch(number: int, row: dict[str, object], stop: Callable[[], None]) -> None:
    if number == 3:
        stop()


def main(path: Path) -> float:
    ratings: pd.DataFrame = mfrec.read_ratings(path, on_duplicates="last")
    items: pd.DataFrame = mfrec.read_items(path)
    train, test = mfrec.split_random(ratings, test_fraction=0.2, seed=1)
    als = ALSMF(n_factors=8, n_jobs=2).fit(train, validation=test, items=items, progress=False)
    model: Model = als.model_
    predicted: np.ndarray = als.predict(test, clip=False)
    frame: pd.DataFrame = model.predict_frame(test)
    error: float = mfrec.rmse(test["rating"], predicted)
    later: Model = als.fold_in(test)
    films: Model = later.fold_in_items(test, items=items)
    folder: Path = films.save(path / "model", ratings=True)
    try:
        loaded: Model = mfrec.load(folder)
    except DataError as problem:
        raise SystemExit(str(problem))
    updated: Model = loaded.update(test, train, refit=True)
    chances: pd.DataFrame = BayesianMF().fit(train, callback=watch).predict_chances(test)
    return error + updated.score(test) + float(frame["prediction"].mean()) + len(chances)


main(Path("ml-100k"))
'''

UPDATE = "loaded.update(test, train, refit=True)"
WRONG = {
    "another order": (UPDATE, "loaded.update(test, refit=train)", "arg-type"),
    "no such argument": ("als.predict(test, clip=False)", "als.predict(test, clips=False)", "call-arg"),
    "text for a frame": ("model.predict_frame(test)", "model.predict_frame('test')", "arg-type"),
    "a missing argument": (UPDATE, "loaded.update()", "call-arg"),
    "another result": ("later: Model = als.fold_in(test)", "later: Path = als.fold_in(test)", "assignment"),
    "no such method": (UPDATE, "loaded.upgrade(test)", "attr-defined"),
    "no such setting": ("n_factors=8, n_jobs=2", "n_factor=8", "call-arg"),
    "text for a number": ("n_factors=8, n_jobs=2", "n_factors='8'", "arg-type"),
    "a callback of another kind": ("callback=watch", "callback=3", "arg-type"),
    "no such name": ("from mfrec import ALSMF", "from mfrec import ALS, ALSMF", "attr-defined"),
    "no such name of the package": ("mfrec.read_items(path)", "mfrec.read_films(path)", "attr-defined"),
    "columns that are text": ("float = mfrec.rmse(test", "str = mfrec.rmse(test", "assignment"),
}
STRICT = """
[[tool.mypy.overrides]]  # of what --strict asks, all that can be asked of a single file
module = ["script"]
check_untyped_defs = true
disallow_any_generics = true
disallow_incomplete_defs = true
disallow_subclassing_any = true
disallow_untyped_calls = true
disallow_untyped_decorators = true
disallow_untyped_defs = true
extra_checks = true
implicit_reexport = false
strict_equality = true
warn_return_any = true
warn_unused_ignores = true
"""


@pytest.fixture(scope="module")
def mypy(tmp_path_factory):
    "mypy(script=None) -> what it says of the script, held strictly, or of the package; one cache for all."
    folder = tmp_path_factory.mktemp("typed")
    config = folder / "pyproject.toml"
    config.write_text((ROOT / "pyproject.toml").read_text() + STRICT)

    def run(script=None):
        files = []
        if script is not None:
            files = [str(folder / "script.py")]
            (folder / "script.py").write_text(script)
        places = ["--config-file", str(config), "--cache-dir", str(folder / "cache")]
        command = [sys.executable, "-m", "mypy", *places, *files]
        environment = os.environ | {"MYPYPATH": str(ROOT)}
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
        assert done.returncode in (0, 1), done.stdout + done.stderr
        lines = done.stdout.splitlines()
        return [line for line in lines if "error:" in line and (script is None or "script.py:" in line)]

    return run


def test_the_package_is_typed(mypy):
    found = mypy()
    assert not found, "\n".join(found)


def test_a_typed_script_passes(mypy):
    found = mypy(SCRIPT)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("right, wrong, code", WRONG.values(), ids=WRONG)
def test_a_wrong_call_is_refused(mypy, right, wrong, code):
    before, after = SCRIPT.split(right)
    found = mypy(before + wrong + after)
    line = before.count("\n") + 1
    assert found and f"script.py:{line}:" in found[0] and f"[{code}]" in found[0], "\n".join(found)
