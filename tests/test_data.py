"Reading as a hostile user would have it: every bad file ends in one DataError that names the place and the fix."
import gzip
import warnings
import zipfile

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mfrec.data import (DataError, SettingError, describe_ratings, locate, make_items, plot_ratings, progress_bar, read_items, read_ratings,
                        titles_of, year_of)

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
    ("userId;movieId;rating\n1;2;3\n", ["sep=';'"]),
    ("userId\tmovieId\trating\n1\t2\t3\n", ["sep='\\t'"]),
    (HEAD + "1,2,4\n1,3,great\n", ["column rating", "'great'", "line 3"]),
    (HEAD + "1,2,4\n1,3,\n", ["column rating", "line 3"]),
    (HEAD + "1,2,4\n1,3,NaN\n", ["column rating", "line 3"]),
    (HEAD + "1,2,4\n1,3,inf\n", ["column rating", "not finite", "line 3"]),
    (HEAD + "1,2,4\n,3,4\n", ["column userId", "line 3"]),
    (HEAD + "1,2,4\n1,NA,4\n", ["column movieId", "line 3"]),
    (HEAD + "1,2,4\nbob,3,4\n", ["column userId", "mixed", "line 3", "'bob'", "string_ids=True"]),
    (HEAD + "1,2,4\n1,2,5\n", ["user 1 rates item 2 more than once", "line 3", "on_duplicates="]),
    (HEAD + "1,2,4\n1,2\n", ["bad.csv", "sep="]),
    ("userId,movieId,rating,timestamp\n1,2,4,99\n1,3,4,soon\n", ["column timestamp", "'soon'", "line 3"]),
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
])
def test_line_numbers_without_a_header(write, name, text, said):
    with pytest.raises(DataError, match=said):
        read_ratings(write(name, text))


def test_scale_and_parameters(write):
    path = write("r.csv", HEAD + "1,2,4\n1,3,7\n")
    with pytest.raises(DataError, match=r"outside the scale 1 to 5 in line 3 \(value 7.0"):
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
    pd.DataFrame({"userId": [1, 2], "movieId": [3, 4], "rating": [1.0, 2.0]}).to_parquet(tmp_path / "r.parquet")
    assert len(read_ratings(tmp_path / "r.parquet")) == 2
    with pytest.raises(DataError, match="not a whole parquet"):
        read_ratings(write("half.parquet", (tmp_path / "r.parquet").read_bytes()[:-20]))


def test_parquet_columns_of_every_kind(tmp_path):
    good = pd.DataFrame({"userId": ["a", "b"], "movieId": [3, 4], "rating": [1.0, 2.0]})
    for name, column, said in (("rating", [1.0, None], "column rating is empty in line 2"), ("rating", ["4", "x"], "'x' in line 2"),
                               ("userId", ["a", None], "column userId is empty")):
        good.assign(**{name: column}).to_parquet(tmp_path / "bad.parquet")
        with pytest.raises(DataError, match=said):
            read_ratings(tmp_path / "bad.parquet")
    good.assign(userId=good.userId.astype("category"), timestamp=pd.to_datetime(["2020-01-01", "2020-01-02"], utc=True)).to_parquet(tmp_path / "ok.parquet")
    frame = read_ratings(tmp_path / "ok.parquet")
    assert frame.userId.tolist() == ["a", "b"] and frame.timestamp.diff()[1] == 86_400


def test_wrong_encoding(write):
    path = write("r.csv", "userId,movieId,rating\nJosé,2,4\n".encode("latin-1"))
    with pytest.raises(DataError, match="encoding="):
        read_ratings(path)
    assert read_ratings(path, encoding="latin-1").userId[0] == "José"


@pytest.mark.parametrize("text", [
    "\ufeffuserId,movieId,rating\n1,2,4\n7,3,2.5\n", "userId,movieId,rating\r\n1,2,4\r\n7,3,2.5\r\n", '"userId","movieId","rating"\n"1","2","4"\n7,3,2.5\n\n',
    "note,userId,movieId,rating\nx,1,2,4\ny,7,3,2.5\n", "1,2,4\n7,3,2.5\n"], ids=["bom", "crlf", "quoted", "extra column", "no header"])
def test_harmless_variations(write, text):
    frame = read_ratings(write("r.csv", text))
    assert frame.userId.tolist() == [1, 7] and frame.movieId.tolist() == [2, 3] and frame.rating.tolist() == [4.0, 2.5]
    assert frame.dtypes.astype(str).tolist() == ["int32", "int32", "float32"]


def test_ids_of_every_size(write):
    frame = read_ratings(write("r.csv", HEAD + f"{2**40},-5,4\n1,{-2**31 - 1},3\n"))
    assert frame.userId.tolist() == [2**40, 1] and frame.movieId.dtype == np.int64
    text = read_ratings(write("r.csv", HEAD + "007,B1,4\n08,B2,3\n"), string_ids=True)
    assert text.userId.tolist() == ["007", "08"] and text.movieId.tolist() == ["B1", "B2"]
    assert read_ratings(write("r.csv", HEAD + "1.0,2,4\n"), string_ids=True).userId[0] == "1.0"


def test_dates_become_seconds(write):
    frame = read_ratings(write("r.csv", "userId,movieId,rating,timestamp\n1,2,4,1970-01-02\n1,3,4,1970-01-01T00:01:00\n"))
    assert frame.timestamp.tolist() == [86_400, 60]


def test_nrows(write):
    path = write("r.csv", HEAD + "".join(f"{u},1,3\n" for u in range(1, 101)))
    assert len(read_ratings(path, nrows=1)) == 1 and len(read_ratings(path, nrows=10**6)) == 100
    assert read_ratings(path, nrows=7).userId.tolist() == list(range(1, 8))


def test_gzip(tmp_path):
    with gzip.open(tmp_path / "ratings.csv.gz", "wt") as f:
        f.write(HEAD + "1,2,3\n")
    assert len(read_ratings(tmp_path / "ratings.csv.gz")) == 1


tables = st.lists(st.tuples(st.integers(-2**31, 2**31 - 1), st.integers(-2**31, 2**31 - 1), st.integers(-20, 20), st.integers(0, 2**40)),
                  min_size=1, max_size=30, unique_by=lambda row: row[:2])


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
    monkeypatch.setattr("mfrec.data._someone_looks", lambda: True)
    assert len(read_ratings(path)) == 1 and "r.csv" in capsys.readouterr().err


def test_items(write):
    path = write("items.csv", "itemId,title,year,genres,author\n1,Emma,1815,romance|classic,Austen\n2,Dune (1965),,  ,Herbert\n3,,abc,(no genres listed),\n")
    items = read_items(path)
    assert items.year.astype(object).where(items.year.notna(), None).tolist() == [1815, 1965, None]
    assert items.genres.tolist() == [("romance", "classic"), (), ()] and items.author[0] == "Austen"
    assert titles_of([2, 9], items).tolist() == ["Dune (1965)", "item 9"]
    with pytest.raises(DataError, match="not a readable table"):
        read_items(write("e.csv", ""))
    with pytest.raises(DataError, match="no id in row 1"):
        make_items(pd.DataFrame({"movieId": [1, None], "title": ["a", "b"]}))
    items.to_parquet(path.with_suffix(".parquet"))
    assert read_items(path.with_suffix(".parquet")).title[1] == "Dune (1965)"


def test_a_hundred_thousand_titles_at_once():
    items = make_items(pd.DataFrame({"movieId": np.arange(50_000), "title": [f"film {i}" for i in range(50_000)]}))
    ids = np.random.default_rng(0).integers(0, 60_000, 100_000)
    titles = titles_of(ids, items)
    assert titles[ids < 50_000][0] == f"film {ids[ids < 50_000][0]}" and (titles[ids >= 50_000] == [f"item {i}" for i in ids[ids >= 50_000]]).all()


@pytest.mark.parametrize("title, year", [("A (1994)", 1994), ("B (1994–1996)", 1994), ("C (2007- )", 2007), ("D (2007-)", 2007), ("E", None), ("(1990) F", None)])
def test_years(title, year):
    assert year_of(title) == year


def test_plot_of_a_continuous_scale():
    frame = pd.DataFrame({"userId": 1, "movieId": np.arange(200), "rating": np.linspace(0, 100, 200)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(plot_ratings(frame).patches) == 50
    assert describe_ratings(frame)["highest"] == 100
