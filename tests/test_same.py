"""The same answer whatever the order of rows, the kind of ids, and what other threads do; sensible ones of
extreme ratings; and warnings where somebody can act on them."""
import re
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event, Thread

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone

import mfrec
from mfrec.kernel.machine import torch_threads
from mfrec.ratings.rows import Interactions

SMALL = {"n_factors": 3, "n_epochs": 2, "n_sweeps": 2, "n_samples": 2, "burn_in": 1, "n_taste": 3}


def smaller(solver):
    "The solver with settings for a fit in a tenth of a second."
    own = {name: value for name, value in SMALL.items() if name in solver.get_params()}
    return clone(solver).set_params(**own)


def shuffled(frame, seed=1):
    return frame.sample(frac=1, random_state=seed)


@pytest.fixture(scope="module")
def rows():
    "Ratings with times, whose ids from 0 fit into any kind of number."
    found = mfrec.sample_ratings(1_500, seed=5)
    found = found.assign(userId=pd.factorize(found.userId, sort=True)[0])
    found = found.assign(movieId=3 * pd.factorize(found.movieId, sort=True)[0])
    return found.sort_values(["userId", "movieId"], ignore_index=True)


@pytest.fixture(scope="module")
def tables(rows):
    "What is known of users and of items: kinds and numbers, and genres, of some without ratings too."
    rng, n_users, n_items = np.random.default_rng(0), rows.userId.nunique() + 2, rows.movieId.nunique() + 5
    ages = {"group": np.where(np.arange(n_users) % 2, "odd", "even"), "age": rng.normal(40, 11, n_users)}
    items = mfrec.sample_items(1_500, seed=5).sample(n_items, replace=True, random_state=0, ignore_index=True)
    items["movieId"] = 3 * np.arange(n_items)
    return {"users": pd.DataFrame({"userId": np.arange(n_users)} | ages), "items": items}


def answers(fitted, rows, known):
    "What a model says of rows as they were fitted, of people and items folded in, and of lists; by position."
    users, items = np.sort(rows.userId.unique())[:5], np.sort(rows.movieId.unique())[:5]
    few, films = rows[rows.userId.isin(users)], rows[rows.movieId.isin(items)]
    yield fitted.predict_frame(known)
    for model, some in ((fitted.fold_in(few), few), (fitted.fold_in_items(films), films)):
        yield model.predict_frame(some.sort_values(["userId", "movieId"]))
    yield fitted.recommend(users, n=5, order="rating")[["rank", "title", "stars"]]


def check_same(got, expected):
    "Bit for bit, whatever the index and the ids."
    for one, other in zip(got, expected, strict=True):
        pd.testing.assert_frame_equal(
            one.reset_index(drop=True), other.reset_index(drop=True), check_exact=True
        )


@pytest.fixture(scope="module")
def expected(observer, rows, tables):
    return list(answers(smaller(observer).fit(rows, **tables), rows, rows))


# Order.

def test_no_order_of_rows_makes_a_difference(observer, rows, tables, expected):
    "Of ratings, with times among them, of features of both sides, and of those folded in."
    known = {name: shuffled(table, 2) for name, table in tables.items()}
    fitted = smaller(observer).fit(shuffled(rows), **known)
    check_same(answers(fitted, shuffled(rows, 3), rows), expected)


def test_no_order_of_validation_rows_makes_a_difference(solver, rows):
    "Neither of those to learn from nor of those to watch; the callback sees the same numbers."
    train, held = mfrec.split_random(rows, 0.2, seed=0)

    def watched(train, held):
        seen, model = [], smaller(solver)
        model.fit(train, validation=held, callback=lambda number, row, stop: seen.append(row))
        return model.predict_frame(rows), [{k: v for k, v in row.items() if k != "seconds"} for row in seen]

    frame, seen = watched(train, held)
    other, again = watched(shuffled(train), shuffled(held))
    assert frame.equals(other) and str(seen) == str(again)


@pytest.mark.parametrize("n", [2, 40])
def test_no_order_of_few_rows_makes_a_difference(solver, rows, n):
    few = shuffled(rows, 4).head(n)
    one, other = (smaller(solver).fit(some).predict_frame(few) for some in (few, few[::-1]))
    assert one.equals(other)


@pytest.mark.filterwarnings("ignore::mfrec.MfrecWarning")
def test_no_order_of_later_rows_makes_a_difference(solver, rows):
    "Taken in, added, and in a full fit after that."
    old, new = rows[rows.userId > 5], rows[rows.userId <= 5]
    model, other = (smaller(solver).fit(some) for some in (old, shuffled(old)))
    for act in (
        lambda model, new, old: model.model_.update(new),
        lambda model, new, old: model.model_.update(new, old),
        lambda model, new, old: model.model_.add_rated(new),
        lambda model, new, old: model.partial_fit(new, refit_after=np.inf),
        lambda model, new, old: model.partial_fit(new, refit_after=0),
    ):
        one, two = act(model, new, old), act(other, shuffled(new), shuffled(old))
        assert one.predict_frame(rows).equals(two.predict_frame(rows))


def test_features_do_not_depend_on_the_order_of_rows():
    "Nor do the means and deviations that later rows are scaled by: their sums are made in one order."
    for seed in range(20):
        ages = np.random.default_rng(seed).lognormal(3, 2, 999)
        ages = pd.DataFrame({"userId": np.arange(999), "age": ages})
        one, other = mfrec.user_features(ages), mfrec.user_features(shuffled(ages))
        assert one.schema == other.schema and (one.values == other.values).all()


def test_a_pair_with_several_times_has_one_order():
    users, ratings, times = np.int32([1, 0, 0]), np.float32([3, 4, 4]), np.float32([5, 9, 7])
    table = Interactions(users, users[:] * 0, ratings, 2, 1, times=times)
    for at in ([0, 1, 2], [2, 1, 0], [1, 0, 2]):
        assert table.take(np.array(at)).in_order().times.tolist() == [7, 9, 5]


# Kinds of ids.

def plain(ids):
    return pd.Series(ids.tolist(), ids.index, dtype=object)


def text(ids):
    return ids.astype(str).str.zfill(6)


KINDS = {
    "int16": lambda ids: ids.astype("int16"),
    "uint64": lambda ids: ids.astype("uint64"),
    "float64": lambda ids: ids.astype("float64"),
    "Int32": lambda ids: ids.astype("Int32"),
    "object": plain,
    "numpy object": lambda ids: pd.Series(list(ids.to_numpy()), ids.index, dtype=object),
    "categories": lambda ids: ids.astype("category"),
}
TEXTS = {
    "text": text,
    "text object": lambda ids: text(ids).astype(object),
    "string": lambda ids: text(ids).astype("string"),
    "text categories": lambda ids: text(ids).astype("category"),
}


def renamed(frame, kind):
    "The frame with ids of that kind."
    return frame.assign(**{name: kind(frame[name]) for name in ("userId", "movieId") if name in frame})


@pytest.mark.parametrize("kind", ["object", "text"])
def test_no_kind_of_ids_makes_a_difference(observer, rows, tables, expected, kind):
    kind = (KINDS | TEXTS)[kind]
    known = {name: renamed(table, kind) for name, table in tables.items()}
    model = smaller(observer).fit(renamed(rows, kind), **known)
    check_same(answers(model, renamed(rows, kind), renamed(rows, kind)), expected)


@pytest.mark.parametrize("fitted", ["int16", "object", "text"])
def test_ids_of_one_kind_find_those_of_another(rows, tables, fitted):
    "Of ratings, of features, of rows to predict and of rows to fold in: any mixture of numbers, or of texts."
    group = KINDS if fitted in KINDS else TEXTS
    base = list(answers(mfrec.BiasModel().fit(rows, **tables), rows, rows))
    for asked in group.values():
        known = {name: renamed(table, asked) for name, table in tables.items()}
        model = mfrec.BiasModel().fit(renamed(rows, group[fitted]), **known)
        check_same(answers(model, renamed(rows, asked), renamed(rows, asked)), base)


def test_narrow_ids_are_not_taken_for_others():
    "The difference of -100 and 100 has no room in a byte, and 1,000 none at all; large ids are far off."
    for low, kind, wide in ((-100, "int8", "int64"), (0, "uint8", "int64"), (2**40, "int64", "int32")):
        ids = np.arange(low, low + 200, 2)
        frame = pd.DataFrame({"userId": ids, "movieId": ids % 7, "rating": np.linspace(1, 5, 100)})
        model = mfrec.BiasModel().fit(frame.astype({"userId": kind}))
        assert (model.predict(frame) == mfrec.BiasModel().fit(frame).predict(frame)).all()
        strangers = frame.assign(userId=np.arange(300, 400)).astype({"userId": wide})
        narrow = frame.assign(userId=frame.userId % 100).astype({"userId": "int8"})
        assert model.predict_frame(strangers).basis.eq("bias").all()
        assert (model.predict_frame(narrow).basis == "full").eq(np.isin(narrow.userId, ids)).all()


# Threads.

@pytest.fixture
def three_threads():
    "Torch with a number of threads that nothing else would set."
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_fits_at_once_are_those_one_after_the_other(observer, rows, tables, three_threads):
    "And torch has its threads back: here, in the threads that fitted, and in new ones."
    pair = [smaller(observer), smaller(mfrec.AdamMF(seed=7))]
    alone = [clone(one).fit(rows, **tables).predict_frame(rows) for one in pair]
    together = Barrier(1 if isinstance(observer, mfrec.BiasModel) else 2)

    def fit(one):
        waits = [together.wait]

        def callback(number, row, stop):
            if waits:
                waits.pop()(20)

        return clone(one).fit(rows, callback=callback, **tables).predict_frame(rows)

    with ThreadPoolExecutor(2) as pool:
        for frame, expected in zip(pool.map(fit, pair), alone):
            assert frame.equals(expected)
        counts = [*pool.map(lambda _: torch.get_num_threads(), range(4)), torch.get_num_threads()]
    with ThreadPoolExecutor(1) as pool:
        assert counts == [3] * 5 and pool.submit(torch.get_num_threads).result() == 3


def test_a_fit_that_ends_leaves_the_threads_of_another_alone(three_threads):
    "Torch keeps one number for MKL, and OpenMP one for each thread: the former stays with who is inside."
    mkl = re.compile(r"mkl_get_max_threads\(\) : (\d+)")
    inside, done, seen = Event(), Event(), []

    def other():
        with torch_threads(1):
            inside.set()
            done.wait(20)
            seen.append(mkl.findall(torch.__config__.parallel_info()) or ["1"])
        seen.append(torch.get_num_threads())

    thread = Thread(target=other)
    with torch_threads(2):
        thread.start(), inside.wait(20)
    assert torch.get_num_threads() == 3
    done.set(), thread.join()
    assert seen == [["1"], 3] and torch.get_num_threads() == 3


def leaves_random_numbers_alone(use):
    "Whether torch's and NumPy's are left where they were, and nothing depends on where that was."
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed), np.random.seed(seed)
        found.append(list(use()))
        left = torch.rand(3), np.random.random(3)
        torch.manual_seed(seed), np.random.seed(seed)
        assert torch.equal(left[0], torch.rand(3)) and (left[1] == np.random.random(3)).all()
    check_same(*found)


def test_fits_leave_the_random_numbers_of_others_alone(observer, rows, tables):
    def use():
        model = smaller(observer).fit(rows, **tables)
        yield model.predict_frame(rows)
        yield model.fold_in(rows[rows.userId < 5]).predict_frame(rows)
        yield model.evaluate(rows, n_boot=10)
        yield model.partial_fit(rows[:20]).predict_frame(rows)

    leaves_random_numbers_alone(use)


def test_lists_leave_the_random_numbers_of_others_alone(rows):
    model = mfrec.BiasModel().fit(rows).model_
    leaves_random_numbers_alone(lambda: [model.with_interest().recommend([1, 2], n=3, diversity=0.5)])
