"Solvers and kinds of errors that a user defines: saved, loaded and updated as those of the package are."
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from test_persist import assert_same, assert_same_rows

import mfrec
from mfrec.model.estimator import RatingEstimator
from mfrec.model.records import Errors
from mfrec.model.spread import Spread
from mfrec.ratings.rows import by_row, record

SMALL = {"n_factors": 3, "n_sweeps": 3, "n_taste": 4}


class Mine(mfrec.ALSMF):
    "Counts its fits, and has ratings lie half a star higher than they do."
    n_solved = 0

    def _solve(self, data, content, passes):
        type(self).n_solved += 1
        found = super()._solve(data, content, passes)
        return replace(found, mean=found.mean + 0.5)


class MyOwn(Mine):
    "With a setting and a name of its own."
    solver = "my own"

    def __init__(self, lift=1.0, n_factors=3, n_sweeps=3, n_taste=4, seed=0, n_jobs=1):
        super().__init__(n_factors=n_factors, n_sweeps=n_sweeps, n_taste=n_taste, seed=seed, n_jobs=n_jobs)
        self.lift = lift

    def _solve(self, data, content, passes):
        found = super()._solve(data, content, passes)
        return replace(found, mean=found.mean + self.lift)


class MyOther(MyOwn):
    "Without either: it goes by the name of its class."


class MyChain(mfrec.BayesianMF):
    "Takes the chain's own last word."
    solver = "my chain"

    def _finish(self, model, data, workers):
        return replace(super()._finish(model, data, workers), mean=3.0)


OWN = {
    "Mine": Mine(**SMALL),
    "my own": MyOwn(lift=0.25),
    "MyOther": MyOther(lift=0.75),
    "my chain": MyChain(n_factors=3, n_samples=4, burn_in=1, n_taste=4),
}


@pytest.fixture(scope="module")
def halves(ratings):
    rows = ratings.head(8_000)
    return rows[rows.userId % 8 > 0], rows[rows.userId % 8 == 0]


@pytest.mark.parametrize("name", OWN)
def test_a_solver_of_ones_own_is_known_by_its_name(name, halves):
    assert RatingEstimator.solvers[name] is type(OWN[name]) and OWN[name].solver == name
    model = clone(OWN[name]).fit(halves[0]).model_
    assert model.about["solver"] == name and name in repr(model)
    settings = clone(OWN[name]).get_params()
    assert model.about["settings"] == {k: v for k, v in settings.items() if not k.endswith("_col")}


@pytest.mark.parametrize("name", OWN)
def test_a_solver_of_ones_own_is_saved_loaded_and_updated(name, halves, tmp_path):
    "With a full fit, once that is due, by its own `_solve` and with its own settings."
    old, new = halves
    kind = type(OWN[name])
    estimator = clone(OWN[name]).fit(old)
    loaded = mfrec.load(estimator.save(tmp_path / "model"))
    assert_same_rows(estimator.model_, loaded)
    assert loaded.predict_frame(new).equals(estimator.predict_frame(new))
    assert loaded.about == estimator.model_.about
    whole = clone(OWN[name]).fit(old).partial_fit(new)
    before = getattr(kind, "n_solved", 0)
    again = loaded.update(new, refit=True)
    assert getattr(kind, "n_solved", 1) == before + 1
    assert again.about == whole.model_.about and "n_added" not in again.about
    assert again.predict_frame(new).equals(whole.predict_frame(new))
    some = loaded.update(new.head(20), refit=True)
    assert some.about["n_added"] == 20 and getattr(kind, "n_solved", 1) == before + 1
    assert_same_rows(mfrec.load(again.save(tmp_path / "again")), again)


def test_each_is_another_solver(halves):
    "What a class adds shows: stars lie higher by what it says."
    old, _ = halves
    means = {name: clone(OWN[name]).fit(old).model_.mean for name in ("Mine", "my own", "MyOther")}
    plain = mfrec.ALSMF(**SMALL).fit(old).model_.mean
    lifts = {name: round(mean - plain, 6) for name, mean in means.items()}
    assert lifts == {"Mine": 0.5, "my own": 0.75, "MyOther": 1.25}
    assert clone(OWN["my chain"]).fit(old).model_.mean == 3.0


def test_a_solver_that_is_not_imported_is_missed(halves, monkeypatch, tmp_path):
    old, new = halves
    loaded = mfrec.load(clone(OWN["my own"]).fit(old).save(tmp_path / "model"))
    monkeypatch.delitem(RatingEstimator.solvers, "my own")
    with pytest.raises(mfrec.SettingError, match="solver 'my own' is not known here.*import what defines it"):
        loaded.update(new, refit=True)
    assert np.isfinite(loaded.predict(old)).all()


# Kinds of errors.

@record
class Flat(Errors):
    "Every prediction is off by as much."
    noise: np.ndarray = by_row(spare=True)
    steps: np.ndarray = by_row(axis=1, spare=True)
    away: float = 0.5
    known = True

    def variance(self, model, pairs):
        return np.full(len(pairs), self.away ** 2)

    def block(self, model, users):
        return np.full((len(users), len(model.item)), self.away ** 2)


@record
class Wide(Spread):
    "Twice as wide as it is said to be, with a note."
    note: str = "twice"

    def variance(self, model, pairs):
        return 4 * super().variance(model, pairs)

    def block(self, model, users):
        return 4 * super().block(model, users)


class WithFlat(mfrec.ALSMF):
    def _solve(self, data, content, passes):
        found = super()._solve(data, content, passes)
        for side in (found.user, found.item):
            n = len(side.biases) + 1
            side.errors = Flat(np.full(n, 0.8), np.arange(2.0 * n).reshape(2, n), 0.25)
        return found


class WithWide(mfrec.ALSMF):
    def _solve(self, data, content, passes):
        found = super()._solve(data, content, passes)
        for side in (found.user, found.item):
            parts = {name: getattr(side.errors, name) for name in ("spread", "noise", "counted")}
            side.errors = Wide(**parts, note="thrice")
        return found


@pytest.mark.parametrize("solver, kind", [(WithFlat, Flat), (WithWide, Wide)])
def test_a_kind_of_errors_of_ones_own_is_saved_and_loaded(solver, kind, halves, tmp_path):
    old, new = halves
    assert Errors.kinds[kind.__name__] is kind
    model = solver(**SMALL).fit(old).model_
    loaded = mfrec.load(model.save(tmp_path / "model"))
    for mine, theirs in ((model.user, loaded.user), (model.item, loaded.item)):
        assert type(theirs.errors) is kind
        assert_same(mine.errors, theirs.errors)
    frame = loaded.predict_frame(old)
    assert frame.equals(model.predict_frame(old)) and np.isfinite(frame["std"]).all()
    people = old.userId.unique()[:3]
    assert all(map(np.array_equal, loaded.scores(people, std=True), model.scores(people, std=True)))
    updated = loaded.update(new.head(30))
    assert type(updated.user.errors) is type(updated.item.errors) is kind
    assert len(updated.user.errors.noise) == len(updated.user) + 1
    folded = mfrec.load(loaded.fold_in(new.head(30)).save(tmp_path / "folded"))
    assert type(folded.user.errors) is kind and np.isfinite(folded.predict_frame(new.head(30))["std"]).all()


def test_a_kind_says_how_uncertain_it_is(halves):
    old, _ = halves
    flat = WithFlat(**SMALL).fit(old).predict_frame(old)["std"]
    assert np.allclose(flat, (0.25 ** 2 + 0.8 ** 2) ** 0.5)
    wide, plain = (kind(**SMALL).fit(old) for kind in (WithWide, mfrec.ALSMF))
    noise = plain.model_.user.errors.noise[0] * plain.model_.item.errors.noise[0]
    excess = [fit.predict_frame(old)["std"] ** 2 - noise for fit in (wide, plain)]
    assert np.allclose(excess[0], 4 * excess[1], rtol=1e-2, atol=1e-3)


def test_rows_of_a_kind_are_taken_and_grow(halves):
    "Each field along its own axis, with the last entry that of an unknown row."
    errors = WithFlat(**SMALL).fit(halves[0]).model_.user.errors
    some = errors.take(np.array([3, 1]))
    assert some.steps[0].tolist() == [3, 1, len(errors.noise) - 1] and some.away == errors.away
    assert len(some.noise) == 3


def test_a_kind_that_is_not_imported_is_missed(halves, monkeypatch, tmp_path):
    folder = WithFlat(**SMALL).fit(halves[0]).save(tmp_path / "model")
    assert json.loads((folder / "model.json").read_text())["user"]["errors"]["kind"] == "Flat"
    monkeypatch.delitem(Errors.kinds, "Flat")
    with pytest.raises(mfrec.DataError, match="Flat"):
        mfrec.load(folder)


def test_frames_of_another_solver_are_like_any(halves):
    "A table of what each solver knows has the same columns."
    old, _ = halves
    frames = [clone(solver).fit(old).predict_frame(old.head()) for solver in OWN.values()]
    assert all(isinstance(frame, pd.DataFrame) and list(frame) == list(frames[0]) for frame in frames)
