"What every split promises: nothing lost, nothing twice, no empty side, the same rows for the same seed."
import time
import warnings

import numpy as np
import pandas as pd
import pytest
from conftest import real
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score

import mfrec
from mfrec.errors import DataError, MfrecWarning, SettingError
from mfrec.plots import plot_split
from mfrec.ratings.splitting import (
    Split, check_disjoint, describe_split, encode_together, k_folds, split_cold_items, split_mask,
    split_random, split_time, split_users)

SPLITS = {
    "random": split_random, "mask": split_mask, "time": split_time, "users": split_users,
    "cold items": split_cold_items
}
SEEDED = [name for name in SPLITS if name != "time"]


@st.composite
def tables(draw):
    """A table of distinct (user, item) pairs in any order, with ids of either kind, ties in time,
    and a column of its own."""
    n_users, n_items = draw(st.integers(2, 12)), draw(st.integers(2, 12))
    n = draw(st.integers(2, n_users * n_items))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    pair = rng.permutation(n_users * n_items)[:n]
    frame = pd.DataFrame({
        "userId": (pair // n_items).astype(np.int32),
        "movieId": (pair % n_items).astype(np.int64) * 1000 + 5,
        "rating": rng.integers(1, 11, n).astype(np.float32) / 2,
        "timestamp": rng.integers(0, draw(st.integers(1, 50)), n),
        "row": np.arange(n),
        "note": pd.Categorical(rng.choice(["a", "b"], n)),
    })
    if draw(st.booleans()):
        frame = frame.astype({"userId": str, "movieId": str})
    return frame.set_index(rng.integers(0, n, n)) if draw(st.booleans()) else frame


fractions = st.floats(0.01, 0.99)


def attempt(split, *args, **kwargs):
    "The split, or a rejected example where the table is too small for it."
    try:
        return split(*args, **kwargs)
    except SettingError:
        assume(False)


def assert_partition(parts, frame):
    assert isinstance(parts, Split) and len(parts.train) and len(parts.test)
    for part in parts:
        assert part.index.equals(pd.RangeIndex(len(part))) and part.dtypes.equals(frame.dtypes)
    whole = pd.concat(parts).sort_values("row", ignore_index=True)
    pd.testing.assert_frame_equal(whole, frame.reset_index(drop=True))
    check_disjoint(*parts)


@pytest.mark.parametrize("name", SPLITS)
@settings(max_examples=40, deadline=None)
@given(frame=tables(), fraction=fractions)
def test_every_row_is_on_exactly_one_side(name, frame, fraction):
    before = frame.copy()
    parts = attempt(SPLITS[name], frame, fraction)
    assert_partition(parts, frame)
    pd.testing.assert_frame_equal(frame, before)
    if name != "random":
        assert all(part.row.is_monotonic_increasing for part in parts)


@settings(max_examples=40, deadline=None)
@given(frame=tables(), fraction=fractions)
def test_counts(frame, fraction):
    n_train = int((1 - fraction) * len(frame))
    if n_train:
        assert len(split_random(frame, fraction).train) == n_train
    for split, col in ((split_users, "userId"), (split_cold_items, "movieId")):
        n = frame[col].nunique()
        if int((1 - fraction) * n):
            train, test = split(frame, fraction)
            assert train[col].nunique() == int((1 - fraction) * n) and not set(train[col]) & set(test[col])
        else:
            with pytest.raises(SettingError, match="to train on"):
                split(frame, fraction)


@settings(max_examples=60, deadline=None)
@given(frame=tables(), fraction=fractions)
def test_time_is_cut_once_at_the_nearest_moment(frame, fraction):
    parts = attempt(split_time, frame, fraction)
    train, test = parts
    assert train.timestamp.max() < test.timestamp.min()
    possible = [(frame.timestamp <= moment).sum() for moment in frame.timestamp.unique()]
    target = (1 - fraction) * len(frame)
    assert abs(len(train) - target) == min(abs(n - target) for n in possible if n < len(frame))


@settings(max_examples=40, deadline=None)
@given(
    frame=tables(), by=st.sampled_from(["rows", "users", "items"]), k=st.integers(2, 6),
    seed=st.integers(0, 99)
)
def test_folds_hold_out_everything_once(frame, by, k, seed):
    rows = list(attempt(k_folds, frame, k, seed, by))
    assert len(rows) == k and all(side.dtype == np.int64 for fold in rows for side in fold)
    folds = [Split(*(frame.iloc[side].reset_index(drop=True) for side in fold)) for fold in rows]
    for parts in folds:
        assert_partition(parts, frame)
    assert sorted(row for _, test in folds for row in test.row) == list(range(len(frame)))
    col = {"rows": "row", "users": "userId", "items": "movieId"}[by]
    sizes = [test[col].nunique() for _, test in folds]
    assert max(sizes) - min(sizes) <= 1 and sum(sizes) == frame[col].nunique()


@pytest.mark.parametrize("by", ["rows", "users"])
def test_folds_are_cv_of_scikit_learn(by):
    "The same folds, whatever the index of the frame that they count in."
    rows = mfrec.sample_ratings(1_500, seed=2).sort_values("userId")
    folds = list(k_folds(rows, k=3, by=by))
    model = mfrec.BiasModel()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MfrecWarning)  # of users held out
        scores = cross_val_score(model, rows, cv=folds)
        search = GridSearchCV(model, {"damping_user": [1, 9]}, cv=folds).fit(rows)
        by_hand = [clone(model).fit(rows.iloc[train]).score(rows.iloc[test]) for train, test in folds]
    assert np.allclose(scores, by_hand) and search.n_splits_ == 3


@pytest.fixture
def ratings():
    rng = np.random.default_rng(5)
    pair = rng.permutation(40 * 50)[:600]
    return pd.DataFrame({
        "userId": pair // 50, "movieId": pair % 50, "rating": rng.integers(1, 6, 600).astype(np.float32),
        "timestamp": rng.integers(0, 10**9, 600)
    })


@pytest.mark.parametrize("name", SEEDED)
def test_one_seed_one_split(name, ratings):
    same, again, other = (SPLITS[name](ratings, 0.3, seed=seed) for seed in (4, np.int64(4), 5))
    pd.testing.assert_frame_equal(same.test, again.test)
    assert not same.test.equals(other.test)


def test_recipes(ratings):
    shuffled = ratings.sample(frac=1, random_state=42).reset_index(drop=True)
    pd.testing.assert_frame_equal(split_random(ratings).train, shuffled[:480])
    pd.testing.assert_frame_equal(split_random(ratings).test, shuffled[480:].reset_index(drop=True))
    mask = np.random.default_rng(0).random(600) < 0.1
    pd.testing.assert_frame_equal(split_mask(ratings).test, ratings[mask].reset_index(drop=True))


@pytest.mark.parametrize("split", [split_users, split_cold_items])
def test_groups_do_not_depend_on_the_order_of_rows(split, ratings):
    col = "userId" if split is split_users else "movieId"
    assert set(split(ratings).test[col]) == set(split(ratings.sample(frac=1, random_state=1)).test[col])


def test_other_column_names(ratings):
    names = {"userId": "who", "movieId": "what", "rating": "stars", "timestamp": "when"}
    other = ratings.rename(columns=names)
    pairs = [
        (split_time(ratings), split_time(other, time_col="when")),
        (split_users(ratings), split_users(other, user_col="who")),
        (split_cold_items(ratings), split_cold_items(other, item_col="what")),
        (split_random(ratings), split_random(other)),
    ]
    for ours, theirs in pairs:
        pd.testing.assert_frame_equal(ours.test.rename(columns=names), theirs.test)
        check_disjoint(*theirs, user_col="who", item_col="what")
        assert describe_split(*ours).equals(describe_split(*theirs, user_col="who", item_col="what"))
    for by, named in (("users", {"user_col": "who"}), ("items", {"item_col": "what"})):
        same = zip(next(k_folds(ratings, by=by)), next(k_folds(other, by=by, **named)))
        assert all(np.array_equal(ours, theirs) for ours, theirs in same)
    for split, name in ((split_time, "time_col"), (split_users, "user_col"), (split_cold_items, "item_col")):
        with pytest.raises(DataError, match=f"name it with {name}="):
            split(other)


@pytest.mark.parametrize("convert", [
    lambda t: t,
    lambda t: t.astype(float),
    lambda t: t.astype("Int64"),
    lambda t: pd.to_datetime(t, unit="s"),
    lambda t: pd.to_datetime(t, unit="s", utc=True),
], ids=["int", "float", "Int64", "date", "zoned date"])
def test_kinds_of_time(convert, ratings):
    train, test = split_time(ratings.assign(timestamp=convert(ratings.timestamp)))
    assert len(test) == 120 and train.timestamp.max() < test.timestamp.min()


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, 20, np.nan, True, "0.2", None])
@pytest.mark.parametrize("split", SPLITS.values(), ids=SPLITS)
def test_refuses_fractions_outside_0_to_1(split, fraction, ratings):
    with pytest.raises(SettingError, match="test_fraction="):
        split(ratings, fraction)


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, None, "1", True])
@pytest.mark.parametrize("name", [*SEEDED, "folds"])
def test_refuses_seeds_that_are_none(name, seed, ratings):
    with pytest.raises(SettingError, match="seed="):
        (SPLITS | {"folds": k_folds})[name](ratings, seed=seed)


@pytest.mark.parametrize("split", [*SPLITS.values(), k_folds])
def test_refuses_tables_that_are_none(split, ratings):
    with pytest.raises(DataError, match="no rows"):
        split(ratings.head(0))
    with pytest.raises(DataError, match="ratings: a pandas DataFrame is needed, not a ndarray"):
        split(ratings.to_numpy())


def test_no_side_is_empty(ratings):
    one = ratings.assign(userId=1, movieId=2, timestamp=3)
    for name in ("time", "users", "cold items"):
        with pytest.raises(SettingError):
            SPLITS[name](one)
    for split in (split_random, split_mask):
        with pytest.raises(SettingError):
            split(ratings.head(1))
    with pytest.raises(SettingError, match="of 600 rows leaves 0 to train on"):
        split_random(ratings, 0.9999)
    with pytest.raises(SettingError):
        split_random(ratings, 1e-20)
    assert len(split_time(ratings.assign(timestamp=[0] + [1] * 599), 0.01).train) == 1


@pytest.mark.parametrize("k", [1, 0, -2, 601, 2.0, None])
def test_refuses_folds_that_cannot_be(k, ratings):
    with pytest.raises(SettingError, match=f"k={k}; it must be a whole number"):
        k_folds(ratings, k)


def test_bad_columns(ratings):
    with pytest.raises(SettingError, match="by='user'"):
        k_folds(ratings, by="user")
    with pytest.raises(DataError, match="column userId: no id at position 1"):
        split_users(ratings.assign(userId=[1, None] + [2] * 598))
    with pytest.warns(MfrecWarning, match="column timestamp has no time in row 2 .1 such") as caught:
        parts = split_time(ratings.assign(timestamp=[1, 2, None] + [3] * 597))
    assert len(caught) == 1 and len(parts.train) + len(parts.test) == 599
    with pytest.raises(DataError, match="without a number or date"):
        split_time(ratings.assign(timestamp="yesterday"))


@settings(max_examples=60, deadline=None)
@given(frame=tables(), data=st.data())
def test_leaks_are_named(frame, data):
    frame = frame.reset_index(drop=True)
    train, test = attempt(split_random, frame, 0.4)
    rows = data.draw(st.lists(st.integers(0, len(train) - 1), min_size=1, max_size=5, unique=True))
    leaky = pd.concat([test, train.iloc[rows].assign(rating=0.5)], ignore_index=True)
    first = min(rows)
    message = f"in train .row {first}. and in test .row {len(test) + rows.index(first)}.; {len(rows)} pairs"
    with pytest.raises(DataError, match=message):
        check_disjoint(train, leaky)


def test_leak_check_refuses_ids_of_two_kinds(ratings):
    train, test = split_random(ratings)
    for col in ("userId", "movieId"):
        with pytest.raises(DataError, match="text on one side and integers on the other"):
            check_disjoint(train, test.astype({col: str}))
    with pytest.raises(DataError, match="test: no item column"):
        check_disjoint(train, test.drop(columns="movieId"))
    check_disjoint(train.astype({"userId": np.int16}), test.astype({"userId": float}))
    check_disjoint(train, test.head(0))


def test_encode_together_agrees_with_pandas():
    rng = np.random.default_rng(0)
    for make in (np.asarray, lambda a: a.astype(str).astype(object), lambda a: a * 2**50):
        first, second = make(rng.integers(0, 50, 200)), make(rng.integers(30, 80, 100))
        a, b, n = encode_together(first, second)
        expected, classes = pd.factorize(np.concatenate([first, second]), sort=True)
        assert np.array_equal(np.concatenate([a, b]), expected) and n == len(classes)


def test_leak_check_is_fast():
    rng = np.random.default_rng(0)
    pair = np.arange(2_000_000) * 37
    train = pd.DataFrame({"userId": pair // 20_000, "movieId": pair % 20_000})
    test = pd.DataFrame({
        "userId": rng.integers(0, 3700, 300_000),
        "movieId": 20_000 + rng.integers(0, 99, 300_000),
    })
    start = time.perf_counter()
    check_disjoint(train, test)
    assert time.perf_counter() - start < 5


def test_plot_shows_every_row_once(ratings):
    ax = plot_split(*split_time(ratings))
    train, test = ax.collections
    assert (len(train.get_offsets()), len(test.get_offsets())) == (480, 120)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["train (480)", "test (120)"]
    dated = ratings.assign(timestamp=pd.to_datetime(ratings.timestamp, unit="s"))
    same = plot_split(*split_time(dated), by="items", ax=ax)
    assert same is ax and len(ax.collections) == 4 and "items" in ax.get_ylabel()
    with pytest.raises(SettingError, match="by='rows'"):
        plot_split(*split_time(ratings), by="rows")


@pytest.mark.parametrize("name", ["ml-1m-timed", "ml-latest-small"])
def test_on_real_ratings(name):
    frame = real(name)
    for split in SPLITS.values():
        train, test = split(frame, 0.2)
        assert len(train) + len(test) == len(frame)
        check_disjoint(train, test)
    assert abs(len(split_time(frame).test) / len(frame) - 0.2) < 0.01
    with pytest.raises(DataError, match=f"{len(test):,} pairs are in both"):
        check_disjoint(frame, test)
