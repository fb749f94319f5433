"The self-made sample has the shape it promises, and its truth is the truth."
import numpy as np
import pandas as pd
import pytest

from mfrec import BiasModel, SettingError, UnknownIdError, rmse, sample_items, sample_ratings, split_random
from mfrec.ratings.items import make_items
from mfrec.ratings.sample import NOISE_SD, STAR_COUNTS, sample_expected, sample_floor


@pytest.fixture(scope="module")
def two_million():
    return sample_ratings(2_000_000, seed=3)


def test_two_million_have_the_shape_of_movielens(two_million):
    r = two_million
    assert (len(r), r.userId.nunique(), r.movieId.nunique()) == (2_000_000, 12_773, 36_603)
    assert np.abs(r.rating.value_counts().sort_index().to_numpy() / STAR_COUNTS - 1).max() < 0.01
    assert r.groupby("userId").size().min() >= 20 and not r.duplicated(["userId", "movieId"]).any()
    counts = r.groupby("movieId").size().sort_values()
    # a heavy head and a long tail
    assert counts.iloc[-366:].sum() > 0.2 * len(r) and counts.median() < counts.mean() / 4


@pytest.mark.parametrize("n", [20, 21, 50, 400, 5_000, 60_000])
def test_any_size(n):
    r = sample_ratings(n, seed=1)
    assert len(r) == n and r.groupby("userId").size().min() >= 20
    assert not r.duplicated(["userId", "movieId"]).any()
    assert set(r.movieId) == set(sample_items(n, seed=1).movieId)


def test_items_are_as_a_file_of_films_would_give_them():
    items = sample_items(30_000, seed=7)
    pd.testing.assert_frame_equal(items, make_items(items[["movieId", "title", "genres"]]))


def test_same_arguments_same_rows():
    pd.testing.assert_frame_equal(sample_ratings(30_000, seed=7), sample_ratings(30_000, seed=7))
    assert not sample_ratings(30_000, seed=7).equals(sample_ratings(30_000, seed=8))


@pytest.mark.parametrize("n, seed", [(19, 0), (0, 0), (10.5, 0), (100, -1), (100, "x")])
def test_bad_arguments(n, seed):
    with pytest.raises(SettingError):
        sample_ratings(n, seed)


def test_the_floor_is_reached_by_the_truth_and_by_nothing_simple(two_million):
    floor = sample_floor(2_000_000, 3)
    assert np.isclose(rmse(two_million.rating, sample_expected(two_million, 2_000_000, 3)), floor, atol=1e-5)
    train, test = split_random(two_million)
    assert 0.70 < floor < -BiasModel().fit(train).score(test) - 0.05
    with pytest.raises(UnknownIdError, match="user 99999999"):
        sample_expected(pd.DataFrame({"userId": [99_999_999], "movieId": [1]}), 2_000_000, 3)


def test_unrounded_noise_is_gaussian_with_the_planted_spread():
    raw, stars = (sample_ratings(100_000, seed=2, rounded=r) for r in (False, True))
    assert raw.movieId.equals(stars.movieId) and np.corrcoef(raw.rating, stars.rating)[0, 1] > 0.94
    assert raw.rating.std() > NOISE_SD and raw.rating.nunique() > 50_000


def test_films_are_rated_after_they_come_out():
    r = sample_ratings(50_000, seed=2).merge(sample_items(50_000, seed=2), on="movieId")
    assert (pd.to_datetime(r.timestamp, unit="s").dt.year >= r.year).all()
