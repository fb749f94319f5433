"The command as a person types it."
import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from conftest import real_path

from mfrec import (
    ALSMF, BayesianMF, BiasModel, __version__, k_folds, load, read_items, read_ratings, rmse, sample_items,
    sample_ratings, split_random, split_users
)
from mfrec.metrics import bootstrap_interval


@pytest.fixture
def mfrec(command):
    return command


@pytest.fixture
def files(tmp_path):
    sample_ratings(20_000, seed=3).to_csv(tmp_path / "ratings.csv", index=False)
    items = sample_items(20_000, seed=3)
    items.assign(genres=items.genres.map("|".join)).drop(columns="year").to_csv(
        tmp_path / "movies.csv", index=False
    )
    return tmp_path


@pytest.mark.parametrize("split", ["random", "time", "users", "cold-items"])
def test_evaluate_prints_one_json_object(mfrec, files, split):
    code, out, err = mfrec(
        "evaluate", files, "--solver", "bias", "--split", split, "--test-fraction", 0.25, "--json"
    )
    facts = json.loads(out)
    assert code == 0 and err == "" and facts["solver"] == "bias" and facts["split"] == split
    assert 0 < facts["mae"] < facts["rmse"] < 2 and facts["rmse_low"] < facts["rmse"] < facts["rmse_high"]
    assert facts["n_train"] + facts["n_test"] == 20_000 and facts["seconds_fit"] > 0
    assert facts["share_full"] + facts["share_bias"] + facts["share_mean"] == pytest.approx(1)
    assert (facts["share_full"] == 0) == (split in ("users", "cold-items"))


def test_evaluate_in_words_shows_titles(mfrec, files):
    code, out, _ = mfrec("evaluate", files, "--solver", "adam", "--factors", 4)
    assert code == 0 and "rmse" in out and "Ten test predictions" in out and "(19" in out


def test_fit_and_predict(mfrec, files):
    code, *_ = mfrec(
        "fit", files / "ratings.csv", "--solver", "bias", "--out", files / "model",
        "--items", files / "movies.csv"
    )
    assert code == 0
    pairs = pd.concat([
        sample_ratings(20_000, seed=3).head(5),
        pd.DataFrame({"userId": [-1], "movieId": [-1], "rating": [3.0], "timestamp": [0]}),
    ])
    for kind in ("csv", "parquet"):
        pairs.to_parquet(files / "pairs.parquet") if kind == "parquet" else pairs.to_csv(
            files / "pairs.csv", index=False
        )
        code, out, err = mfrec(
            "predict", files / "model", files / f"pairs.{kind}", "--out", files / f"out.{kind}",
            "--items", files / "movies.csv"
        )
        frame = (
            pd.read_parquet(files / "out.parquet") if kind == "parquet" else pd.read_csv(files / "out.csv")
        )
        assert code == 0
        assert frame.columns.tolist() == [*pairs.columns, "prediction", "basis", "title"]
        assert frame.prediction.between(0.5, 5).all()
        assert err.count("warning") == 1 and "1 of 6 rows" in err and "\n" not in err.strip()


def test_other_column_names_and_text_ids(mfrec, tmp_path):
    rows = sample_ratings(5_000, seed=1)
    named = pd.DataFrame({
        "who": rows.userId.astype(str).str.zfill(5), "what": "m" + rows.movieId.astype(str),
        "stars": rows.rating
    })
    named.to_parquet(tmp_path / "r.parquet")
    names = ["--user-col", "who", "--item-col", "what"]
    code, *_ = mfrec(
        "fit", tmp_path / "r.parquet", "--solver", "bias", "--out", tmp_path / "m", *names,
        "--rating-col", "stars"
    )
    assert code == 0
    named.head(3).to_csv(tmp_path / "p.csv", index=False)
    code, _, err = mfrec("predict", tmp_path / "m", tmp_path / "p.csv", "--out", tmp_path / "o.csv")
    assert code == 0 and err == ""                                       # 00001 was not read as the number 1
    for split in ("random", "users", "cold-items"):
        code, *_ = mfrec(
            "evaluate", tmp_path / "r.parquet", "--solver", "bias", "--split", split, *names,
            "--rating-col", "stars", "--json"
        )
        assert code == 0


@pytest.mark.parametrize("args, said", [
    (["evaluate", "nowhere"], "nowhere: no such file"),
    (
        ["evaluate", "sample", "--solver", "magic"],
        "solver 'magic' is not known; choose among bias, adam, als, bayes",
    ),
    (["evaluate", "sample", "--split", "odd"], "split 'odd'"),
    (["evaluate", "sample", "--solver", "bias", "--factors", "3"], "has no factors"),
    (["evaluate", "sample", "--solver", "bias", "--test-fraction", "1.5"], "test_fraction"),
    (["evaluate", "sample", "--solver", "als", "--user-slopes"], "solver als has no slopes of users"),
    (
        ["evaluate", "sample", "--solver", "bias", "--taste", "8"],
        "solver bias has no taste features; take --solver als or bayes",
    ),
    (
        ["evaluate", "sample", "--solver", "als", "--taste", "-1"],
        "n_taste=-1; it must be a whole number, 0 or more",
    ),
    (
        ["evaluate", "sample", "--solver", "bias", "--no-decades"],
        "--no-decades: these are columns of --items, which is missing",
    ),
    (
        ["fit", "sample", "--out", "m", "--solver", "bias", "--user-columns", "age"],
        "--user-columns age: these are columns of --users, which is missing",
    ),
    (["evaluate", "sample", "--solver", "bias", "--shown", "5"], "--shown 5 is for --split users"),
    (
        ["evaluate", "sample", "--solver", "bias", "--split", "time", "--folds", "5"],
        "--folds 5 is for --split random, users, cold-items",
    ),
    (["evaluate", "sample", "--solver", "bias", "--folds", "1"], "k=1; it must be a whole number from 2"),
    (
        ["evaluate", "sample", "--solver", "bias", "--split", "users", "--shown", "5000"],
        "no test user has more ratings",
    ),
    (["download", "ml-9000"], "ml-latest-small"),
    (["predict", "nowhere", "pairs.csv", "--out", "o.csv"], "no saved model here"),
    (["predict", "nowhere", "pairs.csv", "--out", "o.txt"], ".csv or .parquet"),
])
def test_a_mistake_is_one_line_and_exit_code_2(mfrec, args, said):
    code, out, err = mfrec(*args)
    assert code == 2 and out == "" and said in err and err.count("\n") == 1


def test_predict_refuses_bad_files(mfrec, files):
    mfrec("fit", files / "ratings.csv", "--solver", "bias", "--out", files / "model")
    for name, content in (
        ("missing.csv", None),
        ("empty.csv", ""),
        ("other.csv", "a,b\n1,2\n"),
        ("no.parquet", "text"),
    ):
        if content is not None:
            (files / name).write_text(content)
        code, _, err = mfrec("predict", files / "model", files / name, "--out", files / "o.csv")
        assert code == 2 and name in err and err.count("\n") == 1


def test_demo(mfrec, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = mfrec("demo", "--n-ratings", 20_000)
    assert code == 0 and "Test RMSE" in out and "Ten test predictions" in out
    assert "might watch next:\n#  title" in out and "mfrec recommend model --rate" in out.splitlines()[-1]
    assert all(
        (tmp_path / "mfrec-demo" / f"{name}.png").stat().st_size > 5_000
        for name in ("ratings", "learning_curve")
    )


def test_further_columns_of_items(mfrec, files):
    "They become features, by kind, and are saved with the model; predict needs no word of them."
    items = pd.read_csv(files / "movies.csv")
    items.assign(country=np.where(items.movieId % 2, "US", "FR"), minutes=90 + items.movieId % 60).to_csv(
        files / "more.csv", index=False
    )
    code, out, err = mfrec(
        "fit", files / "ratings.csv", "--items", files / "more.csv", "--item-columns", "country, minutes",
        "--solver", "bias", "--out", files / "model"
    )
    schema = load(files / "model").item.features.schema
    assert code == 0 and schema.categories["country"] == ("FR", "US"), err
    assert list(schema.numeric) == ["minutes"], err
    for args, said in (
        (("--items", files / "more.csv", "--item-columns", "language"), "items: no column 'language'"),
        (("--items", files / "more.csv", "--item-columns", ""), "items: no column ''"),
        (("--item-columns", "country"), "--items, which is missing"),
    ):
        code, _, err = mfrec("evaluate", files / "ratings.csv", "--solver", "bias", *args)
        assert code == 2 and said in err and err.count("\n") == 1


def test_parts_of_what_is_known_are_left_out(mfrec, files):
    """Genres alone, decades alone, neither, and no taste:
    what the model was given, and that `evaluate` passes it on."""
    args = [files / "ratings.csv", "--solver", "als", "--factors", 2, "--items", files / "movies.csv"]
    found, errors = {}, {}
    for options in ((), ("--no-genres",), ("--no-decades",), ("--no-genres", "--no-decades"), ("--taste", 0)):
        code, _, err = mfrec("fit", *args, *options, "--no-interest", "--out", files / "m")
        assert code == 0, err
        model = load(files / "m")
        known = model.item.features.schema.categories
        found[options] = "genres" in known, "decade" in known, len(model.item.prior.taste) > 0
        code, out, err = mfrec("evaluate", *args, *options, "--json")
        assert code == 0, err
        errors[options] = json.loads(out)["rmse"]
    assert list(found.values()) == [
        (True, True, True),
        (False, True, True),
        (True, False, True),
        (False, False, True),
        (True, True, False),
    ]
    assert len(set(errors.values())) == 5


@pytest.mark.parametrize("solver", ["bias", "als"])
def test_new_people_show_some_ratings_first(mfrec, files, solver):
    "With a few of their ratings folded in, the others are predicted from more than film biases, and better."
    command = ("evaluate", files / "ratings.csv", "--solver", solver, "--split", "users", "--json")

    def ask(shown):
        return json.loads(mfrec(*command, "--shown", shown)[1])

    none, five = ask(0), ask(5)
    assert none["share_full"] == 0 and five["share_full"] > 0.9 and five["rmse"] < none["rmse"] - 0.005
    ratings = pd.read_csv(files / "ratings.csv")
    held = split_users(ratings, 0.2, seed=42).test.userId.value_counts()
    assert five["n_test"] == (held - 5).clip(lower=0).sum() and none["n_test"] == held.sum()


def test_slopes_of_users(mfrec, files):
    "The option reaches the sampler: with it users have more columns, one for each feature of items."
    args = [files / "ratings.csv", "--solver", "bayes", "--factors", 2, "--items", files / "movies.csv"]
    for extra in ([], ["--user-slopes"]):
        assert mfrec("fit", *args, *extra, "--no-interest", "--out", files / f"m{len(extra)}")[0] == 0
    without, with_slopes = load(files / "m0"), load(files / "m1")
    assert with_slopes.user.errors.draws.shape[2] == without.user.errors.draws.shape[2] + len(
        without.item.features.schema.names
    )


def test_time_split_with_features_of_both_sides(mfrec, files):
    ratings = pd.read_csv(files / "ratings.csv")
    ids = ratings.userId.unique()
    pd.DataFrame({"userId": ids, "group": np.where(ids % 2, "odd", "even")}).to_csv(
        files / "people.csv", index=False
    )
    code, out, err = mfrec(
        "evaluate", files / "ratings.csv", "--solver", "bias", "--split", "time",
        "--items", files / "movies.csv", "--users", files / "people.csv", "--json"
    )
    facts = json.loads(out)
    assert code == 0 and facts["share_content"] > 0.2 and facts["share_bias"] < 0.01, err


def test_items_with_another_name_for_the_id(mfrec, files):
    pd.read_csv(files / "ratings.csv").rename(columns={"movieId": "film"}).to_csv(
        files / "rf.csv", index=False
    )
    pd.read_csv(files / "movies.csv").rename(columns={"movieId": "film"}).to_csv(
        files / "mf.csv", index=False
    )
    code, out, err = mfrec(
        "evaluate", files / "rf.csv", "--solver", "bias", "--item-col", "film", "--items", files / "mf.csv"
    )
    assert code == 0 and "Ten test predictions" in out, err


def test_ids_that_a_parquet_file_has_as_text(mfrec, files):
    for name in ("ratings", "movies"):
        pd.read_csv(files / f"{name}.csv").astype({"movieId": str}).to_parquet(files / f"{name}.parquet")
    code, out, err = mfrec(
        "fit", files / "ratings.parquet", "--items", files / "movies.parquet", "--solver", "bias",
        "--out", files / "model"
    )
    assert code == 0 and err == "", err


@pytest.mark.parametrize("solver", ["als", "bayes"])
def test_the_command_is_as_accurate_as_the_library(mfrec, files, solver):
    "From a parquet file, with default settings."
    ratings = read_ratings(files / "ratings.csv")
    ratings.to_parquet(files / "r.parquet")
    code, out, err = mfrec("evaluate", files / "r.parquet", "--solver", solver, "--json")
    train, test = split_random(ratings, 0.2, seed=42)
    own = {"als": ALSMF, "bayes": BayesianMF}[solver](seed=42).fit(train)
    assert code == 0 and json.loads(out)["rmse"] == pytest.approx(-own.score(test), abs=1e-6), err


def test_preferences_of_a_user(mfrec, files):
    mfrec(
        "fit", files / "ratings.csv", "--items", files / "movies.csv", "--solver", "bias",
        "--out", files / "model"
    )
    user = pd.read_csv(files / "ratings.csv").userId[0]
    code, out, _ = mfrec("preferences", files / "model", user)
    assert code == 0 and out.split()[:3] == ["feature", "preference", "std"] and "Drama" in out
    for who in ("-7", "nobody", "--5"):
        code, out, err = mfrec("preferences", files / "model", "--", who)
        assert code == 2 and "has no ratings in this model" in err and err.count("\n") == 1


def test_as_a_process():
    done = subprocess.run([sys.executable, "-m", "mfrec.doors.command"], capture_output=True, text=True)
    assert done.returncode == 0
    done = subprocess.run(
        [sys.executable, "-c", "from mfrec.doors.command import main; main()", "evaluate", "nowhere"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr


def test_real_data(mfrec):
    code, out, _ = mfrec("evaluate", real_path("ml-100k"), "--solver", "bias", "--json")
    assert code == 0 and json.loads(out)["rmse"] == pytest.approx(0.94, abs=0.02)


def test_a_time_column_of_another_name(mfrec, files):
    sample_ratings(20_000, seed=3).rename(columns={"timestamp": "when"}).to_csv(
        files / "when.csv", index=False
    )
    args = ("evaluate", files / "when.csv", "--solver", "bias", "--split", "time", "--json")
    assert mfrec(*args)[0] == 2
    code, out, _ = mfrec(*args, "--time-col", "when")
    assert code == 0 and json.loads(out)["n_test"] > 3_000


def test_predict_names_the_bad_id_and_the_bad_place(mfrec, files):
    mfrec("fit", files / "ratings.csv", "--solver", "bias", "--out", files / "model")
    (files / "p.csv").write_text("userId,movieId\n1,1\nbob,2\n")
    code, _, err = mfrec("predict", files / "model", files / "p.csv", "--out", files / "o.csv")
    assert code == 2 and "'bob' in line 3" in err and "userId" in err
    (files / "p.csv").write_text("userId,movieId\n1,1\n")
    for name in ("o.csv", "o.parquet"):
        code, _, err = mfrec("predict", files / "model", files / "p.csv", "--out", files / "no" / name)
        assert code == 2 and "cannot be written" in err.splitlines()[-1]


@pytest.mark.parametrize("solver", ["bias", "als"])
def test_new_films_and_new_people_are_predicted(mfrec, files, solver):
    """Films of which only the genres are known, people of whom only a group is known,
    and people who have rated something since."""
    ratings = sample_ratings(20_000, seed=3)
    people = pd.DataFrame({"userId": ratings.userId.unique()}).assign(group=lambda f: f.userId % 3)
    people.to_csv(files / "people.csv", index=False)
    known = ("--items", files / "movies.csv", "--users", files / "people.csv")
    assert mfrec("fit", files / "ratings.csv", "--solver", solver, "--out", files / "model", *known)[0] == 0
    (files / "new.csv").write_text("movieId,title,genres\n-7,Fresh (2024),Drama|Comedy\n")
    (files / "later.csv").write_text("userId,group\n-1,2\n")
    ratings.head(30).assign(userId=-2).to_csv(files / "since.csv", index=False)
    film = ratings.movieId.iloc[40]
    pd.DataFrame({"userId": [1, -1, -2, -2, -3], "movieId": [-7, film, film, -7, film]}).to_csv(
        files / "pairs.csv", index=False
    )
    more = ("--items", files / "new.csv", "--users", files / "later.csv", "--ratings", files / "since.csv")
    code, _, err = mfrec("predict", files / "model", files / "pairs.csv", "--out", files / "out.csv", *more)
    frame = pd.read_csv(files / "out.csv")
    assert code == 0 and err.count("warning") == 1 and "4 of 5 rows" in err
    assert "3 predicted from content, 1 predicted from the other one's ratings alone" in err
    assert frame.basis.tolist() == ["content", "content", "full", "content", "bias"]
    assert frame.title.tolist()[0] == "Fresh (2024)" and frame.prediction.between(0.5, 5).all()
    assert frame.prediction.nunique() == 5


def test_features_that_the_model_knows_nothing_of_are_refused(mfrec, files):
    mfrec("fit", files / "ratings.csv", "--solver", "bias", "--out", files / "model")
    (files / "later.csv").write_text("userId,group\n-1,2\n")
    (files / "pairs.csv").write_text("userId,movieId\n-1,2\n")
    code, _, err = mfrec(
        "predict", files / "model", files / "pairs.csv", "--out", files / "out.csv",
        "--users", files / "later.csv"
    )
    assert code == 2 and "fitted without user features" in err and err.count("\n") == 1


@pytest.mark.parametrize("solver", ["bias", "adam", "als", "bayes"])
def test_evaluate_with_what_is_known_of_users(mfrec, files, solver):
    "People held out altogether are predicted from their group; with ratings shown as well, from both."
    pd.DataFrame({"userId": sample_ratings(20_000, seed=3).userId.unique()}).assign(
        group=lambda f: f.userId % 3
    ).to_csv(files / "people.csv", index=False)
    asked = (
        "evaluate", files, "--solver", solver, "--split", "users", "--users", files / "people.csv", "--json"
    )
    code, out, _ = mfrec(*asked)
    assert code == 0 and json.loads(out)["share_content"] > 0.9
    facts = json.loads(mfrec(*asked, "--shown", 5)[1])
    assert facts["share_full"] > 0.9 and facts["rmse"] < json.loads(out)["rmse"]


@pytest.mark.parametrize("solver", ["bias", "adam", "als", "bayes"])
def test_evaluate_with_what_is_known_of_items(mfrec, files, solver):
    code, out, _ = mfrec(
        "evaluate", files, "--solver", solver, "--split", "cold-items", "--items", files / "movies.csv",
        "--json"
    )
    assert code == 0 and json.loads(out)["share_content"] > 0.9


@pytest.mark.parametrize("split, by", [("cold-items", "items"), ("users", "users"), ("random", "rows")])
def test_every_fold_is_held_out_once(mfrec, files, split, by):
    "Errors of all folds together, as by hand; of films left out, with intervals over films."
    code, out, err = mfrec(
        "evaluate", files, "--solver", "bias", "--split", split, "--folds", 4,
        "--items", files / "movies.csv", "--json"
    )
    assert code == 0 and err == ""
    facts = json.loads(out)
    ratings = read_ratings(files / "ratings.csv")
    films = read_items(files / "movies.csv")
    parts = []
    folds = list(k_folds(ratings, 4, seed=42, by=by))
    for train, test in ((ratings.iloc[train], ratings.iloc[test]) for train, test in folds):
        parts.append(
            BiasModel()
            .fit(train, items=films)
            .predict_frame(test)
            .assign(actual=test.rating, group=test.movieId if by == "items" else test.userId)
        )
    rows = pd.concat(parts)
    assert facts["n_test"] == len(rows) == len(ratings) and facts["folds"] == 4 and facts["n_train"] == 15_000
    assert facts["n_users"] == round(
        np.mean([ratings.userId.iloc[train].nunique() for train, _ in folds])
    )
    assert facts["rmse"] == pytest.approx(rmse(rows.actual, rows.prediction))
    assert facts[f"rmse_per_{'item' if by == 'items' else 'user'}"] == pytest.approx(
        rmse(rows.actual, rows.prediction, users=rows.group)
    )
    around = bootstrap_interval(rows.actual, rows.prediction, rows.group, metric="rmse", n_boot=1000, seed=0)
    assert (facts["rmse_low"], facts["rmse_high"]) == pytest.approx(around[1:])
    if split == "users":
        facts = json.loads(
            mfrec(
                "evaluate", files, "--solver", "bias", "--split", "users", "--folds", 4, "--shown", 5,
                "--json"
            )[1]
        )
        assert facts["share_full"] > 0.9 and facts["n_test"] == len(ratings) - 5 * ratings.userId.nunique()
    said = mfrec("evaluate", files, "--solver", "bias", "--split", split, "--folds", 4)[1]
    assert f"20,000 test ratings (4 folds of the {split} split)" in said


def test_later_ratings_of_somebody_in_the_model_are_refused(mfrec, files):
    "Folded in by themselves they would take the place of all the others."
    mfrec("fit", files / "ratings.csv", "--solver", "bias", "--out", files / "model")
    rows = sample_ratings(20_000, seed=3).head(3)
    rows.to_csv(files / "since.csv", index=False)
    code, _, err = mfrec(
        "predict", files / "model", files / "since.csv", "--out", files / "out.csv",
        "--ratings", files / "since.csv"
    )
    assert code == 2 and f"user {rows.userId.iloc[0]} has ratings in the model" in err
    assert err.count("\n") == 1


def test_items_with_ids_of_another_name(mfrec, files):
    names = {"movieId": "film"}
    sample_ratings(20_000, seed=3).rename(columns=names).to_csv(files / "r.csv", index=False)
    pd.read_csv(files / "movies.csv").rename(columns=names).to_csv(files / "films.csv", index=False)
    code, *_ = mfrec(
        "fit", files / "r.csv", "--solver", "bias", "--item-col", "film", "--items", files / "films.csv",
        "--out", files / "model"
    )
    assert code == 0
    code, _, err = mfrec(
        "predict", files / "model", files / "r.csv", "--items", files / "films.csv",
        "--out", files / "out.csv"
    )
    assert code == 0 and err == "" and pd.read_csv(files / "out.csv").title.notna().all()


@pytest.mark.parametrize("solver", ["als", "bayes"])
def test_solvers_that_know_how_uncertain_they_are(mfrec, files, solver):
    code, out, _ = mfrec("evaluate", files, "--solver", solver, "--factors", 4, "--json")
    assert code == 0 and json.loads(out)["n_factors"] >= 4
    code, *_ = mfrec(
        "fit", files / "ratings.csv", "--solver", solver, "--factors", 6, "--no-interest",
        "--out", files / "model"
    )
    assert code == 0
    assert mfrec("predict", files / "model", files / "ratings.csv", "--out", files / "out.parquet")[0] == 0
    frame = pd.read_parquet(files / "out.parquet")
    assert frame.basis.eq("full").all() and frame["std"].between(0.1, 2).all()
    assert (frame.prediction - frame.rating).std() < frame.rating.std()


def test_a_model_is_saved_with_its_ratings_or_without(mfrec, files):
    "And what it is saved as it stays, when new ratings are taken in."
    for option, kept in (((), True), (("--no-ratings",), False)):
        assert mfrec("fit", files, "--solver", "bias", "--out", files / "model", *option)[0] == 0
        assert (load(files / "model").ratings is not None) == kept
        sample_ratings(20_000, seed=3).head(30).assign(userId=-1).to_csv(files / "new.csv", index=False)
        code, *_ = mfrec(
            "update", files / "model", files / "new.csv", "--ratings", files / "ratings.csv",
            "--out", files / "again"
        )
        assert code == 0
        assert (load(files / "again").ratings is not None) == kept


def test_an_update_that_may_fit_again(mfrec, files):
    """With --refit, ratings beyond a tenth end in a full fit of all,
    with the settings and features of the model; fewer are taken in."""
    ratings, films = read_ratings(files / "ratings.csv"), read_items(files / "movies.csv")
    known = ("--items", files / "movies.csv")
    ratings[:16_000].to_csv(files / "old.csv", index=False)
    ratings[16_000:].to_csv(files / "many.csv", index=False)
    ratings[16_000:16_100].to_csv(files / "few.csv", index=False)
    code, *_ = mfrec(
        "fit", files / "old.csv", "--solver", "als", "--factors", 4, "--out", files / "model", *known
    )
    assert code == 0
    places = ("--ratings", files / "old.csv", "--out", files / "after")

    def ask(new, *more):
        return mfrec("update", files / "model", files / new, *places, "--refit", *more)

    code, out, err = ask("many.csv", *known)
    whole = (
        ALSMF(n_factors=4, seed=42)
        .fit(ratings[:16_000], items=films)
        .partial_fit(ratings[16_000:], items=films)
    )
    again = load(files / "after")
    assert code == 0 and err == "" and "was fitted again with 4,000 ratings" in out
    assert "n_added" not in again.about
    assert again.predict_frame(ratings).equals(whole.predict_frame(ratings))
    code, out, _ = ask("few.csv", *known)
    assert code == 0 and "has taken in 100 ratings" in out and load(files / "after").about["n_added"] == 100
    code, _, err = ask("many.csv")
    assert code == 2 and "fitted with features of items; give --items, old ones and new" in err


def test_new_ratings_are_taken_into_a_saved_model(mfrec, files):
    """By people and of a film that came later; twice, the second time from both files until then;
    as partial_fit does in Python."""
    ratings = read_ratings(files / "ratings.csv")
    new = pd.concat([
        ratings.head(30).assign(userId=-1),
        ratings.drop_duplicates("userId").tail(8).assign(movieId=-7),
        ratings.head(2).assign(rating=1.0),
    ]).astype({"rating": np.float32})
    new.to_csv(files / "new.csv", index=False)
    (files / "fresh.csv").write_text("movieId,title,genres\n-7,Fresh (2024),Drama|Comedy\n")
    known, later = ("--items", files / "movies.csv"), ("--items", files / "fresh.csv")
    code, *_ = mfrec(
        "fit", files / "ratings.csv", "--solver", "als", "--factors", 4, "--out", files / "model", *known
    )
    assert code == 0
    code, out, err = mfrec(
        "update", files / "model", files / "new.csv", "--ratings", files / "ratings.csv",
        "--out", files / "two", *later
    )
    assert code == 0 and err == "" and "taken in 40 ratings" in out
    films, fresh = read_items(files / "movies.csv"), read_items(files / "fresh.csv")
    own = ALSMF(n_factors=4, seed=42).fit(ratings, items=films).partial_fit(new, items=fresh)
    mfrec("predict", files / "two", files / "new.csv", "--out", files / "out.csv")
    frame = pd.read_csv(files / "out.csv")
    assert np.allclose(frame.prediction, own.predict(new), atol=1e-5) and frame.basis.eq("full").all()
    both = ("--ratings", files / "ratings.csv", "--ratings", files / "new.csv")
    assert mfrec("update", files / "two", files / "new.csv", *both, "--out", files / "two")[0] == 0
    assert load(files / "two").about["n_added"] == 80
    code, out, err = mfrec(
        "update", files / "two", files / "new.csv", "--ratings", files / "ratings.csv",
        "--out", files / "three"
    )
    assert code == 2 and out == "" and "those added since" in err and err.count("\n") == 1
    assert not (files / "three").exists()


def test_many_new_ratings_are_taken_in_with_a_word(mfrec, files):
    rows = pd.read_csv(files / "ratings.csv")
    for name, part in (("old.csv", rows[:-3_000]), ("new.csv", rows[-3_000:])):
        part.to_csv(files / name, index=False)
    mfrec("fit", files / "old.csv", "--solver", "bias", "--out", files / "model")
    code, out, err = mfrec(
        "update", files / "model", files / "new.csv", "--ratings", files / "old.csv", "--out", files / "model"
    )
    assert code == 0 and "taken in 3,000" in out and "time for a full fit" in err and err.count("\n") == 1


def test_text_ids_that_are_digits_stay_text(mfrec, files):
    rows = sample_ratings(20_000, seed=3).astype({"userId": str, "movieId": str})
    model = BiasModel().fit(rows)
    model.save(files / "model")
    rows.head(20).assign(userId="007").to_csv(files / "new.csv", index=False)
    code, *_ = mfrec(
        "update", files / "model", files / "new.csv", "--ratings", files / "ratings.csv",
        "--out", files / "two"
    )
    assert code == 0
    code, _, err = mfrec(
        "predict", files / "model", files / "new.csv", "--ratings", files / "new.csv",
        "--out", files / "out.csv"
    )
    assert code == 0 and err == "" and "007" in load(files / "two").user.ids.classes_


def test_films_that_came_later_are_folded_in_from_ratings(mfrec, files):
    """Beside people who did; a pair of both is predicted,
    and ratings of newcomers for films nobody knows are counted."""
    rows = sample_ratings(20_000, seed=3)
    mfrec("fit", files / "ratings.csv", "--solver", "als", "--factors", 4, "--out", files / "model")
    fans = pd.DataFrame({"userId": rows.userId.unique()[:20], "movieId": -7, "rating": 5.0})
    people = rows.head(30).assign(userId=-2)[["userId", "movieId", "rating"]]
    strangers = pd.DataFrame({"userId": [-2, -3], "movieId": [-8, -8], "rating": [3.0, 4.0]})
    pd.concat([fans, people, strangers]).to_csv(files / "since.csv", index=False)
    pairs = pd.concat([fans, people, pd.DataFrame({"userId": [-2, -3], "movieId": [-7, -7]})])
    pairs[["userId", "movieId"]].to_csv(files / "pairs.csv", index=False)
    code, _, err = mfrec(
        "predict", files / "model", files / "pairs.csv", "--out", files / "out.csv",
        "--ratings", files / "since.csv"
    )
    frame, model = pd.read_csv(files / "out.csv"), load(files / "model")
    assert code == 0 and "2 of 52 rows are of new users" in err and err.count("\n") == 2
    assert np.allclose(frame.prediction[:20], model.fold_in_items(fans).predict(fans), atol=1e-4)
    assert np.allclose(frame.prediction[20:50], model.fold_in(people).predict(people), atol=1e-4)
    assert frame.basis.tolist() == ["full"] * 51 + ["bias"]


def test_columns_of_users_by_name(mfrec, files):
    "A column of more than fifty values is a feature only where it is named."
    people = pd.DataFrame({"userId": sample_ratings(20_000, seed=3).userId.unique()}).assign(
        town=lambda f: "t" + (f.userId % 60).astype(str), group=lambda f: f.userId % 3
    )
    people.to_csv(files / "people.csv", index=False)
    for more, columns in (((), {"group"}), (("--user-columns", "town"), {"group", "town"})):
        code, _, err = mfrec(
            "fit", files / "ratings.csv", "--users", files / "people.csv", *more, "--solver", "bias",
            "--out", files / "model"
        )
        assert code == 0 and set(load(files / "model").user.features.schema.categories) == columns, err
    for args, said in (
        (("--users", files / "people.csv", "--user-columns", "job"), "users: no column 'job'"),
        (("--user-columns", "job"), "--users, which is missing"),
    ):
        code, _, err = mfrec("evaluate", files / "ratings.csv", "--solver", "bias", *args)
        assert code == 2 and said in err and err.count("\n") == 1


def test_files_may_name_their_columns_otherwise_than_the_model(mfrec, files):
    "Any of the usual names, or the one that an option gives; of two usual ones the model's own."
    mfrec("fit", files, "--out", files / "m", "--solver", "bias")
    ratings = read_ratings(files)
    pairs = ratings[["userId", "movieId"]].head(5)
    new = ratings.drop_duplicates("userId").head(3).assign(movieId=-1)
    answers = []
    for names, options in (
        ({}, []),
        ({"userId": "user_id", "movieId": "item_id"}, []),
        ({"userId": "who"}, ["--user-col", "who"]),
    ):
        asked = pairs.rename(columns=names) if names else pairs.assign(item=0)
        asked.to_csv(files / "pairs.csv", index=False)
        code, out, err = mfrec(
            "predict", files / "m", files / "pairs.csv", "--out", files / "p.csv", *options
        )
        assert (code, err) == (0, "")
        answers.append(pd.read_csv(files / "p.csv").prediction)
        if not options:
            new.rename(columns=names).to_csv(files / "new.csv", index=False)
            code, out, err = mfrec(
                "update", files / "m", files / "new.csv", "--ratings", files, "--out", files / "m2"
            )
            assert code == 0 and "has taken in 3 ratings" in out
            assert -1 in load(files / "m2").item.ids.classes_
    assert answers[0].equals(answers[1]) and answers[0].equals(answers[2])
    code, out, err = mfrec("predict", files / "m", files / "pairs.csv", "--out", files / "p.csv")
    assert code == 2 and "name it with --user-col" in err
    # a column called as the model's, which is not meant
    pairs.rename(columns={"userId": "who"}).assign(userId=-5).to_csv(files / "pairs.csv", index=False)
    code, out, err = mfrec(
        "predict", files / "m", files / "pairs.csv", "--out", files / "p.csv", "--user-col", "who"
    )
    assert (code, err) == (0, "") and pd.read_csv(files / "p.csv").prediction.equals(answers[0])


def test_ids_are_text_where_the_model_s_are_though_a_file_has_digits_only(mfrec, files):
    ratings = read_ratings(files).assign(userId=lambda f: "u" + f.userId.astype(str))
    ratings.to_csv(files / "named.csv", index=False)
    mfrec("fit", files / "named.csv", "--out", files / "m", "--solver", "bias")
    ratings.head(2).assign(userId=["900001", "900002"]).to_csv(files / "new.csv", index=False)
    code, out, err = mfrec(
        "update", files / "m", files / "new.csv", "--ratings", files / "named.csv", "--out", files / "m2"
    )
    assert code == 0, err
    assert set(load(files / "m2").user.ids.lookup(["900001", "900002"])) - {-1}


HEAVY = {"torch", "numpy", "pandas", "matplotlib", "scipy", "sklearn"}


@pytest.mark.parametrize("args", [
    ["--help"],
    ["fit", "--help"],
    ["--version"],
    ["fitt"],
    ["fit", "sample", "--sover", "als"],
    ["fit", "sample", "--solver", "magic", "--out", "m"],
    ["evaluate", "sample", "--split", "odd"],
])
def test_help_and_mistyped_words_load_nothing_heavy(args):
    program = f"""
import sys
from mfrec.doors.command import main
sys.argv = {['mfrec', *args]!r}
try:
    main()
except SystemExit:
    pass
sys.exit(repr({HEAVY!r} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == "set()", done.stderr


def test_version(mfrec):
    assert mfrec("--version") == (0, f"mfrec {__version__}\n", "")


def test_a_shell_completes_commands_and_options():
    for words, at, wanted in (("mfrec ev", 1, ["evaluate"]), ("mfrec fit --user-s", 2, ["--user-slopes"])):
        asked = {"_MFREC_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(at)}
        program = [sys.executable, "-c", "from mfrec.doors.command import main; main()"]
        done = subprocess.run(program, capture_output=True, text=True, env=os.environ | asked)
        assert done.stdout.split() == wanted, done.stderr


def test_update_from_the_ratings_that_the_model_keeps(mfrec, files):
    "The same model as from files of them; one saved without them asks for the files."
    sample_ratings(20_000, seed=3).head(30).assign(userId=-1).to_csv(files / "new.csv", index=False)
    mfrec("fit", files / "ratings.csv", "--solver", "bias", "--out", files / "model")
    for out, given in (("kept", ()), ("named", ("--ratings", files / "ratings.csv"))):
        code, said, err = mfrec("update", files / "model", files / "new.csv", *given, "--out", files / out)
        assert code == 0 and err == "" and "has taken in 30 ratings" in said
    pairs = read_ratings(files / "new.csv")
    assert load(files / "kept").predict_frame(pairs).equals(load(files / "named").predict_frame(pairs))
    mfrec("fit", files / "ratings.csv", "--solver", "bias", "--no-ratings", "--out", files / "model")
    code, said, err = mfrec("update", files / "model", files / "new.csv", "--out", files / "again")
    assert code == 2 and said == "" and err.count("\n") == 1
    assert "name every file it has seen with --ratings" in err
