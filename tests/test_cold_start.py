"Features through `fit`, on every solver; predictions for what has no ratings; preferences."
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from conftest import real, real_path
from test_contract import SOLVERS

import mfrec


@pytest.fixture(params=SOLVERS, scope="module")
def solver(request):
    return SOLVERS[request.param]


@pytest.fixture(scope="module")
def ratings():
    return mfrec.sample_ratings(20_000, seed=5)


@pytest.fixture(scope="module")
def items():
    return mfrec.sample_items(20_000, seed=5)


@pytest.fixture(scope="module")
def users(ratings):
    ids = ratings.userId.unique()
    return pd.DataFrame({"userId": np.append(ids, [-1, -2]), "group": np.where(np.append(ids, [1, 2]) % 2, "odd", "even")})


@pytest.fixture(scope="module")
def fitted(solver, ratings, items, users):
    rated = ratings[ratings.movieId % 9 > 0]
    return clone(solver).fit(rated, items=items, users=users)


def test_levels_go_by_what_is_known(fitted, ratings):
    known, cold = ratings.movieId[ratings.movieId % 9 > 0].iloc[0], ratings.movieId[ratings.movieId % 9 == 0].iloc[0]
    user = ratings.userId.iloc[0]
    pairs = pd.DataFrame({"userId": [user, user, -1, -1, user, -9, -9, -9], "movieId": [known, cold, known, cold, -7, cold, known, -7]})
    frame = fitted.predict_frame(pairs)
    assert frame.level.tolist() == ["full", "content", "content", "content", "bias", "content", "bias", "mean"]
    assert frame.prediction.notna().all() and ("std" not in frame or (frame["std"] > 0).all())
    with pytest.warns(mfrec.MfrecWarning, match="7 of 8 rows .* 4 predicted from content"):
        fitted.predict(pairs)


def test_features_help_on_films_without_ratings(fitted, solver, ratings):
    cold = ratings[ratings.movieId % 9 == 0]
    blind = clone(solver).fit(ratings[ratings.movieId % 9 > 0])
    assert -fitted.score(cold) < -blind.score(cold)


def test_same_seed_same_bits_with_features(fitted, solver, ratings, items, users):
    again = clone(solver).fit(ratings[ratings.movieId % 9 > 0], items=items, users=users)
    assert (again.predict_frame(ratings).prediction == fitted.predict_frame(ratings).prediction).all()


def test_preferences_are_there_and_saved(fitted, ratings, tmp_path):
    profile = fitted.preferences(ratings.userId.iloc[0])
    assert list(profile) == ["feature", "preference", "std"] and (profile["std"] > 0).all() and len(profile) > 10
    loaded = mfrec.load(fitted.save(tmp_path / "model"))
    assert loaded.preferences(ratings.userId.iloc[0]).equals(profile)
    assert loaded.predict_frame(ratings).equals(fitted.predict_frame(ratings))


def test_test_ratings_cannot_reach_the_features(ratings, items):
    train, test = mfrec.split_random(ratings, 0.2)
    pairs, held = (pd.MultiIndex.from_frame(frame[["userId", "movieId"]]) for frame in (ratings, test))
    spoiled, _ = mfrec.split_random(ratings.assign(rating=ratings.rating.mask(pairs.isin(held), 0.5)), 0.2)
    first, second = (mfrec.BiasModel().fit(frame, items=items) for frame in (train, spoiled))
    assert first.preferences(train.userId.iloc[0]).equals(second.preferences(train.userId.iloc[0]))


def test_every_side_alone(ratings, items, users):
    for features in ({"items": items}, {"users": users}, {"items": mfrec.item_features(items)}):
        frame = mfrec.ALSMF(n_factors=4, n_sweeps=3).fit(ratings, **features).predict_frame(ratings)
        assert np.isfinite(frame.prediction).all()


@pytest.mark.parametrize("spoil, message", [
    (lambda f: pd.concat([f, f[:1]]), "stands in more than one row"),
    (lambda f: f.drop(columns="movieId"), "no item column"),
    (lambda f: f.assign(movieId="m" + f.movieId.astype(str)), "integers|text"),
])
def test_bad_item_frames_are_refused(ratings, items, spoil, message):
    with pytest.raises(mfrec.MfrecError, match=message):
        mfrec.BiasModel().fit(ratings, items=spoil(items))


@pytest.mark.parametrize("spoil", [
    lambda f: f.assign(year=pd.array([None] * len(f), dtype="Int16")),
    lambda f: f.assign(year=-5),
    lambda f: f.assign(genres=[("Same",)] * len(f)),
    lambda f: f.assign(genres=[()] * len(f), year=pd.array([None] * len(f), dtype="Int16")),
    lambda f: f.assign(genres=[", ".join(g) for g in f.genres]),
    lambda f: f.head(50),
    lambda f: f.head(0),
], ids=["no years", "absurd years", "constant", "nothing", "commas", "few known", "empty"])
def test_poor_item_frames_give_sensible_predictions(ratings, items, spoil):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfrec.MfrecWarning)
        frame = mfrec.ALSMF(n_factors=4, n_sweeps=3).fit(ratings, items=spoil(items)).predict_frame(ratings)
    assert np.isfinite(frame.prediction).all() and set(frame.level) == {"full"}


def test_missing_features_are_counted_once(ratings, items):
    with pytest.warns(mfrec.MfrecWarning, match="items with ratings have no features") as caught:
        mfrec.BiasModel().fit(ratings, items=items.head(50))
    assert len(caught) == 1


def test_text_ids_with_features(ratings, items):
    named = ratings.assign(movieId="m" + ratings.movieId.astype(str))
    model = mfrec.BiasModel().fit(named[ratings.movieId % 9 > 0], items=items.assign(movieId="m" + items.movieId.astype(str)))
    assert set(model.predict_frame(named[ratings.movieId % 9 == 0]).level) == {"content"}


def test_cold_items_on_ml_1m():
    ratings, items, errors = real("ml-1m"), mfrec.read_items(real_path("ml-1m")), []
    for seed in range(3):
        train, test = mfrec.split_cold_items(ratings, 0.1, seed=seed)
        test = test[test.userId.isin(train.userId)]
        errors.append([-model.score(test) for model in (mfrec.BiasModel().fit(train), mfrec.BiasModel().fit(train, items=items))])
    blind, seeing = np.mean(errors, axis=0)
    assert seeing < 0.975 * blind
