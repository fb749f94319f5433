"""The same answer whatever the order of rows, the kind of ids, and what other threads do; sensible ones of
extreme ratings; and warnings where somebody can act on them."""
import re
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Event, Thread

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.ensemble import StackingRegressor, VotingRegressor
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict, cross_val_score

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
    n_users, n_items = rows.userId.nunique() + 2, rows.movieId.nunique() + 5
    group, age = np.where(np.arange(n_users) % 2, "odd", "even"), 40 + 11 * np.cos(np.arange(n_users))
    items = mfrec.sample_items(1_500, seed=5).sample(n_items, replace=True, random_state=0, ignore_index=True)
    items["movieId"] = 3 * np.arange(n_items)
    users = pd.DataFrame({"userId": np.arange(n_users), "group": group, "age": age})
    return {"users": users, "items": items}


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


@pytest.mark.filterwarnings("ignore::mfrec.MfrecWarning")
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
    users, items = np.int32([1, 0, 0]), np.zeros(3, np.int32)
    table = Interactions(users, items, np.float32([3, 4, 4]), 2, 1, times=np.float32([5, 9, 7]))
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
    inside, done = Event(), Event()
    seen = []

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


# Extremes.

@pytest.mark.parametrize("change, message", [
    (lambda stars: stars * 1e-30, "from 5e-31 to 5.0.*e-30, too near to each other for float32; multiply it"),
    (lambda stars: stars * 1e30, "outside the scale -1e\\+15 to 1e\\+15"),
    (lambda stars: stars + 1e9, "float32 does not tell these apart; subtract 1000000000.5 from all"),
    (lambda stars: (2 * stars).astype(int) + 10**12, "does not tell these apart; subtract 1000000000001.0"),
], ids=["tiny", "huge", "far", "far whole numbers"])
def test_ratings_that_float32_does_not_hold_are_refused(solver, rows, change, message):
    with pytest.raises(mfrec.DataError, match=message):
        smaller(solver).fit(rows.assign(rating=change(rows.rating.astype(float))))


@pytest.mark.parametrize("change", [
    lambda stars: stars * 1e-9, lambda stars: stars * 1e-3, lambda stars: stars * 1e14,
    lambda stars: stars + 1e6, lambda stars: stars + 1e6 * (np.arange(len(stars)) == 7),
    lambda stars: stars + 1e10 * (np.arange(len(stars)) == 7),
], ids=["x 1e-9", "x 1e-3", "x 1e14", "+ 1e6", "one 1e6", "one 1e10"])
def test_extreme_ratings_are_predicted_better_than_by_their_mean(solver, rows, change):
    "With deviations that fit; in whatever unit nearly as well as stars."
    stars = change(rows.rating.astype(float))
    frame = smaller(solver).fit(rows.assign(rating=stars)).predict_frame(rows)
    away, deviation = np.sqrt(np.mean((frame.prediction - stars) ** 2)), stars.std()
    assert away < 1.001 * deviation
    if "std" in frame:
        assert frame["std"].between(1e-3 * deviation, 99 * deviation).all()
    if np.ptp(stars) < 10 or np.ptp(stars) > 1e11:
        usual = smaller(solver).fit(rows).predict(rows) - rows.rating
        assert away < 1.05 * deviation * np.sqrt(np.mean(usual ** 2)) / rows.rating.std()


@pytest.mark.filterwarnings("ignore::mfrec.MfrecWarning")
def test_ratings_that_are_equal_but_for_rounding_are_equal(solver, rows):
    stars = 3.3 + 1e-15 * (np.arange(len(rows)) % 3)
    frame = smaller(solver).fit(rows.assign(rating=stars)).predict_frame(rows)
    assert np.allclose(frame.prediction, 3.3) and ("std" not in frame or frame["std"].between(0, 0.5).all())


# Warnings.

def caught(use, line=None):
    "The warnings of a call, all of them shown with this file, and perhaps with this line of it."
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        use()
    assert all(one.category is mfrec.MfrecWarning for one in said), [str(one.message) for one in said]
    assert all(one.filename == __file__ and line in (None, one.lineno) for one in said)
    return [str(one.message) for one in said]


def test_equal_ratings_get_one_warning_a_fit(solver, rows):
    equal = rows.assign(rating=4.0)
    said = caught(lambda: [smaller(solver).fit(equal[:n]) for n in (1_500, 9, 8, 1)])
    assert said == [f"all {n} ratings are 4, and so are all predictions" for n in ("1,500", 9, 8)]


def test_warnings_are_shown_with_the_line_of_the_caller(rows, tables):
    "However deep they arise, and again for other data."
    model, strangers = mfrec.BiasModel().fit(rows, **tables), rows[:5].assign(userId=-1)
    few = {"items": tables["items"][3:]}
    for use, count in [
        (lambda: mfrec.BiasModel().fit(rows, **few), "have no features"),
        (lambda: model.predict(strangers), "5 of 5 rows name a user"),
        (lambda: model.fold_in(strangers.assign(movieId=[0, 0, 0, 0, -1])), "1 of 5 rows are of items"),
        (lambda: model.model_.update(strangers.assign(rating=9.0)), "5 lie outside"),
    ]:
        said = caught(use, use.__code__.co_firstlineno)
        assert len(said) == 1 and count in said[0], said


FOLDS = "folds are not shuffled: most rows of one are of users or items that the others lack"


@pytest.mark.parametrize("search", [
    lambda model, rows, cv: cross_val_score(model, rows, cv=cv),
    lambda model, rows, cv: cross_val_score(model, rows, rows.rating, cv=cv, scoring="r2"),
    lambda model, rows, cv: GridSearchCV(model, {"damping_user": [1, 3]}, cv=cv).fit(rows),
    lambda model, rows, cv: cross_val_predict(model, rows, cv=cv),
    lambda model, rows, cv: StackingRegressor([("one", model)], cv=cv).fit(rows, rows.rating),
], ids=["score", "r2", "grid", "predict", "stack"])
def test_folds_are_warned_of_once_or_not_at_all(rows, search):
    model = mfrec.BiasModel()
    assert caught(lambda: search(model, rows, KFold(3, shuffle=True, random_state=0))) == []
    said = caught(lambda: [search(model, rows, 3), search(model, rows, 4)])
    assert len(said) == 2 and all(one.startswith(FOLDS) for one in said)
    equal = caught(lambda: search(model, rows.assign(rating=4.0), KFold(3, shuffle=True, random_state=0)))
    assert len(equal) <= 2 and all(one.endswith("and so are all predictions") for one in equal)


def test_regressors_of_scikit_learn_take_ours(rows):
    pair, by_hand = [("bias", mfrec.BiasModel()), ("als", smaller(mfrec.ALSMF()))], []
    for _, model in pair:
        by_hand.append(clone(model).fit(rows).predict(rows))
    voted = VotingRegressor(pair).fit(rows, rows.rating).predict(rows)
    assert np.allclose(voted, np.mean(by_hand, axis=0))
    stacked = StackingRegressor(pair, cv=KFold(3, shuffle=True, random_state=0)).fit(rows, rows.rating)
    assert stacked.predict(rows).shape == (len(rows),) and stacked.score(rows, rows.rating) > 0.2


def test_one_helper_warns():
    "So that every warning finds its caller."
    paths = sorted(Path(mfrec.__file__).parent.rglob("*.py"))
    own = {path.stem for path in paths if "warnings.warn(" in path.read_text(encoding="utf-8")}
    assert own == {"errors"}
