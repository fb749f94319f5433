"Lists: equal to scoring everything, for all solvers; filters, orders, people just met, and bad wishes."
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

import mfrec
from conftest import SOLVERS, real
from mfrec.kernel.interest import among_next, lists_of
from mfrec.model.chances import chance_above
from mfrec.model.similar import likeness_vectors
from mfrec.ratings.rows import Pairs
from mfrec.use.liking import liked_from
from mfrec.use.parts import write_lists


def everything(model, users):
    "Chances to choose, chances to like and scores, (n_users, n_items), of all items, seen ones at 0."
    at = model.user.ids.lookup(users)
    interest, n_items = model.item.interest, len(model.item)
    choose = interest.chances(lists_of(model.ratings, at)).astype(np.float64)
    pairs = Pairs(np.repeat(at, n_items), np.tile(np.arange(n_items), len(at)))
    liked, half_step = liked_from(model)
    like = chance_above(model, pairs, liked - half_step)[0].reshape(choose.shape)
    return choose, like, choose * like**interest.liking


def test_equal_to_scoring_everything(model, rated):
    people = rated.userId.unique()
    choose, like, score = everything(model, people)
    lists = model.recommend(people, n=7)
    assert lists.userId.tolist() == np.repeat(people, 7).tolist()
    assert lists["rank"].tolist() == [*range(1, 8)] * len(people)
    rows = np.repeat(np.arange(len(people)), 7)
    at = model.item.ids.lookup(lists.movieId)
    best = -np.sort(-score, axis=1)[:, :7]
    assert np.allclose(lists.score, score[rows, at], rtol=2e-3)
    assert np.allclose(lists.score, best.ravel(), rtol=2e-3)
    assert np.allclose(lists.liked, like[rows, at], atol=1e-4)
    assert np.allclose(lists.chance, among_next(choose.astype(np.float32), 10)[rows, at], rtol=0.01)
    seen = rated.groupby("userId").movieId.agg(set)
    assert not any(movie in seen[user] for user, movie in zip(lists.userId, lists.movieId))
    n_ratings = rated.movieId.value_counts().reindex(lists.movieId, fill_value=0)
    assert (lists.n_ratings == n_ratings.to_numpy()).all()


def test_stars_are_those_of_predict_frame(model, rated):
    lists = model.recommend(rated.userId.iloc[0], n=30)
    frame = model.predict_frame(lists)
    assert np.allclose(lists.stars, frame.prediction, atol=1e-5)
    assert ("std" in lists) == ("std" in frame)
    if "std" in frame:
        assert np.allclose(lists["std"], frame["std"], atol=1e-5)


def test_other_orders_go_by_what_they_say(model, rated):
    user = rated.userId.iloc[0]
    own = set(rated.movieId[rated.userId == user])
    every = pd.DataFrame({"userId": user, "movieId": [i for i in model.item.ids.classes_ if i not in own]})
    stars = model.predict_frame(every, clip=False).prediction.to_numpy()
    lists = model.recommend(user, n=12, order="rating")
    assert np.allclose(lists.score, -np.sort(-stars)[:12], atol=1e-4)
    lists = model.recommend(user, n=12, order="interest")
    choose = everything(model, [user])[0]
    assert np.allclose(lists.score, -np.sort(-choose[0])[:12], rtol=2e-3)
    if model.user.errors.known:
        lower = model.recommend(user, n=12, order="lower")
        assert lower.score.is_monotonic_decreasing and (lower.score < lower.stars + 1e-6).all()
    else:
        with pytest.raises(mfrec.SettingError, match="does not say how uncertain"):
            model.recommend(user, order="lower")


def test_people_just_met_get_the_lists_of_their_ratings(model, rated):
    user = rated.userId.value_counts().index[20]
    own = rated[rated.userId == user]
    met = model.recommend(own.assign(userId=-7), n=10)
    known = model.recommend(user, n=10)
    assert (met.userId == -7).all() and len(set(met.movieId) & set(known.movieId)) >= 6
    alone = model.recommend(own.drop(columns="userId"), n=10)
    assert (alone.userId == "me").all() and alone.movieId.tolist() == met.movieId.tolist()


def test_a_saved_model_makes_the_same_lists(model, tmp_path, rated):
    some = rated.userId.unique()[:5]
    loaded = mfrec.load(model.save(tmp_path))
    pd.testing.assert_frame_equal(loaded.recommend(some), model.recommend(some), check_dtype=False)


def test_blocks_and_threads_change_nothing(als, rated, monkeypatch):
    some = rated.userId.unique()[:60]
    whole = als.recommend(some)
    monkeypatch.setattr("mfrec.use.recommend.BLOCK", 7)
    pd.testing.assert_frame_equal(als.recommend(some), whole, check_exact=False, rtol=1e-4)


def test_what_is_liked(als, rated):
    user = rated.userId.iloc[0]
    four, five = als.recommend(user, n=50, liked=4), als.recommend(user, n=50, liked=5)
    both = four.merge(five, on="movieId")
    assert len(both) and (both.liked_x > both.liked_y).all()
    own = als.recommend(user, n=50, liked="own")
    third = rated.rating[rated.userId == user].quantile(2 / 3)
    assert np.allclose(own.liked, als.recommend(user, n=50, liked=third).liked)


def test_seen_and_watched(als, rated, items):
    user = rated.userId.value_counts().index[-1]
    own = set(rated.movieId[rated.userId == user])
    again = als.recommend(user, n=len(als.item), seen=True)
    assert own <= set(again.movieId) and again.movieId.is_unique
    first = als.recommend(user).movieId.tolist()[:3]
    for watched in (first, items[items.movieId.isin(first)][["movieId"]],
                    pd.DataFrame({"userId": [user] * 3, "movieId": first})):
        assert not set(first) & set(als.recommend(user, watched=watched).movieId)
    other = als.recommend(user, watched=pd.DataFrame({"userId": [-5], "movieId": [first[0]]}))
    assert other.movieId.tolist()[0] == first[0]
    with pytest.warns(mfrec.MfrecWarning, match="1 of 1 rows are of items"):
        als.recommend(user, watched=pd.DataFrame({"userId": [user], "movieId": [10**8]}))


def test_filters(als, items, rated):
    user = rated.userId.iloc[0]
    genre = items.genres.explode().value_counts().index[0]
    found = als.recommend(user, genres=[genre.lower()], years=(1990, 2005), min_ratings=3)
    assert all(genre in cell for cell in found.genres) and found.year.between(1990, 2005).all()
    assert (found.n_ratings >= 3).all()
    some = [*found.movieId.iloc[:2], items.title[items.movieId == found.movieId.iloc[2]].iloc[0]]
    assert set(als.recommend(user, n=3, only=some).movieId) == set(found.movieId.iloc[:3])
    assert not set(als.recommend(user, exclude=some).movieId) & set(found.movieId.iloc[:3])
    longer = items.assign(minutes=np.arange(len(items)) % 200)
    short = als.recommend(user, where="minutes < 90", items=longer)
    assert (longer.set_index("movieId").minutes[short.movieId] < 90).all()


def test_films_without_ratings_take_part(als, items, rated):
    unrated = items.movieId[~items.movieId.isin(rated.movieId)]
    found = als.recommend(rated.userId.iloc[0], n=5, only=unrated.tolist())
    assert len(found) == 5 and (found.n_ratings == 0).all() and (found.chance > 0).all()


def test_popularity_and_diversity(als, rated):
    some = rated.userId.unique()[:30]
    by = {value: als.recommend(some, popularity=value).n_ratings.mean() for value in (-1, -0.5, 0, 0.5, 1)}
    assert list(by.values()) == sorted(by.values()) and by[1] > 2 * by[-1]
    vectors = likeness_vectors(als)

    def likeness(lists):
        rows = [vectors[als.item.ids.lookup(part)] for _, part in lists.groupby("userId").movieId]
        return np.mean([(v @ v.T)[np.triu_indices(len(v), 1)].mean() for v in rows])

    alike = [likeness(als.recommend(some, diversity=value)) for value in (0.0, 0.3, 0.7, 1.0)]
    assert alike == sorted(alike, reverse=True) and alike[0] - alike[-1] > 0.1


def test_ties_do_not_go_by_id(rated):
    """Items that nobody's list speaks of, with as many ratings: by stars and then ratings."""
    flat = mfrec.BiasModel().fit(rated).with_interest().model_
    found = flat.recommend(rated.userId.iloc[0], n=len(flat.item), order="rating")
    for _, group in found.groupby("score"):
        assert (group.n_ratings.diff().dropna() <= 0).all()


def test_an_estimator_keeps_interest_and_a_model_says_how(rated):
    estimator = clone(SOLVERS["als"]).fit(rated)
    assert estimator.model_.item.interest is None
    loose, user = estimator.model_, rated.userId.iloc[0]
    with pytest.warns(mfrec.MfrecWarning, match="with_interest"):
        once = loose.recommend(user)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert estimator.recommend(user).movieId.tolist() == once.movieId.tolist()
        assert estimator.model_.item.interest is not None
        assert "chance" not in loose.recommend(user, order="rating")
    with pytest.raises(mfrec.SettingError, match="folded in from one without interest"):
        loose.fold_in(rated.head(30)).recommend()
    assert len(estimator.fold_in(rated.head(30)).recommend()) == 10 * rated.head(30).userId.nunique()


def test_updates_keep_interest(als, rated):
    user = rated.userId.iloc[0]
    first = als.recommend(user).movieId.iloc[0]
    seen = pd.DataFrame({"userId": [user, user], "movieId": [first, 10**7], "rating": np.float32([4, 3])})
    grown = als.update(seen.assign(timestamp=1.6e9))
    assert first not in set(grown.recommend(user).movieId)
    assert len(grown.item.interest.vectors) == len(grown.item) == len(als.item) + 1


@pytest.mark.parametrize("wish, error, told", [
    ({"n": 0}, mfrec.SettingError, "n=0"),
    ({"n": 2.5}, mfrec.SettingError, "whole number"),
    ({"order": "best"}, mfrec.SettingError, "choose among"),
    ({"popularity": 2}, mfrec.SettingError, "hidden gems"),
    ({"diversity": -0.1}, mfrec.SettingError, "from 0 to 1"),
    ({"liked": 9}, mfrec.SettingError, "ratings go from 0.5 to 5"),
    ({"liked": "best"}, mfrec.SettingError, "upper third"),
    ({"only": []}, mfrec.SettingError, "only= leaves 0"),
    ({"only": "Heat"}, mfrec.SettingError, "give a list"),
    ({"only": ["No Such Film"]}, mfrec.DataError, "is no title of the items"),
    ({"genres": ["Opera"]}, mfrec.SettingError, "no item is of genre"),
    ({"years": "1990s"}, mfrec.SettingError, "first, last"),
    ({"years": (3000, 3001)}, mfrec.SettingError, "years= leaves 0"),
    ({"min_ratings": 10**6}, mfrec.SettingError, "min_ratings= leaves 0"),
    ({"where": "length > 3"}, mfrec.SettingError, "the columns are"),
    ({"users": [10**8]}, mfrec.DataError, "is not in the model"),
    ({"users": "ann"}, mfrec.DataError, "fitted on integers"),
    ({"users": {"No Such Film": 5}}, mfrec.DataError, "is no title"),
    ({"users": {}}, mfrec.DataError, "no rows"),
])
def test_bad_wishes(als, wish, error, told):
    with pytest.raises(error, match=told):
        als.recommend(**{"users": 1} | wish)


def test_bad_ratings_of_people_just_met(als, items):
    title, other = items.title.iloc[0], items.movieId.iloc[1]
    with pytest.raises(mfrec.DataError, match="outside the scale"):
        als.recommend({title: 11})
    with pytest.raises(mfrec.DataError, match="rated twice"):
        als.recommend({title: 4, items.movieId.iloc[0]: 3})
    with pytest.raises(mfrec.DataError, match="no item column"):
        als.recommend(pd.DataFrame({"film": [1], "rating": [4.0]}))
    with pytest.warns(mfrec.MfrecWarning, match="left out"):
        als.recommend(pd.DataFrame({"movieId": [other, 10**8], "rating": [4.0, 3.0]}))


def test_who_has_seen_everything_gets_nothing(als, rated):
    some = rated.userId.unique()[:2]
    first = als.recommend(some[0], n=3).movieId
    with pytest.warns(mfrec.MfrecWarning, match="1 of 2 lists are shorter than n=3"):
        found = als.recommend(some, n=3, only=first.tolist(),
                              watched=pd.DataFrame({"userId": some[1], "movieId": first}))
    assert found.userId.unique().tolist() == [some[0]]
    with pytest.warns(mfrec.MfrecWarning, match="shorter than n=10"):
        assert als.recommend(some[0], n=10, only=first.tolist(), watched=first.tolist()).empty


def test_ratings_that_are_not_kept(rated):
    forgetful = clone(SOLVERS["als"]).set_params(keep_ratings=False).fit(rated)
    with pytest.raises(mfrec.SettingError, match="keep_ratings=True"):
        forgetful.recommend(1)
    with pytest.raises(mfrec.SettingError, match="keep_ratings=True"):
        forgetful.recommend(1, order="rating")
    own = rated[rated.userId == rated.userId.iloc[0]].assign(userId=-1)
    assert len(forgetful.recommend(own, order="rating")) == 10


def test_parts_that_are_there_are_kept(als, tmp_path, rated):
    place = write_lists(als, tmp_path / "lists", n=4, size=50)
    parts = sorted(place.glob("part-*.parquet"))
    before = [part.stat().st_mtime_ns for part in parts]
    parts[-1].unlink()
    write_lists(als, place, n=4, size=50)
    assert [part.stat().st_mtime_ns for part in parts][:-1] == before[:-1] and parts[-1].exists()
    assert pd.read_parquet(place).movieId.tolist() == als.recommend(n=4).movieId.tolist()
    with pytest.raises(mfrec.SettingError, match="other wishes"):
        write_lists(als, place, n=5, size=50)
    films = pd.Series(als.item.ids.classes_[:200])
    place = write_lists(als, tmp_path / "some", n=4, only=films)
    with pytest.raises(mfrec.SettingError, match="other wishes"):  # a long column is not printed whole
        write_lists(als, place, n=4, only=films.replace(films[100], films[0]))
    (tmp_path / "file").write_text("")
    with pytest.raises(mfrec.DataError, match="cannot be written"):
        write_lists(als, tmp_path / "file")


def test_a_thousand_people_of_a_real_set():
    "Exactly the lists of scoring all films; far more liked films found than by stars or popularity."
    ratings = real("ml-1m")
    train, test = mfrec.split_mask(ratings, seed=3)
    estimator = mfrec.ALSMF().fit(train).with_interest(timely=False)
    model, people = estimator.model_, train.userId.unique()[:1000]
    score = everything(model, people)[2]
    lists = model.recommend(people)
    assert np.allclose(lists.score, -np.sort(-score, axis=1)[:, :10].ravel(), rtol=2e-3)
    found = {order: mfrec.ranking_report(estimator, test, liked=4, order=order).value["ndcg"]
             for order in ("score", "interest", "rating")}
    assert found["score"] > 0.305 and found["interest"] > 0.28 and found["rating"] < 0.15
