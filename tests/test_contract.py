"What every solver promises, tested once over all of them."
import pickle
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, KFold

import mfrec
from mfrec.model.predict import linear_predictions, pairs_of
from mfrec.model.link import Levels
from mfrec.solvers.draws import Draws


def small(rows, **columns):
    return (
        pd.DataFrame(rows, columns=["userId", "movieId", "rating"])
        .astype({"rating": "float32"})
        .assign(**columns)
    )


def test_is_a_scikit_learn_estimator(solver, fitted):
    assert clone(fitted).get_params() == solver.get_params()
    assert not hasattr(clone(fitted), "model_")
    assert repr(fitted)


def test_leaves_its_input_and_the_global_state_alone(solver, ratings):
    before, threads = ratings.copy(), torch.get_num_threads()
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    np_state = np.random.get_state()[1].copy()
    clone(solver).fit(ratings)
    pd.testing.assert_frame_equal(ratings, before)
    assert torch.equal(torch.rand(2), expected) and torch.get_num_threads() == threads
    assert (np.random.get_state()[1] == np_state).all()


def test_predicts_raw_ids_in_the_order_of_the_rows(fitted, ratings):
    some = ratings.sample(200, random_state=0)
    direct = fitted.predict(some)
    assert direct.shape == (200,) and direct.dtype == np.float32
    assert (fitted.predict(some[::-1])[::-1] == direct).all()
    low, high = fitted.model_.scale
    assert np.isfinite(direct).all() and direct.min() >= low and direct.max() <= high


def test_beats_the_mean_on_training_rows(fitted, ratings):
    assert -fitted.score(ratings) < 0.95 * ratings.rating.std()


def test_unknown_ids_get_less_but_never_nothing(fitted, ratings):
    known_user, known_item = ratings.userId.iloc[0], ratings.movieId.iloc[0]
    pairs = pd.DataFrame({
        "userId": [known_user, known_user, -5, -5],
        "movieId": [known_item, -7, known_item, -7],
    })
    frame = fitted.predict_frame(pairs)
    assert frame.basis.tolist() == ["full", "bias", "bias", "mean"] and frame.prediction.notna().all()
    with pytest.warns(mfrec.MfrecWarning, match="3 of 4 rows") as caught:
        assert (fitted.predict(pairs) == frame.prediction).all()
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(fitted.predict(pairs[:1])) == 1 and len(fitted.predict(pairs[:0])) == 0


def test_one_that_is_unknown_leaves_the_damped_mean_of_the_other(fitted, ratings):
    """Mean and bias count as 20 ratings beside those that the other one has;
    so for people who are folded in, too."""
    user, film = ratings.userId.iloc[0], ratings.movieId.iloc[0]
    own, of_film = ratings[ratings.userId == user], ratings[ratings.movieId == film]
    folded = fitted.fold_in(own.assign(userId=-3))
    for model, known, rows, pair in (
        (fitted.model_, fitted.model_.item, of_film, (-5, film)),
        (fitted.model_, fitted.model_.user, own, (user, -7)),
        (folded, folded.user, own, (-3, -7)),
    ):
        at = known.ids.lookup([pair[known is model.item]])[0]
        bias = known.biases[at]
        stars = linear_predictions(
            model, pairs_of(model, pd.DataFrame([pair], columns=["userId", "movieId"]))
        )
        assert np.isclose(
            stars[0], (rows.rating.sum() + 20 * (model.mean + bias)) / (len(rows) + 20), atol=1e-4
        )
        assert np.isclose(model.mean + bias + known.alone[at], stars[0], atol=1e-4)


def test_what_one_adds_alone_fades_with_the_ratings_of_the_other(fitted, ratings):
    model, row = fitted.model_, ratings.iloc[[-1]]
    pair = pairs_of(model, row)
    (u,), (i,) = pair.users, pair.items
    user, item = model.user, model.item
    assert user.n_ratings[u] == (ratings.userId == row.userId.iloc[0]).sum() and item.alone[i] != 0
    expected = model.mean + user.biases[u] + item.biases[i] + user.factors[u] @ item.factors[i]
    expected += 2 / (2 + user.n_ratings[u]) * item.alone[i] + 2 / (2 + item.n_ratings[i]) * user.alone[u]
    assert np.isclose(linear_predictions(model, pair)[0], expected, atol=1e-5)


def test_a_prediction_is_the_sum_of_its_lines(seeing, rated, items, users):
    """For people with ratings, with features only, and just met; for rated and unrated films."""
    unrated = items.movieId[items.movieId % 9 == 0]
    films = [*rated.movieId.iloc[:3], *unrated[:2]]
    some = rated[rated.userId == rated.userId.iloc[0]].drop(columns="userId").head(9)
    for model, user in ((seeing.model_, 1), (seeing.model_, -1), (seeing, some)):
        folded = model if not isinstance(user, pd.DataFrame) else seeing.fold_in(some.assign(userId="me"))
        pairs = pd.DataFrame({"userId": user if isinstance(user, int) else "me", "movieId": films})
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            told = folded.predict_frame(pairs, clip=False).prediction
            for film, stars in zip(films, told):
                lines = model.explain(user, film)
                free = lines[lines.part != "clipped"]
                assert np.isclose(free.stars.sum(), stars, atol=1e-4), (user, film)
                assert np.isclose(lines.stars.sum(), np.clip(stars, *folded.model_.scale), atol=1e-4)
                assert model.why(user, film)


def test_the_largest_shares_are_what_leaving_a_rating_out_would_change(fitted, ratings):
    """Of what factors say; the person's bias is a line of its own."""
    if not fitted.model_.n_factors:
        return
    same = []
    for user in ratings.userId.unique()[:5]:
        own = ratings[ratings.userId == user]
        at = fitted.scores(user)[0].argmax()
        item = fitted.model_.item

        def said(rows):
            return fitted.fold_in(rows).user.factors[0] @ item.factors[at]

        lines = fitted.explain(own.drop(columns="userId"), item.ids.classes_[at])
        largest = lines[lines.part == "rating"].head(10)
        change = [said(own) - said(own[own.movieId != film]) for film in largest.movieId]
        same += (np.sign(change) == np.sign(largest.stars)).tolist()
    assert np.mean(same) >= 0.9


def test_scores_of_everything_are_those_of_single_pairs(seeing, rated, ratings, users):
    """Known people, people of whom features or nothing are known, and people folded in,
    on rated and unrated films; in blocks and one by one."""
    known, std = rated.userId.unique()[:300], seeing.model_.user.errors.known
    folded = seeing.fold_in(rated[rated.userId.isin(known[:3])].assign(userId=lambda f: f.userId + 10**6))
    for model, people in ((seeing.model_, [*known, -1, -2, -99]), (folded, [*(known[:3] + 10**6), -99])):
        pairs = pd.DataFrame({
            "userId": np.repeat(people, len(model.item)),
            "movieId": np.tile(model.item.ids.classes_, len(people)),
        })
        frame, found = model.predict_frame(pairs), model.scores(people, std=std)
        assert {"full", "content", "bias"} <= set(frame.basis)
        for name, block in zip(("prediction", "std"), found if std else (found,)):
            assert block.dtype == np.float32 and block.shape == (len(people), len(model.item))
            assert np.abs(block.ravel() - frame[name]).max() < 2e-4, name
        one = model.scores(people[:1], std=std)
        assert np.allclose(one if not std else one[0], (found[0] if std else found)[:1], atol=1e-5)
    assert (
        seeing.scores([]).shape == (0, len(seeing.model_.item))
        if not std
        else seeing.scores([], std=True)[1].shape == (0, len(seeing.model_.item))
    )


def test_scores_refuse_what_they_cannot_know(fitted):
    if not fitted.model_.user.errors.known:
        with pytest.raises(mfrec.SettingError, match="does not say how uncertain it is"):
            fitted.scores([1], std=True)
    for odd in (["ann"], "ann", None, [[1, 2]], pd.DataFrame({"userId": [1]})):
        with pytest.raises(mfrec.DataError, match="fitted on integers|no id at position 0|a list or column"):
            fitted.scores(odd)
    assert fitted.scores(1).shape == fitted.scores({1}).shape == (1, len(fitted.model_.item))


def test_the_model_remembers_who_rated_what(solver, fitted, ratings, tmp_path):
    """In nine bytes a rating, times included, and eight a user; with the model on disk or not;
    those who are folded in bring theirs; or nothing is kept."""
    kept = fitted.model_.ratings
    assert kept.nbytes < 9 * len(ratings) + 8 * (ratings.userId.nunique() + 1) + 200
    user = ratings.userId.iloc[0]
    items, stars = kept.of_user(fitted.model_.user.ids.lookup([user])[0])
    mine = ratings[ratings.userId == user].sort_values("movieId")
    assert fitted.model_.item.ids.classes_[items].tolist() == mine.movieId.tolist()
    assert stars.tolist() == mine.rating.tolist()
    assert (
        mfrec.load(fitted.save(tmp_path / "with")).ratings.table().ratings.tolist()
        == kept.table().ratings.tolist()
    )
    assert mfrec.load(fitted.save(tmp_path / "without", ratings=False)).ratings is None
    assert (
        len(fitted.fold_in(mine.assign(userId=-1)).ratings)
        == len(mine)
        == len(fitted.fold_in_items(mine.assign(movieId=lambda f: f.movieId + 10**7)).ratings)
    )
    forgetful = clone(solver).set_params(keep_ratings=False).fit(ratings)
    assert forgetful.model_.ratings is None and forgetful.fold_in(mine).ratings is None
    assert (forgetful.predict(ratings) == fitted.predict(ratings)).all()
    with pytest.raises(mfrec.SettingError, match="keep_ratings=False"):
        forgetful.partial_fit(mine)


def test_empty_rows_are_like_nobody_known_and_of_average_taste(fitted):
    """What `grow` makes room for: no ratings, errors as of an unknown row,
    and the taste of the average rating."""
    for side in (fitted.model_.user, fitted.model_.item):
        grown, n = side.grow(side.ids.extend([10**8, 10**8 + 1])), len(side)
        assert not grown.factors[n:].any() and not grown.n_ratings[n:].any()
        assert (grown.biases[:n] == side.biases).all() and len(grown) == n + 2
        if side.errors.known:
            assert (grown.errors.noise[n:] == side.errors.noise[-1]).all()
            assert len(grown.errors.noise) == n + 3
        if side.taste is not None:
            assert np.allclose(
                grown.taste.basis[n:], side.n_ratings @ side.taste.basis / side.n_ratings.sum(), atol=1e-5
            )
            assert (grown.taste.basis[:n] == side.taste.basis).all()
            assert grown.taste.damping == side.taste.damping


def test_sides_of_different_fits_are_refused(solver, fitted, ratings):
    "Where errors are known by draws, those of a pair belong to one chain."
    if isinstance(fitted.model_.user.errors, Draws):
        other = clone(solver).set_params(seed=9).fit(ratings).model_
        mixed = replace(fitted.model_, item=other.item)
        for ask in (
            lambda: mixed.predict_frame(ratings.head()),
            lambda: mixed.scores(ratings.userId[:1], std=True),
            lambda: mixed.fold_in(ratings.head(50)),
        ):
            with pytest.raises(mfrec.SettingError, match="of different fits"):
                ask()


def test_probabilities_average_what_is_predicted_from_features(seeing, ratings):
    if isinstance(seeing.model_.link, Levels):
        pairs = ratings[ratings.movieId % 9 == 0].head(300)
        frame, chance = seeing.predict_frame(pairs), seeing.predict_chances(pairs)
        assert (frame.basis == "content").all()
        assert np.allclose(chance @ chance.columns.to_numpy(float), frame.prediction, atol=1e-3)


def test_same_seed_same_bits(solver, ratings, fitted):
    assert (clone(solver).fit(ratings).predict(ratings) == fitted.predict(ratings)).all()


def test_the_order_of_rows_makes_no_difference(solver, ratings, fitted):
    "Shuffled ratings, fitted and folded in, give the same bits."
    shuffled = clone(solver).fit(ratings.sample(frac=1, random_state=3))
    assert shuffled.predict_frame(ratings).equals(fitted.predict_frame(ratings))
    some = ratings[ratings.userId.isin(ratings.userId.unique()[:20])]
    assert (
        shuffled.fold_in(some.sample(frac=1, random_state=4))
        .predict_frame(some)
        .equals(fitted.fold_in(some).predict_frame(some))
    )


def test_score_is_negative_rmse(fitted, ratings):
    assert np.isclose(fitted.score(ratings), -fitted.evaluate(ratings, n_boot=10).value["rmse"])


def test_names_and_kinds_of_ids_do_not_matter(solver, fitted, ratings):
    named = pd.DataFrame({
        "who": "u" + ratings.userId.astype(str).str.zfill(6),
        "what": "m" + ratings.movieId.astype(str).str.zfill(6),
        "stars": ratings.rating,
    })
    other = clone(solver).set_params(user_col="who", item_col="what", rating_col="stars").fit(named)
    assert (other.predict(named) == fitted.predict(ratings)).all()
    with pytest.raises(mfrec.DataError, match="fitted on text"):
        other.predict(named.assign(who=1))


def test_saves_and_loads(fitted, ratings, tmp_path):
    loaded = mfrec.load(fitted.save(tmp_path / "model"))
    assert (loaded.predict(ratings) == fitted.predict(ratings)).all()
    assert loaded.score(ratings) == fitted.score(ratings)
    assert (pickle.loads(pickle.dumps(fitted)).predict(ratings) == fitted.predict(ratings)).all()


def test_grid_search_works(solver, ratings):
    search = GridSearchCV(
        clone(solver), {"user_col": ["userId", None]}, cv=KFold(2, shuffle=True, random_state=0)
    ).fit(ratings)
    assert np.isfinite(search.best_score_) and search.best_score_ < 0


@pytest.mark.parametrize("rows", [
    [(1, 1, 3)],                                             # a single rating
    [(1, 1, 3), (1, 2, 4)],                                  # one user
    [(1, 1, 3), (2, 1, 4)],                                  # one item
    [(u, i, 4) for u in range(6) for i in range(5)],         # all ratings equal
], ids=["single", "one user", "one item", "all equal"])
def test_degenerate_data_gives_sensible_predictions(solver, rows):
    frame = small(rows)
    predicted = clone(solver).fit(frame).predict(frame)
    assert np.isfinite(predicted).all() and predicted.min() >= frame.rating.min()
    assert predicted.max() <= frame.rating.max()


@pytest.mark.parametrize("spoil, message", [
    (lambda f: f.assign(rating=np.nan), "column rating is missing or not finite in row 0"),
    (lambda f: f.assign(rating=np.inf), "column rating is missing or not finite"),
    (lambda f: f.assign(rating="good"), "column rating is .*not numeric"),
    (lambda f: f.drop(columns="movieId"), "no item column"),
    (lambda f: f.assign(userId=[1.5] + [1] * (len(f) - 1)), "column userId has the id 1.5 in row 0"),
    (lambda f: f.assign(userId=[None] + ["a"] * (len(f) - 1)), "column userId has no id in row 0"),
    (lambda f: f[:0], "no rows"),
], ids=["nan", "inf", "text", "no column", "fraction", "no id", "empty"])
def test_bad_ratings_are_refused_by_name(solver, ratings, spoil, message):
    with pytest.raises(mfrec.DataError, match=message):
        clone(solver).fit(spoil(ratings))


def test_needs_fitting_first(solver, ratings):
    for use in ("predict", "predict_frame", "evaluate", "score"):
        with pytest.raises(NotFittedError):
            getattr(clone(solver), use)(ratings)


def test_validation_rows_may_be_given(solver, ratings):
    train, held = mfrec.split_random(ratings, 0.1, seed=1)
    assert np.isfinite(clone(solver).fit(train, validation=held).predict(held)).all()
    with pytest.raises(mfrec.DataError, match="validation ratings: no row"):
        clone(solver).fit(train, validation=held.assign(userId=-1))


def test_people_are_folded_in(fitted, ratings):
    strangers = ratings[ratings.userId.isin(ratings.userId.unique()[:40])].assign(
        userId=lambda f: f.userId + 10**6
    )
    folded = fitted.fold_in(strangers)
    assert isinstance(folded, mfrec.Model) and set(folded.user.ids.classes_) == set(strangers.userId)
    frame = folded.predict_frame(strangers)
    assert set(frame.basis) == {"full"} and np.isfinite(frame.prediction).all()
    assert ("std" in frame) == ("std" in fitted.predict_frame(strangers))
    known = strangers.assign(userId=strangers.userId - 10**6)
    at = fitted.model_.user.ids.lookup(known.userId.unique())
    mine = folded.user.ids.lookup(strangers.userId.unique())
    assert np.abs(folded.user.factors[mine] - fitted.model_.user.factors[at]).max(initial=0) < 1e-3
    assert np.abs(folded.user.biases[mine] - fitted.model_.user.biases[at]).max() < 1e-3
    before = fitted.predict_frame(known)
    assert all(np.allclose(frame[col], before[col], atol=2e-3) for col in {"prediction", "std"} & set(frame))
    one = folded.user.ids.classes_[0]
    alone = fitted.fold_in(strangers[strangers.userId == one])
    assert np.allclose(
        alone.predict(strangers[strangers.userId == one]),
        folded.predict(strangers[strangers.userId == one]),
        atol=1e-4,
    )


def test_items_are_folded_in(fitted, ratings):
    some = ratings[ratings.movieId.isin(ratings.movieId.unique()[:40])]
    new = some.assign(movieId=some.movieId + 10**7)
    folded = fitted.fold_in_items(new)
    assert set(folded.predict_frame(new).basis) == {"full"}
    assert set(folded.item.ids.classes_) == set(new.movieId)
    assert np.corrcoef(folded.predict(new), fitted.predict(some))[0, 1] > 0.9


def test_items_are_folded_in_beside_some_of_the_people(fitted, ratings):
    """With only the users who rated them, new items find what they find with all:
    what their prior says of who rated them follows the ids."""
    some = ratings[ratings.userId.isin(ratings.userId.unique()[::3])]
    new = some.assign(movieId=some.movieId + 10**7)
    alone, beside = fitted.fold_in(some).fold_in_items(new), fitted.fold_in_items(new)
    pairs = new.head(2_000)
    assert np.corrcoef(alone.predict(pairs), beside.predict(pairs))[0, 1] > 0.999


def test_items_are_folded_in_beside_new_people(fitted, ratings):
    "Both sides new, one after the other: what the items' prior says of who rated them finds new people too."
    new = ratings[ratings.userId.isin(ratings.userId.unique()[:60])].assign(
        userId=lambda f: f.userId + 10**6, movieId=lambda f: f.movieId + 10**7
    )
    people = fitted.fold_in(new.assign(movieId=new.movieId - 10**7))
    frame = people.fold_in_items(new).predict_frame(new)
    assert set(frame.basis) == {"full"} and np.corrcoef(frame.prediction, new.rating)[0, 1] > 0.3


@pytest.mark.parametrize("spoil, message", [
    (lambda f: f[:0], "no rows"),
    (lambda f: f.assign(rating=9.0), "9"),
    (lambda f: f.assign(movieId=-1), "has an item that the model knows"),
    (lambda f: f.assign(rating=np.nan), "missing or not finite"),
    (lambda f: f.drop(columns="userId"), "no user column"),
])
def test_ratings_that_cannot_be_folded_in_are_refused(fitted, ratings, spoil, message):
    with pytest.raises(mfrec.DataError, match=message):
        fitted.fold_in(spoil(ratings.head(20)))


def test_ratings_of_unknown_items_are_left_out_with_one_warning(fitted, ratings):
    rows = ratings.head(20).copy()
    rows.iloc[:3, 1] = -1
    with pytest.warns(mfrec.MfrecWarning, match="3 of 20 rows are of items without ratings") as caught:
        fitted.fold_in(rows)
    assert len(caught) == 1


def test_new_ratings_are_taken_in(solver, ratings):
    "In five batches, new users and films among them; nearly as good as a fit of everything."
    train, test = mfrec.split_random(ratings.sample(frac=1, random_state=0), 0.1, seed=1)
    first = train.iloc[:len(train) * 4 // 5]
    parts = np.array_split(np.arange(len(train) * 4 // 5, len(train)), 5)
    model = clone(solver).partial_fit(first)
    blind = -model.score(test)
    for part in parts:
        assert model.partial_fit(train.iloc[part], refit_after=np.inf) is model
    full = clone(solver).fit(train)
    assert model.model_.about["n_added"] == len(train) - len(first)
    assert len(model.model_.ratings) == len(train)
    assert set(model.model_.user.ids.classes_) == set(train.userId)
    assert set(model.model_.item.ids.classes_) == set(train.movieId)
    assert (model.model_.user.n_ratings[model.model_.user.ids.lookup(train.userId)] > 0).all()
    known = test[test.userId.isin(train.userId) & test.movieId.isin(train.movieId)]
    frame = model.predict_frame(known)
    assert set(frame.basis) == {"full"} and np.isfinite(frame.prediction).all()
    assert "std" not in frame or (frame["std"] > 0).all()
    assert -model.score(test) < min(blind, -full.score(test) + 0.02)
    loaded = pickle.loads(pickle.dumps(model)).partial_fit(train.iloc[:5])
    assert len(loaded.model_.ratings) == len(train)


def test_a_rating_given_again_replaces_the_old_one(solver, ratings):
    model = clone(solver).fit(ratings)
    one = ratings.iloc[[0, 0]].assign(rating=[0.5, 5.0])
    before = model.predict(ratings)
    model.partial_fit(one, refit_after=np.inf)
    user, item = model.model_.user.ids.lookup(one.userId)[0], model.model_.item.ids.lookup(one.movieId)[0]
    items, stars = model.model_.ratings.of_user(user)
    assert stars[items == item].tolist() == [5.0] and len(model.model_.ratings) == len(ratings)
    apart = (ratings.userId != one.userId.iloc[0]) & (ratings.movieId != one.movieId.iloc[0])
    same = np.abs(model.predict(ratings) - before)[apart] < 1e-6
    assert same.all()


def test_enough_new_ratings_make_a_full_fit(solver, ratings):
    first, rest = ratings.iloc[:-3_000], ratings.iloc[-3_000:]
    model = clone(solver).fit(first).partial_fit(rest)
    assert "n_added" not in model.model_.about and model.model_.about["n_ratings"] == len(ratings)
    # the same but for the order of new ids
    assert abs(model.score(ratings) - clone(solver).fit(ratings).score(ratings)) < 0.02


@pytest.mark.parametrize("spoil, message", [
    (lambda f: f[:0], "new ratings: no rows"),
    (lambda f: f.assign(rating=np.nan), "new ratings: column rating is missing or not finite in row 0"),
    (lambda f: f.drop(columns="movieId"), "no item column"),
    (lambda f: f.assign(userId="u" + f.userId.astype(str)), "integers|text"),
])
def test_new_ratings_that_are_bad_change_nothing(fitted, ratings, spoil, message):
    before = fitted.model_
    with pytest.raises(mfrec.DataError, match=message):
        fitted.partial_fit(spoil(ratings.head(20)))
    with pytest.raises(mfrec.SettingError, match="refit_after=-1"):
        fitted.partial_fit(ratings.head(20), refit_after=-1)
    assert fitted.model_ is before


def test_new_ratings_with_features(seeing, rated, items, users):
    model = pickle.loads(pickle.dumps(seeing))
    user = 10**7 + 1
    film = 10**7 + 1
    twin = 10**7 + 2
    cold = 10**7 + 3
    films = items[items.movieId.isin(rated.movieId)].head(1)
    new = pd.DataFrame({
        "userId": [user, user, rated.userId.iloc[0]],
        "movieId": [rated.movieId.iloc[0], film, film],
        "rating": np.float32([4, 5, 3]),
    })
    later = pd.concat([films.assign(movieId=i) for i in (film, twin)])
    model.partial_fit(new, items=later, users=users.head(1).assign(userId=user))
    pairs = pd.DataFrame({
        "userId": [user, user, rated.userId.iloc[0], user],
        "movieId": [film, twin, twin, cold],
    })
    assert model.predict_frame(pairs).basis.tolist() == ["full", "content", "content", "bias"]
    assert len(model.preferences(user)) == len(seeing.preferences(rated.userId.iloc[0]))
    again = model.partial_fit(rated.head(20), refit_after=0)          # a full fit keeps the features
    assert again.predict_frame(pairs).basis.tolist() == ["full", "content", "content", "bias"]
    with pytest.warns(mfrec.MfrecWarning, match="1 of 1 users with ratings have no features") as caught:
        model.partial_fit(new.head(1).assign(userId=user + 1), users=users.tail(1), refit_after=np.inf)
    assert len(caught) == 1


def test_a_model_alone_cannot_be_updated(fitted, ratings):
    with pytest.raises(mfrec.SettingError, match="partial_fit is for estimators"):
        fitted.model_.partial_fit(ratings)


def test_new_ratings_may_widen_the_scale(solver):
    frame = small([(u, i, 3 + (u + i) % 2) for u in range(8) for i in range(6)])
    model = clone(solver).fit(frame)
    with pytest.warns(mfrec.MfrecWarning, match="new ratings: 2 lie outside 3 to 4, 5 say"):
        model.partial_fit(small([(1, 1, 5), (99, 2, 1)]), refit_after=np.inf)
    assert model.model_.scale == (1.0, 5.0)
    assert np.isfinite(model.predict(small([(99, 2, 1), (1, 1, 5)]))).all()


def test_categorical_ids(ratings):
    named = ratings.head(3_000).astype({"userId": "category"})
    model = mfrec.BiasModel().fit(named)
    assert (
        model.predict(named) == mfrec.BiasModel().fit(ratings.head(3_000)).predict(ratings.head(3_000))
    ).all()
    assert model.predict_frame(named.assign(userId=named.userId.astype(int))).basis.eq("full").all()


def test_ratings_whose_squares_overflow_are_refused(solver, ratings):
    with pytest.raises(mfrec.DataError, match="column rating is outside the scale -1e\\+15 to 1e\\+15"):
        clone(solver).fit(ratings.assign(rating=ratings.rating.astype(float) * 1e20))


@pytest.mark.parametrize("model, message", [
    (mfrec.ALSMF(seed=None), "seed=None"),
    (mfrec.BayesianMF(seed=-1), "seed=-1"),
    (mfrec.AdamMF(seed=1.5), "seed=1.5"),
    (mfrec.ALSMF(reg="a"), "reg='a'"),
    (mfrec.ALSMF(device="nowhere"), "device='nowhere'"),
    pytest.param(
        mfrec.BayesianMF(device="cuda"),
        "device='cuda'; this machine has no GPU",
        marks=pytest.mark.xfail(torch.cuda.is_available(), reason="it has one"),
    ),
])
def test_settings_that_cannot_be_are_refused(ratings, model, message):
    with pytest.raises(mfrec.SettingError, match=message):
        model.fit(ratings)


def test_more_factors_than_memory_holds_are_refused(solver, rated, monkeypatch):
    "With a quarter of a gigabyte, none of the solvers can have 4,000."
    if "n_factors" in solver.get_params():
        monkeypatch.setattr("mfrec.kernel.memory.available_memory", lambda: 250_000_000)
        with pytest.raises(
            mfrec.SettingError,
            match="with 4000 factors on 17,677 ratings needs about [0-9.]+ GB of memory, "
            "and 0.2 GB are available",
        ):
            clone(solver).set_params(n_factors=4000).fit(rated)


def test_features_that_are_missing_here_and_there(observer, rated, items):
    "Missing numbers, years and genres are no error, and nothing that is said of them is missing."
    numbers = items.assign(
        runtime=np.where(np.arange(len(items)) % 3, 90.0 + np.arange(len(items)) % 50, np.nan),
        year=items.year.where(items.index % 4 > 0),
        genres=items.genres.where(items.index % 5 > 0),
    )
    table = mfrec.item_features(numbers, numeric=["runtime"])
    model = clone(observer).fit(rated, items=table)
    new = pd.DataFrame({
        "movieId": [-1, -2], "genres": [None, "Drama"], "year": [np.nan, 1990], "runtime": [np.nan, 100.0]
    })
    pairs = pd.DataFrame({"userId": rated.userId.iloc[0], "movieId": [-1, -2, *items.movieId[:20]]})
    found = model.model_.add_unrated(items=new).predict_frame(pairs)
    assert np.isfinite(found[[name for name in ("prediction", "std") if name in found]].to_numpy(float)).all()
    assert found.basis[:2].eq("content").all()
