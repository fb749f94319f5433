"The sampler against closed forms and joint draws; the estimator on planted and real ratings."
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pandas as pd
import pytest
import torch
from joblib import Parallel, delayed
from scipy.special import ndtri

import mfrec
from conftest import real
from mfrec.kernel.machine import ALONE
from mfrec.model.estimator import without_alone
from mfrec.model.chances import predict_chances
from mfrec.model.link import Levels, level_probabilities
from mfrec.solvers import bayes, gibbs, levels
from mfrec.solvers.bayes import BayesianMF, rating_levels
from mfrec.solvers.gibbs import HyperPriors, Rotated, Sampler, draw_hyper, draw_noise
from mfrec.solvers.levels import (
    Codes, ProbitSampler, draw_latent, fit_thresholds, start_thresholds, tail_deviate)
from mfrec.testing import draw_joint, geweke_scores, tiny_sampler
from mfrec.use.calibration import coverage, coverage_table, pit_values

FAST = dict(n_factors=6, n_samples=12, burn_in=3, n_taste=16)


@pytest.fixture(scope="module")
def sample():
    ratings = mfrec.sample_ratings(30_000, seed=4)
    train, test = mfrec.split_random(ratings, 0.1, seed=0)
    return train, test[test.movieId.isin(train.movieId)]


@pytest.fixture(scope="module")
def fitted(sample):
    return BayesianMF(**FAST).fit(sample[0])


@pytest.mark.parametrize("n_factors, n_ratings, expected", [
    (30, 900_000, 16),
    (14, 800_000, 34),
    (14, 90_000, 64),
    (30, 200_000, 32),
    (4, 10_000_000, 64),
    (200, 1, 64),
])
def test_more_draws_are_kept_where_vectors_are_short_or_ratings_few(n_factors, n_ratings, expected):
    assert bayes.n_draws(n_factors, n_ratings) == expected


def test_draws_are_spread_over_a_chain_and_no_more_than_its_sweeps(fitted):
    assert len(fitted.model_.user.errors.draws) == len(fitted.model_.item.errors.draws) == FAST["n_samples"]


@pytest.mark.parametrize("relax", [0.0, -0.8])
def test_the_sampler_leaves_the_joint_distribution_alone(relax):
    scores = geweke_scores(500, relax=relax, seed=1)
    assert scores.abs().max() < 3.7  # ten probes: once in 500 runs of a correct sampler


LEVELS = {
    "codes": Codes(torch.zeros(24, dtype=torch.long), 4, tiny_sampler(seed=1)[1]),
    "thresholds": torch.tensor([-1.0, 0.0, 0.8], dtype=torch.float64),
}
KNOWN = {"known": torch.randn(6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))}
KINDS = {
    "levels": {"kind": ProbitSampler} | LEVELS,
    "slopes": KNOWN,
    "levels and slopes": {"kind": ProbitSampler} | LEVELS | KNOWN,
}


@pytest.mark.parametrize("kind", KINDS)
def test_so_do_levels_and_slopes(kind):
    assert geweke_scores(300, relax=-0.8, seed=1, **KINDS[kind]).abs().max() < 3.7


def test_the_joint_test_sees_latent_ratings_that_are_not_random(monkeypatch):
    monkeypatch.setattr(
        levels,
        "draw_latent",
        lambda codes, center, root, uniform, cuts: draw_latent(
            codes, center, root, torch.full_like(uniform, 0.5), cuts
        ),
    )
    assert geweke_scores(300, seed=1, **KINDS["levels"]).abs().max() > 6


def test_the_joint_test_sees_slopes_that_are_not_taken_off(monkeypatch):
    monkeypatch.setattr(gibbs, "subtract_values", lambda groups, values: groups)
    assert geweke_scores(300, seed=1, **KINDS["slopes"]).abs().max() > 6


def test_the_joint_test_sees_the_missing_term():
    scores = geweke_scores(500, relax=-0.8, beta_term=False, seed=1)
    assert scores[["ridge of users", "ridge of items"]].abs().min() > 4


def test_without_features_and_with_one_noise_a_sweep_still_works():
    sampler, *_ = tiny_sampler(HyperPriors(0.3, noise_dof=None))
    none = Rotated.of(torch.zeros(6, 0, dtype=torch.float64), torch.ones(6, dtype=torch.bool))
    sampler = replace(sampler, features=(none, none))
    state, _ = sampler.step(sampler.start())
    noise, _ = state.noise
    assert torch.isfinite(state.user).all() and bool((noise == noise[0]).all())


@pytest.mark.parametrize("kind", ["numbers", *KINDS])
def test_a_step_leaves_the_sampler_and_the_state_before_as_they_were(kind):
    sampler, pairs = tiny_sampler(**KINDS.get(kind, {}))
    rng = np.random.default_rng(0)
    sampler, state = draw_joint(sampler, sampler.start(), pairs, rng)

    def ratings():
        return [bucket.values for part in (sampler.users, sampler.items) for bucket in part.groups.buckets]

    kept = vars(sampler) | vars(state)
    arrays = [state.user, state.item, *state.noise, state.thresholds, *ratings()]
    copies = [array.clone() for array in arrays]
    after, _ = sampler.step(state)
    assert all(torch.equal(array, copy) for array, copy in zip(arrays, copies))
    assert all(kept[name] is value for name, value in (vars(sampler) | vars(state)).items())
    assert not torch.equal(after.user, state.user) and not torch.equal(after.item, state.item)
    assert after.rng is state.rng and after.generator is state.generator
    with pytest.raises(FrozenInstanceError):
        state.alpha = 1.0
    with pytest.raises(FrozenInstanceError):
        sampler.relax = 0.0


def test_rows_without_ratings_have_no_say_in_the_hyper_parameters():
    rng = np.random.default_rng(0)
    rows, rated = torch.as_tensor(rng.normal(size=(40, 3))), torch.arange(40) < 30
    empty = Rotated.of(torch.zeros(40, 0, dtype=torch.float64), rated)
    wild = rows.clone()
    wild[30:] = 1e6
    first, second = (
        draw_hyper(x, rated, empty, 1.0, HyperPriors(0.3), np.random.default_rng(1)) for x in (rows, wild)
    )
    assert torch.equal(first.precision, second.precision) and torch.equal(first.mean, second.mean)


def test_noise_of_a_user_without_ratings_is_the_prior():
    rng = np.random.default_rng(0)
    rows = np.array([
        draw_noise(np.array([0.0, 5.0]), np.array([0, 10]), 2.0, 16.0, rng)[0] for _ in range(4000)
    ])
    assert np.isclose(rows.mean(), 2.0, rtol=0.03) and np.isclose(rows.var(), 2 * 2.0 ** 2 / 16, rtol=0.1)


def test_latent_ratings_stay_in_their_cells_however_far_off_the_prediction():
    thresholds, n = torch.tensor([-1.0, 0.0, 1.0]), 2000
    for code, limits in enumerate([(-np.inf, -1), (-1, 0), (0, 1), (1, np.inf)]):
        for center in (-40.0, -6.0, 0.0, 6.0, 40.0):
            x = draw_latent(
                torch.full((n,), code), torch.full((n,), center), torch.ones(n), torch.rand(n), thresholds
            )
            assert x.abs().max() < 50 and x.min() >= limits[0] - 1e-3 and x.max() <= limits[1] + 1e-3
    tail = tail_deviate(
        torch.full((n,), 6.0), torch.full((n,), 1e4),
        torch.rand(n, generator=torch.Generator().manual_seed(0))
    )
    assert np.isclose(float(tail.mean()), 6.158, atol=0.02)


def test_thresholds_stay_in_order_when_levels_are_rare():
    codes = torch.tensor([0] * 500 + [1] + [2] * 3 + [3] * 700)
    thresholds = start_thresholds(Codes(codes, 4, pairs=None))
    for _ in range(30):
        thresholds = fit_thresholds(codes, torch.zeros(len(codes)), torch.ones(len(codes)), thresholds)
        assert torch.isfinite(thresholds).all() and bool((thresholds.diff() > 0).all())
    shares = level_probabilities(np.zeros(1), np.ones(1), thresholds.numpy())[0]
    assert np.allclose(shares, np.bincount(codes) / len(codes), atol=0.01)


def test_thresholds_stay_in_order_when_a_sample_lacks_a_level():
    "Each step sees other ratings, and hardly any sees the one at the top."
    codes = torch.tensor([0] * 250 + [1] * 250 + [2] + [3])
    generator, thresholds = torch.Generator().manual_seed(0), start_thresholds(Codes(codes, 4, pairs=None))
    for _ in range(200):
        some = codes[torch.randint(len(codes), (len(codes),), generator=generator)]
        thresholds = fit_thresholds(some, torch.zeros(len(some)), torch.ones(len(some)), thresholds)
        assert torch.isfinite(thresholds).all() and bool((thresholds.diff() > 0).all())


def test_tiny_tables_of_any_kind_have_probabilities():
    "A few ratings of a few people, some stars once: finite predictions, and probabilities that are some."
    for seed in range(25):
        rng = np.random.default_rng(seed)
        pairs = rng.choice(64, rng.integers(3, 40), replace=False)
        frame = pd.DataFrame({
            "userId": pairs // 8, "movieId": pairs % 8, "rating": rng.integers(1, 6, len(pairs)).astype(float)
        })
        model = BayesianMF(n_samples=20).fit(frame)
        assert np.isfinite(model.predict_frame(frame)[["prediction", "std"]].to_numpy()).all()
        if isinstance(model.model_.link, Levels):
            shares = model.predict_chances(frame).to_numpy()
            assert shares.min() >= 0 and np.allclose(shares.sum(1), 1, atol=1e-4)


@pytest.mark.parametrize("ratings, likelihood, n_levels", [
    (np.arange(1, 6), "auto", 5),
    (np.arange(1, 101), "auto", 0),
    (np.arange(1, 101), "levels", 100),
    ([0, 1], "auto", 2),
    ([3], "auto", 0),
    (np.arange(1, 6), "numbers", 0),
])
def test_which_scales_are_levels(ratings, likelihood, n_levels):
    assert len(rating_levels(np.array(ratings), likelihood)) == n_levels


def lopsided(cuts, n=20_000, n_users=800, n_items=600, seed=0):
    "Ratings of which nearly all have the highest level; two tables."
    rng = np.random.default_rng(seed)
    users, items = np.divmod(rng.choice(n_users * n_items, n, replace=False), n_items)
    score = (
        0.5 * rng.normal(size=n_users)[users]
        + 0.6 * rng.normal(size=n_items)[items]
        + 0.6 * rng.normal(size=n)
    )
    frame = pd.DataFrame({
        "userId": users, "movieId": items, "rating": np.searchsorted(ndtri(cuts), score) * 1.0
    })
    return frame[n // 10:], frame[:n // 10]


@pytest.mark.parametrize("cuts", [[0.05], [0.02, 0.03, 0.05, 0.1]], ids=["thumbs", "stars"])
def test_ratings_of_nearly_one_level(cuts):
    """Biases are hard to beat here; a solver that falls for the few other ratings is 5 % worse or more,
    and predictions that miss most of what the levels leave open are far too low."""
    train, test = lopsided(cuts)
    bias = -mfrec.BiasModel().fit(train).score(test)
    for model in (mfrec.ALSMF(), BayesianMF()):
        assert -model.fit(train).score(test) < 1.02 * bias
    assert abs(model.predict(test).mean() - train.rating.mean()) < 0.015 * train.rating.max()
    chance = model.predict_chances(test)
    assert len(model.model_.link.levels) == len(cuts) + 1
    assert np.allclose(chance.mean().iloc[-1], (test.rating == test.rating.max()).mean(), atol=0.02)
    own = train[train.userId.isin(train.userId.unique()[:20])]
    apart, together = (
        model.fold_in(rows.assign(userId=rows.userId + 10_000))
        for rows in (own[own.userId == own.userId.iloc[0]], own)
    )
    pairs = own[own.userId == own.userId.iloc[0]].head(5)
    for folded in (apart, together):  # as they were, whoever else is there
        assert np.allclose(
            folded.predict(pairs.assign(userId=pairs.userId + 10_000)), model.predict(pairs), atol=1e-3
        )


@pytest.mark.parametrize("transform", [
    lambda r: r * 4 - 10,
    lambda r: r * 20,
    lambda r: (r - 3) * 3.7 + np.random.default_rng(0).normal(size=len(r)) / 10,
    lambda r: r * 1e4,
    lambda r: r + 5e3,
    lambda r: r * 1e-8,
], ids=["-8 to 10", "10 to 100", "continuous", "5,000 to 50,000", "5,000.5 to 5,005", "tiny"])
def test_other_scales_are_as_good(sample, fitted, transform):
    train, test = (rows.assign(rating=transform(rows.rating.to_numpy(np.float64))) for rows in sample)
    model = BayesianMF(**FAST).fit(train)
    relative = [m.score(t) / t.rating.std() for m, t in ((fitted, sample[1]), (model, test))]
    assert abs(relative[0] - relative[1]) < 0.01
    frame = model.predict_frame(test)
    assert np.isfinite(frame[["prediction", "std"]].to_numpy()).all()
    assert np.isclose(
        frame["std"].mean() / test.rating.std(),
        fitted.predict_frame(sample[1])["std"].mean() / sample[1].rating.std(),
        rtol=0.05,
    )


def test_bits_do_not_depend_on_threads(sample):
    frames = [BayesianMF(**FAST, n_jobs=n).fit(sample[0]).predict_frame(sample[1]) for n in (1, 2)]
    pd.testing.assert_frame_equal(*frames)


def test_unknown_users_are_less_certain_than_known_ones(sample, fitted):
    train, test = sample
    frame = fitted.predict_frame(test.assign(userId=-1))
    known = fitted.predict_frame(test)
    assert frame["std"].mean() > known["std"].mean() and np.isfinite(frame["std"]).all()
    assert set(frame.basis) == {"bias"}
    errors = fitted.model_.user.errors
    assert len(errors.noise) == train.userId.nunique() + 1
    assert errors.draws.shape[1] == train.userId.nunique() + 1


def test_levels_add_up_to_prediction_and_deviation(sample, fitted):
    chance, frame = predict_chances(fitted.model_, sample[1]), fitted.predict_frame(sample[1])
    stars = chance.columns.to_numpy()
    assert np.allclose(chance.sum(axis=1), 1) and np.allclose(chance @ stars, frame.prediction, atol=1e-3)
    assert np.allclose(np.sqrt(chance @ stars ** 2 - (chance @ stars) ** 2), frame["std"], atol=1e-3)


def test_pit_is_uniform_for_ratings_drawn_from_the_prediction(sample, fitted):
    chance = predict_chances(fitted.model_, sample[1]).to_numpy()
    drawn = (
        (chance.cumsum(1) < np.random.default_rng(7).random((len(chance), 1)))
        .sum(1)
        .clip(max=chance.shape[1] - 1)
    )
    pit = pit_values(fitted, sample[1].assign(rating=fitted.model_.link.levels[drawn]))
    assert all(abs(coverage(pit, level) - level) < 0.03 for level in (0.5, 0.8, 0.9))
    assert abs(pit.mean() - 0.5) < 0.02
    table = coverage_table(fitted, sample[1], sample[0])
    assert table.shape == (21, 3) and table.to_numpy().min() > 0


class Chain(BayesianMF):
    "A sampler that keeps the pair of factors as the chain leaves it."
    def _finish(self, model, data, workers):
        return model


def test_history_watches_the_rows_given(sample):
    train, test = sample
    # as long as by default
    model = Chain(**FAST | {"n_samples": 64}, likelihood="numbers").fit(train, validation=test)
    predicted = without_alone(model.model_).predict(test, clip=False)
    assert len(model.history_) == 67 and model.history_.seconds.is_monotonic_increasing
    rmse = np.sqrt(np.mean((predicted - test.rating) ** 2))
    assert abs(model.history_.validation_rmse.iloc[-1] - rmse) < 0.0005
    assert model.history_.noise.between(0.3, 1.5).all()


@pytest.mark.parametrize("settings, message", [
    (dict(n_factors=0), "n_factors=0"),
    (dict(n_samples=1), "n_samples=1"),
    (dict(burn_in=-1), "burn_in=-1"),
    (dict(n_taste=1.5), "n_taste=1.5"),
    (dict(likelihood="cauchy"), "likelihood='cauchy'"),
    (dict(n_factors=10**7), "GB of memory"),
])
def test_bad_settings_are_refused(sample, settings, message):
    with pytest.raises(mfrec.SettingError, match=message):
        BayesianMF(**FAST | settings).fit(sample[0])


def test_numbers_that_overflow_name_the_sweep(sample, monkeypatch):
    monkeypatch.setattr(gibbs, "draw_noise", lambda squares, counts, *rest: np.full(len(counts), np.nan))
    with pytest.raises(mfrec.TrainingError, match="sweep 1: "):
        BayesianMF(**FAST).fit(sample[0])


@pytest.mark.parametrize("rows", [
    [(1, 1, 3)], [(1, 1, 3), (1, 2, 4)], [(u, i, 4) for u in range(6) for i in range(5)],
    [(u, i, u % 3 + 1) for u in range(6) for i in range(5)]
], ids=["single", "one user", "all equal", "few"])
def test_tiny_tables(rows):
    frame = pd.DataFrame(rows, columns=["userId", "movieId", "rating"])
    predicted = BayesianMF(n_samples=4, burn_in=1).fit(frame).predict_frame(frame)
    assert np.isfinite(predicted[["prediction", "std"]].to_numpy()).all()


def mask(name):
    ratings = real(name)
    test = np.random.default_rng(0).random(len(ratings)) < 0.1
    return ratings[~test], ratings[test]


@pytest.mark.parametrize("name, n", [("ml-latest-small", 6_000), ("ml-100k", 24_000)])
def test_more_sweeps_do_no_harm_on_little_data(name, n):
    ratings = real(name)
    train, held = mfrec.split_random(ratings.sample(n, random_state=1), 0.2, seed=1)
    fits = (
        delayed(BayesianMF(n_samples=200, seed=seed, n_jobs=1).fit)(train, validation=held)
        for seed in range(5)
    )
    early, late = np.mean(
        [model.history_.validation_rmse.loc[[46, 206]] for model in Parallel(n_jobs=2)(fits)], axis=0
    )
    assert late <= early + 0.002


# Five seeds gave 0.8694 to 0.8708 on ml-100k, one 0.7887 on ml-latest-small;
# on other machines a chain takes another path, so three count.
# The most accurate tuned peer has 0.8785 and 0.8064, 1.5369 on movietweetings
# and 0.7979 on goodbooks.
@pytest.mark.parametrize("name, at_most", [
    ("ml-100k", 0.872), ("movietweetings", 1.512), ("goodbooks-10k", 0.7935)
])
def test_accuracy_on_the_standard_mask(name, at_most):
    train, test = mask(name)
    models = [BayesianMF(seed=seed).fit(train) for seed in range(3 if name == "ml-100k" else 1)]
    assert np.mean([-model.score(test) for model in models]) <= at_most


def test_a_finished_model_is_near_the_mean_of_all_sweeps(monkeypatch):
    """On validation rows of goodbooks, where one pair of factors leaves out most, stars as numbers:
    measured 0.0003 above the mean."""
    train, _ = mask("goodbooks-10k")
    inner, held = mfrec.split_mask(train, seed=1)
    user, item, stars = held.columns[:3]
    held = held[held[user].isin(inner[user]) & held[item].isin(inner[item])]
    finish = BayesianMF._finish
    monkeypatch.setattr(BayesianMF, "_finish", lambda self, model, data, workers: model)
    chain = BayesianMF(n_samples=32, likelihood="numbers").fit(inner, validation=held)
    finished = without_alone(finish(chain, without_alone(chain.model_), chain.model_.ratings.table(), ALONE))
    error = mfrec.rmse(held[stars], finished.predict(held, clip=False))
    of_all = chain.history_.validation_rmse.iloc[-1]
    assert of_all < 0.798  # measured 0.7963
    assert error - of_all < 0.0005


# On ml-latest-small two seeds are off by 0.037 at most;
# a group there has 2,000 rows, so its share alone is known to 0.02.
@pytest.mark.parametrize("name, at_most, off", [("ml-1m", 0.8156, 0.04), ("ml-latest-small", 0.792, 0.04)])
def test_accuracy_and_calibration_on_the_standard_mask(name, at_most, off):
    train, test = mask(name)
    model = BayesianMF().fit(train)
    assert -model.score(test) <= at_most
    table = coverage_table(model, test, train)
    assert np.abs(table.loc["all"] - table.columns).to_numpy().max() < 0.02
    assert np.abs(table - table.columns).to_numpy().max() < off


def opinionated(seed=0, n_users=300, n_items=200, n_genres=8):
    """Ratings by people each of whom has a taste in every genre of their own,
    more ways than a few factors have; half stars or not rounded at all."""
    rng = np.random.default_rng(seed)
    tags = rng.random((n_items, n_genres)) < 0.3
    slopes = rng.normal(size=(n_users, n_genres)) * 0.5
    users, items = np.divmod(rng.permutation(n_users * n_items)[:12_000], n_items)
    stars = (
        3.2
        + 0.3 * rng.normal(size=n_items)[items]
        + (slopes[users] * tags[items]).sum(1)
        + 0.5 * rng.normal(size=len(users))
    )
    frame = pd.DataFrame({"userId": users, "movieId": items, "rating": stars.astype("float32")})
    genres = pd.DataFrame({
        "movieId": range(n_items),
        "genres": [[f"g{j}" for j in np.flatnonzero(row)] for row in tags],
    })
    return frame, genres


@pytest.mark.parametrize("likelihood", ["numbers", "levels"])
def test_slopes_of_their_own_help_the_opinionated(likelihood):
    ratings, items = opinionated()
    if likelihood == "levels":
        ratings = ratings.assign(rating=(ratings.rating * 2).round().clip(2, 10) / 2)
    train, test = mfrec.split_random(ratings, 0.1, seed=0)
    settings = dict(n_factors=2, n_samples=40, n_taste=0, likelihood=likelihood)
    without, own = (
        BayesianMF(**settings, user_slopes=slopes).fit(train, items=items) for slopes in (False, True)
    )
    assert -own.score(test) < 0.9 * -without.score(test)
    assert own.fold_in(train).predict(test) == pytest.approx(own.predict(test), abs=1e-3)
    # a user's whole slope: through the factors, and their own
    names = own.model_.item.features.schema.names
    user = own.model_.user
    item = own.model_.item
    order = np.argsort(own.model_.user.ids.classes_)
    along, draws = item.errors.prior.slopes[..., :-1], user.errors.draws[:, :-1, :-1]
    found = np.einsum("sjd,sud->uj", along, draws)[order]
    planted = np.random.default_rng(0)
    planted.random((200, 8))
    slopes = planted.normal(size=(300, 8)) * 0.5  # as in `opinionated`
    for j in range(8):
        assert np.corrcoef(found[:, names.index(f"g{j}")], slopes[:, j])[0, 1] > 0.7
    # items by their ratings and features, slopes of users as they are
    folded = own.fold_in_items(train, items=items)
    assert mfrec.rmse(test.rating, folded.predict(test)) < 1.05 * -own.score(test)


@pytest.mark.parametrize(
    "rows",
    [[(1, 1, 3)], [(1, 1, 3), (1, 2, 4)], [(u, i, 1 + (u + i) % 4) for u in range(4) for i in range(3)]],
)
@pytest.mark.parametrize("likelihood", ["auto", "numbers"])
def test_slopes_on_features_that_say_nothing_and_tiny_tables(rows, likelihood):
    frame = pd.DataFrame(rows, columns=["userId", "movieId", "rating"])
    items = pd.DataFrame({"movieId": frame.movieId.unique(), "genres": "x", "year": 2000})
    found = (
        BayesianMF(**FAST, user_slopes=True, likelihood=likelihood)
        .fit(frame, items=items)
        .predict_frame(frame)
    )
    assert np.isfinite(found[["prediction", "std"]].to_numpy(float)).all()


def test_a_new_item_has_its_own_known_columns_whatever_its_taste():
    "More taste features than items: what is known of an item must not be read from who rated it."
    ratings, items = opinionated(n_items=60)
    model = (
        BayesianMF(n_factors=2, n_samples=6, burn_in=2, n_taste=128, user_slopes=True)
        .fit(ratings, items=items)
        .model_
    )
    prior, g = model.item.errors.prior, len(model.item.features.schema.names)
    taste = model.user.taste.basis.shape[1]
    assert (prior.slopes[:, :taste, -1 - g:-1] == 0).all() and (prior.start[:, -1 - g:-1] == 0).all()
    own = prior.slopes[:, taste:, -1 - g:-1]
    assert np.allclose(own, own[:, :1, :1] * np.eye(g), rtol=1e-4, atol=1e-6)
    drawn = model.item.errors.draws[:, :-1, -1 - g:-1]
    assert np.allclose(model.item.features.values @ own, drawn, atol=2e-3 * np.abs(drawn).max())


def test_slopes_are_yes_or_no(sample, items):
    with pytest.raises(mfrec.SettingError, match="user_slopes='yes'; it must be True or False"):
        BayesianMF(**FAST, user_slopes="yes").fit(sample[0], items=items)


def test_slopes_need_features_of_items(sample):
    with pytest.raises(mfrec.SettingError, match="user_slopes=True.*items="):
        BayesianMF(**FAST, user_slopes=True).fit(sample[0])


def test_known_columns_stay_as_they_are(monkeypatch, sample, items):
    seen, widths = [], []
    step = Sampler.step
    monkeypatch.setattr(Sampler, "step",
                        lambda self, state: seen.append((self, *(both := step(self, state)))) or both)
    BayesianMF(**FAST, user_slopes=True, likelihood="numbers").fit(sample[0], items=items)
    for sampler, state, draw in seen:
        assert torch.equal(state.item[:, sampler.k:-1], sampler.known)
        assert torch.equal(draw.item_before[:, sampler.k:-1], sampler.known)
        widths.append(state.user.shape[1])
        assert draw.hypers[0].mean[:, sampler.k:-1].abs().max() == 0  # the slopes' mean is pinned
        assert torch.allclose(draw.hypers[1].mean[:, sampler.k:-1], sampler.known)
    assert set(widths) == {FAST["n_factors"] + seen[0][0].known.shape[1] + 1}
