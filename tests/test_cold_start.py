"Features through `fit`, on every solver; predictions for what has no ratings; preferences."
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import truncnorm
from sklearn.base import clone
from conftest import real, real_path

import mfrec
from mfrec.kernel.machine import ALONE
from mfrec.kernel.normal_equations import Prior, Solved
from mfrec.kernel.priors import Part, learned_prior
from mfrec.kernel.taste import TasteBasis
from mfrec.model.fold_in import solve_users
from mfrec.model.link import Numbers
from mfrec.model.records import Model, Side
from mfrec.plots import plot_decades
from mfrec.ratings.frames import Columns
from mfrec.ratings.ids import IdEncoder
from mfrec.ratings.rows import Interactions
from mfrec.solvers.draws import BesideDraws, DrawnPrior, Draws, settle_values


def test_levels_go_by_what_is_known(seeing, ratings):
    known = ratings.movieId[ratings.movieId % 9 > 0].iloc[0]
    cold = ratings.movieId[ratings.movieId % 9 == 0].iloc[0]
    user = ratings.userId.iloc[0]
    pairs = pd.DataFrame({
        "userId": [user, user, -1, -1, user, -9, -9, -9],
        "movieId": [known, cold, known, cold, -7, cold, known, -7],
    })
    frame = seeing.predict_frame(pairs)
    levels = ["full", "content", "content", "content", "bias", "content", "bias", "mean"]
    assert frame.basis.tolist() == levels
    assert frame.prediction.notna().all() and ("std" not in frame or (frame["std"] > 0).all())
    with pytest.warns(mfrec.MfrecWarning, match="7 of 8 rows .* 4 predicted from content"):
        seeing.predict(pairs)


def test_features_help_on_films_without_ratings(seeing, observer, rated, ratings):
    cold = ratings[ratings.movieId % 9 == 0]
    # slopes are on features
    blind = (
        mfrec.BayesianMF(n_factors=4, n_samples=8, burn_in=2)
        if observer.get_params().get("user_slopes")
        else clone(observer)
    ).fit(rated)
    assert -seeing.score(cold) < -blind.score(cold)


def tastes(seed=0, n_users=200, n_items=300, per_item=6):
    """Ratings of films that few have seen, by people who differ in what they make of two genres,
    and the films."""
    rng = np.random.default_rng(seed)
    genre, slope = rng.integers(0, 2, n_items), rng.normal(size=n_users)
    movie = np.repeat(np.arange(n_items), per_item)
    user = np.concatenate([rng.choice(n_users, per_item, replace=False) for _ in range(n_items)])
    stars = 5 + slope[user] * (2 * genre[movie] - 1) + rng.normal(size=len(user)) * 0.3
    ratings = pd.DataFrame({"userId": user, "movieId": movie, "rating": stars.astype(np.float32)})
    return ratings, pd.DataFrame({
        "movieId": np.arange(n_items), "genres": np.where(genre, "Drama", "Horror"), "year": np.nan
    })


@pytest.mark.parametrize("solver", [
    mfrec.AdamMF(n_factors=4, n_epochs=30),
    mfrec.ALSMF(n_factors=4, n_taste=0),
    mfrec.BayesianMF(n_factors=4, n_samples=24, burn_in=6, n_taste=0),
], ids=["adam", "als", "bayes"])
def test_features_reach_the_factors_of_rated_films(solver):
    "With six ratings a film, what its genre says of it is worth more than they are."
    ratings, items = tastes()
    train, test = mfrec.split_random(ratings, 0.2, seed=0)
    test = test[test.movieId.isin(train.movieId) & test.userId.isin(train.userId)]
    seeing, blind = clone(solver).fit(train, items=items), clone(solver).fit(train)
    assert set(seeing.predict_frame(test).basis) == {"full"}
    assert -seeing.score(test) < -0.7 * blind.score(test)


def test_planted_preferences_are_found_with_their_sign(solver):
    "For everybody of whom the evidence is clear the sign, and the stars between the two genres, as planted."
    ratings, items = tastes(per_item=30)
    rng = np.random.default_rng(0)
    rng.integers(0, 2, 300)  # the genres, drawn before the slopes
    away = (slope := rng.normal(size=200)) - slope.mean()
    model = clone(solver).fit(ratings, items=items)
    found = pd.DataFrame({
        user: model.preferences(user).set_index("feature").preference for user in range(200)
    }).T
    between, clear = found["Drama"] - found["Horror"], np.abs(away) > 0.3
    assert (np.sign(between) == np.sign(away))[clear].all() and clear.sum() > 100
    assert np.polyfit(2 * away, between, 1)[0] == pytest.approx(1, abs=0.05)
    assert model.describe_preferences(0).count("±") == 2


def test_what_a_genre_is_worth_counts_ratings_not_films():
    """Dramas that two hundred have seen are loved and those that three have seen are not;
    of horror the other way round. A new drama is expected to be better."""
    rng, rows = np.random.default_rng(0), []
    for film in range(100):
        horror, famous = film % 2, film < 20
        rows += [
            (user, film, 4.5 if famous != horror else 2.0)
            for user in rng.choice(300, 200 if famous else 3, replace=False)
        ]
    items = pd.DataFrame({"movieId": range(102), "genres": ["Drama", "Horror"] * 51, "year": np.nan})
    model = mfrec.BiasModel().fit(pd.DataFrame(rows, columns=["userId", "movieId", "rating"]), items=items)
    frame = model.predict_frame(pd.DataFrame({"userId": [0, 0], "movieId": [100, 101]}))
    assert set(frame.basis) == {"content"} and frame.prediction[0] > frame.prediction[1] + 1


def test_the_mean_of_users_slopes_is_pinned_at_zero(seeing):
    "What everybody likes belongs to the features' own slopes."
    prior = seeing.model_.user.preferences.prior
    assert (prior.mean[:-1] == 0).all() and len(prior.mean) == len(seeing.model_.item.features.slopes) + 1


def test_rows_without_ratings_have_no_say_in_the_learned_prior():
    rng, start = np.random.default_rng(0), Prior(torch.eye(3), torch.zeros(3))
    vectors, wild = torch.as_tensor(rng.normal(size=(30, 3)), dtype=torch.float32), torch.full((10, 3), 1e3)
    nobody = Solved(vectors, 0.0, total_covariance=0.1 * 30 * torch.eye(3))
    # the ten have their prior's covariance
    more = Solved(torch.cat([vectors, wild]), 0.0, total_covariance=(0.1 * 30 + 10) * torch.eye(3))
    parts = [
        Part(None, start, solved.vectors, torch.arange(len(solved.vectors)) < 30) for solved in (nobody, more)
    ]
    few, many = (learned_prior(part, solved, start) for part, solved in zip(parts, (nobody, more)))
    assert torch.allclose(few.mean, many.mean) and torch.allclose(few.precision, many.precision, rtol=1e-4)


def test_same_seed_same_bits_with_features(seeing, observer, rated, ratings, items, users):
    again = clone(observer).fit(rated, items=items, users=users)
    assert (again.predict_frame(ratings).prediction == seeing.predict_frame(ratings).prediction).all()


def test_preferences_are_there_and_saved(seeing, ratings, tmp_path):
    profile = seeing.preferences(ratings.userId.iloc[0])
    assert list(profile) == ["feature", "preference", "std"] and (profile["std"] > 0).all()
    assert len(profile) > 10
    loaded = mfrec.load(seeing.save(tmp_path / "model"))
    assert loaded.preferences(ratings.userId.iloc[0]).equals(profile)
    assert loaded.predict_frame(ratings).equals(seeing.predict_frame(ratings))


def test_people_folded_in_keep_the_content(seeing, rated, ratings):
    "A training user's own ratings give their own slopes and content bias, to 1e-3."
    some = rated[rated.userId.isin(rated.userId.unique()[:30])]
    folded = seeing.fold_in(some)
    for user in some.userId.unique()[:5]:
        mine, before = (m.preferences(user).set_index("feature") for m in (folded, seeing))
        assert np.abs(mine - before.loc[mine.index]).max(axis=None) < 1e-3
    at = seeing.model_.user.ids.lookup(folded.user.ids.classes_)
    before = seeing.model_.user.take(at)
    for name in ("slopes", "std", "biases"):
        moved = getattr(folded.user.preferences, name) - getattr(before.preferences, name)
        assert np.abs(moved).max(initial=0) < 1e-3, name
    assert (folded.user.features.values == before.features.values).all()
    cold = ratings[(ratings.movieId % 9 == 0) & ratings.userId.isin(some.userId)]
    frame = folded.predict_frame(cold)
    assert set(frame.basis) == {"content"}
    assert np.abs(frame.prediction - seeing.predict_frame(cold).prediction).max() < 2e-3


@pytest.mark.parametrize("solver", [
    mfrec.BiasModel(),
    mfrec.AdamMF(n_factors=4, n_epochs=5),
    mfrec.ALSMF(n_factors=4, reg=8.0, n_sweeps=4),
    mfrec.ALSMF(n_factors=4, reg=2.0, reg_per_rating=0.1, n_sweeps=4),
    mfrec.ALSMF(n_factors=4, n_sweeps=4, n_taste=0),
    mfrec.ALSMF(n_factors=4, n_sweeps=4, n_taste=16),
    mfrec.BayesianMF(n_factors=4, n_samples=6, burn_in=2, n_taste=16),
], ids=["bias", "adam", "als ridge", "als ridge per rating", "als", "als, taste", "bayes"])
def test_a_training_user_with_features_gets_their_vector_again(rated, items, users, solver):
    "Under the old id and under a new one with the same features: the prior's mean comes from what is given."
    model = clone(solver).fit(rated, items=items, users=users).model_
    chosen = rated.userId.unique()[:30]
    some, theirs = rated[rated.userId.isin(chosen)], users[users.userId.isin(chosen)]
    shift = 1_000_000
    for folded, away in (
        (model.fold_in(some), 0),
        (
            model.fold_in(
                some.assign(userId=some.userId + shift), users=theirs.assign(userId=theirs.userId + shift)
            ),
            shift,
        ),
    ):
        at = model.user.ids.lookup(folded.user.ids.classes_ - away)
        assert np.abs(folded.user.factors - model.user.factors[at]).max(initial=0) < 1e-3
        assert np.abs(folded.user.biases - model.user.biases[at]).max() < 1e-3


def planted(n=4, m=30, k=2, n_draws=5, mean=3.4, usual=0.6):
    """A model whose draws are its own items in rotated factors, the prior it has in them, the rotations,
    and ratings of its items by n new people."""
    rng = np.random.default_rng(0)
    q = rng.normal(size=(m, k))
    bias = rng.normal(size=m) * 0.3
    basis = rng.normal(size=(m, 2)) * 0.5
    start = rng.normal(size=k + 1) * 0.1
    slopes = rng.normal(size=(2, k + 1)) * 0.4
    covariance = np.diag([0.5, 0.3, 0.2])
    turns = [
        np.block([[np.linalg.qr(rng.normal(size=(k, k)))[0], np.zeros((k, 1))], [np.zeros((1, k)), 1]])
        for _ in range(n_draws)
    ]

    def f32(arrays):
        return np.stack(arrays).astype(np.float32)

    draws = f32([np.vstack([np.column_stack([q, bias + mean]) @ turn, np.zeros(k + 1)]) for turn in turns])
    prior = DrawnPrior(
        f32([start @ t for t in turns]),
        f32([slopes @ t for t in turns]),
        f32([t.T @ np.linalg.inv(covariance) @ t for t in turns]),
    )
    noise = rng.uniform(0.5, 2, m + 1).astype(np.float32)

    def side(vectors, errors, taste):
        ids, n_ratings = IdEncoder().fit(pd.Series(range(len(vectors)))), np.full(len(vectors), 3)
        return Side(ids, vectors[:, -1], vectors[:, :-1], n_ratings, errors=errors, taste=taste)

    user = side(
        np.zeros((1, k + 1), np.float32),
        Draws("one", np.zeros((n_draws, 2, k + 1), np.float32), np.float32([1.0, usual]), prior),
        None,
    )
    item = side(
        np.column_stack([q, bias]).astype(np.float32),
        Draws("one", draws, noise, prior),
        TasteBasis(basis.astype(np.float32), 1.5),
    )
    model = user.errors.ready(Model(mean, Numbers(0.0, 9.0), user, item, Columns("u", "i", "r")))
    pairs = rng.permutation(n * m)[:n * 12]
    table = Interactions(
        (pairs // m).astype(np.int32),
        (pairs % m).astype(np.int32),
        rng.uniform(1, 5, n * 12).astype(np.float32),
        n,
        m,
    )
    return model, (start, slopes, covariance), turns, table


def test_rows_beside_draws_are_ridge_solutions_in_the_model():
    """Draws that are the model's items in rotated factors:
    each finds what numpy finds in the model's own, under the same prior and noise."""
    model, (start, slopes, covariance), _, table = planted()
    rows = table.users
    columns = table.items
    stars = table.ratings
    q = model.item.factors
    bias = model.item.biases
    basis = model.item.taste.basis
    noise = model.item.errors.noise
    usual = model.user.errors.noise[-1]
    vectors, found = solve_users(model, table, None, ALONE)
    for row in range(4):
        mine = columns[rows == row]
        x = np.column_stack([q[mine], np.ones(len(mine))])
        left = stars[rows == row] - model.mean - bias[mine]
        weights = 1 / noise[mine]
        middle, own = start + basis[mine].sum(0) / (len(mine) + 1.5) ** 0.5 @ slopes, usual
        for _ in range(4):
            gram = x.T * weights @ x / own + np.linalg.inv(covariance)
            expected = middle + np.linalg.solve(gram, (x.T * weights / own) @ (left - x @ middle))
            own, used = (14 * usual + weights @ (left - x @ expected) ** 2) / (14 + len(mine)), own
        assert np.allclose(vectors[row], expected, atol=3e-3)
        # not knowing the vector adds to the errors
        assert found.noise[row] > used and np.isclose(found.noise[row], used, rtol=0.5)
    assert found.noise[-1] == usual and found.draws.shape == (5, 5, 3)


def test_people_are_not_all_drawn_off_in_the_same_direction():
    """Each has the spread that the solve leaves; over many people the deviations of a draw cancel,
    or items solved beside them would be led astray."""
    model, _, turns, table = planted(n=200, n_draws=16)
    vectors, found = solve_users(model, table, None, ALONE)
    away = found.draws[:, :-1] @ np.stack(turns).transpose(0, 2, 1) - vectors
    # over the draws, every bias, which is not rotated, is where the solve says
    assert np.abs(away.mean(0)[:, -1]).max() < 1e-5
    assert np.square(away.mean(1)).mean() < 0.05 * np.square(away).mean()


def test_values_settle_where_predictions_and_levels_agree():
    "With a probit the values of a row are their expectations given what the row, solved from them, predicts."
    ratings = mfrec.sample_ratings(20_000, seed=1)
    model = mfrec.BayesianMF(n_factors=4, n_samples=8, burn_in=2, n_taste=8).fit(ratings).model_
    some = ratings[ratings.userId.isin(ratings.userId.unique()[:20])]
    rows = IdEncoder().fit(some.userId).transform(some.userId)
    columns = model.item.ids.lookup(some.movieId).astype(np.int32)
    stars = some.rating.to_numpy(np.float32, copy=True)
    table = Interactions(rows, columns, stars, 20, len(model.item))
    beside = BesideDraws.of(model, table, None)
    values, noise, _ = settle_values(model, beside, ALONE)
    edges = np.concatenate([[-np.inf], model.link.thresholds, [np.inf]])
    level = np.searchsorted(model.link.levels, stars)
    assert ((values.numpy() >= edges[level] - 1e-4) & (values.numpy() <= edges[level + 1] + 1e-4)).all()
    vectors = solve_users(model, table, None, ALONE)[0]
    predicted = (
        model.mean
        + (vectors[rows, :-1] * model.item.factors[columns]).sum(1)
        + vectors[rows, -1]
        + model.item.biases[columns]
    )
    sd = np.sqrt(noise.numpy()[rows] * model.item.errors.noise[columns])
    expected = truncnorm(
        (edges[level] - predicted) / sd, (edges[level + 1] - predicted) / sd, predicted, sd
    ).mean()
    assert np.abs(values.numpy() - expected).mean() < 0.03


def test_the_folded_model_is_saved_whole(seeing, rated, ratings, tmp_path):
    some = rated.head(300)
    loaded = mfrec.load(seeing.save(tmp_path / "model")).fold_in(some)
    assert loaded.predict_frame(ratings).equals(seeing.fold_in(some).predict_frame(ratings))
    again = mfrec.load(loaded.save(tmp_path / "folded"))
    assert again.preferences(some.userId.iloc[0]).equals(loaded.preferences(some.userId.iloc[0]))


def group(ids):
    "People in two groups, by whether their number is odd."
    return pd.DataFrame({"userId": ids, "group": np.where(np.asarray(ids) % 2, "odd", "even")})


def test_features_of_people_who_come_later(ratings, items):
    "Odd ones give half a star more: known of newcomers by their group alone."
    generous = ratings.assign(
        rating=np.where(ratings.userId % 2, ratings.rating, (ratings.rating - 1).clip(lower=0.5))
    )
    model = mfrec.ALSMF(n_factors=4, n_sweeps=4).fit(
        generous, items=items, users=group(generous.userId.unique())
    )
    film, some = ratings.movieId.iloc[0], generous[generous.userId.isin(generous.userId.unique()[:5])]
    strangers = pd.DataFrame({"userId": [10**7 + 1, 10**7 + 2], "movieId": film})
    for features in (
        group([10**7 + 1, 10**7 + 2]),
        mfrec.user_features(group([10**7 + 1, 10**7 + 2]), schema=model.model_.user.features.schema),
    ):
        for folded in (model.fold_in(None, users=features), model.fold_in(some, users=features)):
            frame = folded.predict_frame(strangers)
            assert set(frame.basis) == {"content"}
            assert frame.prediction.iloc[0] > frame.prediction.iloc[1] + 0.4
    assert set(folded.predict_frame(some).basis) == {"full"} and len(folded.user) == 7


def test_features_inform_newcomers_who_rated_little(solver, ratings):
    "Odd ones give a star more, and one rating of theirs, the same for both, does not say so."
    generous = ratings.assign(rating=np.where(ratings.userId % 2, ratings.rating, ratings.rating - 1))
    model = clone(solver).fit(generous, users=group(generous.userId.unique()))
    films, new = ratings.movieId.value_counts().index[:40], [10**7 + 1, 10**7 + 2]
    first = pd.DataFrame({"userId": new, "movieId": films[0], "rating": 3.0})
    pairs = pd.DataFrame({"userId": np.repeat(new, 39), "movieId": [*films[1:], *films[1:]]})
    frame = model.fold_in(first, users=group(new)).predict_frame(pairs, clip=False)
    assert set(frame.basis) == {"full"}
    odd, even = frame.prediction.to_numpy().reshape(2, -1).mean(1)
    assert odd > even + 0.25
    assert np.allclose(*model.fold_in(first).predict_frame(pairs).prediction.to_numpy().reshape(2, -1))


def test_items_folded_in_with_features(seeing, rated, ratings, items):
    "Films the model has never heard of: some with ratings, some with features alone, one with neither."
    films, cold = rated.movieId.unique()[:20], ratings.movieId[ratings.movieId % 9 == 0].unique()
    later = items[items.movieId.isin([*films, *cold])].assign(movieId=lambda f: f.movieId + 10**7)
    new = rated[rated.movieId.isin(films)].assign(movieId=lambda f: f.movieId + 10**7)
    folded = seeing.fold_in_items(new, items=later)
    user = rated.userId.iloc[0]
    pairs = pd.DataFrame({"userId": user, "movieId": [films[0] + 10**7, cold[0] + 10**7, -7]})
    assert folded.predict_frame(pairs).basis.tolist() == ["full", "content", "bias"]
    unheard = ratings[ratings.movieId % 9 == 0]
    same = folded.predict_frame(unheard.assign(movieId=unheard.movieId + 10**7))
    assert np.allclose(same.prediction, seeing.predict_frame(unheard).prediction, atol=1e-4)
    assert set(same.basis) == {"content"}
    assert folded.preferences(user).equals(seeing.preferences(user))
    assert seeing.fold_in_items(new).preferences(user).equals(seeing.preferences(user))
    assert set(seeing.fold_in_items(None, items=later).predict_frame(pairs[1:2]).basis) == {"content"}


def test_features_the_model_does_not_know_are_refused(seeing, ratings, rated, users, items):
    some, fitted = rated.head(20), mfrec.BiasModel().fit(ratings)
    with pytest.raises(mfrec.SettingError, match="fitted without user features"):
        fitted.fold_in(some, users=users)
    with pytest.raises(mfrec.SettingError, match="fitted without item features"):
        fitted.fold_in_items(some, items=items)
    with pytest.raises(mfrec.SettingError, match="other columns than the model's"):
        seeing.fold_in(some, users=mfrec.user_features(users.assign(group="x", age=users.index)))
    with pytest.raises(mfrec.DataError, match="no column 'group'"):
        seeing.fold_in(some, users=users.drop(columns="group"))
    with pytest.raises(mfrec.DataError, match="nothing to fold in"):
        fitted.fold_in(None)
    with pytest.raises(mfrec.DataError, match="stands in more than one row"):
        seeing.fold_in(some, users=pd.concat([users, users]))


def test_test_ratings_cannot_reach_the_features(ratings, items):
    """Rows to watch, and rows to judge by, may say what they like:
    preferences and what is expected of new films stay the same."""
    train, test = mfrec.split_random(ratings, 0.2)
    spoiled = test.assign(rating=np.where(test.movieId % 2, 0.5, 5.0))
    user, cold = train.userId.iloc[0], items.movieId[~items.movieId.isin(train.movieId)]
    found = []
    for held in (None, test, spoiled):
        model = mfrec.BiasModel().fit(train, items=items, validation=held)
        if held is not None:
            model.evaluate(held)
        found.append((
            model.preferences(user),
            model.predict_frame(pd.DataFrame({"userId": user, "movieId": cold})),
        ))
    assert len(cold) > 5
    assert all(got[0].equals(found[0][0]) and got[1].equals(found[0][1]) for got in found[1:])
    # it would have shown
    assert (
        not mfrec.BiasModel()
        .fit(pd.concat([train, spoiled]), items=items)
        .preferences(user)
        .equals(found[0][0])
    )


def test_every_side_alone(ratings, items, users):
    for features in ({"items": items}, {"users": users}, {"items": mfrec.item_features(items)}):
        frame = mfrec.ALSMF(n_factors=4, n_sweeps=3).fit(ratings, **features).predict_frame(ratings)
        assert np.isfinite(frame.prediction).all()


@pytest.mark.parametrize("spoil, message", [
    (lambda f: pd.concat([f, f[:1]]), "stands in more than one row"),
    (lambda f: f.drop(columns="movieId"), "no item column"),
    (lambda f: f.assign(movieId="m" + f.movieId.astype(str)), "integers|text"),
    (
        lambda f: f.assign(year=f.year.astype(object).where(f.index != 3, "soon")),
        "column year has 'soon' in row 3",
    ),
])
def test_bad_item_frames_are_refused(solver, ratings, items, spoil, message):
    with pytest.raises(mfrec.MfrecError, match=message):
        clone(solver).fit(ratings, items=spoil(items))


@pytest.mark.parametrize("spoil", [
    lambda f: f.assign(year=pd.array([None] * len(f), dtype="Int16")),
    lambda f: f.assign(year=-5),
    lambda f: f.assign(genres=[("Same",)] * len(f)),
    lambda f: f.assign(genres=[()] * len(f), year=pd.array([None] * len(f), dtype="Int16")),
    lambda f: f.assign(genres=[", ".join(g) for g in f.genres]),
    lambda f: f.assign(
        genres=f.genres.map(list),
        year=pd.to_datetime(f.year.astype("Int64").astype("string"), format="%Y"),
    ),
    lambda f: f.assign(genres=np.arange(len(f)) % 3),
    lambda f: f.head(50),
    lambda f: f.head(0),
], ids=[
    "no years", "absurd years", "constant", "nothing", "commas", "lists and dates", "numbers for genres",
    "few known", "empty"
])
def test_poor_item_frames_give_sensible_predictions(solver, ratings, items, spoil):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfrec.MfrecWarning)
        frame = clone(solver).fit(ratings, items=spoil(items)).predict_frame(ratings)
    assert np.isfinite(frame.prediction).all() and set(frame.basis) == {"full"}


def test_missing_features_are_counted_once(ratings, items):
    with pytest.warns(mfrec.MfrecWarning, match="items with ratings have no features") as caught:
        mfrec.BiasModel().fit(ratings, items=items.head(50))
    assert len(caught) == 1


def test_text_ids_with_features(ratings, items):
    named = ratings.assign(movieId="m" + ratings.movieId.astype(str))
    model = mfrec.BiasModel().fit(
        named[ratings.movieId % 9 > 0], items=items.assign(movieId="m" + items.movieId.astype(str))
    )
    assert set(model.predict_frame(named[ratings.movieId % 9 == 0]).basis) == {"content"}


def test_cold_items_on_ml_1m():
    ratings = real("ml-1m")
    items = mfrec.read_items(real_path("ml-1m"))
    errors = []
    for seed in range(3):
        train, test = mfrec.split_cold_items(ratings, 0.1, seed=seed)
        test = test[test.userId.isin(train.userId)]
        errors.append([
            -model.score(test)
            for model in (mfrec.BiasModel().fit(train), mfrec.BiasModel().fit(train, items=items))
        ])
    blind, seeing = np.mean(errors, axis=0)
    assert seeing < 0.975 * blind


def test_a_stream_of_ratings_on_ml_1m():
    """In the order of time, from half of the ratings on, twenty batches by the refit rule;
    within 0.002 of a full fit of all."""
    ratings = real("ml-1m-timed")
    train, test = mfrec.split_random(ratings, 0.1, seed=0)
    train = train.sort_values("timestamp", kind="stable")
    model = mfrec.ALSMF().fit(train.iloc[:len(train) // 2])
    for rows in np.array_split(np.arange(len(train) // 2, len(train)), 20):
        model.partial_fit(train.iloc[rows])
    assert len(model.model_.ratings) == len(train) and model.model_.about["n_added"] > 0
    assert -model.score(test) < -mfrec.ALSMF().fit(train).score(test) + 0.002


def test_ten_per_cent_of_new_ratings_without_a_fit():
    ratings = real("ml-1m-timed")
    train, test = mfrec.split_random(ratings, 0.1, seed=0)
    train = train.sort_values("timestamp", kind="stable")
    for solver in (mfrec.BiasModel(), mfrec.ALSMF()):
        full = -clone(solver).fit(train).score(test)
        model = clone(solver).fit(train.iloc[:len(train) * 10 // 11])
        for rows in np.array_split(np.arange(len(train) * 10 // 11, len(train)), 10):
            model.partial_fit(train.iloc[rows], refit_after=np.inf)
        assert -model.score(test) < full + 0.002


def test_new_items_lacking_a_column_of_the_model_are_refused(seeing):
    short = pd.DataFrame({"movieId": [-1], "genres": ["Drama"]})
    for take in (lambda: seeing.fold_in_items(None, items=short), lambda: seeing.add_unrated(items=short)):
        with pytest.raises(mfrec.DataError, match="items: no column 'year'"):
            take()


def test_nobody_to_fold_in_is_said(seeing, users):
    with pytest.raises(mfrec.DataError, match="nothing to fold in"):
        seeing.fold_in(None, users=users.head(0))


@pytest.mark.parametrize("take", [
    lambda model, rows: model.fit([1, 2]),
    lambda model, rows: model.fit(rows, items="movies.csv"),
    lambda model, rows: model.fold_in({"userId": 1}),
    lambda model, rows: model.predict_frame(None),
])
def test_what_is_no_frame_is_refused(ratings, take):
    model = mfrec.BiasModel().fit(ratings)
    with pytest.raises(mfrec.DataError, match="DataFrame"):
        take(model, ratings)


def test_plots_refuse_items_of_other_ratings(ratings, items):
    others = items.assign(movieId=items.movieId + 10**7)
    with pytest.raises(mfrec.DataError, match="none of the rated items is among these"):
        plot_decades(ratings, others)
    with pytest.raises(mfrec.DataError, match="no column 'year'"):
        plot_decades(ratings, items[["movieId", "title"]])


def test_ids_of_another_kind_are_named_in_fold_in(ratings):
    model = mfrec.BiasModel().fit(ratings)
    with pytest.raises(mfrec.DataError, match="known ids are integers, these are text"):
        model.fold_in(ratings.head(5).assign(userId=-1, movieId="m1"))


def test_huge_numbers_are_no_features(items):
    with pytest.raises(
        mfrec.DataError, match=r"column runtime has '1e\+300' in row 2, which is not a number within"
    ):
        mfrec.item_features(
            items.assign(runtime=np.where(np.arange(len(items)) == 2, 1e300, 90.0)), numeric=["runtime"]
        )


def test_marks_between_genres_are_those_of_the_fit(ratings, items):
    "A slash divided nothing then, so it does not in the one new film that has it."
    model = mfrec.BiasModel().fit(ratings, items=items.assign(genres=[";".join(g) for g in items.genres]))
    genres = sorted({genre for cell in items.genres for genre in cell})[:2]
    films = pd.DataFrame({"movieId": [-1, -2], "year": 1995, "genres": [";".join(genres), "/".join(genres)]})
    with pytest.warns(mfrec.MfrecWarning, match="1 values are not in the vocabulary"):
        x = mfrec.item_features(films, schema=model.model_.item.features.schema).frame()
    assert x.loc[-1, genres].tolist() == [1, 1] and x.loc[-2, genres].tolist() == [0, 0]
    assert x.loc[-2, "genres other"] == 1


def test_users_of_the_real_sets_become_features():
    "Occupation is a code or a word, each of its values a feature; age is measured where it is not in bands."
    for name, n_jobs, age in (("ml-100k", 21, True), ("ml-1m", 21, False)):
        users = mfrec.read_users(real_path(name))
        schema = mfrec.user_features(users).schema
        assert ("age" in schema.numeric) == age and {"gender", "occupation"} <= set(schema.categories)
        jobs = [column for column in schema.names if column.startswith("occupation")]
        assert len(jobs) == len(set(jobs)) and len(jobs) >= n_jobs
        assert len(set(schema.names)) == len(schema.names)


def test_rare_values_are_other_without_a_word_and_new_ones_with_one(items):
    table = mfrec.item_features(
        items.assign(genres=[("Noh",) if i == 3 else g for i, g in enumerate(items.genres)])
    )
    later = pd.DataFrame({"movieId": [-1, -2], "year": 1995, "genres": ["Noh", "other"]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (mfrec.item_features(later, schema=table.schema).frame()["genres other"] == 1).all()
    with pytest.warns(mfrec.MfrecWarning, match="1 values are not in the vocabulary .'genres Opera'"):
        mfrec.item_features(later.assign(genres=["Noh", "Opera"]), schema=table.schema)


def test_a_gap_does_not_change_what_codes_mean(ratings):
    users = pd.DataFrame({"userId": ratings.userId.unique()}).assign(job=lambda f: f.userId % 3)
    schema = mfrec.user_features(users).schema
    whole, gap = (
        mfrec.user_features(pd.DataFrame({"userId": [-1, -2], "job": job}), schema=schema).frame()
        for job in ([1, 2], [1, None])
    )
    assert whole.loc[-1].equals(gap.loc[-1])


@pytest.mark.parametrize("features, message", [
    (lambda f: pd.concat([f, f[["genres"]]], axis=1), "'genres' stands there more than once"),
    (lambda f: pd.concat([f, f[["year"]]], axis=1), "'year' stands there more than once"),
])
def test_a_column_that_stands_twice_is_refused(ratings, items, features, message):
    with pytest.raises(mfrec.DataError, match=message):
        mfrec.BiasModel().fit(ratings, items=features(items))


def test_lists_with_gaps_periods_and_constants(items):
    odd = items.assign(
        genres=[("Drama", None, np.nan, "")] * len(items),
        year=pd.PeriodIndex(items.year.astype(str), freq="Y"),
        runtime=9.99,
    )
    table = mfrec.item_features(odd, numeric=["runtime"])
    others = [name for name in table.names if not name.endswith("0s")]
    assert others == ["Drama", "genres other", "decade other", "runtime"]
    assert len(table.names) > 6 and np.abs(table.frame()["runtime"]).max() < 1e-6


def test_a_users_column_named_decade(ratings):
    users = pd.DataFrame({"userId": ratings.userId.unique()}).assign(
        decade=lambda f: np.where(f.userId % 2, "young", "old")
    )
    assert {"decade young", "young"} & set(mfrec.user_features(users).names)
    assert np.isfinite(mfrec.BiasModel().fit(ratings, users=users).score(ratings))


def test_features_of_rated_rows_stay(seeing, items, rated):
    "add_unrated is for those without ratings."
    user = rated.userId.iloc[0]
    strange = items.assign(genres=[("Horror",)] * len(items))
    before, after = (
        model.fold_in(rated[rated.userId == user]).preferences(user)
        for model in (seeing, seeing.add_unrated(items=strange))
    )
    assert before.equals(after)


@pytest.mark.parametrize("spoil, message", [
    (lambda f: f[:0], "no rows"),
    (lambda f: f.assign(rating=99.0), "99.0"),
    (lambda f: f.assign(userId=-5), "has a user that the model knows"),
])
def test_ratings_of_items_that_cannot_be_folded_in_are_refused(fitted, ratings, spoil, message):
    with pytest.raises(mfrec.DataError, match=message):
        fitted.fold_in_items(spoil(ratings.head(50)))


def test_ids_no_integer_can_hold_are_refused(fitted, ratings):
    with pytest.raises(mfrec.DataError, match="is beyond 9223372036854775807"):
        fitted.fold_in(ratings.head(3).assign(userId=[1, 2, 10**30]))


def test_decades_are_drawn_of_each_item_once(ratings, items):
    with pytest.raises(mfrec.DataError, match="stands in more than one row"):
        plot_decades(ratings, pd.concat([items, items]))
    with pytest.raises(mfrec.DataError, match="column year has 'soon' in row 0"):
        plot_decades(ratings, items.assign(year="soon"))


def test_years_of_dates(items, tmp_path):
    "Of timestamps, periods and plain dates, in a frame and in a file."
    days = pd.to_datetime(items.year.astype(str), format="%Y")
    plain = mfrec.item_features(items)
    for year in (
        days, days.dt.date, days.dt.to_period("D"), days.astype("category"),
        days.dt.date.where(days.dt.month > 0, None)
    ):
        assert mfrec.item_features(items.assign(year=year)).frame().equals(plain.frame())
    items.assign(year=days.dt.date, title="", genres=items.genres.map("|".join)).to_parquet(
        tmp_path / "items.parquet"
    )
    assert mfrec.read_items(tmp_path / "items.parquet").year.tolist() == items.year.tolist()


@pytest.mark.parametrize("kind", ["float64", "float32"])
def test_the_ends_of_a_scale_are_inside_it_in_any_precision(ratings, kind):
    ratings = ratings.assign(rating=(ratings.rating.astype("float64") / 5 * 9.8 + 0.1).round(1))
    model = mfrec.BiasModel().fit(ratings)
    ends = ratings.astype({"rating": kind}).sort_values("rating")
    some = pd.concat([ends.head(3), ends.tail(3)])
    assert len(model.fold_in(some).user) == some.userId.nunique()
    with pytest.raises(mfrec.DataError, match="outside the scale"):
        model.fold_in(ends.head(3).assign(rating=ratings.rating.max() + 0.001))
