"What is like an item, for all solvers: however factors are turned, by ids or titles, and bad questions."
from dataclasses import replace

import numpy as np
import pytest

import mfrec


def turned(model, rng):
    "The same predictions and interest from factors turned and stretched, and vectors turned."
    k, interest = model.n_factors, model.item.interest
    turn = rng.normal(size=(k, k)) + 2 * np.eye(k)
    back = np.linalg.inv(turn)
    vectors = interest.vectors @ np.linalg.qr(rng.normal(size=2 * interest.vectors.shape[1:]))[0]
    user = replace(model.user, factors=(model.user.factors @ turn.T).astype(np.float32))
    item = replace(model.item, factors=(model.item.factors @ back).astype(np.float32),
                   interest=replace(interest, vectors=vectors.astype(np.float32)))
    return replace(model, user=user, item=item)


@pytest.mark.parametrize("by", ["both", "stars", "interest"])
def test_however_factors_are_turned(model, by):
    film = model.item.ids.classes_[model.item.n_ratings.argmax()]
    if by != "interest" and not model.n_factors:
        with pytest.raises(mfrec.SettingError, match="take by='interest'"):
            model.similar_items(film, by=by)
        return
    found, other = (each.similar_items(film, 30, by=by)
                    for each in (model, turned(model, np.random.default_rng(0))))
    assert np.allclose(found.similarity, other.similarity, atol=2e-4)
    assert (found.movieId == other.movieId).mean() > 0.8  # but for those that are equally near
    columns = ["rank", "movieId", "title", "year", "genres", "similarity", "n_ratings", "n_both"]
    assert [*found] == columns and film not in set(found.movieId) and (found.n_ratings > 0).all()
    assert found.similarity.is_monotonic_decreasing and found.similarity.between(0, 1).all()


def test_similarity_by_hand(als, rated):
    at = int(als.item.n_ratings.argmax())
    film = als.item.ids.classes_[at]
    found = als.similar_items(film, 10, by="stars")
    said = als.user.factors.astype(float) @ als.item.factors.T.astype(float)
    lengths = np.linalg.norm(said, axis=0)
    cosine = said.T @ said[:, at] / np.maximum(lengths * lengths[at], 1e-9)
    expected = cosine * als.item.n_ratings / (als.item.n_ratings + 5)
    assert np.allclose(found.similarity, expected[als.item.ids.lookup(found.movieId)], atol=1e-5)
    assert np.allclose(np.sort(np.delete(expected, at))[:-11:-1], found.similarity, atol=1e-5)
    raters = set(rated.userId[rated.movieId == film])
    others = [len(raters & set(rated.userId[rated.movieId == other])) for other in found.movieId]
    assert found.n_both.tolist() == others


def test_titles_ids_and_given_items(als, items, rated):
    title, film = items.title[1], int(items.movieId[1])
    assert als.similar_items(title).equals(als.similar_items(film))
    plain = replace(als, catalogue=None)
    with pytest.raises(mfrec.SettingError, match="knows no titles"):
        plain.similar_items(title)
    assert plain.similar_items(title, items=items).equals(als.similar_items(title))
    assert "title" not in plain.similar_items(film)
    assert "n_both" not in replace(als, ratings=None).similar_items(film)


def test_interest_is_learned_where_it_is_needed(rated):
    film, fitted = int(rated.movieId.mode()[0]), mfrec.ALSMF(n_factors=4, n_sweeps=4).fit(rated)
    assert len(fitted.model_.similar_items(film, by="stars")) == 10
    with pytest.warns(mfrec.MfrecWarning, match="learned for this call alone"):
        found = fitted.model_.similar_items(film)
    assert found.equals(fitted.similar_items(film)) and fitted.model_.item.interest is not None
    bare = mfrec.ALSMF(n_factors=4, n_sweeps=4, keep_ratings=False).fit(rated)
    with pytest.raises(mfrec.SettingError, match="keep_ratings=True"):
        bare.similar_items(film)


def test_bad_questions(als, items):
    film, unrated = int(items.movieId[1]), items[items.movieId % 9 == 0].movieId.tolist()
    unrated = next(name for name in unrated if als.item.ids.lookup([name])[0] >= 0)
    for wrong, kind, said in (
        (lambda: als.similar_items(-7), mfrec.UnknownIdError, "item -7 is not in the model"),
        (lambda: als.similar_items("Heat (1901)"), mfrec.DataError, "is no title of the items"),
        (lambda: als.similar_items([film]), mfrec.SettingError, "a whole number or text"),
        (lambda: als.similar_items(film, 0), mfrec.SettingError, "n=0"),
        (lambda: als.similar_items(film, by="genre"), mfrec.SettingError, "both, stars, interest"),
        (lambda: als.similar_items(unrated, by="interest"), mfrec.SettingError, "rated by nobody"),
        (lambda: als.similar_users(-7), mfrec.UnknownIdError, "user -7 is not in the model"),
        (lambda: als.similar_users("Ann"), mfrec.DataError, "fitted on integers"),
        (lambda: als.similar_users(1, 0), mfrec.SettingError, "n=0"),
    ):
        with pytest.raises(kind, match=said):
            wrong()


def test_similar_users(model, rated):
    user = int(rated.userId.iloc[0])
    if not model.n_factors:
        with pytest.raises(mfrec.SettingError, match="no factors"):
            model.similar_users(user)
        return
    both = model, turned(model, np.random.default_rng(1))
    found, other = (each.similar_users(user, 10) for each in both)
    assert np.allclose(found.similarity, other.similarity, atol=2e-4) and user not in set(found.userId)
    seen = rated.groupby("userId").movieId.agg(set)
    assert found.n_both.tolist() == [len(seen[user] & seen[peer]) for peer in found.userId]
