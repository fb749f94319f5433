"""Every file is read as a strict reader reads it, or refused: dialects, block boundaries, streams, gaps, ids.

MFREC_FUZZ=10 makes ten times as many files.
"""
import codecs
import csv
import gzip
import io
import os
import random
import subprocess
import sys
import threading
import time
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import mfrec
from mfrec.doors import places, text
from mfrec.doors.files import read_ratings
from mfrec.doors.items import read_items, read_users
from mfrec.doors.places import Member
from mfrec.errors import DataError, MfrecWarning
from mfrec.ratings.items import make_items, titles_of

FUZZ = int(os.environ.get("MFREC_FUZZ", 1))
HEAD = "userId,movieId,rating\n"
SLOW = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@pytest.fixture
def write(tmp_path):
    "write(name, text or bytes) -> path"
    def _write(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return path
    return _write


def rows_read(path, **options):
    "What the reader makes of a file: names and rows of text."
    member = Member(Path(path))
    dialect = text.dialect_of(member, **options)
    columns = text.read_text(member, dialect).columns
    return list(columns), list(zip(*(column.to_pylist() for column in columns.values())))


def rows_expected(content, mark):
    "What Python's csv module makes of a text, with None for what is empty."
    rows = [row for row in csv.reader(io.StringIO(content, newline=""), delimiter=mark, strict=True) if row]
    return rows[0], [tuple(cell or None for cell in row) for row in rows[1:]]


cells = st.text(st.sampled_from('ab,;|\t"\n\'7. é\\'), max_size=6)
cells = cells.filter(lambda cell: not cell.startswith(" "))
tables = st.integers(2, 4).flatmap(lambda width: st.lists(
    st.lists(cells, min_size=width, max_size=width).map(tuple), min_size=1, max_size=12))


@settings(max_examples=60 * FUZZ, deadline=None, suppress_health_check=SLOW)
@given(tables, st.sampled_from(",;|\t"), st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
       st.sampled_from(["\n", "\r\n"]), st.booleans(), st.integers(4, 40), st.data())
def test_rows_are_those_of_a_strict_reader(tmp_path, rows, mark, encoding, ends, every, block, data):
    "Whatever stands in quotes, and wherever a block ends."
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=mark, lineterminator=ends,
                        quoting=csv.QUOTE_ALL if every else csv.QUOTE_MINIMAL)
    writer.writerow([f"column{i}" for i in range(len(rows[0]))])
    writer.writerows(rows)
    content = out.getvalue()
    path = tmp_path / ("t.tsv" if mark == "\t" else "t.csv")
    path.write_bytes(content.encode(encoding))
    size = max(block, 2 * max(len(line.encode()) for line in content.split(ends)))
    with pytest.MonkeyPatch.context() as patch:
        if "\n" not in "".join(map("".join, rows)):  # else a row may be longer than a block
            patch.setattr(text, "CHUNK", max(size, 80))
        names, found = rows_read(path)
    assert (names, found) == rows_expected(content, mark)


@pytest.mark.parametrize("offset", range(-3, 4))
def test_line_breaks_in_quotes_at_the_end_of_a_block(write, offset):
    "Of a file as long as a block and a little more, or less."
    title = 'one, ""two""\nand, three'  # each half could be a row
    line, last = "1,{}\n", f'2,"{title}"\n'
    fill = "x" * (text.CHUNK - len("item,title\n") - len(line.format("")) - 12 + offset)
    path = write("items.csv", "item,title\n" + line.format(fill) + last * 3)
    plain = title.replace('""', '"')
    assert rows_read(path)[1] == [("1", fill), *[("2", plain)] * 3]


def test_damaged_files_are_refused_or_read_alike(write):
    "Files with a few bytes changed: the rows of the csv module, or a DataError that names the file."
    rng, good = random.Random(0), 'item,title,year\n1,"Heat, or ""fire""",1995\n2,Jaws,\n3,"a\nb",7\n'
    counts = {"same": 0, "refused": 0}
    for _ in range(400 * FUZZ):
        cells = list(good)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(16, len(cells))
            cells[at:at + rng.randint(0, 1)] = rng.choice(['"', ",", "\n", "\\", " ", "x", ""])
        content = "".join(cells)
        path = write("items.csv", content)
        try:
            wanted = rows_expected(content, ",")
        except csv.Error:
            wanted = None
        try:
            found = rows_read(path)
            counts["same"] += 1
        except DataError as error:
            assert "items.csv" in str(error) and len(str(error)) < 400
            counts["refused"] += 1
            assert wanted is None or any(len(row) != 3 for row in wanted[1])
            continue
        blank = [[str(cell).lstrip(" ") for cell in row] for row in found[1]]
        assert wanted is None and ' "' in content or blank == [
            [str(cell).lstrip(" ") for cell in row] for row in wanted[1]] or ' "' in content
    assert min(counts.values()) > 40 * FUZZ


@pytest.mark.parametrize("name, content, said", [
    ("movies.dat", "1::Heat::Crime\n2::Toy :: Story (1995)::Animation\n", "line 2 has 4 fields"),
    ("u.item", "1|a|b\n", "line 1 has 3 fields"),
    ("items.tsv", "movieId\ttitle\n1\ta\tb\n", "line 2 has 3 fields"),
    ("items.csv", 'movieId,title\n1,"The \\"best\\" one"\n', "from line 2 on"),
    ("items.csv", 'movieId,title\n1,"Heat\n2,Jaws\n', "each closed"),
    ("items.csv", "movieId,title\n1,a\nx,b\n", "mixed, 'x' in line 3"),
    ("items.csv", "movieId,title\n1.5,a\n2,b\n", "mixed, '1.5' in line 2"),
    ("items.csv", "movieId,title\n1,a\0b\n", "bytes of 0"),
    ("items.csv", "movieId,title,title\n1,a,b\n", "two columns are called 'title'"),
])
def test_what_is_no_table_is_refused(write, name, content, said):
    with pytest.raises(DataError, match=said) as caught:
        read_items(write(name, content))
    assert name in str(caught.value)


def test_quotes_where_nothing_encloses_a_field(write):
    path = write("items.tsv", 'movieId\ttitle\n1\t"Heat\n2\t7" single\n3\tJaws"\n')
    assert read_items(path).title.tolist() == ['"Heat', '7" single', 'Jaws"']
    path = write("movies.dat", '1::"Heat (1995)::Crime\n')
    assert read_items(path).title.tolist() == ['"Heat (1995)']


@pytest.mark.parametrize("mark", [",", ";", "\t", "|", "::"])
def test_separators_are_found(write, mark):
    content = HEAD + "1,2,3.5\n2,3,4\n"
    assert read_ratings(write("r.csv", content.replace(",", mark))).rating.tolist() == [3.5, 4]


def test_decimal_commas(write):
    assert read_ratings(write("r.csv", "userId;movieId;rating\n1;2;3,5\n2;3;4\n")).rating.tolist() == [3.5, 4]
    assert read_ratings(write("u.data", "1\t2\t3,5\t9\n")).rating.tolist() == [3.5]
    with pytest.raises(DataError, match="write decimals with a point"):
        read_ratings(write("r.csv", "userId;movieId;rating\n1;2;3,5\n2;3;4.5\n"))
    with pytest.raises(DataError, match="write decimals with a point"):
        read_ratings(write("r.csv", HEAD + '1,2,"3,5"\n'))


def test_blanks_behind_separators(write):
    content = "userId, movieId, rating\n a,  x, 4\nb , y, 3\n"
    frame = read_ratings(write("r.csv", content))
    assert frame.userId.tolist() == ["a", "b"] and frame.movieId.tolist() == ["x", "y"]
    items = read_items(write("items.csv", 'movieId, title, genres\n x, "Net, The", War\n'))
    assert items.movieId.tolist() == ["x"] and items.title.tolist() == ["Net, The"]


def test_only_an_empty_cell_is_a_gap(write, tmp_path):
    frame = read_ratings(write("r.csv", HEAD + "NA,a,5\nnull,b,3\n"))
    model = mfrec.BiasModel().fit(frame)
    assert np.isfinite(model.predict(pd.DataFrame({"userId": ["NA", "null"], "movieId": ["b", "a"]}))).all()
    model.save(tmp_path / "m")
    assert mfrec.load(tmp_path / "m").user.ids.classes_.tolist() == ["NA", "null"]
    items = read_items(write("items.csv", "movieId,title,genres\nnan,NA,None\nb,null,\nc,,NA|nan\n"))
    assert items.movieId.tolist() == ["nan", "b", "c"] and items.title.tolist() == ["NA", "null", ""]
    assert items.genres.tolist() == [("None",), (), ("NA", "nan")]
    users = read_users(write("users.csv", "userId,job,zip\n1,NA,02139\n2,,48067\n"))
    assert users.job[0] == "NA" and pd.isna(users.job[1]) and users.zip.tolist() == ["02139", "48067"]
    imdb = read_items(write("title.tsv", "tconst\tprimaryTitle\tstartYear\tgenres\n"
                                         "tt1\t\\N\t1994\t\\N\ntt2\t\"Emma\"\t\\N\tDrama,War\n"))
    assert imdb.title.tolist() == ["", '"Emma"'] and imdb.genres.tolist() == [(), ("Drama", "War")]
    assert imdb.year[0] == 1994 and pd.isna(imdb.year[1])


def test_a_pipe_is_read_whole_and_once(tmp_path):
    rows = HEAD + "".join(f"{u},{i},{(u + i) % 5 + 1}\n" for u in range(200) for i in range(100))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def feed():
        with pipe.open("w") as file:
            for start in range(0, len(rows), 30_000):
                file.write(rows[start:start + 30_000])
                file.flush()
                time.sleep(0.002)

    writer = threading.Thread(target=feed)
    writer.start()
    assert len(read_ratings(pipe)) == 20_000
    writer.join()
    for name in ("-", "/dev/stdin"):
        program = f"import mfrec; print(len(mfrec.read_ratings({name!r})))"
        done = subprocess.run([sys.executable, "-c", program], input=rows, capture_output=True, text=True)
        assert done.stdout.split() == ["20000"], done.stderr


def test_what_never_ends_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "PATIENCE", 0.3)
    os.mkfifo(tmp_path / "nobody")
    with pytest.raises(DataError, match="into which nobody writes"):
        read_ratings(tmp_path / "nobody")
    for path in ("/dev/zero", "/dev/random", "/proc/kmsg", "/proc/self/status"):
        with pytest.raises(DataError, match="not a file on a disk"):
            read_ratings(path)


def test_what_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "HARMLESS", 1 << 20)
    rows = (HEAD + "1,2,3\n" * 10).encode()
    with gzip.open(tmp_path / "r.csv.gz", "wb") as file:
        file.write(rows + b" " * (8 << 20))
    with zipfile.ZipFile(tmp_path / "r.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../ratings.csv", rows + b"\n" * (8 << 20))
    for name in ("r.csv.gz", "r.zip"):
        with pytest.raises(DataError, match="unpacks to more than 100 times|goes on for millions"):
            read_ratings(tmp_path / name)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r.csv.gz", "r.zip"]
    monkeypatch.setattr(places, "available_memory", lambda: 1 << 20)
    with pytest.raises(DataError, match="more than the memory available"):
        places.read_whole(io.BytesIO(bytes(8 << 20)), "a pipe")


def test_a_line_without_end_is_refused(write):
    with pytest.raises(DataError, match="goes on for millions"):
        read_ratings(write("r.csv", HEAD[:-1] + "," * (5 << 20)))
    with pytest.raises(DataError, match="r.csv"):
        read_ratings(write("r.csv", HEAD + "1,2,3\n1,2," + "3" * (9 << 20)))


@pytest.mark.parametrize("cell, genres", [
    ("['Action', 'Comedy']", ("Action", "Comedy")),
    ("('Action',)", ("Action",)),
    ("[{'id': 28, 'name': 'Action'}]", ("Action",)),
    ('[{"id": 28, "name": "Action"}, {"id": 35, "name": "Comedy"}]', ("Action", "Comedy")),
    ('["Action", null]', ("Action",)),
    ("{'Comedy', 'Action'}", ("Action", "Comedy")),
    ("[]", ()), ("()", ()), ("\\N", ()), ("", ()), ("[[", ("[[",)),
])
def test_lists_as_text(write, cell, genres):
    assert make_items(pd.DataFrame({"movieId": [1, 2], "genres": [cell, "War"]})).genres[0] == genres
    frame = pd.DataFrame({"movieId": [1, 2], "title": ["a", "b"], "genres": [cell, "War"]})
    frame.to_csv(write("items.csv", ""), index=False)
    assert read_items(write("items.csv", frame.to_csv(index=False))).genres[0] == genres


@pytest.mark.parametrize("titles", [["1917", ""], ["1.50", "2"], ["1e3", "300"]])
def test_titles_that_are_numbers_stay_as_they_are(write, titles):
    frame = pd.DataFrame({"movieId": [1, 2], "title": titles})
    back = read_items(write("items.csv", frame.to_csv(index=False)))
    assert back.title.tolist() == titles


titles = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=8).map(str.strip)
names = st.text("abc'\"é &", min_size=1, max_size=5).map(str.strip).filter(bool)


@settings(max_examples=60 * FUZZ, deadline=None, suppress_health_check=SLOW)
@given(st.lists(st.tuples(st.integers(-5, 2**40), titles, st.lists(names, max_size=3, unique=True),
                          st.one_of(st.none(), st.integers(1900, 2030))),
                min_size=1, max_size=8, unique_by=lambda row: row[0]))
def test_items_come_back_from_a_file(tmp_path, rows):
    raw = pd.DataFrame(rows, columns=["movieId", "title", "genres", "year"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MfrecWarning)
        items = make_items(raw.assign(year=raw.year.astype("Int16")))
        items.to_csv(tmp_path / "items.csv", index=False)
        back = read_items(tmp_path / "items.csv")
    pd.testing.assert_frame_equal(back, items, check_dtype=False)
    assert back.year.dtype == items.year.dtype


@settings(max_examples=40 * FUZZ, deadline=None, suppress_health_check=SLOW)
@given(st.lists(st.tuples(st.integers(0, 99), st.text("ab7,\"'; é", min_size=1, max_size=4).map(str.strip),
                          st.integers(1, 10), st.integers(0, 2**33)),
                min_size=1, max_size=8, unique_by=lambda row: row[:2]), st.sampled_from(",;\t|"))
def test_ratings_come_back_from_a_file(tmp_path, rows, mark):
    frame = pd.DataFrame(rows, columns=["userId", "movieId", "rating", "timestamp"])
    frame = frame[frame.movieId != ""].assign(rating=lambda rows: np.float32(rows.rating / 2))
    if not len(frame) or frame.movieId.str.fullmatch("7+").any():
        return
    path = tmp_path / ("r.tsv" if mark == "\t" else "r.csv")
    frame.to_csv(path, index=False, sep=mark)
    back = read_ratings(path)
    for column in frame:
        assert back[column].tolist() == frame[column].tolist()


@pytest.mark.parametrize("title, genre", [
    ("name", "genre"), ("Title", "Genres"), ("primaryTitle", "listed_in"), ("title", "tags")])
def test_columns_under_other_names(write, title, genre):
    items = read_items(write("items.csv", f"id,{title},{genre}\n1,Heat (1995),Crime|War\n2,,\n"))
    assert items.title[0] == "Heat (1995)" and items.genres[0] == ("Crime", "War") and items.year[0] == 1995
    assert titles_of([1, 2, 3], items).tolist() == ["Heat (1995)", "item 2", "item 3"]


def test_columns_of_no_known_name_are_pointed_out_once(write):
    path = write("items.csv", "movieId,film,kind\n1,Heat,Crime\n2,Jaws,Horror\n")
    said = "no column of title or genres .* film, kind; .*title_col="
    with pytest.warns(MfrecWarning, match=said) as caught:
        read_items(path)
    assert len(caught) == 1
    assert read_items(path, title_col="film", genres_col="kind").genres.tolist() == [("Crime",), ("Horror",)]
    with pytest.raises(DataError, match="no column 'name' for title"):
        read_items(path, title_col="name")
    ratings = pd.DataFrame({"userId": [1, 1, 2], "movieId": [1, 2, 1], "rating": [4.0, 3, 5]})
    with pytest.warns(MfrecWarning, match="no feature in the columns movieId, film, kind"):
        mfrec.ALSMF(n_factors=1).fit(ratings, items=pd.read_csv(path))


def test_a_time_that_nobody_needs_stops_nobody(write):
    head = "userId,movieId,rating,timestamp\n"
    path = write("r.csv", head + "1,1,5,\n1,2,3,1500000000\n2,1,4,1500000001\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frame = read_ratings(path)
        mfrec.BiasModel().fit(frame)
    assert frame.timestamp.isna().tolist() == [True, False, False]
    with pytest.warns(MfrecWarning, match="has no time in row 0 .1 such.; these rows are left out") as caught:
        train, test = mfrec.split_time(frame, 0.5)
    assert len(caught) == 1 and len(train) + len(test) == 2
    strange = write("r.csv", head + "1,1,5,31/12/2019\n1,2,3,1500000000\n2,1,4,soon\n")
    with pytest.warns(MfrecWarning, match=r"'31/12/2019' in line 2 \(2 such\) is no time") as caught:
        frame = read_ratings(strange)
    assert len(caught) == 1 and frame.timestamp.notna().sum() == 1
    twice = write("r.csv", head + "1,1,5,\n1,1,3,10\n1,1,2,\n")
    assert read_ratings(twice, on_duplicates="last").rating.tolist() == [3]


@pytest.mark.parametrize("bad", [1.5, np.inf, 2.0**53, 1e300, float(2**63)])
def test_ids_that_are_no_exact_whole_numbers(tmp_path, bad):
    frame = pd.DataFrame({"userId": [1.0, bad], "movieId": [1, 2], "rating": [3.0, 4.0]})
    frame.to_parquet(tmp_path / "r.parquet")
    for attempt in (lambda: read_ratings(tmp_path / "r.parquet"), lambda: mfrec.BiasModel().fit(frame),
                    lambda: make_items(pd.DataFrame({"movieId": [1.0, bad], "title": ["a", "b"]}))):
        with pytest.raises(DataError, match="row 1|position 1"):
            attempt()
    narrow = pd.DataFrame({"userId": np.float32([1, 2**24]), "movieId": [1, 2], "rating": [3.0, 4.0]})
    with pytest.raises(DataError, match="1.6777216e.07|16777216"):
        mfrec.BiasModel().fit(narrow)


def test_ids_beyond_eight_bytes_are_text_in_every_reader(write):
    big = str(2**63)
    items = read_items(write("items.csv", f"movieId,title\n{big},Heat\n5,Jaws\n"))
    ratings = read_ratings(write("r.csv", HEAD + f"1,{big},4\n2,5,3\n"))
    assert items.movieId.tolist() == ratings.movieId.tolist() == [big, "5"]
    assert titles_of(ratings.movieId, items).tolist() == ["Heat", "Jaws"]


@pytest.mark.parametrize("kind", ["int8", "uint8", "int16", "uint32", "int64", "uint64", "object", "float64",
                                  "Int64", "category"])
def test_any_kind_of_whole_numbers_predicts_alike(kind):
    ratings = pd.DataFrame({"userId": [1, 1, 2, 3], "movieId": [7, 8, 7, 8], "rating": [5.0, 3, 4, 1]})
    pairs = pd.DataFrame({"userId": [1, 3], "movieId": [7, 7]})
    plain = mfrec.BiasModel().fit(ratings).predict(pairs)
    other = ratings.astype({"userId": kind, "movieId": kind})
    assert (mfrec.BiasModel().fit(other).predict(pairs) == plain).all()
    assert (mfrec.BiasModel().fit(ratings).predict(pairs.astype(kind)) == plain).all()


def test_numbers_written_in_two_ways_are_kept_apart(write):
    with pytest.warns(MfrecWarning, match="'007' and '07' are two ids and one number .3 such") as caught:
        frame = read_ratings(write("r.csv", HEAD + "007,1,4\n7,2,3\n07,3,5\n8,1,1\n"))
    assert len(caught) == 1 and frame.userId.tolist() == ["007", "7", "07", "8"]
    assert frame.movieId.dtype.kind == "i"
    assert read_ratings(write("r.csv", HEAD + "007,1,4\n008,2,3\n")).userId.tolist() == [7, 8]
    with pytest.warns(MfrecWarning, match="'-0' and '0' are two ids"):
        assert read_ratings(write("r.csv", HEAD + "0,1,4\n-0,2,3\n")).userId.tolist() == ["0", "-0"]
    with pytest.raises(DataError, match="mixed, '0x10' in line 2"):
        read_ratings(write("r.csv", HEAD + "0x10,1,4\n16,2,3\n"))


def test_titles_by_ids_of_another_kind():
    text_ids = make_items(pd.DataFrame({"movieId": ["1", "2"], "title": ["Heat", "Jaws"]}))
    whole = make_items(pd.DataFrame({"movieId": [1, 2], "title": ["Heat", "Jaws"]}))
    for ids, items in (([1, 2], text_ids), (["1", "2"], whole), ([1, 2], whole), (["1", "2"], text_ids)):
        assert titles_of(ids, items).tolist() == ["Heat", "Jaws"]


def test_one_bad_id_among_whole_numbers_is_named(write):
    with pytest.raises(DataError, match="r.csv.*'x7' in line 3"):
        read_ratings(write("r.csv", HEAD + "1,2,3\nx7,2,4\n3,2,5\n"))
    frame = pd.DataFrame({"userId": [1, "x7", 3], "movieId": [1, 2, 3], "rating": [3.0, 4, 5]})
    with pytest.raises(DataError, match="column userId has the id x7 in row 1"):
        mfrec.BiasModel().fit(frame)


@pytest.mark.parametrize("encoding", ["rot13", "base64", "nonsense", 5])
def test_encodings_that_are_none(write, encoding):
    with pytest.raises(mfrec.errors.SettingError, match="encoding="):
        read_ratings(write("r.csv", HEAD + "1,2,3\n"), encoding=encoding)


def test_every_mark_at_the_start_of_a_file_is_known():
    assert {codecs.lookup(name).name for name in text.BOMS.values()} == {"utf-16", "utf-32"}


cells = st.text(st.sampled_from('ab,\n"'), max_size=4)
quoted = st.lists(st.lists(cells, min_size=2, max_size=2), min_size=1, max_size=12).map(
    lambda rows: "".join(f'"{first}","{last}"\n' for first, last in rows)
)
few_quotes = st.text(st.sampled_from('ab,\n"'), max_size=60)


@settings(max_examples=400, deadline=None)
@given(quoted | quoted.map(lambda rows: rows.replace('""', '"')) | few_quotes,
       st.sampled_from([1, 3, 6, 12, 30, 90]), st.sampled_from([1, 7, 40, 200]))
@example('"aaaaaaaaa","\nbbbbbbbb"\n', 6, 200)  # a break at the start of a field
def test_the_quick_look_at_quotes_sees_what_the_full_one_sees(content, glance, size):
    "Whether they are as the standard has them, and whether lines break inside, at all ends of blocks."
    seen = []
    for quick in (text.all_between, lambda quote, mark: False):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(text, "all_between", quick)
            patch.setattr(text, "GLANCE", glance)
            watch = text.Watch(",")
            for start in range(0, len(content), size):
                watch.see(content[start:start + size].encode())
            watch.see(b"")
            seen.append((watch.standard, watch.standard and watch.breaks, watch.quotes, watch.odd))
    assert seen[0] == seen[1]


def test_the_quick_look_is_taken():
    "In a file of plain fields that all have quotes."
    data = "".join(f'"{row:07}","{row % 90:05}","4.5"\n' for row in range(40_000)).encode()
    watch, found = text.Watch(","), []
    with pytest.MonkeyPatch.context() as patch:
        quick = text.all_between
        patch.setattr(text, "all_between", lambda *marks: found.append(quick(*marks)) or found[-1])
        for start in range(0, len(data), 500_000):
            watch.see(data[start:start + 500_000])
    assert watch.standard and not watch.breaks and np.mean(found) > 0.5
