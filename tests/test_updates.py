"Ratings taken into a model that was saved, by the library and by the command."
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from test_persist import assert_same_rows

import mfrec
from mfrec.use.updates import REFIT_AFTER


@pytest.fixture(scope="module")
def halves(rated):
    "Ratings to fit on, and later ones: of old pairs anew, of new people, and of a film that came out since."
    old = rated[rated.userId % 40 > 0]
    new = pd.concat([
        rated[rated.userId % 40 == 0].head(150),
        old.drop_duplicates("userId").head(20).assign(movieId=-1),
        old.tail(10).assign(rating=np.float32(1)),
    ])
    return old, new


def assert_same_model(a, b):
    assert_same_rows(a, b)
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
        # those of people without features, where there are any
        warnings.simplefilter("ignore", mfrec.MfrecWarning)
        updated = saved.update(new, old, **more)
        model.partial_fit(new, **more)
    assert_same_model(model.model_, updated)
    updated = mfrec.load(updated.save(tmp_path / "again"))
    last = new.tail(30).assign(rating=np.float32(2))
    assert_same_model(model.partial_fit(last).model_, updated.update(last, pd.concat([old, new])))
    assert model.model_.about["n_added"] == len(new) + 30 and "n_added" not in saved.about


@pytest.mark.parametrize("spoil, message", [
    (lambda f, new: f.iloc[1:], "has [0-9]+ ratings here and [0-9]+ in the model"),
    (lambda f, new: pd.concat([f, f.head(1).assign(movieId=f.movieId.iloc[-1])]), "ratings here and"),
    (lambda f, new: pd.concat([f, new]), "is not in the model"),
    (lambda f, new: f.drop(columns="rating"), "no rating column"),
    (lambda f, new: f[:0], "no rows"),
])
def test_other_ratings_than_those_of_the_fit_are_refused(halves, spoil, message):
    old, new = halves
    model = mfrec.BiasModel().fit(old).model_
    with pytest.raises(mfrec.DataError, match=f"ratings: .*{message}"):
        model.update(new, spoil(old, new))


def test_a_second_update_needs_the_ratings_of_the_first(halves):
    old, new = halves
    model = mfrec.BiasModel().fit(old).update(new, old)
    with pytest.raises(mfrec.DataError, match="is not in the model|those added since"):
        model.update(new.head(3), old)


def test_a_pair_of_newcomers_may_wait(halves):
    "Nobody known has rated the film, and nothing else is known of the person, until a later update."
    old, _ = halves
    model, pair = mfrec.ALSMF(n_factors=3, n_sweeps=3).fit(old), old.head(1).assign(userId=-5, movieId=-5)
    alone = model.update(pair, old)
    assert alone.predict_frame(pair).basis.tolist() == ["mean"]
    both = old.head(1).assign(movieId=-5)
    assert_same_model(
        model.partial_fit(pair).partial_fit(both).model_, alone.update(both, pd.concat([old, pair]))
    )


def test_items_known_by_draws_stay_unless_much_is_new(halves):
    old, _ = halves
    model = mfrec.BayesianMF(n_factors=3, n_samples=8, burn_in=2, likelihood="numbers").fit(old)
    films = old.movieId.value_counts()
    often, fresh = films.index[0], -5
    new = pd.DataFrame({
        "userId": [-1, -1, *old.userId.unique()[:6]],
        "movieId": [often, films.index[1]] + [fresh] * 6,
        "rating": [5.0, 1.0] + [4.0] * 6,
    })
    updated = model.update(new, old)
    at = {
        side: m.item.ids.lookup(np.array([often]))[0]
        for side, m in (("before", model.model_), ("after", updated))
    }
    assert (updated.item.factors[at["after"]] == model.model_.item.factors[at["before"]]).all()
    # what they were solved from
    assert updated.item.n_ratings[at["after"]] == films.iloc[0]
    assert updated.item.n_ratings[updated.item.ids.lookup(np.array([fresh]))[0]] == 6
    assert set(updated.predict_frame(new).basis) == {"full"}


def test_small_updates_of_an_item_known_by_draws_add_up(halves):
    """A film with as many new ratings as old ones, five at a time, is solved again on the way;
    so is one of which old ratings are replaced."""
    old, _ = halves
    model = mfrec.BayesianMF(n_factors=3, n_samples=8, burn_in=2, likelihood="numbers").fit(old)
    films = old.movieId.value_counts()
    film, other = films.index[(films - 30).abs().argmin()], films.index[0]

    def row(which):
        return model.model_.item.ids.lookup(np.array([which]))[0]

    first = model.model_.item.factors.copy()
    solved = []
    n = films[film]
    for start in range(0, n, 5):
        model.partial_fit(
            pd.DataFrame({"userId": range(-start - 5, -start), "movieId": film, "rating": 5.0}),
            refit_after=np.inf,
        )
        solved.append(model.model_.item.n_ratings[row(film)])
    assert solved[0] == n and solved[-1] > 1.5 * n and 1 < len(set(solved)) < len(solved)
    assert (model.model_.item.factors[row(film)] != first[row(film)]).all()
    assert (model.model_.item.factors[row(other)] == first[row(other)]).all()
    model.partial_fit(old[old.movieId == other].assign(rating=1.0), refit_after=np.inf)
    assert (model.model_.item.factors[row(other)] != first[row(other)]).all()


def test_many_new_ratings_ask_for_a_full_fit(halves):
    old, _ = halves
    n = int(len(old) * REFIT_AFTER)
    for model in (mfrec.BiasModel(), mfrec.ALSMF(n_factors=3, n_sweeps=3)):
        first, more = model.fit(old[:-n]), old[-n:]
        with pytest.warns(
            mfrec.MfrecWarning,
            match=f"{n:,} ratings were added to a model fitted on {len(old) - n:,}; .* full fit",
        ) as caught:
            updated = first.update(more, old[:-n])
        assert len(caught) == 1 and caught[0].filename == __file__
        assert_same_model(updated, first.partial_fit(more, refit_after=np.inf).model_)


@pytest.fixture(scope="module")
def arrivals(rated):
    """Ratings of a film and of two people that came later:
    the film by known people and one of the two, who have rated known films."""
    people, films = rated.userId.unique(), rated.movieId.value_counts().index
    by_fans = pd.DataFrame({"userId": people[:30], "movieId": -1, "rating": np.float32([4, 5, 4.5] * 10)})
    by_new = pd.DataFrame({
        "userId": np.repeat([-1, -2], 20), "movieId": films[:40], "rating": np.float32([1, 5] * 20)
    })
    return by_fans, by_new


def test_people_and_films_that_came_later_are_added(seeing, arrivals, rated):
    """The numbers are those of fold_in and fold_in_items, but for what draws make of one film more;
    everybody else's are as they were."""
    by_fans, by_new = arrivals
    model = seeing.add_rated(pd.concat([by_new, by_fans]))
    for pairs, alone in (
        (by_fans, seeing.fold_in_items(by_fans)),
        (by_new, seeing.fold_in(by_new)),
        (rated.head(500), seeing),
    ):
        mine, theirs = model.predict_frame(pairs), alone.predict_frame(pairs)
        assert (mine.basis == theirs.basis).all()
        assert np.abs(mine.drop(columns="basis") - theirs.drop(columns="basis")).max().max() < 2e-3
    both = pd.DataFrame({"userId": [-1, -2, -3], "movieId": [-1, -1, -1]})
    assert model.predict_frame(both).basis.tolist() == ["full", "full", "bias"]
    assert np.isfinite(model.predict_frame(both).prediction).all()
    # the film counts for who is new as well
    heard = seeing.add_rated(pd.concat([by_new, by_fans, both.head(1).assign(rating=np.float32(5))]))
    assert heard.model_.user.n_ratings[heard.model_.user.ids.lookup([-1])[0]] == 21
    assert heard.about["folded_in"] == 71


def test_pairs_of_newcomers_are_left_out(halves, arrivals):
    model, (by_fans, by_new) = mfrec.BiasModel().fit(halves[0]), arrivals
    strangers = by_fans.head(2).assign(userId=-1, movieId=[-8, -9])
    with pytest.warns(
        mfrec.MfrecWarning, match="2 of 72 rows are of new users for items that nobody known has rated"
    ) as caught:
        model.add_rated(pd.concat([by_fans, by_new, strangers]))
    assert len(caught) == 1
    known = "has ratings in the model, and so has item [0-9]+ .3 such rows"
    for rows, message in (
        (strangers, "none of the 2 rows"),
        (by_fans.assign(rating=9), "outside the scale"),
        (halves[0].head(3), known),
    ):
        with pytest.raises(mfrec.DataError, match=message):
            model.add_rated(rows)


def test_a_model_with_ratings_folded_in_says_which_to_update(halves):
    old, new = halves
    model = mfrec.BiasModel().fit(old).model_
    grown = model.add_rated(old.head(3).assign(userId=-4)).add_rated(old.head(2).assign(userId=-5))
    assert grown.about["folded_in"] == 5
    with pytest.raises(mfrec.SettingError, match="update the one it was made from"):
        grown.update(new, old)


def test_a_full_fit_by_the_model_itself(solver, halves, tmp_path):
    """A saved model knows its solver and settings: with `refit`, where the rule asks for it,
    all ratings are fitted as by `partial_fit`."""
    old, _ = halves
    first, more = old[: len(old) * 3 // 4], old[len(old) * 3 // 4:]
    saved = mfrec.load(clone(solver).fit(first).save(tmp_path / "model"))
    again, whole = saved.update(more, first, refit=True), clone(solver).fit(first).partial_fit(more).model_
    pairs = old.tail(500)
    assert again.predict_frame(pairs).equals(whole.predict_frame(pairs))
    assert again.about == whole.about and "n_added" not in again.about
    assert saved.update(more.head(5), first, refit=True).about["n_added"] == 5


def test_a_full_fit_needs_a_solver_and_all_features(halves, items):
    old, _ = halves
    first, more = old[: len(old) // 2], old[len(old) // 2:]
    model = mfrec.BiasModel().fit(first, items=items).model_
    with pytest.raises(mfrec.SettingError, match="fitted with features of items; give items="):
        model.update(more, first, refit=True)
    with pytest.raises(mfrec.SettingError, match="solver 'own' is not known here"):
        replace(model, about=model.about | {"solver": "own"}).update(more, first, items=items, refit=True)


def test_a_model_of_people_without_ratings_makes_room_too(seeing, users, items):
    """Those known by features alone have no ratings to remember;
    the table of none grows with the model all the same."""
    people = seeing.fold_in(None, users=users.tail(2).assign(userId=[-11, -12]))
    grown = people.add_unrated(items=items.head(1).assign(movieId=-5)).ratings.table()
    assert (len(grown), grown.n_users, grown.n_items) == (0, 2, len(people.item) + 1)
