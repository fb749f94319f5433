"One list for several people: chances against Monte Carlo, exact lists, matches, arguments, bad companies."
import json
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

import mfrec
from mfrec.doors.tables import WIDTH, width_of
from mfrec.kernel.interest import among_next
from mfrec.model.chances import chance_above, latent_cut
from mfrec.ratings.rows import Pairs
from mfrec.solvers.draws import Draws
from mfrec.use.together import HOWS, company_of, liked_by_all


def three(rated):
    return rated.userId.value_counts().index[[0, 5, 9]].tolist()


def test_the_best_of_everything(model, rated):
    trio, interest = three(rated), model.item.interest
    people = company_of(model, trio, None)
    every = np.arange(len(model.item))
    together, single, stars = liked_by_all(people, every)
    chance = interest.chances(people.lists).astype(float)
    shared = np.exp(np.log(np.maximum(among_next(chance.astype(np.float32), 10), 1e-30)).mean(0))
    own = chance * single ** interest.liking
    scores = {"all": shared * together, "average": own.mean(0), "least": own.min(0)}
    seen = set(rated.movieId[rated.userId.isin(trio)])
    open_ = ~np.isin(model.item.ids.classes_, list(seen))
    assert (together <= single.min(0)).all()
    for how in HOWS:
        found = model.together(trio, 8, how=how)
        assert not seen & set(found.movieId) and found["rank"].tolist() == [*range(1, 9)]
        assert np.allclose(found.score, np.sort(scores[how] * open_)[:-9:-1], rtol=1e-3)
        at = model.item.ids.lookup(found.movieId)
        assert np.allclose(found.score, scores[how][at], rtol=1e-3)
        for place, user in enumerate(trio):
            pairs = pd.DataFrame({"userId": user, "movieId": found.movieId})
            assert np.allclose(found[f"stars {user}"], model.predict_frame(pairs).prediction, atol=1e-5)
            assert np.allclose(found[f"liked {user}"], single[place, at], atol=1e-5)


def test_blocks_of_items_change_nothing(model, rated, monkeypatch):
    "Sixteen items at a time, until no other can reach the list."
    trio = three(rated)
    expected = {how: model.together(trio, 12, how=how) for how in HOWS}
    monkeypatch.setattr("mfrec.use.together.ENTRIES", 1)
    for how in HOWS:
        pd.testing.assert_frame_equal(model.together(trio, 12, how=how), expected[how], rtol=1e-4)


def test_single_chances_are_those_of_recommend(model, rated):
    trio = three(rated)
    people = company_of(model, trio, None)
    every = np.arange(0, len(model.item), 7)
    at = Pairs(np.repeat(people.users, len(every)), np.tile(every, 3))
    expected = chance_above(model, at, people.threshold[0])[0].reshape(3, -1)
    together, single, _ = liked_by_all(people, every)
    assert np.allclose(single, expected)
    if not model.user.errors.known:
        assert np.allclose(together, expected.prod(0))


def plain_chance(model, people, at, rng, n=40_000):
    "Share of n films as they may be in truth that all like, each with noise of their own."
    p, k = model.user.factors[people.users].astype(float), model.n_factors
    pairs = Pairs(people.users, np.full(len(people), at))
    single, found = chance_above(model, pairs, people.threshold)
    away = norm.ppf(single) * found.sd
    if isinstance(model.user.errors, Draws):
        mine, theirs = model.user.errors.draws[:, people.users], model.item.errors.draws[:, at]
        said = np.einsum("suk,sk->su", mine[..., :-1], theirs[:, :-1]) + mine[..., -1] + theirs[:, None, -1]
        e = (said - said.mean(0))[rng.integers(len(said), size=n)]
        noise = model.user.errors.noise[people.users] * model.item.errors.noise[at]
        assert np.isfinite(latent_cut(model, people.threshold)).all()
    else:
        spread = model.item.errors.spread[at].astype(float)
        covariance = np.diag(np.append(spread[:k], spread[2 * k]))
        covariance[k, :k] = covariance[:k, k] = spread[k:2 * k]
        values, axes = np.linalg.eigh(covariance)
        e = rng.standard_normal((n, k + 1)) * np.sqrt(np.maximum(values, 0)) @ axes.T
        e = e[:, :k] @ p.T + e[:, k:]
        noise = found.sd ** 2 - e.var(0)
    return (away + e + np.sqrt(noise) * rng.standard_normal(e.shape) > 0).all(1).mean()


@pytest.mark.parametrize("model", ["als", "bayes", "bayes numbers"], indirect=True)
def test_against_plain_monte_carlo(model, rated):
    "Of films with many ratings, few, and one."
    people, rng = company_of(model, three(rated), None), np.random.default_rng(0)
    at = np.argsort(-model.item.n_ratings, kind="stable")[[0, 3, 60, 200, 350, 420]]
    together, single, _ = liked_by_all(people, at)
    expected = [plain_chance(model, people, i, rng) for i in at]
    assert np.allclose(together, expected, atol=0.01)
    assert (together > single.prod(0) - 1e-9).mean() > 0.6


def test_global_state_and_repetition(als, rated):
    np.random.seed(3)
    expected = np.random.random()
    np.random.seed(3)
    first = als.together(three(rated)), als.taste_match(three(rated))
    assert np.random.random() == expected
    again = als.together(three(rated)), als.taste_match(three(rated))
    assert all(one.equals(other) for one, other in zip(first, again))


def test_who_may_be_there(als, items, rated):
    stars = {"Ann": {items.title[1]: 5, items.title[2]: 1}, "Bob": {int(items.movieId[3]): 4}}
    found = als.together(stars, 5)
    assert {"stars Ann", "liked Bob"} <= set(found) and not set(found.movieId) & set(items.movieId[1:4])
    frame = pd.DataFrame({"userId": ["Ann", "Ann", "Bob"], "movieId": items.movieId[1:4],
                          "rating": [5, 1, 4]})
    pd.testing.assert_frame_equal(als.together(frame, 5), found)
    assert set(als.recommend(stars, 2).userId) == {"Ann", "Bob"}
    watched = pd.DataFrame({"userId": ["Bob"], "movieId": found.movieId[:1]})
    assert found.movieId[0] not in set(als.together(stars, 5, watched=watched).movieId)
    comedies = als.together(three(rated), 3, genres="Comedy", years=(1980, None), min_ratings=2)
    assert all("Comedy" in genres for genres in comedies.genres) and (comedies.year >= 1980).all()
    assert (comedies.n_ratings >= 2).all()


def test_bad_companies(als, rated, items):
    one, two, _ = three(rated)
    for wrong, kind, said in (
        (lambda: als.together(one), mfrec.SettingError, f"not 1, {one} alone"),
        (lambda: als.together([]), mfrec.SettingError, "not 0"),
        (lambda: als.together(None), mfrec.SettingError, "say who is together"),
        (lambda: als.together([one, two, one]), mfrec.DataError, f"{one} is there twice"),
        (lambda: als.together([one, -5]), mfrec.DataError, "user -5 is not in the model"),
        (lambda: als.together([one, two], 0), mfrec.SettingError, "n=0"),
        (lambda: als.together([one, two], how="fair"), mfrec.SettingError, "all, average, least"),
        (lambda: als.together([one, two], min_ratings=10**6), mfrec.SettingError, "no item is left"),
        (lambda: als.together({"Ann": {1: 5}, "Bob": 4}), mfrec.DataError, "ratings of 'Bob'"),
        (lambda: als.together(rated.userId.unique()[:101]), mfrec.SettingError, "at most 100"),
        (lambda: als.taste_match([one]), mfrec.SettingError, f"{one} alone"),
        (lambda: als.disagreements(three(rated)), mfrec.SettingError, "name the two"),
    ):
        with pytest.raises(kind, match=said):
            wrong()
    seen = rated.movieId[rated.userId == one].tolist()
    with pytest.warns(mfrec.MfrecWarning, match="0 items, not n=4"):
        assert als.together([one, two], 4, only=seen).empty
    with pytest.warns(mfrec.MfrecWarning, match="keep model = model.with_interest"):
        bare = replace(als, item=replace(als.item, interest=None))
        assert len(bare.together([one, two], 4)) == 4


def test_matches_and_arguments(model, rated):
    trio = three(rated)
    if not model.n_factors:
        for call in (model.taste_match, model.disagreements):
            with pytest.raises(mfrec.SettingError, match="no factors"):
                call(trio[:2])
        return
    found, known = model.taste_match(trio), model.user.errors.known
    assert len(found) == 3 and found.match.between(-1, 1).all() and found.match.is_monotonic_decreasing
    seen = rated.groupby("userId").movieId.agg(set)
    assert found.n_both.tolist() == [len(seen[u] & seen[v]) for u, v in zip(found.one, found.other)]
    assert ("std" in found) == known
    apart = model.disagreements(trio[:2], 5)
    lines = [model.predict_frame(pd.DataFrame({"userId": user, "movieId": apart.movieId})).prediction
             for user in trio[:2]]
    assert all(np.allclose(apart[f"stars {user}"], line, atol=1e-5) for user, line in zip(trio, lines))
    assert (np.sign(apart.difference) == np.sign(lines[0] - lines[1])).all() and (apart.n_ratings > 0).all()
    sure = apart.difference.abs() / (apart["std"] if known else 1)
    assert sure.is_monotonic_decreasing
    back = model.disagreements(trio[1::-1], 5)
    assert back.movieId.tolist() == apart.movieId.tolist() and np.allclose(back.difference, -apart.difference)


@pytest.mark.parametrize("model", ["adam"], indirect=True)
def test_a_match_without_errors_is_a_correlation_and_turns_with_nothing(model, rated):
    one, two, _ = three(rated)
    p = model.user.factors[model.user.ids.lookup([one, two])].astype(float)
    said = p @ model.item.factors.T.astype(float)
    expected = said[0] @ said[1] / np.sqrt((said[0] @ said[0]) * (said[1] @ said[1]))
    turn = np.random.default_rng(0).normal(size=2 * p.shape[1:])
    back = np.linalg.inv(turn).astype(np.float32)
    other = replace(model, user=replace(model.user, factors=model.user.factors @ turn.T.astype(np.float32)),
                    item=replace(model.item, factors=model.item.factors @ back))
    for each in (model, other):
        assert np.isclose(each.taste_match([one, two]).match[0], expected, atol=1e-3)


def test_few_ratings_match_nobody_for_sure(als, items):
    "With the same taste, told by two films or by forty."
    liked = [title for title, genres in zip(items.title, items.genres) if "Comedy" in genres][:40]
    other = [title for title, genres in zip(items.title, items.genres) if "Horror" in genres][:20]
    told = {name: {**dict.fromkeys(liked[:n], 5), **dict.fromkeys(other[:n // 2], 1)}
            for name, n in (("Ann", 40), ("Bob", 40), ("Few", 2), ("Less", 2))}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfrec.MfrecWarning)
        found = als.taste_match(told).set_index(["one", "other"])
    assert found.loc[("Ann", "Bob"), "std"] < found.loc[("Few", "Less"), "std"]
    assert found.loc[("Ann", "Bob"), "match"] > found.loc[("Few", "Less"), "match"]


def test_on_the_command_line(als, items, rated, tmp_path, command):
    als.save(tmp_path / "model")
    one, two, more = three(rated)

    title = items.title[1]
    code, out, _ = command("similar", tmp_path / "model", title, "-n", 4)
    assert code == 0 and f"Like {title}:" in out and all(width_of(line) <= WIDTH for line in out.splitlines())
    code, out, _ = command("similar", tmp_path / "model", title, "-n", 4, "--json")
    shown = [row["movieId"] for row in json.loads(out)["similar"]]
    assert shown == als.similar_items(title, 4).movieId.tolist()
    code, out, err = command("similar", tmp_path / "model", "No Such Film")
    assert code == 2 and "is no title" in err and err.count("\n") == 1
    code, out, _ = command("together", tmp_path / "model", "--user", one, "--user", two, "-n", 4)
    assert code == 0 and "What they would argue about" in out and f"{one} and {two}:" in out
    assert all(width_of(line) <= WIDTH for line in out.splitlines())
    trio = [part for user in (one, two, more) for part in ("--user", user)]
    code, out, _ = command("together", tmp_path / "model", *trio, "--json")
    told = json.loads(out)
    assert code == 0 and len(told["match"]) == 3 and told["disagreements"] is None
    assert [row["movieId"] for row in told["list"]] == als.together([one, two, more]).movieId.tolist()
    head = "Date,Name,Year,Letterboxd URI,Rating\n"
    for name, rows in (("ann", items[1:4]), ("all", items[4:7])):
        lines = [f"2022-01-02,{t.rpartition(' (')[0]},{y},e,4.5" for t, y in zip(rows.title, rows.year)]
        (tmp_path / f"{name}.csv").write_text(head + "\n".join(lines) + "\n")
    code, out, err = command("together", tmp_path / "model", "--export", tmp_path / "ann.csv", "--export",
                         tmp_path / "all.csv", "-n", 3, "--out", tmp_path / "list.csv")
    assert code == 0 and "3 items written" in out, err
    assert {"stars ann", "liked all"} <= set(pd.read_csv(tmp_path / "list.csv"))
    code, out, _ = command("together", tmp_path / "model", "--export", tmp_path / "ann.csv", "--export",
                       tmp_path / "all.csv", "-n", 3)
    assert code == 0 and " all  chance  1 all  2 ann " in out  # a name that is also a column's
    code, out, err = command("together", tmp_path / "model", "--user", one)
    assert code == 2 and "two people at least" in err
