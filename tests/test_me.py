"What to watch next, as a person asks for it in the terminal: from stars typed in, a file, or their export."
import csv
import io
import json
import re
import zipfile
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mfrec import ALSMF, BiasModel, load, sample_items, sample_ratings
from mfrec.doors.saying import as_options
from mfrec.doors.exports import read_export
from mfrec.doors.lists import write_list
from mfrec.doors.tables import WIDTH, list_table, width_of
from mfrec.errors import DataError
from mfrec.ratings.titles import match_titles

LETTERBOXD = "Date,Name,Year,Letterboxd URI"
IMDB = ("Const,Your Rating,Date Rated,Title,Original Title,URL,Title Type,IMDb Rating,Runtime (mins),Year,"
        "Genres,Num Votes,Release Date,Directors")


@pytest.fixture(scope="module")
def ratings():
    return sample_ratings(8_000, seed=5)


@pytest.fixture(scope="module")
def items(ratings):
    "Films of the sample, with ids of IMDb, two of one title, and one with signs that a terminal obeys."
    items = sample_items(8_000, seed=5)
    items = items[items.movieId.isin(ratings.movieId)].reset_index(drop=True)
    order = items.movieId.map(ratings.movieId.value_counts()).sort_values(ascending=False).index
    items = items.loc[order].reset_index(drop=True)
    items.loc[[3, 4], "title"] = ["Heat (1995)", "Heat (1986)"]
    items.loc[5, "title"] = "Red\x1b[31m\n[bold]Lines[/bold] (1990)"
    items.loc[6, "title"] = "Matrix, The (1999)"
    items.loc[[3, 4, 5, 6], "year"] = [1995, 1986, 1990, 1999]
    return items.assign(imdb_id=[f"tt{number:07d}" for number in 100 + items.movieId])


@pytest.fixture(scope="module")
def place(ratings, items, tmp_path_factory):
    "A folder with a model that has everything, one without interest, one without titles, one without both."
    folder = tmp_path_factory.mktemp("models")
    model = ALSMF(n_factors=4, n_sweeps=3, seed=1).fit(ratings, items=items).model_
    whole = model.with_interest()
    whole.save(folder / "model")
    model.save(folder / "no-interest")
    model.save(folder / "bare", ratings=False)
    replace(whole, catalogue=None).save(folder / "no-titles")
    whole.save(folder / "no-ratings", ratings=False)
    return folder


@pytest.fixture
def mfrec(command):
    return command


@pytest.fixture
def ask(mfrec, place):
    "ask(*options, model=...) -> what `mfrec recommend` prints, and errors."
    return lambda *args, model="model": mfrec("recommend", place / model, *args)


@pytest.fixture
def rows(ask):
    "rows(*options) -> the lists of `mfrec recommend --json` as a frame."
    def run(*args, **options):
        code, out, err = ask(*args, "--json", **options)
        assert code == 0, err
        return pd.DataFrame(json.loads(out)["lists"])
    return run


def table(header, *lines):
    "A csv text under a header."
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows([header.split(","), *lines])
    return text.getvalue()


def split_title(title):
    "Title without, and the year."
    return title[:-7], title[-5:-1]


@pytest.fixture
def letterboxd(items, tmp_path):
    "A zip: 30 films rated, 10 more seen, 12 wanted, and one of each kind that nobody has."
    films = [["2024-01-31", *split_title(title), f"u{at}"] for at, title in enumerate(items.title[10:62])]
    lost = [["2024-01-31", f"Lost {kind}", "1931", kind] for kind in ("rated", "seen", "wanted")]
    rated = [[*film, 1 + at % 9 / 2] for at, film in enumerate(films[:30])] + [[*lost[0], 4]]
    path = tmp_path / "letterboxd.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ratings.csv", table(LETTERBOXD + ",Rating", *rated))
        archive.writestr("watched.csv", table(LETTERBOXD, *films[:40], *lost[:2]))
        archive.writestr("watchlist.csv", table(LETTERBOXD, *films[40:], lost[2]))
        archive.writestr("profile.csv", "Date Joined,Username\n2020-01-01,me\n")
    return path


# Who asks.


def test_stars_typed_in(ask, rows, items, place):
    code, out, err = ask("--rate", "Heat (1995)=5", "--rate", "the matrix=2.5", "-n", 5)
    lines = out.splitlines()
    assert code == 0 and err == ""
    assert lines[0].split() == ["#", "title", "genres", "chance", "stars", "liked", "ratings"]
    assert len(lines) == 8 and lines[1].startswith("1  ") and "±" in lines[1]
    assert lines[-1] == "chance: to be among the next ten picks; liked: the chance of a rating of 4 or more"
    found = rows("--rate", "Heat (1995)=5", "--rate", "the matrix=2.5", "-n", 5)
    own = load(place / "model").recommend({"Heat (1995)": 5, "Matrix, The (1999)": 2.5}, n=5)
    assert found.movieId.tolist() == own.movieId.tolist() and np.allclose(found.chance, own.chance, atol=1e-5)
    by_id = rows("--rate", f"{items.movieId[3]}=5", "--rate", f"{items.movieId[6]}=2,5", "-n", 5)
    assert by_id.movieId.tolist() == found.movieId.tolist()


def test_users_of_the_model(ask, rows, ratings):
    found = rows("--user", 1, "--user", 2, "-n", 3)
    assert found.userId.tolist() == [1] * 3 + [2] * 3
    seen = set(ratings[ratings.userId == 1].movieId)
    assert not seen & set(found.movieId[:3])
    _, out, _ = ask("--user", 1, "--user", 2, "-n", 3)
    assert out.startswith("userId 1\n#") and "\n\nuserId 2\n#" in out
    _, out, _ = ask(*(part for user in ratings.userId.unique()[:7] for part in ("--user", user)), "-n", 1)
    assert out.count("userId") == 5 and "and lists of 2 more" in out


def test_a_file_of_ratings(ask, rows, items, tmp_path):
    by_hand = rows("--rate", f"{items.title[20]}=5", "--rate", f"{items.title[21]}=2")
    title, year = split_title(items.title[20])
    typed = table("Title,Year,Rating", [title, year, 5], [items.title[21], "", 2])
    (tmp_path / "titles.csv").write_text(typed)
    (tmp_path / "ids.csv").write_text(table("userId,movieId,rating", [7, items.movieId[20], 5],
                                            [7, items.movieId[21], 2]))
    frame = pd.DataFrame({"item": items.movieId[[20, 21]], "rating": [5.0, 2.0]})
    frame.to_parquet(tmp_path / "ids.parquet")
    for name in ("titles.csv", "ids.csv", "ids.parquet"):
        assert rows("--ratings", tmp_path / name).movieId.tolist() == by_hand.movieId.tolist(), name
    assert set(rows("--ratings", tmp_path / "ids.csv").userId) == {7}
    (tmp_path / "more.csv").write_text(table("title,rating", [items.title[20], 5], ["Lost Film", 3]))
    code, out, err = ask("--ratings", tmp_path / "more.csv")
    assert code == 0 and "1 of 2 films are not among the model's, 'Lost Film'" in err and err.count("\n") == 1


def test_everybody(ask, mfrec, place, ratings, tmp_path):
    code, out, err = ask("--all-users", "--out", tmp_path / "lists", "-n", 2, "--min-ratings", 5)
    found = pd.read_parquet(tmp_path / "lists")
    assert code == 0 and len(found) == 2 * ratings.userId.nunique() and found.n_ratings.min() >= 5
    assert "lists of" in out and err == ""
    code, _, err = ask("--all-users", "--out", tmp_path / "lists", "-n", 3)
    assert code == 2 and "other wishes" in err
    for args in ((), ("--out", "x.csv")):
        code, _, err = ask("--all-users", *args)
        assert code == 2 and "name a folder with --out" in err
    assert ask("--all-users", "--out", tmp_path / "l", model="no-ratings")[0] == 2


# What a list may hold.


def test_wishes(rows, items):
    found = rows("--user", 1, "--genres", "drama, crime", "--years", "1990-1999", "--min-ratings", 3)
    assert len(found) == 10 and found.year.between(1990, 1999).all() and found.n_ratings.min() >= 3
    assert all({"Drama", "Crime"} & set(cell) for cell in found.genres)
    assert rows("--user", 1, "--years", "-1980").year.max() <= 1980
    assert rows("--user", 1, "--years", "2001-").year.min() >= 2001
    plain = rows("--user", 1)
    assert rows("--user", 1, "--popularity", -1).n_ratings.mean() < plain.n_ratings.mean()
    assert set(rows("--user", 1, "--diversity", 0.8).movieId) != set(plain.movieId)
    assert rows("--user", 1, "--order", "rating").score.is_monotonic_decreasing
    assert (rows("--user", 1, "--liked", 3).liked.mean() > rows("--user", 1, "--liked", 5).liked.mean())
    assert len(rows("--user", 1, "--liked", "own")) == 10


def test_only_and_exclude(ask, rows, items, letterboxd, tmp_path):
    some = items[30:50]
    (tmp_path / "titles.txt").write_text("\n".join(some.title) + "\n")
    (tmp_path / "ids.txt").write_text("\n".join(map(str, some.movieId)))
    (tmp_path / "ids.csv").write_text("movieId\n" + "\n".join(map(str, some.movieId)))
    for name in ("titles.txt", "ids.txt", "ids.csv"):
        found = rows("--rate", "Heat (1995)=4", "--only", tmp_path / name, "-n", 20)
        assert set(found.movieId) == set(some.movieId), name
    wanted = rows("--rate", "Heat (1995)=4", "--only", letterboxd, "-n", 12)
    assert set(wanted.title) == set(items.title[50:62])
    found = rows("--rate", "Heat (1995)=4", "--exclude", letterboxd, "-n", 1400)
    assert not set(found.title) & set(items.title[10:50]) and set(found.title) > set(items.title[50:62])
    code, _, err = ask("--rate", "Heat (1995)=4", "--only", tmp_path / "ids.csv", "--exclude",
                       tmp_path / "titles.txt")
    assert code == 2 and "no item is left" in err and "--only leaves 20" in err


# How it is shown.


def test_a_table_fits_the_terminal(ask, rows, items):
    titles = rows("--rate", "Matrix=5", "-n", 2000).title
    assert titles.str.contains("bold").any()
    for args in ((), ("--order", "lower")):
        _, out, _ = ask("--rate", "Matrix=5", "-n", 2000, *args)
        assert max(map(width_of, out.splitlines())) <= WIDTH
        assert "\x1b" not in out and "Red [31m [bold]Lines[/bold] (1990)" in out


def test_long_titles_keep_their_year():
    rows = pd.DataFrame({"rank": [1], "movieId": [1], "title": ["The " + "very " * 30 + "long film (1990)"],
                         "genres": [("A" * 40, "B")], "chance": [1e-5], "stars": [4.0], "liked": [0.5],
                         "n_ratings": [1_000_000]})
    text = list_table(rows, "movieId")
    assert "… (1990)" in text and max(map(width_of, text.splitlines())) <= WIDTH and "<0.1 %" in text
    wide = list_table(rows.assign(title="東京物語" * 20), "movieId")
    assert max(map(width_of, wide.splitlines())) <= WIDTH


@pytest.mark.parametrize("name", ["list.csv", "list.parquet"])
def test_lists_in_a_file(ask, tmp_path, name):
    code, out, _ = ask("--user", 1, "--user", 2, "-n", 4, "--out", tmp_path / name)
    assert code == 0 and "8 rows for 2 people" in out
    found = pd.read_csv(tmp_path / name) if name.endswith("csv") else pd.read_parquet(tmp_path / name)
    assert found["rank"].tolist() == [1, 2, 3, 4] * 2 and found.genres.str.contains("|", regex=False).any()
    code, out, _ = ask("--rate", "Heat (1995)=4", "--only", tmp_path / name, "-n", 2)  # and is read again
    assert code == 0


# Bad input: one line each.


@pytest.mark.parametrize("args, said", [
    ((), "nothing says who asks; give --user, --rate, --ratings or --all-users"),
    (("--user", 1, "--rate", "x=1"), "--user and --rate were given"),
    (("--user", "bob"), "--user bob: not among the"),
    (("--user", "-5"), "--user -5: not among the"),
    (("--rate", "Heat (1995)"), 'write "title=stars"'),
    (("--rate", "Heat (1995)=good"), "with stars from 0.5 to 5"),
    (("--rate", "Heat (1995)=9"), "with stars from 0.5 to 5"),
    (("--rate", "=4"), 'write "title=stars"'),
    (("--rate", "Heat=4"), "'Heat' could be Heat (1995) (id"),
    (("--rate", "The Martix=4"), "did you mean Matrix, The (1999)"),
    (("--rate", "Zzz qqq=4"), "'Zzz qqq' is no title of the items"),
    (("--rate", "Heat (1995)=4", "--rate", "heat (1995)=3"), "rated twice"),
    (("--user", 1, "-n", 0), "--n 0; it must be a whole number, 1 or more"),
    (("--user", 1, "--years", "1800-1801"), "no item is left"),
    (("--user", 1, "--years", "90s"), "write 1994, 1990-1999"),
    (("--user", 1, "--genres", "opera"), "no item is of genre 'opera'"),
    (("--user", 1, "--order", "best"), "choose among score, interest, rating, lower"),
    (("--user", 1, "--popularity", 3), "--popularity 3.0; it must be from -1"),
    (("--user", 1, "--liked", 9), "ratings go from 0.5 to 5"),
    (("--user", 1, "--liked", "much"), "'own' for the upper third"),
    (("--user", 1, "--only", "nowhere.txt"), "--only nowhere.txt: no readable file"),
    (("--ratings", "nowhere.csv"), "no such file"),
    (("--user", 1, "--out", "x.pdf"), "must end in .csv or .parquet"),
    (("--user", 1, "--items", "nowhere"), "nowhere: no such file"),
])
def test_a_mistake_is_one_line(ask, args, said):
    code, out, err = ask(*args)
    assert code == 2 and out == "" and said in err and err.count("\n") == 1


def test_more_than_is_left(ask, rows, items):
    code, out, err = ask("--user", 1, "-n", 100_000)
    assert code == 0 and "lists are shorter than --n 100000" in err and out.count("\n") > 500


@pytest.mark.parametrize("text, said", [
    ("", "the file is empty"),
    ("title,rating\n", "no rows"),
    ("a,b\n1,2\n", "neither a column of ids"),
    ("title,stars\nHeat (1995),3\n", "no rating column"),
    ("title,rating\nHeat (1995),9\n", "no rating from 0.5 to 5"),
    ("title,rating\nHeat (1995),good\n", "no rating from 0.5 to 5"),
    ("title,rating\nHeat (1995),4\nHEAT (1995),3\n", "rated twice by one person"),
    ("title,rating\nLost Film,4\n", "1 of 1 films are not among"),
    (table(LETTERBOXD + ",Rating", ["2024-01-31", "Heat", "1995", "u", 4]), "`mfrec me` reads these"),
])
def test_bad_files_of_ratings(ask, tmp_path, text, said):
    (tmp_path / "mine.csv").write_text(text)
    code, out, err = ask("--ratings", tmp_path / "mine.csv")
    assert code == 2 and out == "" and said in err and "mine.csv" in err and err.count("\n") == 1


@pytest.mark.parametrize("model, args, said", [
    ("bare", ("--rate", "Heat (1995)=5"), "saved without interest and without ratings"),
    ("no-titles", ("--rate", "Heat (1995)=5"), "knows no titles; name a file of its items with --items"),
    ("no-titles", ("--user", 1, "--years", "1990"), "no titles, genres or years"),
    ("no-ratings", ("--user", 1), "saved with --no-ratings"),
    ("bare", ("--user", 1, "--order", "rating"), "saved with --no-ratings"),
])
def test_models_that_lack_something(ask, model, args, said):
    code, out, err = ask(*args, model=model)
    assert code == 2 and out == "" and said in err and err.count("\n") == 1


def test_models_that_make_do(ask, items, tmp_path):
    code, out, err = ask("--user", 1, model="no-interest")
    assert code == 0 and "learned for this call alone" in err and "chance" in out
    code, out, err = ask("--rate", "Heat (1995)=5", "--order", "rating", model="bare")
    assert code == 0 and err == "" and "chance" not in out.splitlines()[0]
    code, out, err = ask("--user", 1, model="no-titles")
    assert code == 0 and "item " in out and "genres" not in out
    items.drop(columns="genres").to_csv(tmp_path / "items.csv", index=False)
    code, out, err = ask("--rate", "Heat (1995)=5", "--items", tmp_path / "items.csv", model="no-titles")
    assert code == 0 and "item " not in out


def test_text_ids(mfrec, ratings, items, tmp_path):
    named = ratings.assign(movieId="m" + ratings.movieId.astype(str), userId="u" + ratings.userId.astype(str))
    named.to_csv(tmp_path / "ratings.csv", index=False)
    films = items.assign(movieId="m" + items.movieId.astype(str), genres=items.genres.map("|".join))
    films.drop(columns="imdb_id").to_csv(tmp_path / "movies.csv", index=False)
    code, out, err = mfrec("fit", tmp_path / "ratings.csv", "--solver", "bias", "--out", tmp_path / "m")
    assert code == 0 and err == "" and "titles of" in out
    for who in (("--user", "u1"), ("--rate", f"{films.movieId[20]}=4"), ("--rate", f"{films.title[20]}=4")):
        code, out, err = mfrec("recommend", tmp_path / "m", *who)
        assert code == 0 and err == "" and out.count("\n") == 13


# A person's export.


def test_me(mfrec, place, letterboxd, items):
    code, out, err = mfrec("me", letterboxd, "--model", place / "model", "-n", 5)
    assert code == 0 and err == ""
    assert out.startswith("Letterboxd: 31 films rated, 11 only seen, 13 to watch; of the other rows 31 rep")
    assert "52 by title and year" in " ".join(out.split()) and "3 not found" in " ".join(out.split())
    assert "Your taste, in stars" in out or "What to watch next:" in out
    assert out.count("Why these:") == 1
    _, _, after = out.partition("What to watch next:\n")
    best, _, rest = after.partition("Your watchlist, by the same score:\n")
    wanted, _, missed = rest.partition("Not among the films of the model (3):\n")
    assert [line[0] for line in best.splitlines()[1:6]] == list("12345")
    assert len(wanted.strip().splitlines()) == 13
    assert [line.split(" (")[0] for line in missed.splitlines()] == ["Lost rated", "Lost seen", "Lost wanted"]
    assert max(map(width_of, out.splitlines())) <= WIDTH
    seen = items.title[10:50]
    assert not any(title in best for title in seen)
    assert all(title in wanted for title in items.title[50:62])


def test_me_in_json(mfrec, place, letterboxd, items):
    code, out, err = mfrec("me", letterboxd, "--model", place / "model", "--json", "-n", 4)
    told = json.loads(out)
    assert code == 0 and told["service"] == "Letterboxd" and told["counts"]["rated"] == 31
    assert [row["rank"] for row in told["recommended"]] == [1, 2, 3, 4]
    scores = [row["score"] for row in told["watchlist"]]
    assert len(scores) == 12 and scores == sorted(scores, reverse=True)
    assert [row["title"] for row in told["missed"]] == ["Lost rated", "Lost seen", "Lost wanted"]
    assert told["matched"][0] == {"how": "title and year", "matched": True, "films": 52,
                                  "share": pytest.approx(52 / 55, abs=1e-5)}
    assert {"feature", "preference", "std"} <= told["taste"][0].keys()


def test_me_is_recommend_with_what_was_seen(mfrec, place, letterboxd, items):
    "The same list as by hand: stars of those rated, and the others as watched."
    told = json.loads(mfrec("me", letterboxd, "--model", place / "model", "--json", "-n", 8)[1])
    rated = {title: 1 + at % 9 / 2 for at, title in enumerate(items.title[10:40])}
    own = load(place / "model").recommend(rated, n=8, watched=items.title[40:50].tolist())
    assert [row["movieId"] for row in told["recommended"]] == own.movieId.tolist()
    assert np.allclose([row["stars"] for row in told["recommended"]], own.stars, atol=1e-4)


def test_me_of_imdb_by_id(mfrec, place, items, tmp_path):
    films = [[items.imdb_id[at], 10 - at % 5, "2020-05-01", "another name", "", "", "Movie", "", "", 1950,
              "", "", "", ""] for at in range(10, 30)]
    series = ["tt0903747", 9, "2020-05-01", "Some Series", "", "", "TV Series", "", "", 2008, "", "", "", ""]
    (tmp_path / "ratings.csv").write_text(table(IMDB, *films, series))
    code, out, err = mfrec("me", tmp_path / "ratings.csv", "--model", place / "model", "-n", 3)
    words = " ".join(out.split())
    assert code == 0 and err == "" and "20 by IMDb id" in words and "10 stars are 5 here" in words
    assert "1 no films but series" in words and "Your watchlist" not in out and "Not among" not in out


@pytest.mark.parametrize("service, heads", [("Goodreads", "Title,My Rating,Exclusive Shelf"),
                                             ("StoryGraph", "Title,Star Rating,Read Status")])
def test_me_speaks_of_books(mfrec, place, items, tmp_path, service, heads):
    rows = [[title, 4, "read"] for title in items.title[10:20]] + [["Lost", 3, "read"]]
    rows += [[title, "", "to-read"] for title in items.title[20:25]]
    (tmp_path / "books.csv").write_text(table(heads, *rows))
    code, out, err = mfrec("me", tmp_path / "books.csv", "--model", place / "model", "-n", 3)
    assert code == 0 and err == "" and out.startswith(f"{service}: 11 books rated, 0 only read, 5 to read.")
    for said in ("What to read next:", "Your reading list, by", "Not among the books of the model (1):"):
        assert said in out
    assert not {"film", "watch", "seen"} & set(re.findall("film|watch|seen", out))
    (tmp_path / "books.csv").write_text(table(heads, rows[-1]))
    assert "no book in it is rated" in mfrec("me", tmp_path / "books.csv", "--model", place / "model")[2]


def test_taste_without_features(mfrec, ratings, items, letterboxd, tmp_path):
    "A model that has titles and no features tells of genres."
    ratings.to_csv(tmp_path / "ratings.csv", index=False)
    items.assign(genres=items.genres.map("|".join)).to_csv(tmp_path / "movies.csv", index=False)
    assert mfrec("fit", tmp_path / "ratings.csv", "--solver", "bias", "--out", tmp_path / "m")[0] == 0
    code, out, _ = mfrec("me", letterboxd, "--model", tmp_path / "m", "-n", 2)
    assert code == 0 and "Your taste, in stars, beside their own mean" in out and " films)" in out


@pytest.mark.parametrize("name, layout", [("l.csv", None), ("l.csv", "letterboxd"), ("l.json", None),
                                          ("l.json", "trakt"), ("l.csv", "trakt")])
def test_a_list_for_a_service_reads_back(mfrec, place, letterboxd, items, tmp_path, name, layout):
    more = ("--layout", layout) if layout else ()
    asked = ("me", letterboxd, "--model", place / "model", "-n", 15)
    code, out, _ = mfrec(*asked, "--out", tmp_path / name, *more)
    told = json.loads(mfrec(*asked, "--json")[1])
    back = read_export(tmp_path / name).wanted
    assert code == 0 and f"15 films written to {tmp_path / name}" in out
    found = match_titles(back, items)
    assert found.movieId.tolist() == [row["movieId"] for row in told["recommended"]]
    assert set(found.how) == {"imdb id"}
    by_title = match_titles(back.drop(columns=["imdb_id", "tmdb_id"]), items)
    assert by_title.movieId.tolist() == found.movieId.tolist()
    other = mfrec("recommend", place / "model", "--user", 1, "--only", tmp_path / name, "-n", 3)
    assert other[0] == 0


def test_titles_that_need_quotes(tmp_path):
    titles = ['Crouching Tiger, "Hidden" Dragon (2000)', "Two\nLines (1990)", "Émigré (1990)"]
    films = pd.DataFrame({"title": titles})
    assert write_list(films, tmp_path / "l.csv") == 3
    back = read_export(tmp_path / "l.csv").wanted
    assert back.year.tolist() == [2000, 1990, 1990] and back.title[0] == 'Crouching Tiger, "Hidden" Dragon'
    with pytest.raises(DataError, match="none of 3 films has an id of IMDb"):
        write_list(films, tmp_path / "l.json", "trakt")
    with pytest.raises(DataError, match="cannot be written"):
        write_list(films, tmp_path / "none" / "l.csv")


def test_me_refuses(mfrec, place, letterboxd, tmp_path):
    (tmp_path / "other.csv").write_text("Titel,Note\nHeat,5\n")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "head.csv").write_text(LETTERBOXD + ",Rating\n")
    (tmp_path / "wanted.csv").write_text(table(LETTERBOXD, ["2024-01-31", "Heat", "1995", "u"]))
    (tmp_path / "lost.csv").write_text(table(LETTERBOXD + ",Rating", ["2024-01-31", "Lost", "1995", "u", 4]))
    (tmp_path / "stars.csv").write_text(table(LETTERBOXD + ",Rating", ["2024-01-31", "Heat", "1995", "u", 9]))
    for path, said in (("none.zip", "no such file or folder"), ("other.csv", "no known layout"),
                       ("other.csv", "set the site to English"), ("empty.csv", "the file is empty"),
                       ("head.csv", "no films in it"), ("wanted.csv", "no film in it is rated"),
                       ("lost.csv", "none of its 1 rated films is among"), ("stars.csv", "out of scale")):
        code, out, err = mfrec("me", tmp_path / path, "--model", place / "model")
        assert code == 2 and out == "" and said in err and err.count("\n") == 1, path
    for args, said in ((("-n", 0), "--n 0"), (("--out", "x.pdf"), "must end in .csv"),
                       (("--out", "x.csv", "--layout", "imdb"), "choose among letterboxd, trakt"),
                       (("--out", "x.json", "--layout", "letterboxd"), "must end in .csv")):
        code, out, err = mfrec("me", letterboxd, "--model", place / "model", *args)
        assert code == 2 and out == "" and said in err and err.count("\n") == 1, args
    code, out, err = mfrec("me", letterboxd, "--model", place / "no-titles")
    assert code == 2 and "the model knows no titles" in err
    code, out, err = mfrec("me", letterboxd, "--model", place / "bare")
    assert code == 2 and "without --no-interest" in err
    code, out, err = mfrec("me", letterboxd, "--model", place / "no-ratings", "-n", 3)
    assert code == 0 and "What to watch next" in out


# Searching, fitting, the demo.


def test_find(mfrec, place, items, tmp_path):
    code, out, err = mfrec("find", "heat", "--model", place / "model")
    ids = [int(line.split()[0]) for line in out.splitlines()[1:3]]
    assert code == 0 and ids == items.movieId[3:5].tolist()
    assert json.loads(mfrec("find", "matrix", "--model", place / "model", "--json")[1])[0]["match"] == "title"
    assert "no title is like" in mfrec("find", "zzzzqqq", "--model", place / "model")[1]
    assert mfrec("find", "e", "--items", "sample", "-n", 2)[0] == 0
    for args, said in ((("heat",), "nothing says where to search"), (("", "--items", "sample"), "some words"),
                       (("heat", "--items", "sample", "--model", place / "model"), "were given"),
                       (("heat", "--model", place / "no-titles"), "knows no titles"),
                       (("heat", "--items", "sample", "-n", 0), "--n 0")):
        code, out, err = mfrec("find", *args)
        assert code == 2 and said in err and err.count("\n") == 1


def test_fit_says_what_it_did_and_what_comes_next(mfrec, ratings, items, tmp_path):
    ratings.to_csv(tmp_path / "ratings.csv", index=False)
    bare = ("fit", tmp_path / "ratings.csv", "--solver", "bias", "--out", tmp_path / "m")
    code, out, err = mfrec(*bare)
    assert code == 0 and err == "" and "no titles of items" in out and f"--user {ratings.userId.min()}" in out
    films = items.drop(columns="imdb_id").assign(genres=items.genres.map("|".join))
    films.to_csv(tmp_path / "movies.csv", index=False)
    links = pd.DataFrame({"movieId": items.movieId, "imdbId": items.imdb_id.str[2:], "tmdbId": items.movieId})
    links.to_csv(tmp_path / "links.csv", index=False)
    code, out, err = mfrec(*bare)
    lines = out.splitlines()
    assert code == 0 and err == "" and len(lines) == 5
    assert lines[1].startswith("interest, who would choose what, learned in")
    assert lines[2] == f"titles of {len(items):,} items kept, with ids of IMDb and TMDb"
    assert lines[4].startswith(f'next: mfrec recommend {tmp_path / "m"} --rate "{items.title[0]}=5" --rate')
    model = load(tmp_path / "m")
    assert model.catalogue.imdb_id.tolist() == items.imdb_id.tolist() and model.item.features is None
    code, out, err = mfrec(*bare, "--no-interest", "--no-ratings")
    assert code == 0 and "next" not in out and "without the ratings" in out
    assert load(tmp_path / "m").item.interest is None
    code, out, err = mfrec(*bare, "--no-ratings")
    model = load(tmp_path / "m")
    assert code == 0 and model.item.interest is not None and model.ratings is None
    films.assign(movieId=-films.movieId).to_csv(tmp_path / "movies.csv", index=False)  # of another set
    assert "no titles of items" in mfrec(*bare)[1]


def test_update_keeps_titles_and_interest(mfrec, place, ratings, items, tmp_path):
    new = ratings.head(40).assign(userId=10**6)
    new.to_csv(tmp_path / "new.csv", index=False)
    items[["movieId", "title"]].to_csv(tmp_path / "movies.csv", index=False)
    code, _, err = mfrec("update", place / "model", tmp_path / "new.csv", "--out", tmp_path / "m")
    model = load(tmp_path / "m")
    assert code == 0 and model.item.interest is not None and "imdb_id" in model.catalogue, err
    code, out, err = mfrec("recommend", tmp_path / "m", "--user", 10**6)
    assert code == 0 and out.count("\n") == 13
    many = ratings.sample(2000, random_state=1).assign(userId=lambda rows: rows.userId + 10**6)
    many.drop_duplicates(["userId", "movieId"]).to_csv(tmp_path / "many.csv", index=False)
    bias = BiasModel().fit(ratings).with_interest().model_
    bias.save(tmp_path / "b")
    code, _, err = mfrec("update", tmp_path / "b", tmp_path / "many.csv", "--refit", "--out", tmp_path / "b2")
    assert code == 0 and load(tmp_path / "b2").item.interest is not None, err


def test_messages_speak_of_options():
    assert as_options("only= leaves 0, years= leaves 3") == "--only leaves 0, --years leaves 3"
    assert as_options("n=0; it must") == "--n 0; it must" and as_options("min_ratings=3") == "--min-ratings 3"
    assert as_options("fit(ratings, items=...)") == "`mfrec fit` --items"
    assert as_options("name it with user_col=") == "name it with --user-col"
    assert as_options("(n=3)") == "(n=3)"
