"""Reading as a hostile user would have it:
every bad file ends in one DataError that names the place and the fix."""

import gzip
import json
import pickle
import warnings
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mfrec
from mfrec.doors.files import read_ratings
from mfrec.doors.items import read_items, read_users
from mfrec.doors.places import locate
from mfrec.errors import DataError, MfrecWarning, SettingError
from mfrec.kernel.progress import progress_bar
from mfrec.plots import plot_ratings
from mfrec.ratings.frames import Columns, describe_ratings, find_columns
from mfrec.ratings.items import make_items, titles_of, year_of

HEAD = "userId,movieId,rating\n"


@pytest.fixture
def write(tmp_path):
    "write(name, text or bytes) -> path"
    def _write(name, content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return path
    return _write


@pytest.mark.parametrize("text, said", [
    ("", ["empty"]),
    ("\n\n", ["empty"]),
    (HEAD, ["no rows"]),
    ("userId,rating\n1,4\n", ["no item column", "movieId", "item_col="]),
    ("userId movieId rating\n1 2 3\n", ["sep=' '"]),
    (HEAD + "1,2,4\n1,3,great\n", ["column rating", "'great'", "line 3"]),
    (HEAD + "1,2,4\n1,3,\n", ["column rating", "line 3"]),
    (HEAD + "1,2,4\n1,3,NaN\n", ["column rating", "line 3"]),
    (HEAD + "1,2,4\n1,3,inf\n", ["column rating", "not finite", "line 3"]),
    (HEAD + "1,2,4\n,3,4\n", ["column userId", "line 3"]),
    (HEAD + "1,2,4\n1,NA,4\n", ["column movieId", "line 3"]),
    (HEAD + "1,2,4\nbob,3,4\n", ["column userId", "mixed", "line 3", "'bob'", "string_ids=True"]),
    (HEAD + "1,2,4\n1,2,5\n", ["user 1 rates item 2 more than once", "line 3", "on_duplicates="]),
    (HEAD + "1,2,4\n1,2\n", ["line 3 has 2 fields where the first line has 3", "sep="]),
    (HEAD + "1,2,4\n\n\n1,2,3,4\n", ["line 5 has 4 fields"]),
    (HEAD + '1,2,4\n"1,2,4\n', ["line 3"]),
    (HEAD[:-1], ["no rows"]),
    (HEAD + "\n\n", ["no rows"]),
    ("\n\n" + HEAD + "\n1,2,4\n\n\n1,3,great\n", ["'great'", "line 8"]),
    ("\ufeff" + HEAD + "1,2,4\n1,3,great\n", ["'great'", "line 3"]),
    (HEAD.replace("\n", "\r\n") + "1,2,4\r\n\r\n1,3,great\r\n", ["'great'", "line 4"]),
    ('"userId","movieId","rating"\n"1","2","4"\n"1","3","great"\n', ["'great'", "line 3"]),
    (HEAD + "1,2,4\n1,3,-inf\n2,3,1e39\n", ["not finite", "line 3", "2 such"]),
    (HEAD + "1,2,4\n1,3,1e39\n", ["not finite", "line 3"]),
    (HEAD + "1,2,4\n1,3,nan\n1,4,x\n", ["'x'", "line 4"]),
    (HEAD + "1,2,4\n1,3,nan\n1,4,1_0\n", ["'1_0'", "line 4"]),
    ("userId;movieId;rating\n1;2;4,5\n1;3;3.5\n", ["'4,5'", "line 2", "write decimals with a point"]),
    ("bob,B1,4\namy,B2,5\n", ["no user column", "write a header above it"]),
    ("userId,movieId,rating,rating\n1,2,3,4\n", ["two columns are called 'rating'"]),
    ("userId,user_id,movieId,rating\n1,1,2,3\n", ["both 'userId' and 'user_id'", "user_col="]),
    ("USERID,MOVIEID,RATING\n1,2,3\n", ["no user column", "'USERID'"]),
    (HEAD + "amy,2,4\n ,3,4\n", ["userId", "no id", "line 3"]),
    (HEAD + "1,2,4\n1.5,3,4\n", ["mixed", "'1.5'", "line 3"]),
    (HEAD + "99999999999,2,4\nbob,3,4\n", ["mixed", "line 3"]),
    ("PK\x03\x04\0\0\n", ["not plain text"]),
    ("hello world", ["one column only", "sep=' '"]),
    ("hello", ["one column only"]),
])
def test_bad_csv(write, text, said):
    with pytest.raises(DataError) as caught:
        read_ratings(write("bad.csv", text))
    for part in ["bad.csv", *said]:
        assert part in str(caught.value)


@pytest.mark.parametrize("name, text, said", [
    ("ratings.dat", "1::2::4::9\n1::3::x::9\n", "line 2"),
    ("u.data", "1\t2\t4\t9\n1\t3\t\t9\n", "line 2"),
    ("u1.base", "1\t2\t4\t9\n1\t2\t5\t9\n", "line 2"),
    ("ratings.dat", "1::2::4::9\n\n1::3::4\n", "line 3 has 3 fields where the first line has 4: '1::3::4'"),
    ("ratings.dat", "1::2::4\n1::3::\n", "rating is empty in line 2"),
    ("ratings.dat", "1::2::4\n::3::5\n", "userId is empty in line 2"),
    ("ratings.dat", "1::2::4\nbob::3::5\n", "mixed, 'bob' in line 2"),
    ("u.data", "1\t2\t4\t9\n1\t3\t4\n", "line 2 has 3 fields"),
    ("r.tsv", "userId\tmovieId\trating\n1\t2\t4\n1\t2\t4\n", "line 3"),
])
def test_line_numbers_without_a_header(write, name, text, said):
    with pytest.raises(DataError, match=said):
        read_ratings(write(name, text))


def test_scale_and_parameters(write):
    path = write("r.csv", HEAD + "1,2,4\n1,3,7\n")
    with pytest.raises(DataError, match=r"outside the scale 1 to 5 in line 3 \(1 such\), value 7.0"):
        read_ratings(path, scale=(1, 5))
    with pytest.raises(SettingError, match="nrows=0"):
        read_ratings(path, nrows=0)
    with pytest.raises(SettingError, match="on_duplicates='all'"):
        read_ratings(path, on_duplicates="all")


def test_missing_places(tmp_path, monkeypatch):
    monkeypatch.setenv("MFREC_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="nowhere: no such file, folder or data set. Tried .*mfrec download"):
        read_ratings("nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no ratings here; looked for ratings.csv.* found nothing"):
        read_ratings("empty")
    (tmp_path / "empty" / "notes.txt").write_text("hello")
    with pytest.raises(DataError, match="found notes.txt"):
        read_ratings("empty")
    (tmp_path / "data/raw/ml-32m").mkdir(parents=True)
    (tmp_path / "data/raw/ml-32m/ratings.csv").write_text(HEAD + "1,2,3\n")
    monkeypatch.delenv("MFREC_DATA")
    assert len(read_ratings()) == 1 and locate("ml-32m").name == "ml-32m"


def test_truncated_archives(write, tmp_path):
    whole = tmp_path / "set.zip"
    rows = "".join(f"{u},{i},{(u * i) % 5 + 1}\n" for u in range(1, 200) for i in range(1, 40))
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("set/ratings.csv", HEAD + rows)
    assert len(read_ratings(whole)) == 199 * 39
    with pytest.raises(DataError, match="not a whole zip"):
        read_ratings(write("half.zip", whole.read_bytes()[:-200]))
    damaged = bytearray(whole.read_bytes())
    damaged[500:520] = b"\x00" * 20
    with pytest.raises(DataError, match="damaged|not readable"):
        read_ratings(write("hurt.zip", bytes(damaged)))
    pd.DataFrame({"userId": [1, 2], "movieId": [3, 4], "rating": [1.0, 2.0]}).to_parquet(
        tmp_path / "r.parquet"
    )
    assert len(read_ratings(tmp_path / "r.parquet")) == 2
    with pytest.raises(DataError, match="not a whole parquet"):
        read_ratings(write("half.parquet", (tmp_path / "r.parquet").read_bytes()[:-20]))


def test_parquet_columns_of_every_kind(tmp_path):
    good = pd.DataFrame({"userId": ["a", "b"], "movieId": [3, 4], "rating": [1.0, 2.0]})
    for name, column, said in (
        ("rating", [1.0, None], "column rating is empty in row 1"),
        ("rating", ["4", "x"], "'x' in row 1"),
        ("userId", ["a", None], "column userId is empty"),
    ):
        good.assign(**{name: column}).to_parquet(tmp_path / "bad.parquet")
        with pytest.raises(DataError, match=said):
            read_ratings(tmp_path / "bad.parquet")
    good.assign(
        userId=good.userId.astype("category"),
        timestamp=pd.to_datetime(["2020-01-01", "2020-01-02"], utc=True),
    ).to_parquet(tmp_path / "ok.parquet")
    frame = read_ratings(tmp_path / "ok.parquet")
    assert frame.userId.tolist() == ["a", "b"] and frame.timestamp.diff()[1] == 86_400


def test_wrong_encoding(write):
    path = write("r.csv", "userId,movieId,rating\nJosé,2,4\n".encode("latin-1"))
    with pytest.raises(DataError, match="encoding="):
        read_ratings(path)
    assert read_ratings(path, encoding="latin-1").userId[0] == "José"


@pytest.mark.parametrize("text", [
    "\ufeffuserId,movieId,rating\n1,2,4\n7,3,2.5\n",
    "userId,movieId,rating\r\n1,2,4\r\n7,3,2.5\r\n",
    '"userId","movieId","rating"\n"1","2","4"\n7,3,2.5\n\n',
    "note,userId,movieId,rating\nx,1,2,4\ny,7,3,2.5\n",
    "1,2,4\n7,3,2.5\n",
], ids=["bom", "crlf", "quoted", "extra column", "no header"])
def test_harmless_variations(write, text):
    frame = read_ratings(write("r.csv", text))
    assert frame.userId.tolist() == [1, 7] and frame.movieId.tolist() == [2, 3]
    assert frame.rating.tolist() == [4.0, 2.5]
    assert frame.dtypes.astype(str).tolist() == ["int32", "int32", "float32"]


def test_ids_of_every_size(write):
    frame = read_ratings(write("r.csv", HEAD + f"{2**40},-5,4\n1,{-2**31 - 1},3\n"))
    assert frame.userId.tolist() == [2**40, 1] and frame.movieId.dtype == np.int64
    text = read_ratings(write("r.csv", HEAD + "007,B1,4\n08,B2,3\n"), string_ids=True)
    assert text.userId.tolist() == ["007", "08"] and text.movieId.tolist() == ["B1", "B2"]
    assert read_ratings(write("r.csv", HEAD + "1.0,2,4\n"), string_ids=True).userId[0] == "1.0"


def test_dates_become_seconds(write):
    frame = read_ratings(
        write("r.csv", "userId,movieId,rating,timestamp\n1,2,4,1970-01-02\n1,3,4,1970-01-01T00:01:00\n")
    )
    assert frame.timestamp.tolist() == [86_400, 60]


def test_nrows(write):
    path = write("r.csv", HEAD + "".join(f"{u},1,3\n" for u in range(1, 101)))
    assert len(read_ratings(path, nrows=1)) == 1 and len(read_ratings(path, nrows=10**6)) == 100
    assert read_ratings(path, nrows=7).userId.tolist() == list(range(1, 8))


def test_gzip(tmp_path):
    with gzip.open(tmp_path / "ratings.csv.gz", "wt") as f:
        f.write(HEAD + "1,2,3\n")
    assert len(read_ratings(tmp_path / "ratings.csv.gz")) == 1


tables = st.lists(
    st.tuples(
        st.integers(-(2**31), 2**31 - 1), st.integers(-(2**31), 2**31 - 1), st.integers(-20, 20),
        st.integers(0, 2**40)
    ),
    min_size=1,
    max_size=30,
    unique_by=lambda row: row[:2],
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tables, st.sampled_from(["r.csv", "r.parquet", "ratings.dat", "u.data"]))
def test_what_is_written_is_read(tmp_path, rows, name):
    frame = pd.DataFrame(rows, columns=["userId", "movieId", "rating", "timestamp"]).astype(
        {"userId": "int32", "movieId": "int32", "rating": "float32", "timestamp": "int64"})
    frame.rating /= 2
    path = tmp_path / name
    if name.endswith("parquet"):
        frame.to_parquet(path)
    else:
        sep = {"r.csv": ",", "ratings.dat": "::", "u.data": "\t"}[name]
        lines = [sep.join(map(str, row)) for row in frame.itertuples(index=False)]
        path.write_text("\n".join([*([",".join(frame.columns)] if name == "r.csv" else []), *lines]) + "\n")
    pd.testing.assert_frame_equal(read_ratings(path), frame)


def test_reading_shows_a_bar_to_a_person_only(write, monkeypatch, capsys):
    path = write("r.csv", HEAD + "1,2,3\n")
    read_ratings(path)
    assert capsys.readouterr().err == "" and progress_bar(range(2)).disable
    monkeypatch.setattr("mfrec.kernel.progress._someone_looks", lambda: True)
    assert len(read_ratings(path)) == 1 and "r.csv" in capsys.readouterr().err


def test_items(write):
    path = write(
        "items.csv",
        "itemId,title,year,genres,author\n1,Emma,1815,romance|classic,Austen\n"
        "2,Dune (1965),,  ,Herbert\n3,,abc,(no genres listed),\n",
    )
    items = read_items(path)
    assert items.year.astype(object).where(items.year.notna(), None).tolist() == [1815, 1965, None]
    assert items.genres.tolist() == [("romance", "classic"), (), ()] and items.author[0] == "Austen"
    assert titles_of([2, 9], items).tolist() == ["Dune (1965)", "item 9"]
    with pytest.raises(DataError, match="the file is empty"):
        read_items(write("e.csv", ""))
    with pytest.raises(DataError, match="no id in row 1"):
        make_items(pd.DataFrame({"movieId": [1, None], "title": ["a", "b"]}))
    items.to_parquet(path.with_suffix(".parquet"))
    assert read_items(path.with_suffix(".parquet")).title[1] == "Dune (1965)"


def test_a_hundred_thousand_titles_at_once():
    items = make_items(
        pd.DataFrame({"movieId": np.arange(50_000), "title": [f"film {i}" for i in range(50_000)]})
    )
    ids = np.random.default_rng(0).integers(0, 60_000, 100_000)
    titles = titles_of(ids, items)
    assert titles[ids < 50_000][0] == f"film {ids[ids < 50_000][0]}"
    assert (titles[ids >= 50_000] == [f"item {i}" for i in ids[ids >= 50_000]]).all()


@pytest.mark.parametrize("title, year", [
    ("A (1994)", 1994),
    ("B (1994–1996)", 1994),
    ("C (2007- )", 2007),
    ("D (2007-)", 2007),
    ("E", None),
    ("(1990) F", None),
])
def test_years(title, year):
    assert year_of(title) == year


def test_plot_of_a_continuous_scale():
    frame = pd.DataFrame({"userId": 1, "movieId": np.arange(200), "rating": np.linspace(0, 100, 200)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(plot_ratings(frame).patches) == 50
    assert describe_ratings(frame)["highest"] == 100


def test_the_whole_message_once(write):
    path = write("r.csv", HEAD + "1,2,4\n1,3,4\n1,2,5\n1,3,5\n")
    with pytest.raises(DataError) as caught:
        read_ratings(path)
    assert str(caught.value) == (
        f"{path}: user 1 rates item 2 more than once, again in line 4 (2 such); "
        "pass on_duplicates='last' or 'mean'"
    )


@pytest.mark.parametrize("how, ratings", [("last", [2.0, 1.0]), ("mean", [3.0, 1.0])])
@pytest.mark.parametrize("name, sep", [("r.csv", ","), ("ratings.dat", "::"), ("u.data", "\t")])
def test_duplicates(write, how, ratings, name, sep):
    lines = ["1,2,2,20", "1,2,4,10", "bob,2,1,5"]
    text = ("userId,movieId,rating,timestamp\n" if name == "r.csv" else "") + "".join(
        line.replace(",", sep) + "\n" for line in lines
    )
    # the later by time comes first in the file
    frame = read_ratings(write(name, text), on_duplicates=how, string_ids=True)
    assert frame.rating.tolist() == ratings and frame.timestamp.tolist() == [20, 5]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([-(2**31), -1, 0, 5, 2**31 - 1]),
            st.sampled_from([-(2**31), -7, 0, 2**31 - 1, 2**31 - 2]),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_duplicates_are_found_among_extreme_ids(pairs):
    from mfrec.ratings.frames import Columns, merge_duplicates
    frame = pd.DataFrame(pairs, columns=["userId", "movieId"], dtype="int32").assign(rating=np.float32(1))
    assert len(merge_duplicates(frame, Columns(), "last")) == len(set(pairs))


@pytest.mark.parametrize("text, users", [
    (HEAD + "1.0,2,4\n7.0,3,4\n", [1, 7]),
    (HEAD + "1.0,2,4\n7,3,4\n", [1, 7]),
    (HEAD + "+1,2,4\n7,3,4\n", [1, 7]),
    (HEAD + "007,2,4\n8,3,4\n", [7, 8]),
    (HEAD + "-1,2,4\n0,3,4\n", [-1, 0]),
    (HEAD + f"{2**63 - 1},2,4\n{-(2**63)},3,4\n", [2**63 - 1, -(2**63)]),
    (HEAD + f"{2**63},2,4\n{10**30},3,4\n", [str(2**63), str(10**30)]),
    (HEAD + "NA,2,4\nnull,3,4\n", ["NA", "null"]),
    (HEAD + " amy ,2,4\nbob, 3, 4\n", ["amy", "bob"]),
    (HEAD + '"Doe, J",2,4\n"a""b",3,4\n', ["Doe, J", 'a"b']),
], ids=["float", "float and int", "plus", "zeros", "negative", "int64", "huge", "NA", "blanks", "quotes"])
def test_ids(write, text, users):
    assert read_ratings(write("r.csv", text)).userId.tolist() == users


def test_one_column_of_huge_ids_leaves_the_other_small(write):
    frame = read_ratings(write("r.csv", HEAD + f"{2**40},2,4\n1,3,4\n"))
    assert [str(t) for t in frame.dtypes] == ["int64", "int32", "float32"]


@pytest.mark.parametrize("text", [
    "\n\n" + HEAD + "1,2,4\n\n7,3,2.5",
    " userId , movieId, rating\n 1 , 2 , 4 \n7,3,2.5\n",
    HEAD.replace("\n", "\r") + "1,2,4\r7,3,2.5\r",
    "userId::movieId::rating\n1::2::4\n7::3::2.5\n",
    "1::2::4\n7::3::2.5\n",
], ids=["blank lines", "header with blanks", "cr", "dat with header", "dat"])
def test_more_harmless_variations(write, text):
    frame = read_ratings(write("r.csv", text))
    assert frame.values.tolist() == [[1, 2, 4], [7, 3, 2.5]]
    assert list(frame) == ["userId", "movieId", "rating"]


def test_encodings(write):
    text = "userId,movieId,rating\nJosé,2,4\nAnaïs,3,5\n"
    for encoding in ("utf-16", "latin-1", "utf-8", "utf-8-sig", "cp1252"):
        frame = read_ratings(write("r.csv", text.encode(encoding)), encoding=encoding)
        assert frame.userId.tolist() == ["José", "Anaïs"]
    for encoding in ("utf-16", "utf-8-sig", "utf-32"):
        assert read_ratings(write("r.csv", text.encode(encoding))).userId.tolist() == ["José", "Anaïs"]
    for content, said in (
        (text.encode("utf-16")[2:], "encoding='utf-16'"),
        (text.encode("latin-1"), "line 2 is not utf-8 text"),
    ):
        with pytest.raises(DataError, match=said):
            read_ratings(write("r.csv", content))
    with pytest.raises(DataError, match="r.csv"):
        read_ratings(write("r.csv", text), encoding="utf-16")


@pytest.mark.parametrize("setting", [
    {"encoding": "nonsense"}, {"sep": ",,"}, {"nrows": 2.5}, {"nrows": -1}, {"scale": (5, 1)},
    {"on_duplicates": None}
])
def test_settings(write, setting):
    with pytest.raises(SettingError, match=next(iter(setting))):
        read_ratings(write("r.csv", HEAD + "1,2,3\n"), **setting)


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000, "no/such/file.csv", "~/no-such-file.csv"])
def test_no_such_name(name):
    with pytest.raises(DataError, match="no such file, folder or data set|no path|too long for a path"):
        read_ratings(name)


def zip_of(path, members, **kwargs):
    with zipfile.ZipFile(path, "w", **kwargs) as z:
        for name, content in members.items():
            z.writestr(name, content)
    return path


def test_zips(tmp_path):
    inner = zip_of(tmp_path / "inner.zip", {"a/ratings.csv": HEAD + "1,2,3\n"})
    assert len(read_ratings(inner.rename(tmp_path / "INNER.ZIP"))) == 1
    with pytest.raises(DataError, match="found inner.zip. Unpack it"):
        read_ratings(zip_of(tmp_path / "outer.zip", {"inner.zip": (tmp_path / "INNER.ZIP").read_bytes()}))
    with pytest.raises(DataError, match="found nothing"):
        read_ratings(zip_of(tmp_path / "empty.zip", {}))
    with pytest.raises(
        DataError,
        match=r"bad.zip: a/ratings.csv: .*'x' in line 2|bad.zip: a/ratings.csv, column rating: 'x' in line 2",
    ):
        read_ratings(zip_of(tmp_path / "bad.zip", {"a/ratings.csv": HEAD + "1,2,x\n"}))
    gz = gzip.compress((HEAD + "1,2,3\n").encode())
    assert len(read_ratings(zip_of(tmp_path / "gz.zip", {"a/ratings.csv.gz": gz}))) == 1
    frame = pd.DataFrame({"userId": [1], "movieId": [2], "rating": [3.0]})
    assert len(read_ratings(zip_of(tmp_path / "pq.zip", {"a/ratings.parquet": frame.to_parquet()}))) == 1


def test_locked_zip(tmp_path):
    path = zip_of(tmp_path / "locked.zip", {"ratings.csv": HEAD + "1,2,3\n"})
    data = bytearray(path.read_bytes())
    data[6] |= 1  # the flag that says the member is encrypted
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="locked.zip.*encrypted"):
        read_ratings(path)


@pytest.mark.parametrize("content", [gzip.compress(HEAD.encode() * 500, mtime=0)[:40], b"plain text"])
def test_damaged_gzip(write, content):
    with pytest.raises(DataError, match="ratings.csv.gz: damaged"):
        read_ratings(write("ratings.csv.gz", content))


PARQUET = {"userId": [1, 2], "movieId": [3, 4], "rating": [1.0, 2.5]}


@pytest.mark.parametrize("column, values, want", [
    ("rating", pa.array([10, 25], pa.decimal128(5, 1)), [10, 25]),
    ("rating", pa.array(["1", "2.5"]), [1, 2.5]),
    ("rating", pa.array([1, 5], pa.int8()), [1, 5]),
    ("rating", pa.array(["1", "2.5"]).dictionary_encode(), [1, 2.5]),
    ("userId", pa.array([1.0, 2.0]), [1, 2]),
    ("userId", pa.array([1, 2], pa.decimal128(10, 0)), [1, 2]),
    ("userId", pa.array([2**63, 5], pa.uint64()), [str(2**63), "5"]),
    ("userId", pa.array([b"amy", b"bob"]), ["amy", "bob"]),
    ("userId", pa.array(["amy", "bob"]).dictionary_encode(), ["amy", "bob"]),
    ("userId", pa.array([7, 8]).dictionary_encode(), [7, 8]),
    ("userId", pa.array([2**40, 8]), [2**40, 8]),
    ("userId", pa.array(["01", "02"], pa.large_string()), [1, 2]),
    ("timestamp", pa.array([0, 86_400_000], pa.timestamp("ms")), [0, 86_400]),
    ("timestamp", pa.array([0, 1], pa.date32()), [0, 86_400]),
    ("timestamp", pa.array([0, 5 * 10**9], pa.timestamp("ns", "Europe/Paris")), [0, 5]),
    ("timestamp", pa.array([1.0, 2.9]), [1, 2]),
])
def test_parquet_types(tmp_path, column, values, want):
    pq.write_table(pa.table({**PARQUET, column: values}), tmp_path / "r.parquet")
    frame = read_ratings(tmp_path / "r.parquet")
    assert frame[column].tolist() == want and frame.rating.dtype == np.float32


@pytest.mark.parametrize("column, values, said", [
    ("rating", pa.array([1.0, np.nan]), "rating is missing or not finite in row 1"),
    ("rating", pa.array([1.0, None]), "rating is empty in row 1"),
    ("rating", pa.array([1.0, np.inf]), "not finite in row 1"),
    ("rating", pa.array([[1], [2]]), "rating holds list"),
    ("userId", pa.array([1, None]), "userId is empty in row 1"),
    ("userId", pa.array([1.0, np.nan]), "the id nan in row 1"),
    ("userId", pa.array([1.0, 2.5]), "the id 2.5 in row 1"),
    ("userId", pa.array([1.0, 1e300]), "in row 1"),
    ("userId", pa.array(["1", "bob"]), "mixed, 'bob' in row 1"),
    ("userId", pa.array([[1], [2]]), "userId holds list"),
])
def test_bad_parquet(tmp_path, column, values, said):
    pq.write_table(pa.table({**PARQUET, column: values}), tmp_path / "r.parquet")
    with pytest.raises(DataError, match=said) as caught:
        read_ratings(tmp_path / "r.parquet")
    assert "r.parquet" in str(caught.value)


def test_parquet_as_a_whole(tmp_path, write):
    frame = pd.DataFrame(PARQUET)
    frame.to_parquet(tmp_path / "r.parquet")
    assert read_ratings(tmp_path / "r.parquet", nrows=1).userId.tolist() == [1]
    assert len(read_ratings(tmp_path / "r.parquet", nrows=99)) == 2
    assert read_ratings(tmp_path / "r.parquet", string_ids=True).userId.tolist() == ["1", "2"]
    frame.head(0).to_parquet(tmp_path / "none.parquet")
    frame.drop(columns="rating").to_parquet(tmp_path / "less.parquet")
    for path, said in (
        (tmp_path / "none.parquet", "no rows"),
        (tmp_path / "less.parquet", "no rating column"),
        (write("text.parquet", HEAD), "not a whole parquet"),
        (write("empty.parquet", ""), "not a whole parquet"),
        (write("r.csv", (tmp_path / "r.parquet").read_bytes()), "name it .parquet"),
    ):
        with pytest.raises(DataError, match=said):
            read_ratings(path)


@pytest.mark.parametrize("name, text, said", [
    ("items.csv", "movieId,title\n", "no rows"),
    ("items.csv", "movieId title\n1 Heat\n", "sep=' '"),
    ("items.csv", "movieId,title\n1,Heat\n1,Big\n", "once more the id 1 in line 3 .1 such"),
    ("items.tsv", "id\ttitle\n7\t\"\n\n8\tHeat\n7.0\tBig\n7\tNet\n", "once more the id 7 in line 5 .2 such"),
    ("items.csv", "movieId,title\n1,Heat\n,Big\n", "no id in line 3"),
    ("items.csv", "movieId,title\n1,American President, The\n", "line 2 has 3 fields where the first"),
    ("items.csv", "movieId,title\n1,Heat\n2,Net, The\n", "line 3"),
    ("items.csv", "name,title\na,b\n", "no item column"),
    ("movies.dat", "", "the file is empty"),
    ("items.csv", "", "the file is empty"),
])
def test_bad_items(write, name, text, said):
    with pytest.raises(DataError, match=said) as caught:
        read_items(write(name, text))
    assert name in str(caught.value)


def test_years_that_are_none_are_counted_once(write):
    path = write(
        "items.csv", "movieId,title,year\n1,Heat (1995),soon\n2,Big,1988\n3,Net,soon\n4,Alien,inf\n5,Jaws,\n"
    )
    with pytest.warns(
        MfrecWarning,
        match=r"items.csv: column year has 'soon' in row 2, "
        r"which is no year and counts as unknown \(2 such\)",
    ) as caught:
        items = read_items(path)
    assert len(caught) == 1 and items.year.fillna(0).tolist() == [1995, 1988, 0, 0, 0]


@pytest.mark.parametrize("mark", ["|", ";", ",", "/", "\t", " - ", ", ", " | "])
def test_marks_between_genres(mark):
    raw = pd.DataFrame({
        "movieId": [1, 2, 3],
        "genres": [f"Drama{mark}War", "Sci-Fi", f"War{mark}Film-Noir{mark}"],
    })
    assert make_items(raw).genres.tolist() == [("Drama", "War"), ("Sci-Fi",), ("War", "Film-Noir")]


@pytest.mark.parametrize("joint", [",", " & ", " and "])
def test_genres_joined_by_another_mark_are_pointed_out(joint):
    raw = pd.DataFrame({
        "movieId": range(4),
        "genres": ["Drama|War", f"War{joint}Drama", "Drama|War|Sci-Fi & Fantasy", "War"],
    })
    with pytest.warns(
        MfrecWarning,
        match=r"'War.*Drama' looks like several values with another mark between them "
        r"than the usual '\|', but counts as one \(1 such\)",
    ) as caught:
        items = make_items(raw)
    assert len(caught) == 1 and items.genres[1] == (f"War{joint}Drama",)


def test_files_are_closed(write):
    """Also those of items and users: an open file is a warning in Python's development mode,
    and a lock on Windows."""
    import gc
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        read_items(write("movies.dat", "1::Heat (1995)::Action\n"))
        read_users(write("users.dat", "1::F::25::3::0\n"))
        gc.collect()


def test_items_old_layouts_in_either_encoding(write):
    for encoding in ("latin-1", "utf-8"):
        text = '10::Léon "The Professional" (1994)::Action|Crime\n'
        items = read_items(write("movies.dat", text.encode(encoding)))
        assert items.title[0] == 'Léon "The Professional" (1994)'
    items = read_items(write("items.csv", " movieId , title\n007,Heat (1995)\n08,\n"), string_ids=True)
    assert items.movieId.tolist() == ["007", "08"]
    assert items.title.tolist() == ["Heat (1995)", ""]
    assert titles_of(["08"], items).tolist() == ["item 08"]


def test_items_from_a_frame_with_any_index():
    raw = pd.DataFrame(
        {"movieId": [1.0, 2.0], "title": ["Heat (1995)", None], "yr": [7, 8], "year": [1995, 2000]},
        index=[5, 5],
    )
    items = make_items(raw, year_col="yr")
    assert items.movieId.tolist() == [1, 2] and items.movieId.dtype == np.int32
    assert items.year.tolist() == [1995, 8]
    assert list(items) == ["movieId", "title", "year", "genres"]


texts = st.text(
    st.characters(
        codec="utf-8", exclude_characters="\r\n\0", exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]
    ),
    min_size=1,
    max_size=8,
).filter(lambda t: not t[0].isdigit())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(texts, texts, st.integers(0, 10)), min_size=1, max_size=10, unique_by=lambda row: row[:2]
    ),
    st.sampled_from(["csv", "parquet"]),
)
def test_text_ids_come_back(tmp_path, rows, kind):
    frame = pd.DataFrame(rows, columns=["userId", "movieId", "rating"]).astype({"rating": "float32"})
    path = tmp_path / f"r.{kind}"
    frame.to_parquet(path) if kind == "parquet" else frame.to_csv(path, index=False)
    back = read_ratings(path, string_ids=True)
    assert back.userId.tolist() == frame.userId.tolist()
    assert back.movieId.tolist() == frame.movieId.tolist() and back.rating.equals(frame.rating)


SHOP = ("who,what,stars,when\nann,B01,5,10\nann,B02,3,20\nbob,B01,4,30\nbob,B03,1,40\n"
        "cat,B02,2,50\ncat,B03,4,60\n")
NAMES = {"user_col": "who", "item_col": "what", "rating_col": "stars", "time_col": "when"}


@pytest.fixture
def shop(write):
    return read_ratings(write("shop.csv", SHOP), **NAMES)


def test_names_are_said_once(shop):
    "Splits, models and measures find the columns that the file was read with."
    assert find_columns(shop) == Columns("who", "what", "stars", "when")
    for split in (mfrec.split_random, mfrec.split_time, mfrec.split_users, mfrec.split_cold_items):
        train, test = split(shop, 0.5)
        assert len(train) + len(test) == len(shop)
        assert find_columns(train) == find_columns(test) == find_columns(shop)
    model = mfrec.ALSMF(n_factors=1, n_sweeps=2).fit(shop)
    assert np.isfinite(model.predict(shop)).all() and mfrec.rmse(model.predict(shop), shop.stars) < 3
    assert mfrec.metrics.errors_by_count(shop[3:], model.predict(shop[3:]), shop[:3]).n.max() == 3
    assert mfrec.describe_ratings(shop.sort_values("stars"))["users"] == 3
    assert mfrec.rating_counts(shop).tolist() == [1, 1, 1, 2, 1]


def test_names_given_win(shop):
    other = shop.assign(half=shop.stars / 2, userId=7)
    assert find_columns(other) == Columns("who", "what", "stars", "when")
    assert find_columns(other, "userId", rating_col="half") == Columns("userId", "what", "half", "when")
    with pytest.raises(DataError, match="no rating column 'points'"):
        find_columns(other, rating_col="points")
    assert find_columns(shop, rating_col="when") == Columns("who", "what", "when", None)  # no longer the time


def test_renamed_columns_are_looked_for_again(shop):
    usual = shop.rename(columns={"who": "userId", "what": "itemId"})
    assert find_columns(usual) == Columns("userId", "itemId", "stars", "when")
    assert find_columns(shop.drop(columns="when")).time is None
    with pytest.raises(DataError, match="no user column userId or user_id or user among"):
        find_columns(shop.rename(columns={"who": "name"}))


def test_frames_put_together(shop, write):
    assert find_columns(pd.concat([shop[:2], shop[2:]])) == find_columns(shop)
    usual = read_ratings(write("r.csv", HEAD + "1,2,3\n"))
    both = pd.concat([shop, usual.rename(columns={"userId": "who", "movieId": "what", "rating": "stars"})])
    with pytest.raises(DataError, match="no user column"):  # two sets of names, so none is kept
        find_columns(both)
    assert find_columns(both, **NAMES) == find_columns(shop)


@pytest.mark.parametrize("note", [None, "who", ["who"], {}, {"user": ["who"]}, {"user": 3}, {"user": "gone"},
                                  {"sort": "who"}])
def test_notes_of_others_do_no_harm(note):
    frame = pd.DataFrame({"userId": [1], "movieId": [2], "rating": [3.0], "who": [4]})
    frame.attrs["mfrec"] = note
    assert find_columns(frame) == Columns()


def test_remembering_disturbs_neither_comparison_nor_files(shop, tmp_path):
    plain = pd.DataFrame({name: shop[name].to_numpy() for name in shop}).astype(shop.dtypes)
    assert not plain.attrs and shop.equals(plain)
    pd.testing.assert_frame_equal(shop, plain)
    note = {"user": "who", "item": "what", "rating": "stars", "time": "when"}
    assert shop.attrs == json.loads(json.dumps(shop.attrs)) == {"mfrec": note}
    shop.to_parquet(tmp_path / "shop.parquet")
    pd.testing.assert_frame_equal(read_ratings(tmp_path / "shop.parquet", **NAMES), shop)
    assert pq.read_table(tmp_path / "shop.parquet").equals(pa.Table.from_pandas(plain))
    for back in (pd.read_parquet(tmp_path / "shop.parquet"), pickle.loads(pickle.dumps(shop))):
        assert find_columns(back) == find_columns(shop)
    shop.to_csv(tmp_path / "again.csv", index=False)
    assert (tmp_path / "again.csv").read_text().startswith("who,what,stars,when\n")


def test_items_and_users_remember_their_ids(write):
    path = write("items.csv", "isbn,title,item\n7,Emma (1815),x\n9,Dune (1965),y\n")
    items = read_items(path, item_col="isbn")
    assert items.attrs == {"mfrec": {"item": "isbn"}}
    assert find_columns(items[1:], need=["item"]).item == "isbn"
    assert titles_of([9, 7], items).tolist() == ["Dune (1965)", "Emma (1815)"]
    assert titles_of(["y"], items, item_col="item").tolist() == ["Dune (1965)"]
    users = read_users(write("users.csv", "name,age\nann,30\nbob,40\n"), user_col="name")
    assert users.attrs == {"mfrec": {"user": "name"}}
    assert find_columns(users[users.age > 30], need=["user"]).user == "name"
    raw = pd.DataFrame({"movieId": [1, 2], 0: [5, 6]})
    assert make_items(raw).attrs == {"mfrec": {"item": "movieId"}} and not raw.attrs
    assert make_items(raw, item_col=0).attrs == {"mfrec": {}}  # a name that is no text is not kept


def test_a_model_with_features_needs_no_names(shop, write):
    items = read_items(write("items.csv", "sku,genres\nB01,x|y\nB02,x\nB03,y\n"), item_col="sku")
    users = read_users(write("users.csv", "name,age\nann,30\nbob,40\ncat,50\n"), user_col="name")
    model = mfrec.ALSMF(n_factors=1, n_sweeps=2, n_taste=1).fit(shop, items=items, users=users)
    assert np.isfinite(model.predict(shop)).all()
