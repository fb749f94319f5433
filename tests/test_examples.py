"""Every public name has a short example in its docstring, and it runs as it stands.

The examples share what a reader has at hand: the sample as `ratings`, `items` and `users`, cut into `train`
and `test`; a fitted `model` and a `bayes`; and a folder with files of the usual names.
"""
import doctest
import inspect
import re
import warnings
from importlib import import_module
from types import SimpleNamespace
from zipfile import ZipFile

import matplotlib.pyplot as plt
import nbtools
import pandas as pd
import pytest

import mfrec
from mfrec import plots
from mfrec.model.methods import CHAPTERS

METHODS = {f"Model.{name}": getattr(import_module(chapter), name)
           for chapter, names in CHAPTERS.items() for name in names}
PICTURES = {f"plots.{name}": getattr(plots, name) for name in plots.__all__}
PUBLIC = {name: getattr(mfrec, name) for name in mfrec.__all__} | METHODS | PICTURES
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def faults(doc, names, what="it"):
    "What is wrong with the example of a docstring, as text; '' if it is there and runs."
    if not re.search(r"^Examples\n-{8}\n>>> ", doc, re.M):
        return f"{what} has no section of Examples"
    test = doctest.DocTestParser().get_doctest(doc, dict(names), what, None, 0)
    said = []
    doctest.DocTestRunner(verbose=False, optionflags=FLAGS).run(test, out=said.append)
    return "".join(said)


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    "What the examples may use, and a folder of files to be in."
    ratings, items = mfrec.sample_ratings(20_000, seed=5), mfrec.sample_items(20_000, seed=5)
    train, test = mfrec.split_random(ratings, seed=1)
    model = mfrec.ALSMF(n_factors=4, n_sweeps=4, n_taste=8).fit(train, items=items).with_interest().model_
    bayes = mfrec.BayesianMF(n_factors=3, n_samples=8, n_taste=8).fit(train).model_
    users = pd.DataFrame({"userId": ratings.userId.unique()})
    users["group"] = (users.userId % 2).map({0: "even", 1: "odd"})
    folder = tmp_path_factory.mktemp("examples")
    ratings.to_csv(folder / "ratings.csv", index=False)
    items.assign(genres=items.genres.str.join("|")).to_csv(folder / "movies.csv", index=False)
    users.to_csv(folder / "users.csv", index=False)
    (folder / "data/raw/ml-100k").mkdir(parents=True)
    (folder / "data/raw/ml-100k/u.data").write_text("1\t1\t5\t0\n")
    with ZipFile(folder / "letterboxd.zip", "w") as archive:
        head = "Date,Name,Year,Letterboxd URI,Rating\n"
        archive.writestr("ratings.csv", head + "2024-01-03,Golden Prairie,1992,https://boxd.it/1,4.5\n"
                                               "2024-01-09,Lonely Piano,1969,https://boxd.it/2,3\n")
    given = SimpleNamespace(ratings=ratings, items=items, users=users, train=train, test=test, model=model,
                            bayes=bayes, mfrec=mfrec, pd=pd, plots=plots)
    return vars(given), folder


@pytest.mark.parametrize("name", PUBLIC)
def test_the_example_runs(names, name, monkeypatch):
    given, folder = names
    monkeypatch.chdir(folder)
    with warnings.catch_warnings(), pd.option_context("display.width", 100):
        warnings.simplefilter("ignore", mfrec.MfrecWarning)
        said = faults(inspect.getdoc(PUBLIC[name]) or "", given, name)
    plt.close("all")
    assert not said, said


RIGHT = "Adds.\n\nExamples\n--------\n>>> 1 + 1\n2\n"


@pytest.mark.parametrize("doc, said", [
    (RIGHT, ""),
    ("Adds.", "no section of Examples"),
    ("Adds.\n\nExamples\n--------\nIt adds.", "no section of Examples"),
    (RIGHT.replace("2\n", "3\n"), "Expected:\n    3\nGot:\n    2"),
    (RIGHT.replace("1 + 1", "one + 1"), "NameError"),
])
def test_examples_that_are_missing_or_wrong_are_seen(doc, said):
    found = faults(doc, {})
    assert said in found and bool(said) == bool(found)


def test_the_solver_of_contributing_runs(names):
    given, _ = names
    text = (nbtools.ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    scope = {}
    exec(re.search(r"```python\n(.*?)```", text, re.S)[1], scope)
    fitted = scope["ItemMeans"]().fit(given["train"])
    assert fitted.evaluate(given["test"]).value["rmse"] < given["test"].rating.std()
