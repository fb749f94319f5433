"The passes of a fit: who is told of them, who may end them, and how many threads they take."
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from sklearn.base import clone

import mfrec

SMALL = {
    "adam": mfrec.AdamMF(n_factors=3, n_epochs=6, patience=100),
    "als": mfrec.ALSMF(n_factors=3, n_sweeps=6, n_taste=4),
    "als ridge": mfrec.ALSMF(n_factors=3, n_sweeps=6, reg=6.0),
    "bayes": mfrec.BayesianMF(n_factors=3, n_samples=4, burn_in=2, n_taste=4),
    "bayes numbers": mfrec.BayesianMF(n_factors=3, n_samples=4, burn_in=2, n_taste=4, likelihood="numbers"),
}


@pytest.fixture(scope="module")
def halves():
    train, test = mfrec.split_random(mfrec.sample_ratings(6_000, seed=3), 0.2, seed=0)
    return train, test[test.userId.isin(train.userId) & test.movieId.isin(train.movieId)]


@pytest.fixture(params=SMALL)
def small(request):
    return clone(SMALL[request.param])


def stop_at(last, told=None):
    "A callback that asks for the end in the given pass, and notes what it was told."
    def callback(number, row, stop):
        if told is not None:
            told.append((number, row))
        callback.calls += 1
        if callback.calls == last:
            assert stop() is None

    callback.calls = 0
    return callback


@pytest.mark.parametrize("watched", [False, True])
def test_a_callback_is_told_of_every_pass(small, halves, watched):
    train, held = halves
    told = []
    fit = small.fit(train, validation=held if watched else None, callback=stop_at(None, told))
    history = fit.history_.reset_index()
    unit = {"AdamMF": "epoch"}.get(type(fit).__name__, "sweep")
    assert [number for number, _ in told] == history[unit].tolist() == sorted({number for number, _ in told})
    assert len(told) == 6 or watched
    for (number, row), (_, kept) in zip(told, history.iterrows()):
        assert type(row) is dict and row[unit] == number and row["seconds"] >= 0
        assert not watched or np.isfinite(row["validation_rmse"])
        np.testing.assert_equal(row, {name: kept[name] for name in row})


def test_a_callback_that_only_looks_changes_nothing(small, halves):
    "Not even one that spoils its row of history."
    train, held = halves
    rows = {"validation": held}
    quiet = clone(small).fit(train, **rows)
    heard = small.fit(train, callback=lambda number, row, stop: row.clear(), **rows)
    assert heard.predict_frame(held).equals(quiet.predict_frame(held))
    parts = [fit.history_.drop(columns="seconds") for fit in (quiet, heard)]
    assert parts[0].equals(parts[1]) and heard.history_.seconds.is_monotonic_increasing


@pytest.mark.parametrize("settings", [{}, {"reg": 6.0}, {"reg": 2.0, "reg_per_rating": 0.1}],
                         ids=["learned", "ridge", "per rating"])
def test_als_is_stopped_after_the_pass(halves, settings):
    """As if it had been told to make as many from the start; it knows how sure it is, for which a fixed ridge
    takes one sweep more."""
    train, held = halves
    stopped = clone(SMALL["als"]).set_params(**settings).fit(train, callback=stop_at(3))
    assert len(stopped.history_) == 3
    frame = stopped.predict_frame(held)
    assert np.isfinite(frame["std"]).all() and (frame["std"] > 0).all()
    n_sweeps = 4 if settings else 3
    whole = clone(SMALL["als"]).set_params(n_sweeps=n_sweeps, **settings).fit(train)
    assert frame.equals(whole.predict_frame(held))


def test_stopped_adam_is_what_it_was_at_its_best(halves):
    train, held = halves
    fast = clone(SMALL["adam"]).set_params(n_epochs=20, lr=0.2)
    stopped = clone(fast).fit(train, validation=held, callback=stop_at(4))
    errors = stopped.history_.validation_rmse
    assert len(errors) == 4 and (best := int(errors.argmin())) < 3
    short = clone(fast).set_params(n_epochs=best + 1).fit(train, validation=held)
    assert (stopped.predict(held) == short.predict(held)).all()
    whole = clone(fast).set_params(n_epochs=4).fit(train, validation=held)
    assert (stopped.predict(held) == whole.predict(held)).all()


@pytest.mark.parametrize("name", ["bayes", "bayes numbers"])
@pytest.mark.parametrize("last, passes", [(1, 4), (3, 4), (4, 4), (5, 5)])
def test_a_chain_that_is_stopped_has_two_draws(halves, name, last, passes):
    "In its burn-in, too: 2 sweeps here."
    train, held = halves
    stopped = clone(SMALL[name]).fit(train, callback=stop_at(last))
    user, item = stopped.model_.user.errors.draws, stopped.model_.item.errors.draws
    assert len(stopped.history_) == passes and len(user) == len(item) == passes - 2
    frame = stopped.predict_frame(held)
    assert np.isfinite(frame[["prediction", "std"]].to_numpy()).all() and (frame["std"] > 0).all()


def test_a_callback_may_ask_more_than_once(halves):
    train, _ = halves
    fit = clone(SMALL["als"]).fit(train, callback=lambda number, row, stop: (stop(), stop()))
    assert len(fit.history_) == 1


class Enough(Exception):
    pass


def fails(number, row, stop):
    if len(row) and number >= 2:
        raise Enough(f"in pass {number}")


@pytest.fixture
def three_threads():
    "Torch with a number of threads that nothing else would set."
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_an_exception_in_a_callback_reaches_the_caller(small, halves, three_threads):
    "The estimator is as it was before, and so is torch."
    train, _ = halves
    torch.manual_seed(5)
    state = torch.get_rng_state()
    with pytest.raises(Enough, match="in pass 2"):
        small.fit(train, callback=fails)
    assert not hasattr(small, "model_") and not hasattr(small, "history_")
    assert torch.get_num_threads() == 3 and torch.equal(torch.get_rng_state(), state)
    before = small.fit(train).model_
    with pytest.raises(Enough):
        small.fit(train, callback=fails)
    assert small.model_ is before and torch.get_num_threads() == 3


@pytest.mark.parametrize("callback", [3, "print", [print]], ids=["number", "text", "list"])
def test_a_callback_that_cannot_be_called_is_refused(small, halves, callback):
    with pytest.raises(mfrec.SettingError, match="callback=.*must be a function"):
        small.fit(halves[0], callback=callback)
    assert not hasattr(small, "model_")


def test_a_bar_is_shown_where_somebody_looks_and_may_be_forbidden(small, halves, monkeypatch, capsys):
    train, _ = halves
    title = {"AdamMF": "training", "ALSMF": "ALS", "BayesianMF": "sampling"}[type(small).__name__]
    small.fit(train)
    assert capsys.readouterr().err == ""  # nobody looks
    monkeypatch.setattr("mfrec.kernel.progress._someone_looks", lambda: True)
    small.fit(train)
    assert title in capsys.readouterr().err
    small.fit(train, progress=False)
    printed = capsys.readouterr()
    assert printed.err == "" and printed.out == ""


# Threads.

@pytest.fixture
def pools(monkeypatch):
    "The number of threads of each pool that is opened."
    opened, make = [], ThreadPoolExecutor.__init__

    def watched(self, max_workers=None, *args, **options):
        opened.append(max_workers)
        make(self, max_workers, *args, **options)

    monkeypatch.setattr(ThreadPoolExecutor, "__init__", watched)
    return opened


@pytest.fixture
def torch_threads(monkeypatch):
    "What torch was told of threads."
    told, tell = [], torch.set_num_threads

    def watched(n):
        told.append(n)
        tell(n)

    monkeypatch.setattr(torch, "set_num_threads", watched)
    return told


def films_of(rows):
    "What is known of films of which nothing else is known."
    films = rows.movieId.unique()
    return mfrec.sample_items(6_000, seed=3).head(len(films)).assign(movieId=films)


def people_of(rows):
    "People in two groups."
    return rows[["userId"]].drop_duplicates().assign(group=lambda f: np.where(f.userId % 2, "odd", "even"))


def use(estimator, train, later):
    "A fit with features, and all that solves rows afterwards."
    estimator.fit(train, items=films_of(train), users=people_of(train))
    people = later.assign(userId=-later.userId - 1)
    films = later.assign(movieId=-later.movieId - 1)
    model = estimator.model_
    yield "fold_in", model.fold_in(people, users=people_of(people))
    yield "fold_in_items", model.fold_in_items(films, items=films_of(films))
    yield "update", model.update(people, users=people_of(people))
    yield "add_rated", model.add_rated(people)
    known = {"items": films_of(train), "users": people_of(train)}
    yield "refit", model.update(train.assign(rating=3.0), train, refit=True, **known)
    yield "partial_fit", estimator.partial_fit(people, users=people_of(people), refit_after=np.inf)
    yield "full fit", estimator.partial_fit(films, items=films_of(films), refit_after=0)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_no_pool_has_more_threads_than_asked_for(small, halves, pools, torch_threads, three_threads, n_jobs):
    "From the fit to the last update, whatever came before: a loaded model remembers what it was told."
    train, held = halves
    done = dict(use(small.set_params(n_jobs=n_jobs), train, held.head(60)))
    assert len(done) == 7 and set(pools) == {n_jobs}
    assert set(torch_threads) <= {1, n_jobs, 3} and torch.get_num_threads() == 3
    assert "n_added" not in done["full fit"].model_.about and "n_added" not in done["refit"].about


def test_a_loaded_model_takes_as_many_threads_as_its_fit(small, halves, pools, tmp_path):
    train, held = halves
    model = mfrec.load(small.set_params(n_jobs=1).fit(train).save(tmp_path / "model"))
    people = held.head(60).assign(userId=lambda f: -f.userId - 1)
    pools.clear()
    model.fold_in(people), model.update(people)
    assert set(pools) == {1} and model.n_jobs == 1


def test_pools_are_counted(halves, pools):
    "The default is all cores, and a fixture that missed that would miss everything."
    clone(SMALL["als"]).set_params(n_jobs=5).fit(halves[0])
    assert set(pools) == {5}


def test_torch_has_its_threads_back(small, halves, three_threads):
    small.fit(halves[0])
    assert torch.get_num_threads() == 3
    with pytest.raises(mfrec.DataError):
        small.fit(halves[0], validation=halves[1].assign(userId=-1))
    assert torch.get_num_threads() == 3
