"A saved model is the model: any ids, any numbers, any errors."
from dataclasses import fields, is_dataclass, replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mfrec
from mfrec.solvers.draws import DrawnPrior, Draws
from mfrec.kernel.taste import TasteBasis
from mfrec.ratings.frames import Columns
from mfrec.ratings.ids import IdEncoder
from mfrec.ratings.rows import Interactions, KeptRatings
from mfrec.model.link import Levels, Numbers
from mfrec.model.records import Errors, Model, RowPrior, Side

whole = st.lists(st.integers(-2**62, 2**62), min_size=1, max_size=6, unique=True)
text = st.lists(
    st.text(min_size=1, max_size=5).filter(lambda t: "\0" not in t and t.isprintable()), min_size=1,
    max_size=6, unique=True
)


def assert_same(a, b):
    "The same type, fields and bits, all the way down."
    assert type(a) is type(b)
    if is_dataclass(a):
        for field in fields(a):
            assert_same(getattr(a, field.name), getattr(b, field.name))
    elif isinstance(a, np.ndarray):
        assert a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    else:
        assert a == b


def some_model(user_ids, item_ids, k, sampled, seed):
    "A model of random numbers."
    rng = np.random.default_rng(seed)

    def array(*shape):
        return rng.normal(size=shape).astype(np.float32)

    def side(ids):
        n, basis = len(ids), TasteBasis(array(len(ids), 2), float(rng.uniform()))
        prior = RowPrior(np.eye(k + 1), rng.normal(size=k + 1), 0.5, array(2, k + 1), np.zeros((0, k + 1)))
        drawn = DrawnPrior(array(3, k + 1), array(3, 2, k + 1), array(3, k + 1, k + 1))
        errors = (
            Draws("a chain", array(3, n + 1, k + 1), array(n + 1) ** 2, drawn, array(3, k + 1, k + 2))
            if sampled
            else Errors()
        )
        return Side(
            IdEncoder().fit(pd.Series(ids)), array(n), array(n, k), rng.integers(1, 9, n), array(n), prior,
            errors, basis
        )

    link = Levels(1.0, 3.0, np.float32([1.5, 2.5]), np.float32([1, 2, 3])) if sampled else Numbers(1.0, 3.0)
    n, m = len(user_ids), len(item_ids)
    ratings = (
        KeptRatings.of(Interactions(np.arange(n, dtype=np.int32), np.zeros(n, np.int32), array(n), n, m))
        if seed % 2
        else None
    )
    return Model(
        float(rng.normal()), link, side(user_ids), side(item_ids), Columns("wer", "was", "wie gut"),
        {"solver": "bayes", "n_ratings": 9}, ratings
    )


def assert_same_rows(a, b):
    "Both sides, but for the width of ids, which a file does not keep, and the ratings."
    for mine, theirs in ((a.user, b.user), (a.item, b.item)):
        assert mine.ids.classes_.tolist() == theirs.ids.classes_.tolist()
        assert_same(replace(mine, ids=None), replace(theirs, ids=None))
    assert_same(a.link, b.link)
    assert_same(a.ratings, b.ratings)


@settings(max_examples=40, deadline=None)
@given(
    users=whole | text, items=whole | text, k=st.integers(0, 4), sampled=st.booleans(),
    seed=st.integers(0, 2**31)
)
def test_a_loaded_model_is_the_model_that_was_saved(tmp_path_factory, users, items, k, sampled, seed):
    model = some_model(users, items, k, sampled, seed)
    loaded = mfrec.load(model.save(tmp_path_factory.mktemp("model")))
    assert_same_rows(model, loaded)
    pairs = pd.DataFrame([(user, item) for user in users for item in items], columns=["wer", "was"])
    pd.testing.assert_frame_equal(model.predict_frame(pairs), loaded.predict_frame(pairs))


@pytest.mark.parametrize("name", [int, np.int64])
def test_columns_may_have_numbers_for_names(tmp_path, name):
    "Those of the ratings and those of features, of any kind."
    user, item, rating, group, size, tags = map(name, range(6))
    frame = mfrec.sample_ratings(3_000, seed=1)[["userId", "movieId", "rating"]].set_axis(
        [user, item, rating], axis=1
    )
    people = (
        pd.DataFrame({user: frame[user].unique()})
        .assign(**{"group": lambda f: f[user] % 3, "size": lambda f: f[user] * 1.5})
        .rename(columns={"group": group, "size": size})
    )
    films = pd.DataFrame({item: frame[item].unique(), tags: ["a|b"] * frame[item].nunique()})
    table = mfrec.item_features(films, item_col=item, several=[tags])
    model = mfrec.BiasModel(user_col=user, item_col=item, rating_col=rating).fit(
        frame, users=people, items=table
    )
    loaded = mfrec.load(model.save(tmp_path / "model"))
    assert loaded.columns == model.model_.columns
    assert (loaded.user.features.schema, loaded.item.features.schema) == (
        model.model_.user.features.schema, model.model_.item.features.schema
    )
    pd.testing.assert_frame_equal(loaded.predict_frame(frame), model.predict_frame(frame))
    newcomer = people.tail(1).replace({user: {people[user].iloc[-1]: -1}})
    pairs = frame.head(3).replace({user: {frame[user].iloc[0]: -1}})
    assert (
        loaded.add_unrated(users=newcomer, items=films)
        .predict_frame(pairs)
        .equals(model.add_unrated(users=newcomer, items=films).predict_frame(pairs))
    )


@pytest.mark.parametrize("per_rating", [0.0, 0.1])
def test_a_fixed_ridge_is_read_with_its_part_per_rating(tmp_path, per_rating):
    ratings = mfrec.sample_ratings(5_000, seed=1)
    model = mfrec.ALSMF(n_factors=4, reg=3.0, reg_per_rating=per_rating).fit(ratings).model_
    folder, some = model.save(tmp_path / "model"), ratings.head(200)
    assert (mfrec.load(folder).fold_in(some).predict(some) == model.fold_in(some).predict(some)).all()
