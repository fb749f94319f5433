"Exports of every layout, made here with the traps of real ones: each ends in three lists or in one sentence."
import csv
import gzip
import io
import json
import random
import warnings
import zipfile

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mfrec.doors.exports
from mfrec.doors.exports import ratings_of, read_export
from mfrec.doors.layouts import LAYOUTS, dates_of, find_layout
from mfrec.ratings.titles import match_titles
from mfrec.errors import DataError, MfrecWarning, SettingError
from mfrec.ratings.frames import find_columns
from mfrec.ratings.items import make_items

LETTERBOXD = "Date,Name,Year,Letterboxd URI"
RATINGS = LETTERBOXD + ",Rating"
DIARY = LETTERBOXD + ",Rating,Rewatch,Tags,Watched Date"
REVIEWS = LETTERBOXD + ",Rating,Rewatch,Review,Tags,Watched Date"
IMDB = ("Const,Your Rating,Date Rated,Title,Original Title,URL,Title Type,IMDb Rating,Runtime (mins),Year,"
        "Genres,Num Votes,Release Date,Directors")
GOODREADS = (
    "Book Id,Title,Author,Author l-f,Additional Authors,ISBN,ISBN13,My Rating,Average Rating,Publisher,"
    "Binding,Number of Pages,Year Published,Original Publication Year,Date Read,Date Added,Bookshelves,"
    "Bookshelves with positions,Exclusive Shelf,My Review,Spoiler,Private Notes,Read Count,Owned Copies")
STORYGRAPH = (
    "Title,Authors,Contributors,ISBN/UID,Format,Read Status,Date Added,Last Date Read,Dates Read,Read Count,"
    "Moods,Pace,Character- or Plot-Driven?,Strong Character Development?,Loveable Characters?,"
    "Diverse Characters?,Flawed Characters?,Star Rating,Review,Content Warnings,Content Warning Description,"
    "Tags,Owned?")
MOVIELENS = "movie_id,imdb_id,tmdb_id,rating,average_rating,title"


def table(header, *rows, mark=",", end="\r\n"):
    "A csv text under a header; a row is {column: cell}, with '' for the columns it does not name."
    names, text = header.split(","), io.StringIO()
    writer = csv.writer(text, delimiter=mark, lineterminator=end)
    writer.writerow(names)
    for row in rows:
        assert row.keys() <= set(names)
        writer.writerow([row.get(name, "") for name in names])
    return text.getvalue()


@pytest.fixture
def export(tmp_path):
    "export({name: text or bytes, ...}, zipped) -> what read_export makes of a zip, folder or single file."
    def _export(files, zipped=False, **options):
        if isinstance(files, (str, bytes)):
            files = {"export.csv": files}
        files = {name: text if isinstance(text, bytes) else text.encode() for name, text in files.items()}
        path = tmp_path / "export.zip" if zipped else tmp_path
        if zipped:
            with zipfile.ZipFile(path, "w") as archive:
                for name, data in files.items():
                    archive.writestr(name, data)
        else:
            for name, data in files.items():
                (path / name).parent.mkdir(exist_ok=True)
                (path / name).write_bytes(data)
            path = path / name if len(files) == 1 else path
        with warnings.catch_warnings():
            warnings.simplefilter("error" if not options.pop("lost", False) else "ignore")
            found = read_export(path, **options)
        kinds = ("rated", "seen", "wanted", "repeated", "no film", "no title")
        assert found.counts["rows"] == sum(found.counts[kind] for kind in kinds)
        assert [len(found.rated), len(found.seen), len(found.wanted)] == [found.counts[k] for k in kinds[:3]]
        return found
    return _export


# Letterboxd.


def letterboxd():
    "The files of a zip: in the diary a rewatch and a film without a year, in the reviews line breaks."
    diary = [
        {"Date": "2022-01-02", "Name": "Heat", "Year": 1995, "Letterboxd URI": "e1", "Rating": 3.5,
         "Watched Date": "2022-01-01"},
        {"Date": "2024-03-01", "Name": "Heat", "Year": 1995, "Letterboxd URI": "e2", "Rating": 4.5,
         "Rewatch": "Yes", "Watched Date": "2024-02-29"},
        {"Date": "2023-05-05", "Name": "Jaws", "Letterboxd URI": "e3", "Watched Date": "2023-05-04"},
        {"Date": "2023-05-05", "Year": 1999, "Letterboxd URI": "e4", "Watched Date": "2023-05-04"},
    ]
    review = 'He said "Heat, always",\nand <b>left</b>.'
    return {
        "ratings.csv": table(RATINGS,
                             {"Date": "2023-01-01", "Name": "Heat", "Year": 1995, "Letterboxd URI": "f1",
                              "Rating": 4.5},
                             {"Date": "2023-01-01", "Name": "The Good, the Bad and the Ugly", "Year": 1966,
                              "Letterboxd URI": "f2", "Rating": 5},
                             {"Date": "2023-01-02", "Name": "Up", "Year": 2009, "Letterboxd URI": "f3"}),
        "diary.csv": table(DIARY, *diary),
        "reviews.csv": table(REVIEWS, diary[1] | {"Review": review}),
        "watched.csv": table(LETTERBOXD, *(
            {"Date": "2023-01-01", "Name": name, "Year": year, "Letterboxd URI": uri} for name, year, uri in
            [("Heat", 1995, "f1"), ("The Good, the Bad and the Ugly", 1966, "f2"), ("Up", 2009, "f3"),
             ("Jaws", 1975, "f4")])),
        "watchlist.csv": table(LETTERBOXD, {"Date": "2024-01-01", "Name": "Solaris", "Year": 1972},
                               {"Date": "2024-01-01", "Name": "Up", "Year": 2009}),
        "profile.csv": "Date Joined,Username,Given Name\r\n2020-01-01,me,\r\n",
        "comments.csv": "Date,Content,Comment\r\n",
        "deleted/diary.csv": table(DIARY, {"Name": "Deleted", "Year": 2000, "Rating": 1}),
        "orphaned/diary.csv": table(DIARY, {"Name": "Orphaned", "Year": 2000, "Rating": 1}),
        "likes/films.csv": table(LETTERBOXD, {"Name": "Liked", "Year": 2000}),
        "lists/best.csv": "Letterboxd list export v7\r\nDate,Name,Tags,URL,Description\r\n",
    }


@pytest.mark.parametrize("folder", ["", "letterboxd-me-2024/"])
@pytest.mark.parametrize("zipped", [True, False])
def test_letterboxd(export, zipped, folder):
    found = export({folder + name: text for name, text in letterboxd().items()
                    if zipped or not folder or "/" not in name}, zipped, lost=True)
    assert found.service == "Letterboxd"
    assert found.rated.title.tolist() == ["Heat", "The Good, the Bad and the Ugly"]
    assert found.rated.rating.tolist() == [4.5, 5] and found.rated.year.tolist() == [1995, 1966]
    assert set(found.seen.title) == {"Up", "Jaws"} and found.seen.year.notna().sum() >= 1
    assert found.wanted.title.tolist() == ["Solaris"]
    assert found.counts["other stars before"] == 1 and found.counts["no title"] == 1
    assert "not read, since no layout fits: comments.csv, profile.csv" in found.notes
    assert "watchlist.csv: Letterboxd, 2 wanted" in found.notes


def test_rows_left_out_are_said_once(tmp_path):
    (tmp_path / "diary.csv").write_text(letterboxd()["diary.csv"])
    with pytest.warns(MfrecWarning, match="diary.csv: 1 rows left out: 1 without a title") as caught:
        found = read_export(tmp_path / "diary.csv")
    assert len(caught) == 1
    assert found.rated.rating.tolist() == [4.5] and found.rated.date[0] == pd.Timestamp("2024-02-29")


def test_current_stars_win_over_a_later_diary(export):
    row = {"Name": "Heat", "Year": 1995}
    found = export({"diary.csv": table(DIARY, row | {"Rating": 2, "Watched Date": "2024-01-01"}),
                    "ratings.csv": table(RATINGS, row | {"Rating": 4, "Date": "2020-01-01"})})
    assert found.rated.rating.tolist() == [4] and found.counts["other stars before"] == 1


def test_two_films_of_one_title_and_year(export):
    rush = {"Name": "Rush", "Year": 2013}
    found = export({
        "ratings.csv": table(RATINGS, rush | {"Letterboxd URI": "a", "Rating": 4}),
        "watched.csv": table(LETTERBOXD, rush | {"Letterboxd URI": "a"}, rush | {"Letterboxd URI": "b"}),
        "diary.csv": table(DIARY, rush | {"Letterboxd URI": "e", "Rating": 4, "Watched Date": "2024-01-01"}),
    })
    assert (len(found.rated), len(found.seen), found.counts["repeated"]) == (1, 1, 2)


def test_the_same_film_twice_in_one_file_is_one(export):
    heat = {"Name": "Heat", "Year": 1995, "Letterboxd URI": "a"}
    found = export(table(RATINGS, heat | {"Rating": 4, "Date": "2024-01-01"},
                         heat | {"Rating": 3, "Date": "2020-01-01"}, heat | {"Name": "HEAT", "Rating": 2}))
    assert found.rated.rating.tolist() == [4] and found.counts["repeated"] == 2


def test_a_watchlist_is_known_by_its_name(export):
    text = table(LETTERBOXD, {"Name": "Solaris", "Year": 1972})
    assert len(export({"letterboxd-me-watchlist (1).csv": text}).wanted) == 1
    assert len(export({"films.csv": text}).seen) == 1


def test_a_list_of_letterboxd(export):
    text = ("Letterboxd list export v7\nDate,Name,Tags,URL,Description\n2024-01-01,Best,,https://x,\"a, b\"\n"
            "\n"
            "Position,Name,Year,URL,Description\n1,Heat,1995,https://y,\n2,Up,2009,https://z,\"so, so\"\n")
    assert export(text).wanted.title.tolist() == ["Heat", "Up"]


@pytest.mark.parametrize("header, row, rating", [
    ("tmdbID,imdbID,Title,Year,Rating10,WatchedDate,Rewatch,Review", {"Rating10": 7}, 3.5),
    ("Title,Year,Rating,Tags", {"Rating": "3,5"}, 3.5),
    ("Year,Review,Rating,Title", {"Rating": "★★★½", "Review": "a\nb"}, 3.5),
])
def test_lists_that_letterboxd_imports(export, header, row, rating):
    found = export(table(header, {"Title": "Heat", "Year": "1995"} | row, {"Title": "Up"}))
    assert found.rated.rating.tolist() == [rating] and found.wanted.title.tolist() == ["Up"]


def test_a_list_without_stars(export):
    found = export(table("Title,Year,imdbID,WatchedDate", {"Title": "Heat", "WatchedDate": "2024-01-31"},
                         {"Title": "Up", "imdbID": "1049413"}, {"imdbID": "tt0113277"}))
    assert found.seen.title.tolist() == ["Heat"]
    assert found.wanted.imdb_id.tolist() == ["tt1049413", "tt0113277"]


# IMDb.


def imdb_rows():
    return [
        {"Const": "tt0113277", "Your Rating": 9, "Date Rated": "2020-01-31", "Title": "Heat",
         "Title Type": "Movie", "IMDb Rating": 8.3, "Year": 1995, "Genres": "Action, Crime"},
        {"Const": "tt0118421", "Your Rating": 8, "Title": "Oz", "Title Type": "TV Series", "Year": 1997},
        {"Const": "tt0959621", "Your Rating": 10, "Title": "Pilot", "Title Type": "tvEpisode", "Year": 2008},
        {"Const": "tt1049413", "Your Rating": 1, "Title": "Up", "Title Type": "movie", "Year": 2009},
        {"Const": "tt0069293", "Title": "Solaris", "Title Type": "Movie", "Year": 1972},
    ]


def check_imdb(found):
    assert found.service == "IMDb" and found.rated.imdb_id.tolist() == ["tt0113277", "tt1049413"]
    assert found.rated.rating.tolist() == [4.5, 0.5] and found.rated.given.tolist() == [9, 1]
    assert found.wanted.title.tolist() == ["Solaris"] and found.counts["no film"] == 2
    assert "10 stars are 5 here, others in proportion" in found.notes


def test_imdb(export, tmp_path):
    check_imdb(export(table(IMDB, *imdb_rows()), lost=True))
    with pytest.warns(MfrecWarning, match="2 rows left out: 2 that are no films"):
        read_export(tmp_path / "export.csv")


@pytest.mark.parametrize("change", [
    lambda text: "\ufeff" + text,
    lambda text: text.replace("\r\n", "\n"),
    lambda text: text.replace("\r\n", "\r"),
    lambda text: text.encode("utf-16"),
    lambda text: text.encode("latin-1"),
    lambda text: text.upper().replace("TT0", "tt0").replace("TT1", "tt1").replace("SOLARIS", "Solaris"),
    lambda text: text + "\r\n\r\n,,,,,,,,,,,,,\r\n",
    lambda text: "sep=,\r\n" + text,
])
def test_imdb_however_it_is_written(export, change):
    check_imdb(export(change(table(IMDB, *imdb_rows())), lost=True))


@pytest.mark.parametrize("mark", [";", "\t"])
def test_imdb_saved_by_a_spreadsheet(export, mark):
    check_imdb(export(table(IMDB, *imdb_rows(), mark=mark), lost=True))


def test_the_order_of_columns_does_not_matter_nor_do_others(export):
    names = [*IMDB.split(","), "Mood"]
    random.Random(0).shuffle(names)
    check_imdb(export(table(",".join(names), *imdb_rows()), lost=True))
    older = table(IMDB.replace("Original Title,", ""), *imdb_rows()).replace("Your Rating", "You rated")
    check_imdb(export(older, lost=True))


@pytest.mark.parametrize("drop", [None, 4])
def test_imdb_in_another_language(export, drop):
    german = ("Const,Ihre Bewertung,Bewertet am,Titel,Originaltitel,URL,Titelart,IMDb-Bewertung,Laufzeit,"
              "Jahr,Genres,Stimmen,Erschienen,Regie").split(",")
    english = IMDB.split(",")
    lines = [[row.get(name, "") for name in english] for row in imdb_rows()]
    if drop:
        lines = [line[:drop] + line[drop + 1:] for line in lines]
        german.pop(drop)
    text = io.StringIO()
    csv.writer(text).writerows([german, *lines])
    check_imdb(export(text.getvalue(), lost=True))


def test_unknown_title_types_are_films_and_said(export):
    found = export(table(IMDB, imdb_rows()[0] | {"Title Type": "Fernsehfilm"}))
    assert len(found.rated) == 1 and "unknown title types taken as films: fernsehfilm (1)" in found.notes


def test_a_watchlist_of_imdb_with_stars_among_it(export):
    names = ["Position", "Const", "Created", "Modified", "Description", *IMDB.split(",")[3:], "Your Rating",
             "Date Rated"]
    found = export(table(",".join(names), *imdb_rows()), lost=True)
    check_imdb(found)
    bare = export(table("Position,Const,Created,Title,Year", {"Const": "tt0113277", "Title": "Heat"}))
    assert bare.wanted.title.tolist() == ["Heat"]


# Books.


def goodreads_rows():
    return [
        {"Book Id": 1, "Title": "Dune (Dune, #1)", "Author": "Frank Herbert", "ISBN": '="0441013597"',
         "My Rating": 5, "Average Rating": 4.2, "Year Published": 2005, "Original Publication Year": 1965,
         "Date Read": "2021/03/05", "Date Added": "2020/01/01", "Exclusive Shelf": "read",
         "My Review": "Sand,<br/>\"sand\"\nand more"},
        {"Book Id": 2, "Title": "The Road", "Author": "Cormac McCarthy", "ISBN": '=""', "My Rating": 0,
         "Year Published": 2006, "Date Added": "2020/01/01", "Exclusive Shelf": "read"},
        {"Book Id": 3, "Title": "Emma", "My Rating": 0, "Exclusive Shelf": "to-read"},
        {"Book Id": 4, "Title": "The Iliad", "My Rating": 0, "Original Publication Year": -750,
         "Exclusive Shelf": "currently-reading"},
        {"Book Id": 5, "Title": "Ulysses", "My Rating": 2, "Exclusive Shelf": "to-read"},
    ]


def test_goodreads(export):
    found = export(table(GOODREADS, *goodreads_rows()))
    assert found.service == "Goodreads" and found.rated.rating.tolist() == [5, 2]
    assert found.rated.year[0] == 1965 and found.rated.goodreads_id.tolist() == [1, 5]
    assert found.rated.author[0] == "Frank Herbert" and found.rated.date[0] == pd.Timestamp("2021-03-05")
    assert found.seen.title.tolist() == ["The Road", "The Iliad"] and found.seen.year.tolist() == [2006, -750]
    assert found.wanted.title.tolist() == ["Emma"]


def test_goodreads_as_it_writes_isbns(export):
    text = 'Book Id,Title,ISBN,My Rating,Exclusive Shelf\n1,Dune,="0441013597",4,read\n2,Emma,="",3,read\n'
    assert export(text).rated.rating.tolist() == [4, 3]


def test_goodreads_before_there_was_a_shelf_to_choose(export):
    found = export(table("Title,My Rating,Bookshelves", {"Title": "Dune", "Bookshelves": "sand, to-read"},
                         {"Title": "Emma", "Bookshelves": "not-to-read-again"}, {"Title": "Ulysses"}))
    assert found.wanted.title.tolist() == ["Dune"] and found.seen.title.tolist() == ["Emma", "Ulysses"]


def test_storygraph(export):
    found = export(table(
        STORYGRAPH,
        {"Title": "Dune", "Authors": "Frank Herbert", "Read Status": "read", "Last Date Read": "2021/03/05",
         "Dates Read": "2021/02/28-2021/03/05", "Star Rating": "4.25", "Review": "<div>So,\n\"so\"</div>"},
        {"Title": "Dune", "Authors": "Frank Herbert", "Read Status": "read", "Last Date Read": "2019/03/05",
         "Star Rating": "3.0"},
        {"Title": "Emma", "Read Status": "to-read"},
        {"Title": "The Road", "Read Status": "did-not-finish", "Star Rating": "0.0"},
        {"Title": "Ulysses", "Read Status": "currently-reading"}))
    assert found.service == "StoryGraph" and found.rated.rating.tolist() == [4.25]
    assert found.seen.title.tolist() == ["The Road", "Ulysses"] and found.wanted.title.tolist() == ["Emma"]
    assert found.counts["repeated"] == found.counts["other stars before"] == 1
    few = export({"few.csv": table("Read Status,Title", {"Title": "Dune", "Read Status": "read"})})
    assert few.seen.title.tolist() == ["Dune"]


# MovieLens and Trakt.


def test_movielens(export):
    found = export(table(MOVIELENS,
                         {"movie_id": 6, "imdb_id": "0113277", "tmdb_id": 949, "rating": 4.5,
                          "average_rating": 3.8, "title": "Heat (1995)"},
                         {"movie_id": 6, "imdb_id": "0113277", "rating": 4, "title": "Heat (1995)"}))
    assert found.service == "MovieLens" and found.rated.rating.tolist() == [4] and found.rated.year[0] == 1995
    assert found.rated.imdb_id.tolist() == ["tt0113277"]


def trakt_film(title, year, **more):
    ids = {"trakt": 1, "slug": "x", "imdb": more.pop("imdb", None), "tmdb": more.pop("tmdb", None)}
    return more | {"type": "movie", "movie": {"title": title, "year": year, "ids": ids}}


def test_trakt(export):
    show = {"rated_at": "2020-01-01T00:00:00.000Z", "rating": 9, "type": "episode", "episode": {}, "show": {}}
    heat = trakt_film("Heat", 1995, imdb="tt0113277", tmdb=949)
    rated = [heat | {"rating": 7, "rated_at": "2008-10-04T00:00:00.000Z"}, show,
             trakt_film("Up", 2009, tmdb=14160, rating=10, rated_at="2021-01-01T23:00:00.000Z")]
    seen = [heat | {"plays": 2, "last_watched_at": "2021-01-01T00:00:00.000Z"},
            trakt_film("Jaws", None, watched_at="2021-01-01T00:00:00.000Z")]
    listed = [trakt_film("Solaris", 1972, rank=1, listed_at="2021-01-01T00:00:00.000Z"),
              {"type": "show", "show": {"title": "Oz"}}]
    files = {"ratings-movies.json": rated, "watched.json": seen, "watchlist.json": listed}
    found = export({name: json.dumps(part) for name, part in files.items()}, zipped=True, lost=True)
    assert found.service == "Trakt" and found.rated.title.tolist() == ["Heat", "Up"]
    assert found.rated.rating.tolist() == [3.5, 5] and found.rated.tmdb_id.tolist() == [949, 14160]
    assert found.rated.date[1] == pd.Timestamp("2021-01-01 23:00")
    assert found.seen.title.tolist() == ["Jaws"] and found.wanted.title.tolist() == ["Solaris"]
    assert found.counts["no film"] == 2 and found.counts["repeated"] == 1
    one = export({"all.json": json.dumps({"ratings": rated, "watchlist": listed})}, lost=True)
    assert len(one.rated) == 2 and len(one.wanted) == 1


@pytest.mark.parametrize("text, said", [
    ('[{"movie": ', "not a whole json file"),
    ("[" * 100_000, "not a whole json file"),
    ('{"a": 1}', "with the columns a"),
    ('[{"title": "Heat"}]', "with the columns title"),
    ("[1, 2]", "with the columns none"),
    ("[]", "no films in it; only a header"),
    ('[{"show": {}}]', "no films in it; 1 that are no films but series"),
    ('[{"movie": {"title": "Heat"}, "rating": 11}]', "'11' in entry 1 (1 such) is out of scale, 1 to 10"),
    ('[{"movie": {"title": "Heat"}, "rating": "good"}]', "'good' in entry 1 (1 such) is no number of stars"),
    ('[{"movie": 7, "rating": 5}]', "no films in it"),
    ('[{"movie": {"title": null, "ids": 3}, "rating": 5}]', "no films in it; 1 without a title"),
])
def test_bad_json(export, text, said):
    with pytest.raises(DataError) as error:
        export({"trakt.json": text}, lost=True)
    assert said in str(error.value)


# Cells.


@pytest.mark.parametrize("cell, date", [
    ("2024-01-31", "2024-01-31"), ("2024/01/31", "2024-01-31"), ("01/31/2024", "2024-01-31"),
    ("31/01/2024", "2024-01-31"), ("31.01.2024", "2024-01-31"), ("Jan 31, 2024", "2024-01-31"),
    ("January 31, 2024", "2024-01-31"), ("31 January 2024", "2024-01-31"), ("31 Jan 2024", "2024-01-31"),
    ("Wed Jan 31 00:00:00 2024", "2024-01-31"), ("2024-01-31T10:00:00.000Z", "2024-01-31 10:00"),
    ("2024-01-31T10:00:00+02:00", "2024-01-31 08:00"), ("2024-01-31 10:00:00", "2024-01-31 10:00"),
    ("04/05/2024", "2024-04-05"), ("", None), ("soon", None), ("2024-13-31", None),
])
def test_dates(export, cell, date):
    found = export(table(RATINGS, {"Name": "Heat", "Rating": 4, "Date": cell}))
    assert found.rated.date[0] == pd.Timestamp(date) if date else pd.isna(found.rated.date[0])
    assert any("dates in no known form" in note for note in found.notes) == (cell in ("soon", "2024-13-31"))


def test_the_form_of_most_dates_is_that_of_all():
    assert dates_of(pd.Series(["13/05/2024", "25/12/2024", "04/05/2024"])).dt.month.tolist() == [5, 12, 5]
    assert dates_of(pd.Series(["05/13/2024", "12/25/2024", "04/05/2024"])).dt.month.tolist() == [5, 12, 4]


@pytest.mark.parametrize("cell, stars", [
    ("4", 4), ("4.0", 4), ("3,5", 3.5), ("0.5", 0.5), ("½", 0.5), ("★", 1), ("★★★½", 3.5),
    ("★★★★★", 5), (" 4 ", 4), ("", None), ("0", None), ("0.0", None),
])
def test_stars(export, cell, stars):
    found = export(table(RATINGS, {"Name": "Heat", "Rating": cell}))
    assert found.rated.rating.tolist() == ([stars] if stars else []) and len(found.seen) == (stars is None)


@pytest.mark.parametrize("header, row, said", [
    (RATINGS, {"Name": "Heat", "Rating": "6"}, "'6' in line 3 (1 such) is out of scale, 0.5 to 5"),
    (RATINGS, {"Name": "Heat", "Rating": "-1"}, "'-1' in line 3 (1 such) is out of scale"),
    (RATINGS, {"Name": "Heat", "Rating": "★★★★★½"}, "out of scale"),
    (RATINGS, {"Name": "Heat", "Rating": "good"}, "'good' in line 3 (1 such) is no number of stars"),
    (RATINGS, {"Name": "Heat", "Rating": "nan"}, "no number of stars"),
    (RATINGS, {"Name": "Heat", "Rating": "inf"}, "out of scale"),
    (IMDB, {"Const": "tt1", "Title": "Heat", "Your Rating": "11"}, "out of scale, 1 to 10"),
    (GOODREADS, {"Title": "Dune", "My Rating": "0.5"}, "out of scale, 1 to 5"),
    (STORYGRAPH, {"Title": "Dune", "Star Rating": "0.1"}, "out of scale, 0.25 to 5"),
    ("Title,Rating", {"Title": "Dune", "Rating": "8"}, "out of scale, 0.5 to 5"),
])
def test_stars_out_of_scale(export, header, row, said):
    title = "Name" if "Name" in header else "Title"
    with pytest.raises(DataError) as error:
        export(table(header, {title: "Good"}, row))
    assert said in str(error.value) and "export.csv" in str(error.value)


@pytest.mark.parametrize("scale, ratings, note", [
    ((0.5, 5), [2.5, 0.25 * 2], "10 stars are 5 here"), ((1, 5), [2.5, 1], "ratings below 1 raised to it: 1"),
    ((0, 10), [5, 1], "10 stars are 10 here"), ((1, 100), [50, 10], "10 stars are 100 here"),
])
def test_scales(export, scale, ratings, note):
    rows = [{"Const": f"tt{n}", "Title": "x", "Your Rating": stars} for n, stars in ((1, 5), (2, 1))]
    found = export(table(IMDB, *rows), scale=scale)
    assert found.rated.rating.tolist() == ratings and found.scale == scale
    assert any(note in line for line in found.notes) and note in str(found)


@pytest.mark.parametrize("scale", [(5, 1), (1, 1), (-5, -1), (1,), (1, 2, 3)])
def test_scales_that_are_none(export, scale):
    with pytest.raises(SettingError, match="scale="):
        export(table(IMDB, *imdb_rows()[:1]), scale=scale)


# Files that are no export, or a damaged one.


HEAD = RATINGS + "\n"


@pytest.mark.parametrize("text, said", [
    ("", ["the file is empty"]),
    ("\ufeff\n \n", ["the file is empty"]),
    (HEAD, ["no films in it; only a header"]),
    ("Titel,Note\nHeat,5\n",
     ["no known layout", "Titel, Note", "Letterboxd (letterboxd uri, name)", "Trakt's json", "English"]),
    ("userId,movieId,rating,timestamp\n1,2,3,4\n", ["a table of ratings or items", "read_ratings"]),
    ("movieId,title,genres,year\n1,Heat,Crime,1995\n", ["read_items"]),
    ("<!DOCTYPE html>\n<html>\n", ["no known layout"]),
    (b"\x00\x01\x02\x89PNG\r\n", ["no known layout"]),
    (HEAD + "2024-01-31,Heat,1995,x\n", ["line 2 has 4 fields where the header has 5", "damaged"]),
    (HEAD + "2024-01-31,Heat,1995,x,4,5\n", ["line 2 has 6 fields where the header has 5"]),
    (HEAD + "2024-01-31,Up,2009,x,4\n\n2024-01-31,\"Heat", ["damaged after line 2", "export it again"]),
    (HEAD + ",,1995,,4\n", ["no films in it; 1 without a title"]),
])
def test_bad_files(export, text, said):
    with pytest.raises(DataError) as error:
        export(text, lost=True)
    for part in [*said, "export.csv"]:
        assert part in str(error.value)


def test_a_path_that_is_none(tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        read_export(tmp_path / "none.zip")
    with pytest.raises(DataError, match="no csv or json"):
        read_export(tmp_path)


def test_bad_zips(export, tmp_path):
    export(letterboxd(), zipped=True, lost=True)
    whole = (tmp_path / "export.zip").read_bytes()
    for name, data in [("cut.zip", whole[:-30]), ("text.zip", b"no zip"), ("none.zip", b"")]:
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DataError, match=f"{name}: damaged or not readable"):
            read_export(tmp_path / name)
    hurt = bytearray(whole)
    at = whole.index(b"2023-01-01,Heat")
    hurt[at:at + 4] = b"9999"
    (tmp_path / "hurt.zip").write_bytes(hurt)
    with pytest.raises(DataError, match="damaged or not readable"):
        read_export(tmp_path / "hurt.zip")
    with pytest.raises(DataError, match="export.zip: profile.csv: an export of no known layout"):
        export({"profile.csv": "a,b\n1,2\n", "x/y.txt": "x"}, zipped=True)
    with pytest.raises(DataError, match="no file of an export in it, but comments.csv, profile.csv"):
        export({"profile.csv": "a,b\n1,2\n", "comments.csv": "c\n"}, zipped=True)
    with pytest.raises(DataError, match="no csv or json"):
        export({"readme.txt": "x"}, zipped=True)


def test_a_locked_zip(export, tmp_path):
    export({"ratings.csv": letterboxd()["ratings.csv"], "x.json": "[]"}, zipped=True)
    data = bytearray((tmp_path / "export.zip").read_bytes())
    for sign, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = -1
        while (at := data.find(sign, at + 1)) >= 0:
            data[at + flags] |= 1
    (tmp_path / "locked.zip").write_bytes(data)
    with pytest.raises(DataError, match="damaged or not readable"):
        read_export(tmp_path / "locked.zip")


def test_a_zip_under_another_name_and_a_packed_file(export, tmp_path):
    export(letterboxd(), zipped=True, lost=True)
    (tmp_path / "export.zip").rename(tmp_path / "export")
    with pytest.warns(MfrecWarning):
        assert len(read_export(tmp_path / "export").rated) == 2
    (tmp_path / "ratings.csv.gz").write_bytes(gzip.compress(letterboxd()["ratings.csv"].encode()))
    assert len(read_export(tmp_path / "ratings.csv.gz").rated) == 2


@pytest.mark.parametrize("pack", ["zip", "gz", "csv"])
def test_what_is_unpacked_is_bounded(tmp_path, monkeypatch, pack):
    monkeypatch.setattr(mfrec.doors.exports, "LARGEST", 1000)
    text = letterboxd()["ratings.csv"].encode() + b"\r\n" * 2000
    path = tmp_path / f"ratings.csv.{pack}"
    if pack == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("ratings.csv", text)
    else:
        path.write_bytes(gzip.compress(text) if pack == "gz" else text)
    with pytest.raises(DataError, match="no person's export"):
        read_export(path)


def test_members_that_climb_out_are_only_read(export, tmp_path):
    found = export({"../ratings.csv": letterboxd()["ratings.csv"]}, zipped=True)
    assert len(found.rated) == 2 and not (tmp_path.parent / "ratings.csv").exists()


def test_all_files_together_are_bounded(export, monkeypatch):
    files = {f"{number}.csv": "a,b\n" + "1,2\n" * 100 for number in range(4)}
    monkeypatch.setattr(mfrec.doors.exports, "LARGEST", 1500)
    with pytest.raises(DataError, match="3.csv: more than"):
        export(files, zipped=True)


def test_odd_names_in_a_zip(export):
    files = {"./ratings.csv": letterboxd()["ratings.csv"], "./WATCHED.CSV": letterboxd()["watched.csv"],
             "./__MACOSX/._ratings.csv": b"\0", "./.x.csv": b"\0", "./folder.csv/": b""}
    found = export(files, zipped=True)
    assert len(found.rated) == 2 and len(found.seen) == 2


def test_digits_of_other_scripts_are_no_numbers(export):
    found = export(table(MOVIELENS, {"title": "Heat", "imdb_id": "٣٣", "tmdb_id": "１２", "rating": 4}))
    assert found.rated.imdb_id[0] == "" and found.rated.tmdb_id.isna()[0]
    assert export(table(RATINGS, {"Name": "Heat", "Year": "１９９５", "Rating": 4})).rated.year.isna()[0]


def test_layouts_do_not_hide_each_other():
    for at, layout in enumerate(LAYOUTS):
        assert find_layout(layout.need) is layout, layout.service
        assert find_layout([name.upper() + " " for name in layout.need]) is layout
    assert find_layout([]) is None


NAMES = st.sampled_from(["Heat", "Up", "a,b", 'say "x"', "two\nlines", " ; ", ""])
YEARS, STARS = st.sampled_from(["1995", "2009", ""]), st.sampled_from(["", "0", "4", "0.5"])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(NAMES, YEARS, STARS), max_size=8), st.sampled_from(",;\t"),
       st.sampled_from(["\n", "\r\n"]))
def test_any_rows_add_up(tmp_path, rows, mark, end):
    cells = [{"Date": "x", "Name": name, "Year": year, "Rating": stars} for name, year, stars in rows]
    (tmp_path / "any.csv").write_bytes(table(RATINGS, *cells, mark=mark, end=end).encode())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = read_export(tmp_path / "any.csv")
        except DataError as error:
            assert "no films" in str(error) and not any(name.strip() for name, _, _ in rows)
            return
    assert found.counts["rows"] == len(rows)
    titles = {name.strip().casefold() for name, _, _ in rows if name.strip()}
    assert {*found.rated.title.str.casefold(), *found.seen.title.str.casefold()} == titles


# Ratings for a model.


ITEMS = make_items(pd.DataFrame({"movieId": [6, 7, 8], "title": ["Heat (1995)", "Up (2009)", "Rush (2013)"]}))
LINKS = pd.DataFrame({"movieId": [6, 7], "imdbId": ["0113277", "1049413"]})


def test_ratings_for_a_model(export):
    found = export(table(IMDB, *imdb_rows()), lost=True)
    ratings = ratings_of(found.rated, match_titles(found.rated, ITEMS, LINKS), user=-1)
    assert ratings.columns.tolist() == ["userId", "movieId", "rating"]  # one has no date
    assert ratings.movieId.tolist() == [6, 7] and ratings.movieId.dtype == np.int64
    assert ratings.rating.tolist() == [4.5, 0.5] and set(ratings.userId) == {-1}
    assert find_columns(ratings).item == "movieId"


def test_ratings_with_times(export):
    found = export(table(IMDB, imdb_rows()[0], imdb_rows()[3] | {"Date Rated": "1970-01-02"}))
    ratings = ratings_of(found.rated, match_titles(found.rated, ITEMS, LINKS))
    assert ratings.timestamp.tolist() == [1_580_428_800, 86_400] and set(ratings.userId) == {"me"}


def test_films_that_nothing_tells_apart_are_no_ratings(export):
    rush = {"Name": "Rush", "Year": 2013}
    heat = {"Name": "Heat", "Year": 1995, "Rating": 5}
    found = export(table(RATINGS, rush | {"Letterboxd URI": "a", "Rating": 4},
                         rush | {"Letterboxd URI": "b", "Rating": 1}, heat))
    with pytest.warns(MfrecWarning, match="2 films left out, since several of one title and year .*: Rush"):
        ratings = ratings_of(found.rated, match_titles(found.rated, ITEMS))
    assert ratings.movieId.tolist() == [6]


def test_one_item_under_two_ids_counts_once():
    rated = pd.DataFrame({"title": ["Heat", "Heat"], "imdb_id": ["tt0113277", None], "tmdb_id": [None, 949],
                          "rating": [3.0, 4.0], "date": pd.to_datetime(["2024-01-31", "2020-01-31"])})
    matched = match_titles(rated, ITEMS.assign(imdb_id=["tt0113277", "", ""], tmdb_id=[949, 0, 0]))
    assert ratings_of(rated, matched).rating.tolist() == [3.0]
    twice = rated.assign(imdb_id="tt0113277")
    matched = match_titles(twice, ITEMS, LINKS)
    assert matched.how.tolist() == ["imdb id"] * 2
    assert ratings_of(twice, matched).rating.tolist() == [3.0]  # the later one


def test_no_film_among_the_items(export):
    found = export(table(IMDB, imdb_rows()[4] | {"Your Rating": 7}))
    assert ratings_of(found.rated, match_titles(found.rated, ITEMS, LINKS)).empty
