"Alternating least squares: what it minimizes, what it learns, what it does at the edges."
import numpy as np
import pandas as pd
import pytest

import mfrec
from conftest import real, real_path
from mfrec.kernel import machine, memory
from mfrec.kernel.passes import Passes
from mfrec.model.estimator import without_alone
from mfrec.ratings.frames import Columns
from mfrec.ratings.ids import IdEncoder
from mfrec.ratings.rows import Interactions
from mfrec.solvers import als
from mfrec.solvers.als import EXPLAINED, choose_factors, has_heavy_tails


@pytest.fixture(scope="module")
def ratings():
    return mfrec.sample_ratings(20_000, seed=7)


def test_a_fixed_ridge_never_raises_the_objective_and_ends_exact_for_the_users(ratings):
    als = mfrec.ALSMF(n_factors=6, reg=9.0, n_sweeps=25).fit(ratings)
    assert (als.history_.objective.diff()[1:] <= 1e-6 * als.history_.objective[1:]).all()

    # The gradient of a user's objective, in the standardized units that the ridge is in,
    # vanishes at the user's vector.
    scale = ratings.rating.std(ddof=0)
    residual = (ratings.rating - without_alone(als.model_).predict(ratings, clip=False)) / scale
    item = als.model_.item
    q = item.factors[item.ids.transform(ratings.movieId)] / np.sqrt(scale)
    pull = pd.DataFrame(residual.to_numpy()[:, None] * q).groupby(ratings.userId.to_numpy()).sum()
    p = als.model_.user.factors / np.sqrt(scale)
    # factors are stored centered
    shift = np.linalg.lstsq(np.ones((len(p), 1)), pull.to_numpy() / 9.0 - p, rcond=None)[0]
    assert np.abs(pull.to_numpy() / 9.0 - p - shift).max() < 1e-3


def test_objective_is_the_one_that_is_documented(ratings):
    als = mfrec.ALSMF(n_factors=4, reg=6.0, n_sweeps=200).fit(ratings)
    residual = (ratings.rating - without_alone(als.model_).predict(ratings, clip=False)) / ratings.rating.std(
        ddof=0
    )
    assert (residual**2).sum() < als.history_.objective.iloc[-1] < (residual**2).sum() + 6.0 * len(ratings)
    penalty = als.history_.objective.iloc[-1] - (residual ** 2).sum()
    # centering can only shrink factors
    assert penalty > 6.0 * (als.model_.user.factors ** 2).sum() / ratings.rating.std(ddof=0)


def test_features_under_a_fixed_ridge_lower_one_objective_to_its_minimum():
    """Slopes are exact for the rows they were found from, also on both sides at once,
    and pull rows with few ratings; measured: -0.028 of RMSE."""
    ratings, items = real("ml-100k"), mfrec.read_items(real_path("ml-100k"))
    train, test = mfrec.split_mask(ratings)
    known = {"items": items, "users": mfrec.read_users(real_path("ml-100k"))}
    plain, informed = (mfrec.ALSMF(reg=30.0, n_sweeps=40).fit(train, **features) for features in ({}, known))
    objective = informed.history_.objective
    assert (objective.diff()[1:] <= 1e-6 * objective[1:]).all()
    assert objective.iloc[-1] < plain.history_.objective.iloc[-1]
    assert -informed.score(test) < -plain.score(test) - 0.02
    model = informed.model_
    for side, features in (
        (model.user, model.user.features.values),
        (model.item, model.item.features.values),
    ):
        rows = side.factors[side.n_ratings > 0].astype(np.float64)
        x = features[side.n_ratings > 0].astype(np.float64)
        x = (x - x.mean(0)) / np.maximum(x.std(0), 1e-12)
        slopes = np.linalg.solve(x.T @ x + 10 * np.eye(x.shape[1]), x.T @ (rows - rows.mean(0)))
        found = side.prior.given[:, :-1] * np.maximum(features[side.n_ratings > 0].std(0), 1e-12)[:, None]
        assert np.abs(found - slopes).max() < 0.05 * np.abs(slopes).max()


@pytest.mark.parametrize("per_rating", [0.0, 0.03])
def test_objective_under_a_fixed_ridge_counts_errors_rows_slopes_and_ratings(ratings, per_rating):
    "As the chapter writes it, worked out here in numpy from what a fit ends with."
    ids = [IdEncoder().fit(ratings[c]) for c in ("userId", "movieId")]
    data = Interactions.from_frame(ratings, Columns("userId", "movieId", "rating", None), *ids)
    table = data.standardized()
    rng = np.random.default_rng(0)
    features = tuple(rng.normal(size=(n, 3)).astype(np.float32) for n in (data.n_users, data.n_items))
    passes, prior = Passes(), als.ridge_prior(4, 6.0, per_rating)
    parts = als.start_parts(table, 4, prior, features, 0, machine.ALONE)
    state = als.run_sweeps(*parts, 4, False, machine.ALONE, passes)
    users, items = (part.vectors.double().numpy() for part in (state.users, state.items))
    predicted = (
        (users[data.users, :-1] * items[data.items, :-1]).sum(1)
        + users[data.users, -1]
        + items[data.items, -1]
    )
    total, ridge = np.square(table.ratings - predicted).sum(), np.diag([6.0] * 4 + [4.0])
    total += per_rating * (np.square(users[data.users, :-1]).sum() + np.square(items[data.items, :-1]).sum())
    for part, rows in ((state.users, users), (state.items, items)):
        slopes = part.features.slopes.double().numpy()
        away = rows - part.features.values.double().numpy() @ slopes
        total += np.trace(away @ ridge @ away.T) + 10.0 * np.trace(slopes @ ridge @ slopes.T)
    assert passes.history.objective.iloc[-1] == pytest.approx(total, rel=1e-5)


def test_a_ridge_per_rating_falls_in_each_step_and_knows_how_much_it_fitted(ratings):
    """The noise from the residuals and the number of fitted parameters, by numpy from the fitted model;
    in units of the ratings' deviation."""
    films = mfrec.sample_items(20_000, seed=7)
    for given in ({}, {"items": films}):
        fit = mfrec.ALSMF(n_factors=4, reg=2.0, reg_per_rating=0.2, n_sweeps=40).fit(ratings, **given)
        assert (fit.history_.objective.diff()[1:] <= 1e-6 * fit.history_.objective[1:]).all()
    # items and users settled: theirs come from their last solves
    fit = mfrec.ALSMF(n_factors=4, reg=2.0, reg_per_rating=0.2, n_sweeps=60).fit(ratings)
    model, scale = without_alone(fit.model_), ratings.rating.std(ddof=0)
    left = ((ratings.rating - model.predict(ratings, clip=False)) / scale) ** 2
    fitted = 0.0
    sides = ((model.user, "userId", model.item, "movieId"), (model.item, "movieId", model.user, "userId"))
    for mine, own, other, theirs in sides:
        assert np.allclose(
            mine.prior.per_rating[:4, :4], 0.2 / scale * scale**2 / mine.prior.noise * np.eye(4)
        )
        assert not mine.prior.per_rating[4].any()
        # as they were before centering
        factors = (other.factors[other.ids.transform(ratings[theirs])] - other.prior.origin[:4]) / np.sqrt(
            scale
        )
        for _, rows in pd.DataFrame(factors).groupby(ratings[own].to_numpy()):
            z = np.column_stack([rows, np.ones(len(rows))])
            gram = z.T @ z
            fitted += np.trace(gram @ np.linalg.inv(gram + np.diag([2.0 + 0.2 * len(rows)] * 4 + [4.0])))
    n = len(ratings) - fitted
    assert model.user.errors.noise[0] / scale**2 == pytest.approx(
        (left.sum() + als.NOISE_RATINGS) / (n + als.NOISE_RATINGS), rel=1e-3
    )


def test_what_users_leave_open_is_the_same_wherever_the_sweeps_ended(ratings):
    """After all sweeps it comes with the last of them;
    where validation rows end a fit early, or go back to a sweep before, users are solved again."""
    train, held = mfrec.split_random(ratings, 0.2)
    early = mfrec.ALSMF(n_factors=4, reg=10.0, n_sweeps=30).fit(train, validation=held)
    best = len(early.history_) - als.PATIENCE
    assert 3 < best < 28
    whole = mfrec.ALSMF(n_factors=4, reg=10.0, n_sweeps=best).fit(train)
    for found in (early, mfrec.ALSMF(n_factors=4, reg=10.0, n_sweeps=best + 1).fit(train, validation=held)):
        for mine, theirs in ((found.model_.user, whole.model_.user), (found.model_.item, whole.model_.item)):
            assert mine.errors.spread == pytest.approx(theirs.errors.spread, rel=2e-3, abs=1e-6)
        assert found.model_.user.errors.noise[0] == pytest.approx(whole.model_.user.errors.noise[0], rel=1e-4)


def test_items_that_go_on_save_sweeps(monkeypatch):
    "From the fifth sweep on; measured on this split: 0.0005 better in ten sweeps than in twelve plain ones."
    train, test = mfrec.split_random(real("ml-latest-small"), 0.1, seed=9)
    ahead = mfrec.ALSMF().fit(train)
    monkeypatch.setattr(als, "AHEAD", 0.0)
    plain = mfrec.ALSMF(n_sweeps=12).fit(train)
    assert (ahead.history_.noise[:5] == plain.history_.noise[:5]).all()
    assert (ahead.history_.noise[5:] != plain.history_.noise[5:10]).all()
    assert -ahead.score(test) < -plain.score(test) < -mfrec.ALSMF().fit(train).score(test)


def test_learned_noise_is_what_is_left_of_the_ratings(ratings):
    als = mfrec.ALSMF().fit(ratings)
    left = float(np.std(ratings.rating - als.predict(ratings, clip=False)))
    assert left < als.history_.noise.iloc[-1] < 1.1 * ratings.rating.std()


@pytest.mark.parametrize("reg, per_rating", [(None, 0.0), (6.0, 0.0), (12.0, 0.0), (1.0, 0.1)])
def test_intervals_cover_what_they_say(ratings, reg, per_rating):
    train, test = mfrec.split_random(ratings, 0.2)
    frame = mfrec.ALSMF(reg=reg, reg_per_rating=per_rating).fit(train).predict_frame(test, clip=False)
    inside = ((test.rating - frame.prediction).abs() <= 1.2816 * frame["std"]).mean()
    assert 0.75 < inside < 0.85


def test_a_fixed_ridge_finds_the_noise_and_what_each_user_leaves_open():
    rng = np.random.default_rng(0)
    n_users = 300
    n_items = 200
    p = rng.normal(size=(n_users, 2))
    q = rng.normal(size=(n_items, 2))
    b = rng.normal(size=n_users) * 0.5
    users, items = np.divmod(rng.permutation(n_users * n_items)[:20_000], n_items)
    frame = pd.DataFrame({
        "userId": users,
        "movieId": items,
        "rating": (b[users] + (p[users] * q[items]).sum(1) + 0.6 * rng.normal(size=20_000)).astype("float32"),
    })
    model = mfrec.ALSMF(n_factors=2, reg=0.5, n_sweeps=30).fit(frame).model_
    assert model.user.errors.noise[0] ** 0.5 == pytest.approx(0.6, rel=0.02)  # the residuals alone have 0.576
    # A user's own share of the variance against the inverse of the normal equations, in standardized units:
    # the bias's, and two factors' which hardly correlate.
    scale, tau = frame.rating.std(ddof=0), frame.rating.var(ddof=0) / model.user.errors.noise[0]
    factors = model.item.factors / np.sqrt(scale)
    for user in (0, 7):
        z = np.column_stack([
            factors[model.item.ids.transform(frame.movieId[frame.userId == user])],
            np.ones((frame.userId == user).sum()),
        ])
        exact = np.linalg.inv(tau * (z.T @ z + np.diag([0.5, 0.5, 4.0])))
        assert model.user.errors.spread[user, :2] / scale == pytest.approx(np.diag(exact)[:2], rel=0.03)
        assert model.user.errors.spread[user, 4] / scale ** 2 == pytest.approx(exact[2, 2], rel=0.05)


@pytest.mark.parametrize("rows", [[(1, 1, 3)], [(u, i, 4) for u in range(10) for i in range(5)]])
def test_a_ridge_that_leaves_nothing_is_not_certain(rows):
    frame = pd.DataFrame(rows, columns=["userId", "movieId", "rating"])
    found = (
        mfrec.ALSMF(reg=6.0, n_factors=3)
        .fit(frame)
        .predict_frame(pd.concat([frame, frame.head(1).assign(userId=-1)]))
    )
    assert found["std"].min() > 0.15


def test_more_sweeps_do_no_harm_on_few_ratings():
    train, test = mfrec.split_random(mfrec.sample_ratings(20_000, seed=8).head(5_000), 0.2)
    few, many = (-mfrec.ALSMF(n_sweeps=n).fit(train).score(test) for n in (8, 60))
    assert many < few + 0.005


@pytest.mark.parametrize("low, high", [(-10, 10), (1, 100), (0, 1)])
def test_any_scale_gives_the_same_predictions(ratings, low, high):
    other = ratings.assign(rating=low + (ratings.rating - 0.5) / 4.5 * (high - low))
    expected = mfrec.ALSMF(n_factors=6, n_sweeps=5).fit(ratings).predict(ratings, clip=False)
    found = mfrec.ALSMF(n_factors=6, n_sweeps=5).fit(other).predict(other, clip=False)
    assert np.allclose(0.5 + (found - low) / (high - low) * 4.5, expected, atol=2e-3)


def test_rule_for_the_number_of_factors():
    thin = Interactions(np.zeros(50, np.int32), np.arange(50, dtype=np.int32), np.ones(50, np.float32), 1, 50)
    thick = Interactions(
        np.repeat(np.arange(120), 120).astype(np.int32), np.tile(np.arange(120), 120).astype(np.int32),
        np.ones(14400, np.float32), 120, 120
    )
    thinner = Interactions(
        np.repeat(np.arange(20), 3).astype(np.int32), np.arange(60, dtype=np.int32), np.ones(60, np.float32),
        25, 60
    )
    assert choose_factors(thin) == 14 and choose_factors(thick) == 22
    assert choose_factors(thinner) == 4 and 0 < EXPLAINED < 1


def test_more_factors_than_rows_of_either_side():
    frame = pd.DataFrame({"userId": [1, 1, 2, 3], "movieId": [1, 2, 2, 1], "rating": [1.0, 5.0, 4.0, 2.0]})
    for reg in (None, 5.0):
        assert np.isfinite(mfrec.ALSMF(n_factors=130, reg=reg).fit(frame).predict(frame)).all()


@pytest.mark.parametrize("settings, message", [
    ({"n_factors": 0}, "n_factors=0"),
    ({"n_factors": 2.5}, "n_factors=2.5"),
    ({"reg": 0.0}, "reg=0.0"),
    ({"reg": float("nan")}, "reg=nan"),
    ({"reg": 6.0, "reg_per_rating": -0.1}, "reg_per_rating=-0.1; it must be a number, 0 or more"),
    ({"reg": 6.0, "reg_per_rating": float("nan")}, "reg_per_rating=nan"),
    ({"reg": 6.0, "reg_per_rating": "a"}, "reg_per_rating='a'"),
    ({"reg_per_rating": 0.1}, "reg=None learns it; give both"),
    ({"n_sweeps": 0}, "n_sweeps=0"),
    ({"n_taste": -1}, "n_taste=-1"),
    ({"n_jobs": 0}, "n_jobs=0"),
    ({"device": "abacus"}, "abacus"),
    ({"n_factors": 10**7}, "GB of memory"),
])
def test_bad_settings_are_refused(ratings, settings, message):
    with pytest.raises(mfrec.SettingError, match=message):
        mfrec.ALSMF(**settings).fit(ratings)


def test_memory_of_features_is_foreseen(ratings, monkeypatch):
    "What does for the ratings alone does not for two hundred columns besides."
    tags = mfrec.item_features(
        pd.DataFrame({"movieId": ratings.movieId.unique()}).assign(tag=lambda f: f.index % 200),
        categorical=["tag"],
        min_rows=1,
    )
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: type("Memory", (), {"available": 75e6}))
    mfrec.ALSMF(n_factors=4, n_sweeps=1, n_taste=0).fit(ratings)
    with pytest.raises(mfrec.SettingError, match="needs about .* GB of memory"):
        mfrec.ALSMF(n_factors=4, n_sweeps=1, n_taste=0).fit(ratings, items=tags)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    "limit, cached, left", [(10**9, 0, 4 * 10**8), (10**9, 10**8, 5 * 10**8), (10**8, 0, 0), ("max", 0, None)]
)
def test_the_limit_of_a_container_is_seen(tmp_path, version, limit, cached, left):
    "600 MB are taken, some of it pages of files that would be given back."
    names = (
        ("memory.max", "memory.current", "memory.stat")
        if version == 2
        else ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat")
    )
    stat = f"anon 5\n{'total_' * (version == 1)}inactive_file {cached}\n"
    for name, text in zip(names, (str(limit), str(6 * 10 ** 8), stat)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    free = memory.psutil.virtual_memory().available
    found = memory.available_memory(cgroup=tmp_path)
    if left is None:
        assert abs(found - free) < 1e9
    else:
        assert found == left
        with pytest.raises(
            mfrec.SettingError,
            match=f"fit needs about 0.6 GB of memory, and {left / 1e9:.1f} GB are available",
        ):
            memory.check_memory(6e8, "fit", available=found)


@pytest.mark.parametrize("ratings, heavy", [
    ([1, 2, 3, 4, 5] * 20, False),
    ([1] * 95 + [0] * 5, True),
    ([3], False),
    (np.exp(np.random.default_rng(0).normal(size=1_000)), True),
])
def test_which_ratings_have_heavy_tails(ratings, heavy):
    table = Interactions(
        np.zeros(len(ratings), np.int32), np.arange(len(ratings), dtype=np.int32),
        np.array(ratings, np.float32), 1, len(ratings)
    )
    assert has_heavy_tails(table.standardized().ratings) == heavy
