"Encoding equals scikit-learn's, for ids of every kind."
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import LabelEncoder

from mfrec.errors import DataError, UnknownIdError
from mfrec.ratings.ids import IdEncoder
from mfrec.ratings.rows import ByRow, Interactions, KeptRatings, by_row

integers = st.lists(st.integers(-(2**62), 2**62) | st.integers(-100, 100), min_size=1, max_size=50).map(
    lambda ids: np.array(ids, dtype=np.int64)
)
texts = st.lists(st.text(min_size=1, max_size=4), min_size=1, max_size=50).map(
    lambda ids: np.array(ids, dtype=object)
)


@given(integers | texts)
def test_equals_label_encoder(ids):
    theirs = LabelEncoder()
    codes = IdEncoder().fit_transform(ids)
    assert (codes == theirs.fit_transform(ids)).all() and codes.dtype == np.int32
    encoder = IdEncoder().fit(ids)
    assert (encoder.classes_ == theirs.classes_).all() and (encoder.inverse_transform(codes) == ids).all()


@given(integers, integers)
def test_extending_moves_nobody_and_misses_nobody(first, second):
    before = IdEncoder().fit(first)
    after = before.extend(second)
    assert (after.transform(first) == before.transform(first)).all()
    assert set(after.classes_) == set(first) | set(second) and len(after) == len(set(first) | set(second))
    unknown = ~np.isin(second, first)
    assert ((before.lookup(second) < 0) == unknown).all()
    if unknown.any():
        with pytest.raises(UnknownIdError, match="unknown ids"):
            before.transform(second)


def test_empty_and_wrong():
    assert len(IdEncoder().fit([])) == 0 and IdEncoder().fit([1]).lookup([]).shape == (0,)
    assert repr(IdEncoder()) == "IdEncoder()" and repr(IdEncoder().fit([1, 2])) == "IdEncoder(2 ids)"
    with pytest.raises(DataError, match="kind"):
        IdEncoder().fit([True, False, None][:2])


tables = st.tuples(
    st.integers(0, 10**6), st.integers(0, 60), st.integers(1, 9), st.integers(1, 9), st.booleans()
)


def table(seed, n, n_users, n_items, many_values):
    "Ratings in any order, some pairs more than once, of few values or of as many as there are ratings."
    rng = np.random.default_rng(seed)
    ratings = rng.normal(size=n) if many_values else rng.integers(1, 4, n)
    return Interactions(
        rng.integers(0, n_users, n).astype(np.int32), rng.integers(0, n_items, n).astype(np.int32),
        ratings.astype(np.float32), n_users, n_items
    )


def same(a, b):
    return all(
        np.array_equal(getattr(a, name), getattr(b, name)) for name in ("users", "items", "ratings")
    ) and (a.n_users, a.n_items) == (b.n_users, b.n_items)


@given(tables)
def test_any_order_of_the_same_ratings_is_brought_into_one(parts):
    data = table(*parts)
    shuffled = data.take(np.random.default_rng(1).permutation(len(data)))
    ordered = data.in_order()
    assert same(ordered, shuffled.in_order()) and same(ordered, ordered.in_order())
    assert same(data.flipped.flipped, data)
    keys = list(zip(ordered.users, ordered.items, ordered.ratings))
    assert keys == sorted(zip(data.users, data.items, data.ratings))


@given(tables)
def test_kept_ratings_are_the_ratings(parts):
    data = table(*parts)
    kept = KeptRatings.of(data)
    assert same(kept.table(), data.in_order()) and len(kept) == len(data)
    assert same(
        kept.sized(data.n_users + 2, data.n_items + 1).table(),
        Interactions(
            *(getattr(data.in_order(), c) for c in ("users", "items", "ratings")), data.n_users + 2,
            data.n_items + 1
        ),
    )
    for user in range(data.n_users):
        items, stars = kept.of_user(user)
        mine = data.in_order().take(data.in_order().users == user)
        assert items.tolist() == mine.items.tolist() and stars.tolist() == mine.ratings.tolist()


@dataclass(frozen=True)
class Inner(ByRow):
    values: np.ndarray = by_row(axis=1, spare=True)


@dataclass(frozen=True)
class Outer(ByRow):
    plain: np.ndarray = by_row()
    inner: Inner = by_row()
    nothing: np.ndarray | None = by_row(default=None)
    fact: float = 1.0


@given(st.integers(1, 12), st.integers(0, 5), st.integers(0, 10**6))
def test_rows_are_taken_put_and_grown_together(n, more, seed):
    rng = np.random.default_rng(seed)
    record = Outer(rng.normal(size=(n, 2)), Inner(rng.normal(size=(3, n + 1))))
    at = rng.permutation(n)[:max(1, n // 2)]
    part = record.take(at)
    assert (part.plain == record.plain[at]).all()
    assert (part.inner.values == record.inner.values[:, [*at, -1]]).all() and part.fact == 1.0
    again = record.put(at, part)
    assert (again.plain == record.plain).all() and (again.inner.values == record.inner.values).all()
    other = Outer(part.plain + 1, Inner(part.inner.values + 1))
    changed, rest = record.put(at, other), np.setdiff1d(np.arange(n), at)
    assert (changed.plain[at] == other.plain).all() and (changed.plain[rest] == record.plain[rest]).all()
    assert (changed.inner.values[:, at] == other.inner.values[:, :-1]).all()
    assert (changed.inner.values[:, -1] == record.inner.values[:, -1]).all()
    grown = record.lengthen(more)
    assert (grown.plain[:n] == record.plain).all() and not grown.plain[n:].any()
    assert grown.plain.shape == (n + more, 2)
    assert (grown.inner.values[:, n:] == record.inner.values[:, -1:]).all()
    assert grown.inner.values.shape == (3, n + more + 1)
    assert grown.nothing is None and (record.plain is not changed.plain)
