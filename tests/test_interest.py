"Interest and choice: against dense EASE and by hand, what must hold on any table, and accuracy on real sets."
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

import mfrec
from conftest import real
from mfrec.kernel.machine import Workers
from mfrec.ratings.frames import find_columns
from mfrec.ratings.ids import IdEncoder
from mfrec.ratings.rows import Interactions, KeptRatings
from mfrec.kernel import interest, vectors
from mfrec.use import choice
from mfrec.use.choice import DAY, Picks, hide, learn_interest, liking_power, some_picks, timeliness
from mfrec.use.leading import Leaders
from mfrec.kernel.interest import crowd_of, interest_of, lists_of, neighbours_of, scaled_choices
from mfrec.kernel.vectors import singular_vectors


def table_of(chosen, times=None):
    "A table of a matrix of zeros and ones."
    users, items = (at.astype(np.int32) for at in np.nonzero(chosen))
    return Interactions(users, items, np.ones(len(users), np.float32), *chosen.shape, times=times)


def some_table(n_users=60, n_items=40, share=0.2, seed=0):
    return table_of(np.random.default_rng(seed).random((n_users, n_items)) < share)


def two_camps(seed=0, timed=False):
    "Each camp chooses from its own half of the items; with times, later items come later."
    rng = np.random.default_rng(seed)
    camp, half = np.repeat([0, 1], 150), np.repeat([0, 1], 100)
    table = table_of(rng.random((300, 200)) < np.where(camp[:, None] == half, 0.3, 0.02))
    times = (table.items % 100 + 20 * rng.random(len(table))) * DAY if timed else None
    return replace(table, times=times)


def dense_ease(table, power, ridge):
    "EASE's own form: the inverse of the items' products, over its diagonal, with an empty diagonal."
    lists = lists_of(table).toarray().astype(np.float64)
    scaled = lists * np.maximum(lists.sum(1), 1)[:, None] ** -power * np.maximum(lists.sum(0), 1) ** -power
    scaled /= np.sqrt(np.square(scaled).sum() / max(lists.sum(), 1)) or 1
    inverse = np.linalg.inv(scaled.T @ scaled + ridge * np.eye(table.n_items))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    columns = np.maximum(lists.sum(0), 1) ** power
    return (lists / columns) @ weights * columns


def low_rank(table, power, ridge, k, n_near=0):
    matrix, columns = scaled_choices(table, power)
    found = [values[..., :k] for values in singular_vectors(matrix, max(k, 1))]
    by_vectors = interest_of(*found, columns, ridge)
    if not n_near:
        return by_vectors
    return replace(by_vectors, near=neighbours_of(crowd_of(matrix, n_near=n_near), *found, ridge, ridge))


def of_series(n_people=400, n_series=40, seed=0):
    "Series of two volumes; whoever begins one mostly reads both."
    rng = np.random.default_rng(seed)
    begun = np.repeat(rng.random((n_people, n_series)) < 0.15, 2, axis=1)
    return table_of(begun & (rng.random(begun.shape) < 0.8))


@pytest.mark.parametrize("power", [0, 0.25, 0.5])
@pytest.mark.parametrize("ridge", [1, 20])
@pytest.mark.parametrize("shape", [(60, 40), (40, 60)])
def test_all_vectors_are_dense_ease(power, ridge, shape):
    table = some_table(*shape)
    found = low_rank(table, power, ridge, min(shape)).scores(lists_of(table))
    assert np.allclose(found, dense_ease(table, power, ridge), atol=2e-5)  # seen items and unseen ones


@pytest.mark.parametrize("power", [0, 0.25])
@pytest.mark.parametrize("shape", [(60, 40), (40, 60)])
def test_all_neighbours_without_vectors_are_dense_ease(power, shape):
    table = some_table(*shape, share=0.3)
    assert table.item_counts.min() >= 3  # else an item has no neighbours
    found = low_rank(table, power, 20, 0, n_near=shape[1])
    assert np.allclose(found.scores(lists_of(table)), dense_ease(table, power, 20), atol=2e-5)


def test_neighbours_by_hand():
    "Ridge regression of what the vectors leave of a column, on those that go with it most."
    matrix, _ = scaled_choices(some_table(80, 30, share=0.3), 0.25)
    dense = matrix.toarray().astype(np.float64)
    vectors, values = singular_vectors(matrix, 3)
    near = neighbours_of(crowd_of(matrix, n_near=5), vectors, values, 10.0, 7.0)
    said = vectors * (values ** 2 / (values ** 2 + 10)) @ vectors.T
    for item in range(30):
        length = np.sqrt(np.square(dense).sum(0))
        linked = np.where(np.arange(30) == item, -1, dense.T @ dense[:, item] / length)
        chosen = np.sort(linked.argsort()[-5:])
        assert (np.sort(near.items[item]) == chosen).all()
        rest = dense[:, item] - dense @ said[:, item]
        some = dense[:, chosen]
        weights = np.linalg.solve(some.T @ some + 7 * np.eye(5), some.T @ rest)
        assert np.allclose(near.table[chosen, item].toarray().ravel(), weights, atol=1e-5)


def test_volumes_of_a_series_are_neighbours():
    "Eight vectors cannot tell forty series apart; which volumes belong together is seen all the same."
    table = of_series()
    found, lists = low_rank(table, 0.25, 20, 8, n_near=4), lists_of(table)
    assert (found.near.table.toarray().argmax(0) == np.arange(80) ^ 1).all()
    read = lists.toarray() > 0
    person, volume = np.nonzero(~read & read[:, np.arange(80) ^ 1])  # the other volume of one that was read

    def place(one):
        unread = np.where(read, -np.inf, one.scores(lists))[person]
        return (unread > unread[np.arange(len(volume)), volume][:, None]).sum(1).mean()

    assert place(found) < 5 < 15 < place(replace(found, near=None))


def test_leaders_know_neighbours():
    table = of_series()
    learned, lists = learn_interest(table), lists_of(table)
    for seen in (False, True):
        leading = Leaders(learned).of(lists, 10, seen)
        every = np.arange(80)[None].repeat(lists.shape[0], 0)
        assert np.allclose(leading.chances(every), learned.chances(lists, seen=seen), atol=1e-5)


def test_items_that_few_chose_have_no_neighbours():
    table = some_table(share=0.03)
    matrix, _ = scaled_choices(table, 0.25)
    near = neighbours_of(crowd_of(matrix), *singular_vectors(matrix, 4), 5.0, 5.0)
    rare = table.item_counts < 3
    assert rare.any() and not near.weights[rare].any() and near.weights[~rare].any(1).all()
    assert not np.isin(np.flatnonzero(rare), near.table.nonzero()[0]).any()


def test_only_those_chosen_most_have_neighbours(monkeypatch):
    monkeypatch.setattr(interest, "CROWD", 10)
    table = some_table()
    matrix, _ = scaled_choices(table, 0.25)
    near = neighbours_of(crowd_of(matrix), *singular_vectors(matrix, 4), 5.0, 5.0)
    most = np.argsort(-table.item_counts, kind="stable")[:10]
    assert set(np.flatnonzero(near.weights.any(1))) == set(near.table.nonzero()[0]) == set(most)


def test_tables_with_too_many_pairs_have_no_neighbours(monkeypatch):
    table = of_series()
    n_pairs = np.square(hide(table, False)[0].user_counts).sum()
    for bound, none in ((n_pairs, False), (n_pairs - 1, True)):
        monkeypatch.setattr(choice, "PAIRS", bound)
        assert (learn_interest(table, timely=False).near is None) == none


def test_random_vectors_find_what_all_vectors_have():
    matrix, _ = scaled_choices(two_camps(), 0.25)
    found, values = singular_vectors(matrix, 2, exact=0)
    exact, every = singular_vectors(matrix, 2)
    assert np.allclose(values, every, rtol=1e-3)
    assert np.allclose(np.abs(np.sum(found * exact, 0)), 1, atol=1e-2)
    alike = sparse.csr_matrix(np.ones((90, 80), np.float32))
    for exact in (0, 1024):  # and none that is not there
        assert singular_vectors(alike, 20, exact=exact)[1].shape == (1,)


def test_somebody_new_with_the_same_list_has_the_same_scores():
    table = some_table()
    found = low_rank(table, 0.25, 5, 16, n_near=4)
    lists = lists_of(table)
    items = lists[7].indices[::-1].copy()
    ones = np.ones(len(items), np.float32)
    stranger = sparse.csr_matrix((ones, items, [0, len(items)]), (1, table.n_items))
    for method in (found.scores, found.chances):
        assert np.allclose(method(stranger)[0], method(lists)[7], atol=1e-6)
    assert (lists_of(KeptRatings.of(table), np.array([7])) != lists[7]).nnz == 0


def test_chances_by_hand():
    table = some_table(20, 6, share=0.4)
    rng = np.random.default_rng(1)
    renown, appeal = rng.random((2, 7)).astype(np.float32)
    numbers = {"power": 1.5, "base": 0.1, "growth": 0.5}
    found = replace(low_rank(table, 0.25, 5, 4), renown=renown, appeal=appeal, **numbers)
    lists = lists_of(table)[:3]
    scores, seen = found.scores(lists), lists.toarray() > 0
    base = 0.1 * np.maximum(seen.sum(1), 1) ** 0.5
    by_hand = (np.maximum(scores, 0) + np.outer(base, renown[:-1])) ** 1.5 * np.exp(appeal[:-1]) * ~seen
    assert np.allclose(found.chances(lists), by_hand / by_hand.sum(1, keepdims=True), atol=1e-6)


@pytest.mark.parametrize("n_near", [0, 4])
def test_shares_sum_to_the_score(n_near):
    table = some_table()
    found = low_rank(table, 0.25, 5, 16, n_near)
    lists = lists_of(table)
    for user in range(5):
        shares = found.shares(lists[user].indices, np.arange(table.n_items))
        assert np.allclose(shares.sum(0), found.scores(lists[user])[0], atol=1e-6)
        assert np.allclose(shares[:, 3], found.shares(lists[user].indices, 3), atol=1e-7)


def test_threads_and_the_order_of_rows_change_no_bit(monkeypatch):
    found_by_random = partial(singular_vectors, exact=0)
    for module, name, value in ((choice, "singular_vectors", found_by_random), (choice, "EXACT", 0),
                                (vectors, "ROWS", 64), (choice, "ENTRIES", 3000), (interest, "ROWS", 32),
                                (choice, "NEAR_RIDGES", (80.0, 320.0))):
        monkeypatch.setattr(module, name, value)
    table = two_camps(timed=True)
    found = []
    for n_jobs, rows in ((1, np.arange(len(table))), (3, np.random.default_rng(1).permutation(len(table)))):
        with Workers(n_jobs) as workers:
            learned = learn_interest(table.take(rows), workers=workers)
            found.append((learned.about, learned.chances(lists_of(table), workers=workers)))
    assert np.isfinite(learned.about["near_ridge"])
    assert found[0][0] == found[1][0] and (found[0][1] == found[1][1]).all()


def test_timeliness_by_hand():
    times = np.array([0, 10, 20, 20]) * DAY
    users, items = np.array([[0, 0, 1, 2], [0, 1, 1, 2]], np.int32)
    table = Interactions(users, items, np.ones(4, np.float32), 3, 4, times=times)
    mean = (0.25 + 0.5 + 1 + 1) / 4
    by_hand = [(0.25 + mean) / (2 * mean), (1.5 + mean) / (3 * mean), (1 + mean) / (2 * mean), 1]
    assert np.allclose(timeliness(table, half_life=10, damping=1), by_hand)
    later = replace(table, times=times + 1000 * DAY)  # all weights shrink alike
    assert np.allclose(timeliness(later, 10, 1), by_hand)


def test_what_is_hidden():
    table = two_camps(timed=True)
    shown, hidden = hide(table, timely=True)
    assert len(shown) + len(hidden) == len(table) and 0.08 < len(hidden) / len(table) < 0.12
    assert shown.times.max() < hidden.times.min()
    picks = some_picks(shown, hidden, 50)
    assert len(picks.users) <= 50 and not picks.lists[picks.people, picks.items].sum()
    shown, hidden = hide(table, timely=False)
    assert 0.08 < len(hidden) / len(table) < 0.12 and shown.times.max() > hidden.times.min()


def test_camps_are_told_apart():
    table = two_camps()
    learned = learn_interest(table)
    own = np.repeat([0, 1], 150)[:, None] == np.repeat([0, 1], 100)
    chances = learned.chances(lists_of(table))
    assert (chances * own).sum(1).mean() > 0.9
    assert learned.about["half_life"] == np.inf and learned.about["timely"] == 0


def test_what_is_timely_is_chosen():
    "Items come in turn, so that the last ones are what comes next."
    table = two_camps(timed=True)
    learned, alike = learn_interest(table), learn_interest(table, timely=False)
    late = np.arange(200) % 100 >= 90
    nobody = sparse.csr_matrix((1, 200), dtype=np.float32)
    assert learned.about["timely"] > 0
    assert learned.chances(nobody)[0, late].sum() > 2 * alike.chances(nobody)[0, late].sum()


def test_liking_power_is_found():
    rng = np.random.default_rng(0)
    liking = rng.beta(3, 2, size=(400, 100)).astype(np.float32)
    chances = np.full((400, 100), 0.01, np.float32)
    people = np.repeat(np.arange(400), 20)
    nobody = sparse.csr_matrix((400, 100), dtype=np.float32)
    for h in (0.5, 1, 2):
        items = np.concatenate([rng.choice(100, 20, p=row / row.sum()) for row in liking ** h])
        assert abs(liking_power(chances, liking, Picks(np.arange(400), nobody, people, items)) - h) < 0.15
    assert liking_power(chances, liking, Picks(np.arange(0), nobody[:0], people[:0], people[:0])) == 1


def test_rows_of_new_items_are_as_the_spare_entry_has_it():
    learned = learn_interest(of_series())
    assert learned.near is not None
    longer = learned.lengthen(3)
    assert (longer.appeal[-4:] == learned.appeal[-1]).all() and (longer.vectors[-3:] == 0).all()
    one = sparse.csr_matrix(([1.0], ([0], [81])), (1, 83), dtype=np.float32)  # a list of a new item only
    assert (longer.scores(one) == 0).all() and np.isclose(longer.chances(one).sum(), 1, atol=1e-5)


tables = hnp.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))


@settings(max_examples=60, deadline=None)
@given(tables, st.sampled_from([0, 0.25, 0.5]), st.sampled_from([1, 30]), st.integers(1, 12),
       st.integers(0, 2))
def test_any_table(chosen, power, ridge, among, n_near):
    table = table_of(chosen)
    lists = lists_of(table)
    near = low_rank(table, power, ridge, 12, n_near)
    assert np.isfinite(near.scores(lists)).all()
    found = replace(near, near=None)
    scores = found.scores(lists)
    assert np.allclose(scores, dense_ease(table, power, ridge), atol=1e-4)
    next_one, next_few = found.chances(lists), found.chances(lists, among)
    left = (~chosen).sum(1)
    assert np.allclose(next_one.sum(1), left > 0, atol=1e-5)
    assert np.allclose(next_few.sum(1), np.minimum(left, among), atol=0.01 * among)
    assert (next_one[chosen] == 0).all() and (next_few[chosen] == 0).all() and (next_few <= 1).all()


@settings(max_examples=25, deadline=None)
@given(tables, st.booleans(), st.integers(0, 3))
def test_any_table_can_be_learned(chosen, timed, seed):
    table = table_of(chosen)
    if not len(table):
        with pytest.raises(mfrec.DataError, match="there are none"):
            learn_interest(table)
        return
    times = np.random.default_rng(seed).integers(0, 5, len(table)) * DAY if timed else None
    learned = learn_interest(replace(table, times=times), seed=seed)
    chances = learned.chances(lists_of(table))
    assert np.isfinite(chances).all() and np.allclose(chances.sum(1), (~chosen).any(1), atol=1e-4)


def test_bad_input():
    table = some_table()
    with pytest.raises(mfrec.DataError, match="timely=True needs ratings with times"):
        learn_interest(table, timely=True)
    with pytest.raises(mfrec.SettingError, match="seed=-1"):
        learn_interest(table, seed=-1)


def ndcg(score, table, test, cols, ids, liked):
    "Mean NDCG@10 over users with a liked test item."
    test = test[test[cols.rating] >= liked]
    users, items = ids[0].lookup(test[cols.user]), ids[1].lookup(test[cols.item])
    asked, gains = np.unique(users[users >= 0]), 1 / np.log2(np.arange(2, 12))
    scores = score(lists_of(table, asked))
    scores[lists_of(table, asked).nonzero()] = -np.inf
    top = np.argsort(-scores, 1)[:, :10]
    values = []
    for ranked, user in zip(top, asked):
        relevant = items[users == user]
        values.append(np.isin(ranked, relevant) @ gains / gains[:len(relevant)].sum())
    return np.mean(values)


@pytest.mark.parametrize("name, timely, liked, target", [
    ("ml-latest-small", False, 4, 0.238), ("movietweetings", True, 8, 0.178)
])
def test_real_sets(name, timely, liked, target):
    ratings = real(name)
    train, test = mfrec.split_time(ratings, 0.1) if timely else mfrec.split_mask(ratings)
    cols = find_columns(train)
    ids = IdEncoder().fit(train[cols.user]), IdEncoder().fit(train[cols.item])
    table = Interactions.from_frame(train, cols, *ids)
    if timely:
        table = replace(table, times=train[cols.time].to_numpy(np.float64))
    learned = learn_interest(table, timely)

    def popularity(lists):
        return np.tile(table.item_counts.astype(float), (lists.shape[0], 1))

    popular = ndcg(popularity, table, test, cols, ids, liked)
    assert ndcg(learned.chances, table, test, cols, ids, liked) > max(target, 1.5 * popular)
