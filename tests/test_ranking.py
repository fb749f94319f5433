"Measures of lists: against scikit-learn and trec_eval, by hand, and what must hold of any lists."
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import ndcg_score

import mfrec
from mfrec.errors import DataError, MfrecWarning, SettingError, UnknownIdError
from mfrec.model.link import Numbers
from mfrec.model.records import Model, Side
from mfrec.model.similar import item_similarity, likeness_vectors
from mfrec.ratings.ids import IdEncoder
from mfrec.use.ranking import describe_lists, judge_lists, liked_level, ranking_report

MEASURES = ["ndcg", "recall", "hit rate"]


def frame_of(places, column, values):
    "Rows (user, item, value) of the True cells of a table (n_users, n_items)."
    users, items = np.nonzero(places)
    return pd.DataFrame({"userId": users, "movieId": items, column: values[users, items]})


def ranked(scores, n):
    "Each row's n items with the highest scores, as lists."
    ranks = np.argsort(np.argsort(-scores, axis=1), axis=1) + 1
    return frame_of(ranks <= n, "rank", ranks)


@st.composite
def studies(draw):
    "Test ratings (n_users, n_items), zeros for none, with some 5 among them; distinct scores; a length."
    shape = draw(st.tuples(st.integers(1, 6), st.integers(2, 12)))
    stars = draw(hnp.arrays(np.int64, shape, elements=st.integers(0, 5)))
    stars[0, draw(st.integers(0, shape[1] - 1))] = 5
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scores = np.array([rng.permutation(shape[1]) for _ in range(shape[0])], dtype=float)
    return stars, scores, draw(st.integers(1, shape[1] + 2))


def judged(stars, scores, n):
    return judge_lists(ranked(scores, n), frame_of(stars > 0, "rating", stars), liked=4, n=n)


@settings(max_examples=150, deadline=None)
@given(studies())
def test_equal_to_scikit_learn(study):
    stars, scores, n = study
    ours = judged(stars, scores, n)
    assert ours.index.tolist() == np.flatnonzero((stars >= 4).any(1)).tolist()
    for user, row in ours.iterrows():
        theirs = ndcg_score([stars[user] >= 4], [scores[user]], k=n)
        assert np.isclose(row.ndcg, theirs, rtol=1e-12)


@settings(max_examples=150, deadline=None)
@given(studies())
def test_equal_to_trec_eval(study):
    stars, scores, n = study
    ours = judged(stars, scores, n)
    relevant = {str(user): {str(item): 1 for item in np.flatnonzero(stars[user] >= 4)} for user in ours.index}
    lists = {user: {str(item): s for item, s in enumerate(scores[int(user)])} for user in relevant}
    names = [f"ndcg_cut_{n}", f"recall_{n}", f"success_{n}"]
    asked = {name.replace(f"_{n}", f".{n}") for name in names}
    theirs = pytrec_eval.RelevanceEvaluator(relevant, asked).evaluate(lists)
    table = pd.DataFrame(theirs).T[names].set_axis(ours.index)
    assert np.allclose(ours[MEASURES], table, rtol=1e-9)


@settings(max_examples=100, deadline=None)
@given(studies())
def test_what_holds_of_any_lists(study):
    stars, scores, n = study
    ours = judged(stars, scores, n)
    assert (ours[MEASURES].to_numpy() >= 0).all() and (ours[MEASURES].to_numpy() <= 1 + 1e-12).all()
    assert (ours.liked == (stars[ours.index] >= 4).sum(1)).all()
    found = ours.recall > 0
    assert (found == (ours["hit rate"] == 1)).all() and (found == (ours.ndcg > 0)).all()
    longer = judged(stars, scores, n + 1)
    assert (longer.recall >= ours.recall).all()
    perfect = judged(stars, stars + scores / 100, n)
    assert np.allclose(perfect.ndcg, 1) and (perfect["hit rate"] == 1).all()
    assert np.allclose(perfect.recall, np.minimum(perfect.liked, n) / perfect.liked)


@settings(max_examples=60, deadline=None)
@given(studies(), st.randoms())
def test_order_of_rows_and_names_of_users_change_nothing(study, random):
    stars, scores, n = study
    lists, test = ranked(scores, n), frame_of(stars > 0, "rating", stars)
    ours = judge_lists(lists, test, 4, n)
    shuffled = [frame.iloc[random.sample(range(len(frame)), len(frame))] for frame in (lists, test)]
    pd.testing.assert_frame_equal(ours, judge_lists(*shuffled, 4, n))
    names = np.array(random.sample("abcdefgh", len(stars)))
    named = [frame.assign(userId=names[frame.userId]) for frame in (lists, test)]
    theirs = judge_lists(*named, 4, n)
    assert np.allclose(ours, theirs.loc[names[ours.index]])


def test_by_hand():
    test = pd.DataFrame({"userId": [1, 1, 1, 2, 3], "movieId": [10, 20, 30, 10, 10]})
    test["rating"] = [4, 5, 4.5, 3.5, 5]
    lists = pd.DataFrame({"userId": [1, 1, 1, 2, 4], "movieId": [99, 20, 10, 10, 10]})
    lists["rank"] = [1, 2, 3, 1, 1]
    ours = judge_lists(lists, test, liked=4, n=3)
    gains = 1 / np.log2([2, 3, 4])
    assert ours.index.tolist() == [1, 3]  # 2 liked nothing, 4 is not in the test; 3 has no list
    assert np.allclose(ours.loc[1, MEASURES], [gains[1:].sum() / gains.sum(), 2 / 3, 1])
    assert (ours.loc[3, MEASURES] == 0).all()
    assert np.allclose(judge_lists(lists, test, liked=5, n=3).loc[1, MEASURES], [gains[1], 1, 1])


def test_lists_without_ranks_go_as_they_stand():
    test = pd.DataFrame({"userId": [1], "movieId": [10], "rating": [5]})
    lists = pd.DataFrame({"userId": [1, 1], "movieId": [20, 10]})
    assert judge_lists(lists, test, 4, n=1).ndcg.tolist() == [0]
    assert judge_lists(lists.iloc[::-1], test, 4, n=1).ndcg.tolist() == [1]
    assert judge_lists(lists.assign(rank=[2, 1]), test, 4, n=1).ndcg.tolist() == [1]


def test_a_pair_that_stands_twice_in_the_test_counts_once():
    test = pd.DataFrame({"userId": [1, 1, 1], "movieId": [10, 10, 20], "rating": [5, 4, 4]})
    ours = judge_lists(pd.DataFrame({"userId": [1], "movieId": [10]}), test, 4)
    assert ours.liked.tolist() == [2] and ours.recall.tolist() == [0.5]


def test_no_lists_at_all_find_nothing():
    test = pd.DataFrame({"userId": [1, 2], "movieId": [10, 10], "rating": [5, 4]})
    lists = pd.DataFrame({"userId": [1], "movieId": [10], "rank": [1]})[:0]
    assert (judge_lists(lists, test, 4)[MEASURES] == 0).all(axis=None)


TEST = pd.DataFrame({"userId": [1, 1], "movieId": [10, 20], "rating": [5.0, 2.0]})
LISTS = pd.DataFrame({"userId": [1, 1], "movieId": [10, 20], "rank": [1, 2]})


@pytest.mark.parametrize("change, error, said", [
    (dict(n=0), SettingError, "n=0; a list has a whole number of items, at least 1"),
    (dict(n=2.5), SettingError, "n=2.5"),
    (dict(n=True), SettingError, "n=True"),
    (dict(liked=6), DataError, "no test rating is 6 or more, the highest is 5"),
    (dict(test=TEST[:0]), DataError, "test ratings: no rows"),
    (dict(test=TEST.assign(rating=np.nan)), DataError, "missing or not finite"),
    (dict(test=TEST.drop(columns="rating")), DataError, "no rating column"),
    (dict(lists=LISTS.drop(columns="movieId")), DataError, "lists: no item column"),
    (dict(lists=LISTS.assign(movieId=10)), DataError, "item 10 stands twice in the list of user 1"),
    (dict(lists=LISTS.astype({"userId": str})), DataError, "text on one side and integers on the other"),
    (dict(lists=LISTS.astype({"movieId": str})), DataError, "text on one side and integers on the other"),
    (dict(lists="ten films"), DataError, "a pandas DataFrame is needed"),
])
def test_bad_input_of_judge_lists(change, error, said):
    with pytest.raises(error, match=said):
        judge_lists(**{"lists": LISTS, "test": TEST, "liked": 4} | change)


# What lists are by a model.


def model_of(p, q, n_ratings=None):
    "A model with these factors of users and items, with ids 0, 1, ..."
    sides = []
    for vectors, counts in ((np.asarray(p, np.float32), None), (np.asarray(q, np.float32), n_ratings)):
        n = len(vectors)
        counts = np.ones(n, dtype=np.int64) if counts is None else np.array(counts)
        sides.append(Side(IdEncoder().fit(range(n)), np.zeros(n, np.float32), vectors, counts))
    return Model(3.5, Numbers(1, 5), *sides)


def lists_of(*lists):
    "Lists of users 0, 1, ..."
    rows = [(user, item, rank) for user, some in enumerate(lists) for rank, item in enumerate(some, 1)]
    return pd.DataFrame(rows, columns=["userId", "movieId", "rank"])


def test_what_lists_are_by_hand():
    model = model_of(np.eye(2)[[0, 1, 0, 1]], [[1, 0], [0, 1], [2, 0], [0, 0]], n_ratings=[4, 2, 1, 0])
    ours = describe_lists(model, lists_of([0, 1], [0, 2], [2, 3], [1]))
    assert ours.popularity.tolist() == [3, 2.5, 0.5, 2]
    assert ours.novelty.tolist() == [0.5, 1, 2, 1]
    assert np.allclose(ours.diversity, [1, 0, 1, np.nan], equal_nan=True)
    assert describe_lists(model, lists_of([0, 2]), n=1).popularity.tolist() == [4]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 4))
def test_diversity_is_the_mean_over_pairs(seed, k):
    rng = np.random.default_rng(seed)
    model = model_of(rng.normal(size=(5, k)), rng.normal(size=(8, k)))
    lists = lists_of(*(rng.permutation(8)[:m] for m in (2, 5, 8)))
    ours = describe_lists(model, lists)
    for user, some in lists.groupby("userId"):
        alike = item_similarity(model, some.movieId)
        pairs = alike[np.triu_indices(len(some), 1)]
        assert np.isclose(ours.diversity[user], 1 - pairs.mean())
    assert k or (ours.diversity == 1).all()


def test_an_item_that_the_model_does_not_know():
    with pytest.raises(UnknownIdError, match="9"):
        describe_lists(model_of([[1]], [[1]]), lists_of([9]))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_similarity_is_of_predictions_and_does_not_turn(seed, k):
    rng = np.random.default_rng(seed)
    p, q = rng.normal(size=(30, k)), rng.normal(size=(9, k))
    turn = np.linalg.qr(rng.normal(size=(k, k)))[0] * rng.uniform(0.2, 5, k)
    ours = item_similarity(model_of(p, q), range(9))
    turned = item_similarity(model_of(p @ turn.T, q @ np.linalg.inv(turn)), range(9))
    likes = p @ q.T
    cosines = likes.T @ likes / np.outer(*2 * [np.linalg.norm(likes, axis=0)])
    assert np.allclose(ours, turned, atol=1e-4) and np.allclose(ours, cosines, atol=1e-4)
    assert (np.abs(ours) <= 1).all() and (np.diag(ours) == 1).all()
    lengths = np.linalg.norm(likeness_vectors(model_of(p, q)), axis=1)
    assert np.allclose(lengths, 1)


# The report of a model.


SCALES = [((0.5, 5), 3.5, 4), ((1, 5), 3, 4), ((1, 10), 7, 8), ((0, 10), 7, 8)]


@pytest.mark.parametrize("scale, disliked, level", SCALES)
def test_what_it_means_to_like(scale, disliked, level):
    model = replace(model_of([[1]], [[1]]), link=Numbers(*scale))
    assert disliked < liked_level(model) <= level
    assert liked_level(model, 3) == 3
    for liked in (scale[1] + 1, np.nan, "much"):
        with pytest.raises(SettingError, match="it must be a number on the scale"):
            liked_level(model, liked)


@pytest.fixture(scope="module")
def study():
    "A fitted estimator, its training rows and the test's."
    train, test = mfrec.split_random(mfrec.sample_ratings(20_000, seed=5), test_fraction=0.2, seed=1)
    return mfrec.ALSMF(n_factors=6, n_sweeps=6, seed=1).fit(train, progress=False), train, test


class MostRated(Model):
    "Recommends what most have rated, to everybody."
    def recommend(self, users, n=10, liked=None, skip=0):
        best = np.argsort(-self.item.n_ratings, kind="stable")[skip:skip + n]
        lists = pd.DataFrame([(user, item) for user in users for item in self.item.ids.classes_[best]],
                             columns=[self.columns.user, self.columns.item])
        return lists.assign(rank=np.tile(np.arange(1, n + 1), len(users)))


def most_rated(model):
    return MostRated(**vars(model))


ROWS = ["ndcg", "recall", "hit rate", "coverage", "popularity", "novelty", "diversity"]


def test_the_report_is_means_over_users(study):
    model, _, test = study
    model = most_rated(model.model_)
    report = ranking_report(model, test, n=5)
    assert report.index.tolist() == ROWS and report.columns.tolist() == ["value", "low", "high"]
    users = test.userId[test.rating >= 4].unique()
    lists = model.recommend(users, 5)
    judged, described = judge_lists(lists, test, 4, 5), describe_lists(model, lists)
    means = pd.concat([judged.mean(), described.mean()])
    rest = report.drop("coverage")
    assert np.allclose(rest.value, means[rest.index]) and report.attrs["users"] == len(users)
    assert (rest.low <= rest.value + 1e-9).all() and (rest.value <= rest.high + 1e-9).all()
    assert np.isclose(report.value["coverage"], 5 / len(model.item))
    assert report.loc["coverage", ["low", "high"]].isna().all()


def test_the_report_passes_on_what_recommend_is_asked(study):
    model, _, test = study
    model = most_rated(model.model_)
    report = ranking_report(model, test, skip=3, liked=4.5)
    assert report.value["popularity"] < ranking_report(model, test).value["popularity"]
    judged = judge_lists(model.recommend(test.userId.unique(), skip=3), test, 4.5)
    assert np.isclose(report.value["ndcg"], judged.ndcg.mean())


def test_the_report_of_recommend(study):
    model, _, test = study
    known = model.with_interest(timely=False).model_
    reports = {order: ranking_report(model, test, order=order) for order in ("score", "rating")}
    reports["varied"] = ranking_report(known, test, diversity=0.5)
    users = test.userId[test.rating >= 4].unique()
    lists = model.recommend(users)
    assert np.isclose(reports["score"].value["ndcg"], judge_lists(lists, test, 4).ndcg.mean())
    assert np.isclose(reports["score"].value["popularity"], lists.n_ratings.mean())
    assert reports["score"].value["ndcg"] > reports["rating"].value["ndcg"]
    assert reports["varied"].value["diversity"] > reports["score"].value["diversity"]
    fives = ranking_report(known, test, liked=5)
    assert fives.attrs["liked"] == 5
    fives_lists = known.recommend(test.userId[test.rating >= 5].unique(), liked=5)
    assert np.isclose(fives.value["recall"], judge_lists(fives_lists, test, 5).recall.mean())
    with pytest.raises(SettingError, match="order='best'"):
        ranking_report(known, test, order="best")


def test_intervals_of_the_report(study):
    model, _, test = study
    model = most_rated(model.model_)
    wide, narrow = (ranking_report(model, test, confidence=share) for share in (0.99, 0.5))
    assert (wide.high - wide.low)["ndcg"] > (narrow.high - narrow.low)["ndcg"] > 0
    pd.testing.assert_frame_equal(wide, ranking_report(model, test, confidence=0.99))
    assert wide.low["ndcg"] != ranking_report(model, test, confidence=0.99, seed=1).low["ndcg"]
    one = ranking_report(model, test[test.userId == test.userId.iloc[0]], liked=1)
    assert one.low.isna().all() and one.high.isna().all() and one.value.notna().all()


def test_users_that_the_model_does_not_know(study):
    model, _, test = study
    model = most_rated(model.model_)
    strange = test.assign(userId=test.userId.where(test.userId > 3, -test.userId))
    n_strange = strange.userId[(strange.userId < 0) & (strange.rating >= 4)].nunique()
    with pytest.warns(MfrecWarning, match=f"^{n_strange} of .* users who liked something"):
        report = ranking_report(model, strange)
    assert report.attrs["users"] == test.userId[(test.userId > 3) & (test.rating >= 4)].nunique()
    known = ranking_report(model, test[test.userId > 3])
    pd.testing.assert_frame_equal(report, known)
    with pytest.raises(DataError, match="knows none of the users"):
        ranking_report(model, test.assign(userId=-test.userId))


@pytest.mark.parametrize("change, error, said", [
    (dict(n=0), SettingError, "n=0; a list has"),
    (dict(liked=6), SettingError, "liked=6; it must be a number on the scale, at most 5"),
    (dict(confidence=95), SettingError, "confidence=95"),
    (dict(seed=-1), SettingError, "seed=-1"),
    (dict(test=TEST[:0]), DataError, "test ratings: no rows"),
    (dict(test=TEST.assign(rating=1.0)), DataError, "no test rating is .* the highest is 1; give a lower"),
    (dict(test=TEST.assign(userId=["ann", "bob"])), DataError, "fitted on integers"),
])
def test_bad_input_of_the_report(study, change, error, said):
    model = most_rated(study[0].model_)
    with pytest.raises(error, match=said):
        ranking_report(model, **{"test": study[2]} | change)
