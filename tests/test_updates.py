"Ratings taken into a model that was saved, by the library and by the command."
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from test_persist import assert_same

import mfrec
from mfrec.updates import REFIT_AFTER


@pytest.fixture(scope="module")
def halves(rated):
    "Ratings to fit on, and later ones: of old pairs anew, of new people, and of a film that came out since."
    old = rated[rated.userId % 40 > 0]
    new = pd.concat([rated[rated.userId % 40 == 0].head(150), old.head(20).assign(movieId=-1), old.tail(10).assign(rating=np.float32(1))])
    return old, new


def assert_same_model(a, b):
    "The same but for the width of ids, which a file does not keep."
    for name in ("user", "item"):
        mine, theirs = getattr(a, name), getattr(b, name)
        assert mine.ids.classes_.tolist() == theirs.ids.classes_.tolist()
        for part in ("biases", "factors", "n_ratings", "prior"):
            assert_same(getattr(mine, part), getattr(theirs, part))
    assert_same(a.posterior, b.posterior)
    if a.content is not None:
        assert_same(replace(a.content, mean=float(a.content.mean)), b.content)
    assert (a.mean, a.scale, a.about) == (b.mean, b.scale, b.about)


@pytest.mark.parametrize("features", [False, True])
def test_a_saved_model_takes_in_what_partial_fit_does(solver, halves, items, users, tmp_path, features):
    "Twice, the second time from all ratings until then, where of a pair rated again the last counts."
    old, new = halves
    sides = {"items": items, "users": users} if features else {}
    more = {"items": items.head(1).assign(movieId=-1), "users": users.tail(1)} if features else {}
    model = clone(solver).fit(old, **sides)
    saved = mfrec.load(model.save(tmp_path / "model"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfrec.MfrecWarning)  # those of people without features, where there are any
        updated = saved.update(old, new, **more)
        model.partial_fit(new, **more)
    assert_same_model(model.model_, updated)
    updated = mfrec.load(updated.save(tmp_path / "again"))
    last = new.tail(30).assign(rating=np.float32(2))
    assert_same_model(model.partial_fit(last).model_, updated.update(pd.concat([old, new]), last))
    assert model.model_.about["n_added"] == len(new) + 30 and "n_added" not in saved.about


@pytest.mark.parametrize("spoil, message", [
    (lambda f, new: f.iloc[1:], "has [0-9]+ ratings here and [0-9]+ in the model"), (lambda f, new: pd.concat([f, f.head(1).assign(movieId=f.movieId.iloc[-1])]), "ratings here and"),
    (lambda f, new: pd.concat([f, new]), "is not in the model"), (lambda f, new: f.drop(columns="rating"), "no rating column"), (lambda f, new: f[:0], "no rows")])
def test_other_ratings_than_those_of_the_fit_are_refused(halves, spoil, message):
    old, new = halves
    model = mfrec.BiasModel().fit(old).model_
    with pytest.raises(mfrec.DataError, match=f"ratings: .*{message}"):
        model.update(spoil(old, new), new)


def test_a_second_update_needs_the_ratings_of_the_first(halves):
    old, new = halves
    model = mfrec.BiasModel().fit(old).update(old, new)
    with pytest.raises(mfrec.DataError, match="is not in the model|those added since"):
        model.update(old, new.head(3))


def test_a_pair_of_newcomers_may_wait(halves):
    "Nobody known has rated the film, and nothing else is known of the person, until a later update."
    old, _ = halves
    model, pair = mfrec.ALSMF(n_factors=3, n_sweeps=3).fit(old), old.head(1).assign(userId=-5, movieId=-5)
    alone = model.update(old, pair)
    assert alone.predict_frame(pair).level.tolist() == ["mean"]
    both = old.head(1).assign(movieId=-5)
    assert_same_model(model.partial_fit(pair).partial_fit(both).model_, alone.update(pd.concat([old, pair]), both))


def test_many_new_ratings_ask_for_a_full_fit(halves):
    old, _ = halves
    n = int(len(old) * REFIT_AFTER)
    for model in (mfrec.BiasModel(), mfrec.ALSMF(n_factors=3, n_sweeps=3)):
        first, more = model.fit(old[:-n]), old[-n:]
        with pytest.warns(mfrec.MfrecWarning, match=f"{n:,} ratings were added to a model fitted on {len(old) - n:,}; .* full fit") as caught:
            updated = first.update(old[:-n], more)
        assert len(caught) == 1 and caught[0].filename == __file__
        assert_same_model(updated, first.partial_fit(more, refit_after=np.inf).model_)
