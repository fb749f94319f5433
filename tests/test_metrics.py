"Errors, their intervals, and where they are."
import time

import numpy as np
import pandas as pd
import pytest
from conftest import real
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import mean_absolute_error, root_mean_squared_error

from mfrec.errors import DataError, SettingError
from mfrec.metrics import Interval, bootstrap_interval, error_report, errors_by_count, mae, mean_report
from mfrec.metrics import rmse, user_errors
from mfrec.plots import plot_errors, plot_errors_by_count
from mfrec.ratings.splitting import split_random, split_users

METRICS = {"rmse": rmse, "mae": mae}
stars = st.floats(0, 10, width=32)


@st.composite
def scored(draw):
    "Actual and predicted ratings, a user for each row, and weights."
    n = draw(st.integers(1, 40))
    columns = [draw(arrays(np.float64, n, elements=stars)) for _ in range(2)]
    users = draw(arrays(np.int64, n, elements=st.integers(0, 5)))
    return *columns, users, draw(arrays(np.float64, n, elements=st.floats(0.125, 4)))


@settings(max_examples=100, deadline=None)
@given(scored())
def test_equal_to_scikit_learn(data):
    actual, predicted, users, weights = data
    for ours, theirs in ((rmse, root_mean_squared_error), (mae, mean_absolute_error)):
        assert np.isclose(ours(actual, predicted), theirs(actual, predicted), rtol=1e-9)
        assert np.isclose(
            ours(actual, predicted, weights=weights), theirs(actual, predicted, sample_weight=weights),
            rtol=1e-9
        )
        each = {
            u: theirs(actual[users == u], predicted[users == u], sample_weight=weights[users == u])
            for u in set(users)
        }
        assert np.isclose(
            ours(actual, predicted, users=users, weights=weights), np.mean(list(each.values())), rtol=1e-9
        )


@settings(max_examples=100, deadline=None)
@given(scored(), st.randoms())
def test_order_of_metrics_and_of_rows(data, random):
    actual, predicted, users, weights = data
    order = random.sample(range(len(users)), len(users))
    for kwargs in ({}, {"users": users}, {"weights": weights}):
        moved = {name: values[order] for name, values in kwargs.items()}
        for metric in (rmse, mae):
            assert np.isclose(
                metric(actual, predicted, **kwargs), metric(actual[order], predicted[order], **moved)
            )
        assert rmse(actual, predicted, **kwargs) >= mae(actual, predicted, **kwargs) - 1e-9
    assert mae(actual, predicted) >= abs(np.mean(predicted - actual)) - 1e-9
    people = user_errors(actual, predicted, users)
    assert (people.rmse >= people.mae - 1e-9).all()
    assert (people.mae >= people.bias.abs() - 1e-9).all() and people.n.sum() == len(users)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_kinds_of_input(metric):
    expected = metric([4, 3], [3, 3.5])
    assert isinstance(expected, float)
    makers = (
        np.float32,
        tuple,
        lambda x: pd.Series(x, index=[7, 3]),
        lambda x: pd.Series(x, dtype="Float64"),
        lambda x: np.array(x, dtype=object),
    )
    for make in makers:
        assert metric(make([4, 3]), make([3, 3.5])) == expected
    assert (
        metric([4, 3], [3, 3.5], users=["ann", "bob"])
        == metric([4, 3], [3, 3.5], users=pd.Series(["x", "a"], index=[5, 5]))
        == 0.75
    )
    assert metric([4, 3], [3, 3.5], users=[1, 2], weights=[0, 1]) == 0.5


def test_sums_are_float64():
    n = 1_000_000
    assert rmse(np.zeros(n, np.float32), np.full(n, 0.1, np.float32)) == pytest.approx(
        np.float64(np.float32(0.1)), rel=1e-9
    )


@pytest.mark.parametrize("function", [
    rmse,
    mae,
    lambda a, p: user_errors(a, p, [1, 2]),
    lambda a, p: bootstrap_interval(a, p, [1, 2]),
    plot_errors,
], ids=["rmse", "mae", "user_errors", "bootstrap_interval", "plot_errors"])
@pytest.mark.parametrize("actual, predicted, message", [
    ([], [], "at least one row"),
    ([4, 3], [4], "2 actual ratings but 1"),
    ([4, 3], [[4], [3]], r"shape \(2, 1\)"),
    ([4, np.nan], [4, 3], "actual: nan at position 1"),
    ([4, 3], [np.inf, np.nan], r"predicted: inf at position 0 .*2 such"),
    (["a", "b"], [4, 3], "actual: not numbers"),
    (4, 3, "actual: a list or column is needed, not 4"),
    ([4, None], [4, 3], "actual: nan at position 1"),
    (pd.Series([4, pd.NA], dtype="Float64"), [4, 3], "actual"),
])
def test_bad_ratings(function, actual, predicted, message):
    with pytest.raises(DataError, match=message):
        function(actual, predicted)


def test_bad_users_and_weights():
    with pytest.raises(DataError, match="1 user ids for 2 ratings"):
        rmse([4, 3], [4, 3], users=[1])
    with pytest.raises(DataError, match="no id at position 1"):
        rmse([4, 3], [4, 3], users=["ann", None])
    for weights in ([1], [1, -1], [0, 0], [1, np.nan]):
        with pytest.raises(DataError, match="weights: "):
            mae([4, 3], [4, 3], weights=weights)


def scored_set(n=3000, n_users=80, seed=0):
    rng = np.random.default_rng(seed)
    users = rng.integers(0, n_users, n)
    actual = rng.integers(1, 6, n).astype(float)
    return actual, actual + rng.normal(0, 0.5, n) + rng.normal(0, 0.5, n_users)[users], users


def replicates(actual, predicted, users, metric, draws, per_user=False):
    "The slow way: gather the rows of the drawn users."
    rows = {u: np.flatnonzero(users == u) for u in np.unique(users)}
    if per_user:
        each = {u: METRICS[metric](actual[r], predicted[r]) for u, r in rows.items()}
        return np.array([np.mean([each[u] for u in draw]) for draw in draws])
    return np.array([
        METRICS[metric](actual[r], predicted[r])
        for r in (np.concatenate([rows[u] for u in draw]) for draw in draws)
    ])


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("per_user", [False, True])
@pytest.mark.parametrize("paired", [False, True])
def test_interval_equals_the_slow_way(metric, per_user, paired):
    actual, predicted, users = scored_set(400, 20)
    baseline = predicted + np.random.default_rng(1).normal(0, 0.3, 400) if paired else None
    got = bootstrap_interval(
        actual, predicted, users, metric, baseline, n_boot=60, confidence=0.8, seed=9, per_user=per_user
    )
    rng, ids = np.random.default_rng(9), np.unique(users)
    draws = [ids[rng.integers(0, len(ids), len(ids))] for _ in range(60)]
    expected = replicates(actual, predicted, users, metric, draws, per_user)
    estimate = METRICS[metric](actual, predicted, users=users if per_user else None)
    if paired:
        expected = expected - replicates(actual, baseline, users, metric, draws, per_user)
        estimate -= METRICS[metric](actual, baseline, users=users if per_user else None)
    assert isinstance(got, Interval) and np.allclose(got, [estimate, *np.quantile(expected, [0.1, 0.9])])


def test_interval_properties():
    actual, predicted, users = scored_set()
    narrow, wide = (bootstrap_interval(actual, predicted, users, confidence=share) for share in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.estimate < narrow.high < wide.high
    default, same, other = (
        bootstrap_interval(actual, predicted, users, **seed) for seed in ({}, {"seed": 0}, {"seed": 1})
    )
    assert default == same != other
    assert np.allclose(
        bootstrap_interval(actual, predicted, users),
        bootstrap_interval(actual[::-1], predicted[::-1], users[::-1]),
    )
    text = np.char.add("u", np.char.zfill(users.astype(str), 3))
    assert bootstrap_interval(actual, predicted, text) == bootstrap_interval(actual, predicted, users)
    forth = bootstrap_interval(actual, predicted, users, baseline=actual)
    back = bootstrap_interval(actual, actual, users, baseline=predicted)
    assert np.allclose(forth, [-back.estimate, -back.high, -back.low])


@pytest.mark.parametrize(
    "setting", [{"metric": "mse"}, {"confidence": 1}, {"confidence": 0}, {"n_boot": 1}, {"seed": -1}]
)
def test_interval_settings(setting):
    with pytest.raises(SettingError):
        bootstrap_interval(*scored_set(), **setting)


def test_interval_needs_users_and_matching_baseline():
    actual, predicted, users = scored_set()
    with pytest.raises(DataError, match="at least two of them; all ratings are by ann"):
        bootstrap_interval(actual, predicted, np.full(len(users), "ann"))
    with pytest.raises(DataError, match="actual ratings but"):
        bootstrap_interval(actual, predicted, users, baseline=predicted[:-1])


def test_paired_interval_covers_the_true_difference():
    rng = np.random.default_rng(2)
    hits = 0
    n_users = 200
    n_studies = 150
    for study in range(n_studies):
        users = np.repeat(np.arange(n_users), rng.integers(3, 15, n_users))
        personal = rng.normal(0, 0.6, n_users)[users]
        ours = personal + rng.normal(0, 0.5, len(users))
        theirs = 1.1 * personal + rng.normal(0, 0.5, len(users))
        interval = bootstrap_interval(
            np.zeros(len(users)), ours, users, baseline=theirs, n_boot=150, seed=study
        )
        hits += interval.low <= np.hypot(0.6, 0.5) - np.hypot(0.66, 0.5) <= interval.high
    assert 0.86 < hits / n_studies < 1


def test_interval_is_fast():
    actual, predicted, users = scored_set(1_000_000, 6000)
    start = time.perf_counter()
    bootstrap_interval(actual, predicted, users, baseline=actual)
    assert time.perf_counter() - start < 5


def test_report_has_every_metric_and_its_interval():
    actual, predicted, users = scored_set(500, 20)
    report = error_report(actual, predicted, pd.Series(users), "reader", n_boot=50, seed=3)
    assert report.index.tolist() == ["rmse", "rmse per reader", "mae", "mae per reader"]
    kinds = [("rmse", False), ("rmse", True), ("mae", False), ("mae", True)]
    for row, (metric, each) in zip(report.itertuples(index=False), kinds):
        alike = bootstrap_interval(actual, predicted, users, metric, n_boot=50, seed=3, per_user=each)
        assert tuple(row) == alike
    alone = error_report(actual, predicted, pd.Series(np.full(500, "ann")))
    assert alone.value["rmse"] == rmse(actual, predicted) and alone[["low", "high"]].isna().all(axis=None)


@st.composite
def split_tables(draw):
    "Train, test and predictions, with few distinct counts, cold users and cold items."
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_users, n_items = draw(st.integers(2, 20)), draw(st.integers(2, 20))
    pair = rng.permutation(n_users * n_items)[:draw(st.integers(2, n_users * n_items))]
    frame = pd.DataFrame({
        "userId": (pair // n_items) ** 2, "movieId": pair % n_items,
        "rating": rng.integers(1, 6, len(pair)) * 1.0
    })
    if draw(st.booleans()):
        frame = frame.astype({"userId": str})
    cut = draw(st.integers(1, len(frame) - 1))
    return frame[:cut], frame[cut:], frame.rating[cut:].to_numpy() + rng.normal(size=len(frame) - cut)


@settings(max_examples=40, deadline=None)
@given(split_tables(), st.integers(1, 6))
def test_report_sorts_every_row_once(tables, n_groups):
    train, test, predicted = tables
    report = errors_by_count(test, predicted, train, n_groups)
    counts = {
        axis: test[col].map(train[col].value_counts()).fillna(0).to_numpy()
        for axis, col in enumerate(("userId", "movieId"))
    }
    errors = predicted - test.rating.to_numpy()

    def members(axis, name):
        if name == "all":
            return np.ones(len(test), dtype=bool)
        if name == "cold":
            return counts[axis] == 0
        low, _, high = name.rstrip("+").partition("–")
        return (counts[axis] >= int(low)) & (
            counts[axis] <= (np.inf if name.endswith("+") else int(high or low))
        )

    for (user_group, item_group), row in report.iterrows():
        e = errors[members(0, user_group) & members(1, item_group)]
        assert row.n == len(e) > 0
        assert np.allclose(
            [row.rmse, row.mae, row.bias], [np.sqrt(np.mean(e**2)), np.mean(np.abs(e)), np.mean(e)]
        )
    inner = report.drop("all", level=0, errors="ignore").drop("all", level=1, errors="ignore")
    assert inner.n.sum() == report.n[("all", "all")] == len(test)
    for level in (0, 1):
        names = [
            name for name in report.index.get_level_values(level).unique() if name not in ("cold", "all")
        ]
        assert len(names) <= n_groups
    assert (report.rmse >= report.mae - 1e-9).all() and (report.mae >= report.bias.abs() - 1e-9).all()


@pytest.fixture
def frame():
    rng = np.random.default_rng(3)
    pair = rng.permutation(100 * 80)[:4000]
    return pd.DataFrame({"userId": pair // 80, "movieId": pair % 80, "rating": rng.integers(1, 11, 4000) / 2})


def test_report_groups_hold_about_equally_many_rows(frame):
    train, test = split_random(frame)
    report = errors_by_count(test, np.full(len(test), 3.0), train, n_groups=4)
    sizes = report.n.xs("all", level=1).drop("all")
    assert len(sizes) == 4 and sizes.max() < 2 * sizes.min()


def test_report_of_new_users_and_other_names(frame):
    train, test = split_users(frame)
    report = errors_by_count(test, test.rating + 0.25, train)
    assert report.index.get_level_values(0).unique().tolist() == ["cold", "all"]
    assert np.allclose(report.bias, 0.25)
    names = {"userId": "who", "movieId": "what", "rating": "stars"}
    other = errors_by_count(
        test.rename(columns=names), test.rating + 0.25, train.rename(columns=names), user_col="who",
        item_col="what", rating_col="stars"
    )
    pd.testing.assert_frame_equal(report, other)
    assert errors_by_count(test, test.rating, train.drop(columns="rating")).rmse.max() == 0
    with pytest.raises(DataError, match="train: no user column"):
        errors_by_count(test, test.rating, train.drop(columns="userId"))
    with pytest.raises(DataError, match="text on one side"):
        errors_by_count(test.astype({"movieId": str}), test.rating, train)
    with pytest.raises(SettingError, match="n_groups=0"):
        errors_by_count(test, test.rating, train, n_groups=0)


def test_plots_show_the_numbers(frame):
    train, test = split_random(frame)
    report = errors_by_count(test, np.full(len(test), 3.0), train)
    ax = plot_errors_by_count(report, "mae")
    table = report.mae.unstack()
    assert [label.get_text() for label in ax.get_xticklabels()] == table.columns.tolist()
    assert table.columns[-1] == "all"
    assert len(ax.texts) == len(report) and ax.texts[-1].get_text() == f"{report.mae.iloc[-1]:.3f}\nn=800"
    assert plot_errors_by_count(report, "bias", ax=ax) is ax
    assert ax.images[-1].get_clim()[0] == -ax.images[-1].get_clim()[1]
    few = plot_errors_by_count(errors_by_count(test[:3], test.rating[:3] + 1, train))
    assert few.images[0].get_array().max() == 1
    with pytest.raises(SettingError, match="value='n'"):
        plot_errors_by_count(report, "n")
    predicted = test.rating + np.random.default_rng(0).normal(size=len(test))
    line = plot_errors(test.rating, predicted).lines[0]
    assert np.allclose(line.get_ydata(), predicted.groupby(test.rating).mean())
    assert len(plot_errors(test.rating, predicted, by="predicted").lines[0].get_xdata()) == 10
    with pytest.raises(SettingError, match="by='both'"):
        plot_errors(test.rating, predicted, by="both")


def test_on_real_ratings():
    train, test = split_random(real("ml-latest-small"))
    item = train.groupby("movieId").rating.agg(["sum", "count"])
    predicted = test.movieId.map((item["sum"] + 5 * train.rating.mean()) / (item["count"] + 5)).fillna(
        train.rating.mean()
    )
    whole = bootstrap_interval(test.rating, predicted, test.userId)
    assert np.isclose(rmse(test.rating, predicted), whole.estimate)
    assert whole.low < whole.estimate < whole.high
    report = errors_by_count(test, predicted, train)
    assert report.n.iloc[-1] == len(test) and np.isclose(report.rmse.iloc[-1], whole.estimate)
    assert report.rmse[("all", "cold")] > report.rmse[("all", "all")]


def test_means_over_users_with_values_missing():
    values = pd.DataFrame(np.random.default_rng(0).normal(size=(200, 2)), columns=["all", "some"])
    values.loc[50:, "some"] = np.nan
    report = mean_report(values)
    assert np.allclose(report.value, values.mean())
    spread = values.std() / np.sqrt(values.notna().sum())
    assert np.allclose((report.high - report.low) / (2 * 1.96 * spread), 1, atol=0.15)
    assert np.allclose(mean_report(values - 1), report - 1)  # the same draws
    alone = bootstrap_interval(np.zeros(200), values["all"].abs(), values.index, "mae")
    assert np.allclose(mean_report(values.abs()).loc["all"], alone)
    values["none"] = np.nan
    assert mean_report(values).loc["none"].isna().all()


@pytest.mark.parametrize("change, error, said", [
    (dict(confidence=1), SettingError, "confidence=1"),
    (dict(n_boot=1), SettingError, "n_boot=1"),
    (dict(seed=0.5), SettingError, "seed=0.5"),
    (dict(values=pd.DataFrame({"x": []})), DataError, "no rows to average"),
])
def test_bad_input_of_mean_report(change, error, said):
    with pytest.raises(error, match=said):
        mean_report(**{"values": pd.DataFrame({"x": [1.0, 2.0]})} | change)
