"""What strangers wrote goes through every output: terminal, json, csv, HTML, plots, errors and warnings.
And the command's own words: signals, full and closed outputs, its options."""
import io
import json
import os
import signal
import subprocess
import sys
import time
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import mfrec
from mfrec import plots
from mfrec.doors.command import main
from mfrec.doors.lists import write_list
from mfrec.doors.saying import as_options
from mfrec.doors.tables import WIDTH, width_of
from mfrec.errors import MfrecError, MfrecWarning, plain

HOSTILE = ["<img src=x onerror=alert(1)>", "[red]x[/red]", "=cmd()", "+1+cmd()", "@SUM(A1)",
           "\x1b[31mred\x1b[0m", "left\u202etfel", "two\nlines", "$x$ and $y", r"$\nosuch{$",
           "Ca$h", "\ttab", "bell\x07", "\x9b31m", "long " * 1000]
OBEYED = {sign for title in HOSTILE for sign in title if not sign.isprintable()}
COMMAND = [sys.executable, "-c", "from mfrec.doors.entry import main; main()"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    "Ratings, items with hostile titles, genres and ids, and a model of them."
    folder = tmp_path_factory.mktemp("hostile")
    ratings, items = mfrec.sample_ratings(2_000, seed=4), mfrec.sample_items(2_000, seed=4)
    names = {row: HOSTILE[row % len(HOSTILE)] for row in range(len(items))}
    items["title"] = [f"{names[row]} {row}" for row in names]
    items["genres"] = [(plain(names[row]).replace("|", "")[:30],) for row in names]
    ratings["userId"] = ratings["userId"].map(lambda user: f"{HOSTILE[user % 4]} {user}")
    ratings.to_csv(folder / "ratings.csv", index=False)
    items.assign(genres=items["genres"].map("|".join)).to_parquet(folder / "items.parquet")
    model = mfrec.ALSMF(n_factors=2, n_sweeps=2, n_taste=4, n_jobs=1)
    model.fit(ratings, items=items, progress=False)
    model.with_interest(seed=0).save(folder / "model")
    return folder, ratings, items


def run(monkeypatch, capsys, *args):
    monkeypatch.setattr(sys, "argv", ["mfrec", *map(str, args)])
    with warnings.catch_warnings(), pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    return ended.value.code or 0, said.out, said.err


def test_terminal_json_and_files(place, monkeypatch, capsys):
    folder, ratings, _ = place
    items, model = folder / "items.parquet", folder / "model"
    user, other = ratings["userId"].iloc[[0, -1]]
    film, every = ratings["movieId"].mode()[0], {*mfrec.load(model).item.ids.classes_}
    red = next(name for name in mfrec.load(model).catalogue["movieId"][5::len(HOSTILE)] if name in every)
    ratings.head(20).drop(columns="rating").to_csv(folder / "pairs.csv", index=False)
    films = pd.DataFrame({"Date": "2024-01-05", "Name": mfrec.load(model).catalogue["title"].head(60)})
    strange = films.head(len(HOSTILE)).assign(Name=[f"{title} of none" for title in HOSTILE])
    films = pd.concat([films, strange])
    films = films.assign(Year="", **{"Letterboxd URI": "https://boxd.it/=cmd()"})
    export = folder / "export\x1b[31m[red]"
    export.mkdir()
    films[::2].assign(Rating=4).to_csv(export / "ratings.csv", index=False)
    films[1::2].to_csv(export / "watchlist.csv", index=False)
    for args in (
            ("evaluate", folder / "ratings.csv", "--items", items, "--solver", "bias"),
            ("evaluate", folder / "ratings.csv", "--items", items, "--solver", "bias", "--json"),
            ("me", export, "--model", model, "--out", folder / "import.csv"),
            ("me", export, "--model", model, "--json"), ("me", folder / "\x1b[31m", "--model", model),
            ("find", "x", "--items", items, "-n", "500"), ("find", "red", "--model", model),
            ("find", "\x1b[31mzzzzqqqq\x1b[0m", "--model", model), ("preferences", model, user),
            ("recommend", model, "--user", user, "-n", "100"),
            ("recommend", model, "--user", user, "--n", "100", "--json"),
            ("recommend", model, "--user", user, "--user", other),
            ("recommend", model, "--user", user, "--why", "-n", "50"),
            ("recommend", model, "--user", user, "--why", "--json"),
            ("recommend", model, "--user", user, "--why", "-n", "100", "--out", folder / "why.csv"),
            ("explain", model, red, "--user", user, "-n", "100"),
            ("explain", model, film, "--user", user, "--json"),
            ("explain", model, film, "--rate", f"{red}=5"), ("explain", model, HOSTILE[5], "--user", user),
            ("explain", model, film, "--user", HOSTILE[5]),
            ("similar", model, red, "-n", "50"), ("similar", model, film, "--json"),
            ("similar", model, HOSTILE[5]), ("similar", model, "\x1b[31m"),
            ("together", model, "--user", user, "--user", other, "-n", "50"),
            ("together", model, "--user", user, "--user", other, "--json"),
            ("together", model, "--user", user, "--user", other, "--out", folder / "together.csv"),
            ("together", model, "--user", user, "--user", HOSTILE[5]),
            ("recommend", model, "--user", user, "-n", "100", "--out", folder / "lists.csv"),
            ("predict", model, folder / "pairs.csv", "--items", items, "--out", folder / "out.csv"),
            ("recommend", model, "--rate", f"{HOSTILE[5]}=5"), ("recommend", model, "--user", HOSTILE[6]),
            ("recommend", model, "--user", user, "--genres", "\x1b[31mx,[red]"),
            ("evaluate", "\x1b[31m.csv")):
        code, out, err = run(monkeypatch, capsys, *args)
        assert not OBEYED & set(out + err) - {"\n"}, args
        assert code in (0, 2) and len(err.splitlines()) <= 2, (args, err)
        if args[0] in ("find", "explain", "similar", "together", "recommend", "me") and "--json" not in args:
            lines = out.replace(str(folder), "folder").splitlines()
            wide = [line for line in lines if width_of(line) > WIDTH]
            assert not wide, (args, wide[0][:300])
    for name in ("lists.csv", "out.csv", "why.csv", "together.csv"):
        cells = pd.read_csv(folder / name, dtype=str, keep_default_na=False)
        texts = cells.to_numpy().ravel()
        assert not [text for text in texts if text[:1] in ("=", "+", "@", "\t", "\r")] and len(cells)
        assert (cells["title"].str.startswith("'=cmd()")).any()


def test_json_keeps_titles(place, monkeypatch, capsys):
    folder, ratings, items = place
    user = ratings["userId"].iloc[0]
    out = run(monkeypatch, capsys, "recommend", folder / "model", "--user", user, "--json")[1]
    assert {row["title"] for row in json.loads(out)["lists"]} <= {*items["title"]}


def test_import_layouts_of_services_are_as_they_want_them(tmp_path):
    films = pd.DataFrame({"title": ["=cmd", "Alien"], "year": [1999, 1979]})
    write_list(films, tmp_path / "list.csv")
    assert (tmp_path / "list.csv").read_text().splitlines()[1].startswith("=cmd,")


def test_html_and_plots(place):
    folder, ratings, items = place
    model = mfrec.load(folder / "model")
    user = ratings["userId"].iloc[0]
    lists, found = model.recommend([user], 50, seen=True), mfrec.find_items(model, "x")
    film, other = ratings["movieId"].mode()[0], ratings["userId"].iloc[-1]
    lines = model.explain(user, film)
    asked = (model.similar_items(film, 50), model.similar_users(user), model.together([user, other], 50),
             model.taste_match([user, other]), model.disagreements([user, other]))
    for frame in (lists, found, model.preferences(user), lines, *asked,
                  model.recommend([user], 20, why=True)):
        assert "<img" not in frame._repr_html_()
    assert "<img" not in mfrec.ALSMF(item_col=HOSTILE[0])._repr_html_()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for drawn in (plots.plot_preferences(model.preferences(user), n=50), plots.plot_ratings(ratings),
                      plots.plot_explanation(lines, n=60)):
            drawn.figure.canvas.draw()
        plots.plot_decades(ratings, items).canvas.draw()
    plt.close("all")


def test_errors_and_warnings_are_one_line_of_plain_signs():
    for kind in (*MfrecError.__subclasses__(), MfrecWarning):
        said = str(kind(f"{' '.join(HOSTILE)} " * 99 + "mend it so"))
        assert said.isprintable() and len(said) < 400 and said.endswith("mend it so")


def test_a_terminal_that_knows_few_signs(tmp_path, monkeypatch):
    items = mfrec.make_items(pd.DataFrame({"itemId": [1], "title": ["left 映画"]})).drop(columns="genres")
    items.to_csv(tmp_path / "kanji.csv", index=False)
    monkeypatch.setattr(sys, "argv", ["mfrec", "find", "left", "--items", str(tmp_path / "kanji.csv")])
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="latin-1"))
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code and b"left ??" in written.getvalue()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_full_and_closed_outputs():
    asked = f"{sys.executable} -c '{COMMAND[2]}'"
    for how, code, lines in (("--version > /dev/full", 1, 1), ("--version >&-", 0, 0),
                             ("fit --help | head -1", 0, 0), ("evaluate nowhere >&-", 2, 1),
                             ("--help > /dev/full", 1, 1)):
        done = subprocess.run(["bash", "-c", f"{asked} {how}"], capture_output=True, text=True)
        assert done.returncode == code and len(done.stderr.splitlines()) == lines, (how, done.stderr)


@pytest.mark.parametrize("moment", ["import", "fit"])
def test_ctrl_c_is_one_line(moment, tmp_path):
    "Sent by the program to itself, amid the import of pandas; and from outside, amid a long fit."
    words = ["mfrec", "fit", "sample", "--solver", "bayes", "--out", str(tmp_path / "m")]
    program = f"import sys; from mfrec.doors import entry; sys.argv = {words!r}\n"
    if moment == "import":
        program += """
import os, signal
class Press:
    def find_spec(self, name, path=None, target=None):
        if name == "pandas.core.frame":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Press())
"""
    else:
        program += """
from mfrec.model import estimator
then = estimator.Learner._learn
def learn(*args):
    print("fitting", flush=True)
    return then(*args)
estimator.Learner._learn = learn
"""
    process = subprocess.Popen([sys.executable, "-c", program + "entry.main()"], text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if moment == "fit":
        assert process.stdout.readline() == "fitting\n"
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
    err = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and err == "mfrec: stopped\n"


def test_options_of_how_files_are_read(tmp_path, monkeypatch, capsys):
    ratings, items = mfrec.sample_ratings(1_000, seed=1), mfrec.sample_items(1_000, seed=1)
    ratings["movieId"] = ratings["movieId"].map("{:07}".format)
    ratings.to_csv(tmp_path / "r.csv", sep="|", index=False)
    films = pd.DataFrame({"movieId": items.movieId.map("{:07}".format), "Titre": "Été " + items.title})
    films.assign(Sorte="Drame").to_csv(tmp_path / "i.csv", index=False, encoding="latin-1")
    told = ("--items", tmp_path / "i.csv", "--title-col", "Titre", "--genres-col", "Sorte")
    told += ("--encoding", "latin-1", "--sep", "|", "--string-ids")
    code, _, err = run(monkeypatch, capsys, "fit", tmp_path / "r.csv", "--solver", "bias", "--no-interest",
                       *told, "--out", tmp_path / "m")
    assert code == 0 and err == ""
    model = mfrec.load(tmp_path / "m")
    assert model.item.ids.classes_[0] == ratings["movieId"].min()
    assert model.catalogue["title"][0].startswith("Été ") and model.catalogue["genres"][0] == ("Drame",)
    code, _, err = run(monkeypatch, capsys, "evaluate", tmp_path / "r.csv", "--sep", ";")
    assert code == 2 and "pass --sep '|'" in err


def test_messages_in_options():
    said = {
        "pass sep=';'": "pass --sep ';'", "pass string_ids=True to read": "pass --string-ids to read",
        "name it with genres_col=": "name it with --genres-col",
        "give fit(ratings, items=...) a": "give `mfrec fit` --items a",
        "pass on_duplicates='last' or 'mean'": "pass --on-duplicates 'last' or 'mean'", "rows=3": "rows=3",
    }
    assert {text: as_options(text) for text in said} == said


def test_for_spreadsheets_leaves_numbers_alone():
    from mfrec.doors.tables import for_spreadsheets
    frame = pd.DataFrame({"id": ["-5", "+3"], "n": [-1, 2], "title": ["-lost-", np.nan]})
    assert for_spreadsheets(frame)["title"].tolist()[0] == "'-lost-"
    assert for_spreadsheets(frame)[["id", "n"]].equals(frame[["id", "n"]])
