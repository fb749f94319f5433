"A model on disk is whole or refused: whatever is written at once, killed, cut off, flipped or made up."
import json
import os
import resource
import signal
import time
import warnings
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

import mfrec
from mfrec.doors import command
from mfrec.model.methods import Fitted
from mfrec.use import persist
from mfrec.use.persist import TRUTH, saved_mark

SOLVERS = {
    "bias": mfrec.BiasModel(),
    "adam": mfrec.AdamMF(n_factors=3, n_epochs=2),
    "als": mfrec.ALSMF(n_factors=3, n_sweeps=3, n_taste=3),
    "ridge": mfrec.ALSMF(n_factors=3, n_sweeps=2, reg=3.0, reg_per_rating=0.1),
    "bayes": mfrec.BayesianMF(n_factors=3, n_samples=5, burn_in=2, n_taste=3),
}


@pytest.fixture(scope="module")
def few():
    return mfrec.sample_ratings(1_200, seed=1)


def models_of(ratings):
    "A model of every solver, and some with features, interest and text ids."
    films = mfrec.sample_items(1_200, seed=1)
    people = pd.DataFrame({"userId": ratings.userId.unique()}).assign(age=lambda f: f.userId % 50 + 0.5)
    models = {name: solver.fit(ratings).model_ for name, solver in SOLVERS.items()}
    for name in ("bias", "als", "bayes"):
        models[name + " with features"] = SOLVERS[name].fit(ratings, items=films, users=people).model_
    models["with interest"] = models["als with features"].with_interest()
    models["text"] = SOLVERS["bayes"].fit(ratings.astype({"userId": str, "movieId": str})).model_
    return models


@pytest.fixture(scope="module")
def models(few):
    return models_of(few)


@pytest.fixture
def folder(models, tmp_path):
    "Of a saved model."
    return models["als"].save(tmp_path / "model")


def predicted(model, ratings):
    "What a model says of known pairs, and of people folded in."
    some = ratings.iloc[::40]
    if model.user.ids.classes_.dtype == object:
        some = some.astype({"userId": str, "movieId": str})
    frames = [model.predict_frame(some), model.fold_in(some).predict_frame(some)]
    return pd.concat(frames, ignore_index=True)


def refusal(folder):
    "Why a model is not loaded: one line of ours that names the folder."
    with pytest.raises(mfrec.DataError) as caught:
        mfrec.load(folder)
    said = str(caught.value)
    assert str(folder) in said and "\n" not in said and len(said) < 400 + len(str(folder))
    return said


# A file taken apart, changed, and put together again with all its checksums made right.


def unsealed(folder):
    "The facts and the arrays of a saved model."
    with safe_open(folder / TRUTH, "np") as file:
        facts = json.loads(file.metadata()["facts"])
        return facts, {name: file.get_tensor(name) for name in file.keys()}


def inside(facts, path):
    "The record at a path of names, as far as there is one."
    for step in path:
        facts = facts.get(step) if isinstance(facts, dict) else None
    return facts


def seal(folder, facts, arrays):
    "Write them as `save` would have."
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    for name, array in arrays.items():
        *path, last = name.split(".")
        record = inside(facts, path)
        if isinstance(record, dict) and isinstance(record.get(last), str):
            record[last] = persist.array_facts(array)
    text = json.dumps(facts)
    folder.mkdir(exist_ok=True)
    save_file(arrays, folder / TRUTH, {"facts": text, "checksum": persist._checksum(text)})


def paths_of(facts, path=()):
    "The paths of all facts, records and those inside them."
    for name, value in facts.items():
        yield (*path, name)
        if isinstance(value, dict):
            yield from paths_of(value, (*path, name))


def pick(rng, choices):
    return choices[rng.integers(len(choices))]


DTYPES = ("float16", "float32", "float64", "int8", "int32", "int64", "uint8", "bool")
EITHER = ("prior.taste", "preferences.biases")  # float32 from some fits and float64 from others
WRONG = [
    None, True, "text", [], {}, [1.5], {"a": 1}, float("nan"), float("inf"), -1e308, 10**400,
    "float32 [3] 00000000", {"kind": "Side"}, {"kind": "Errors"}, {"kind": "no such kind"}
]
SHAPES = {
    "a row less": lambda a: a[:-1],
    "a row more": lambda a: np.concatenate([a, a[-1:]]),
    "transposed": lambda a: a.T,
    "flat": lambda a: a.reshape(-1),
    "deeper": lambda a: a[None],
    "empty": lambda a: a[:0],
}


def wrong_type(facts, arrays, rng):
    name = pick(rng, sorted(arrays))
    floats = ("float32", "float64") if name.endswith(EITHER) else ()
    kinds = [kind for kind in DTYPES if kind != arrays[name].dtype and kind not in floats]
    arrays[name] = arrays[name].astype(pick(rng, kinds))
    return name, arrays[name].dtype


def wrong_shape(facts, arrays, rng):
    name, how = pick(rng, sorted(arrays)), pick(rng, list(SHAPES))
    arrays[name] = SHAPES[how](arrays[name])
    return name, how


def wrong_number(facts, arrays, rng):
    names = [name for name in sorted(arrays) if arrays[name].size and not name.endswith("ids")]
    name = pick(rng, names)
    value = {"f": [np.nan, np.inf, -np.inf], "i": [-1, -(1 << 20)], "u": [255]}[arrays[name].dtype.kind]
    changed = arrays[name].copy()
    changed.flat[rng.integers(changed.size)] = value = pick(rng, value)
    arrays[name] = changed
    return name, value


def swapped(facts, arrays, rng):
    "Two arrays in each other's place; of different shapes, since the others may be."
    name = pick(rng, sorted(arrays))
    other = pick(rng, [n for n in sorted(arrays) if arrays[n].shape != arrays[name].shape])
    arrays[name], arrays[other] = arrays[other], arrays[name]
    return name, other


def no_array(facts, arrays, rng):
    name = pick(rng, sorted(arrays))
    *path, last = name.split(".")
    del arrays[name]
    if rng.random() < 0.5:
        inside(facts, path)[last] = None
    return name, inside(facts, path)[last]


def wrong_fact(facts, arrays, rng):
    *path, last = pick(rng, list(paths_of(facts)))
    names = path[:1] == ["columns"]  # any text or number is the name of a column
    inside(facts, path)[last] = pick(rng, [v for v in WRONG if not (names and isinstance(v, (str, int)))])
    return path, last, str(inside(facts, path)[last])[:30]


def no_fact(facts, arrays, rng):
    *path, last = pick(rng, list(paths_of(facts)))
    del inside(facts, path)[last]
    return path, last


def more(facts, arrays, rng):
    "A fact or an array of which nobody knows."
    path = pick(rng, [p for p in paths_of(facts) if isinstance(inside(facts, p), dict)])
    if rng.random() < 0.5:
        inside(facts, path)["more"] = 1
    else:
        arrays[".".join([*path, "more"])] = np.ones(3)
    return path


def repeated_id(facts, arrays, rng):
    name = pick(rng, ["user.ids", "item.ids"])
    ids = arrays[name]
    if ids.dtype == np.uint8:
        texts = json.loads(ids.tobytes())
        texts[0] = pick(rng, [texts[-1], None, 1])
        arrays[name] = np.frombuffer(json.dumps(texts).encode(), np.uint8)
    else:
        arrays[name] = np.append(ids[-1], ids[1:])
    return name


def reversed_scale(facts, arrays, rng):
    facts["link"] |= {"low": facts["link"]["high"], "high": facts["link"]["low"]}


def other_format(facts, arrays, rng):
    later = persist.FORMAT + 1
    facts["format"] = pick(rng, [9, 10, later, str(persist.FORMAT), 10.5, None, -1, 10**30, [10]])
    return facts["format"]


def other_kind(facts, arrays, rng):
    path = pick(rng, [p for p in paths_of(facts) if p[-1] == "kind"])
    inside(facts, path[:-1])["kind"] = pick(rng, sorted(persist.records()))
    return path


WAYS = [
    wrong_type, wrong_shape, wrong_number, swapped, no_array, wrong_fact, wrong_fact, no_fact, more,
    repeated_id, reversed_scale, other_format, other_kind
]


def run_mutations(models, ratings, folder, n, seed):
    """How many of `n` changes of each model were refused and how many changed nothing, and what was neither:
    raw errors, predictions that are others, and errors that come later."""
    rng, bad = np.random.default_rng(seed), []
    counts = {"refused": 0, "same": 0}
    for kind, model in models.items():
        saved = model.save(folder / "whole")
        expected = predicted(mfrec.load(saved), ratings)
        for _ in range(n):
            facts, arrays = unsealed(saved)
            way = pick(rng, WAYS)
            what = kind, way.__name__, way(facts, arrays, rng)
            seal(folder / "mutant", facts, arrays)
            try:
                mutant = mfrec.load(folder / "mutant")
            except mfrec.DataError:
                refusal(folder / "mutant")
                counts["refused"] += 1
                continue
            except BaseException as error:
                bad.append((what, repr(error)))
                continue
            try:
                same = predicted(mutant, ratings).equals(expected)
            except BaseException as error:
                bad.append((what, f"later: {error!r}"))
                continue
            counts["same"] += same
            bad += [(what, "other predictions")] * (not same)
    return counts, bad


def test_neighbours_are_saved_and_must_be_items(models, tmp_path):
    model = models["with interest"]
    near = model.item.interest.near
    saved = model.save(tmp_path / "whole")
    again = mfrec.load(saved).item.interest.near
    assert (again.items == near.items).all() and (again.weights == near.weights).all() and near.weights.any()
    for place in (-1, len(model.item)):
        facts, arrays = unsealed(saved)
        arrays["item.interest.near.items"][3, 0] = place
        seal(tmp_path / "mutant", facts, arrays)
        assert "a neighbour of an item is none of its items" in refusal(tmp_path / "mutant")


def test_what_is_made_up_is_refused_or_changes_nothing(models, few, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mfrec.MfrecWarning)
        counts, bad = run_mutations(models, few, tmp_path, 16, seed=0)
    assert not bad
    assert counts["refused"] > 100


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_each_way_to_make_something_up_is_refused(way, models, tmp_path):
    "At least once in a few times: some changes, of a setting say, mean nothing to a prediction."
    saved, refused = models["bayes with features"].save(tmp_path / "whole"), 0
    rng = np.random.default_rng(1)
    for _ in range(5):
        facts, arrays = unsealed(saved)
        way(facts, arrays, rng)
        seal(tmp_path / "mutant", facts, arrays)
        try:
            mfrec.load(tmp_path / "mutant")
        except mfrec.DataError:
            refused += 1
    assert refused >= 2


def test_a_flipped_bit_is_refused(models, tmp_path):
    "Anywhere in the header, and anywhere in the arrays."
    folder = models["bias with features"].save(tmp_path / "model")
    whole, rng = (folder / TRUTH).read_bytes(), np.random.default_rng(0)
    header = int.from_bytes(whole[:8], "little") + 8
    for low, high in ((0, 8), (8, header), (header, len(whole))):
        for place in rng.integers(low, high, 60):
            changed = bytearray(whole)
            changed[place] ^= 1 << rng.integers(8)
            (folder / TRUTH).write_bytes(changed)
            refusal(folder)
    for length in (0, 7, 8, 100, header, len(whole) - 1):
        (folder / TRUTH).write_bytes(whole[:length])
        refusal(folder)
    (folder / TRUTH).write_bytes(whole + b"\0")
    refusal(folder)


def test_what_is_no_file_is_refused_and_not_waited_for(folder):
    file = folder / TRUTH
    file.unlink()
    for target in ("/dev/zero", file, folder / "nowhere", folder):
        file.symlink_to(target)
        refusal(folder)
        file.unlink()
    os.mkfifo(file)
    refusal(folder)
    file.unlink()
    file.mkdir()
    refusal(folder)
    (folder / "text").write_text("text")
    refusal(folder / "text")
    refusal(folder / "nowhere")


@pytest.mark.parametrize("text", [
    "[" * 100_000, '{"a":' * 100_000, "", "null", "[]", "{}", "11", f'{{"format": {persist.FORMAT}}}',
    *(f'{{"format": {persist.FORMAT}, "kind": {kind}}}' for kind in ('"Model"', '"Side"', '["Model"]')),
    '{"format": 1' + "0" * 5_000 + "}"
])
def test_facts_of_any_other_form_are_refused(text, tmp_path):
    save_file({}, tmp_path / TRUTH, {"facts": text, "checksum": persist._checksum(text)})
    refusal(tmp_path)


@pytest.mark.parametrize("header", [b"[" * 100_000, b'{"a":' * 100_000, b"{}", b"", b"\xff" * 50])
@pytest.mark.parametrize("length", [None, 1 << 20, 1 << 62])
def test_headers_of_any_other_form_are_refused(header, length, tmp_path):
    length = len(header) if length is None else length
    (tmp_path / TRUTH).write_bytes(length.to_bytes(8, "little") + header)
    refusal(tmp_path)


@pytest.mark.parametrize("number, cure", [(7, "fit and save it again"), (99, "upgrade mfrec")])
def test_another_format_is_refused_with_the_cure(number, cure, folder):
    facts, arrays = unsealed(folder)
    seal(folder, facts | {"format": number}, arrays)
    assert cure in refusal(folder)


def test_a_model_whose_facts_lie_beside_it_is_of_an_old_format(folder):
    save_file(unsealed(folder)[1], folder / TRUTH)
    assert "fit and save it again" in refusal(folder)


def test_the_copy_for_people_is_not_read(folder):
    facts = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    assert facts == unsealed(folder)[0]
    (folder / "model.json").write_text("nothing")
    mfrec.load(folder)


def test_what_would_not_load_is_not_saved(models, folder):
    before, als = saved_mark(folder), models["als"]
    with pytest.raises(mfrec.DataError, match="mean is 'nan'"):
        replace(als, mean=float("nan")).save(folder)
    with pytest.raises(mfrec.DataError, match="neither a number nor a text"):
        replace(als, about=als.about | {"settings": {"way": object()}}).save(folder)
    assert saved_mark(folder) == before


def test_any_text_is_saved(few, tmp_path):
    "In a setting even characters that no file of text could hold."
    names = few.astype({"userId": str}).assign(userId=lambda f: "\0é\n\u202e\U0001f600" + f.userId)
    model = mfrec.BiasModel().fit(names).model_
    model = replace(model, about=model.about | {"settings": {"note": "\ud800"}})
    loaded = mfrec.load(model.save(tmp_path / "model"))
    assert loaded.about == model.about and loaded.predict_frame(names).equals(model.predict_frame(names))


# Where saving fails, the old model stays.


@contextmanager
def room_for(n_bytes):
    "No file gets longer."
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_without_room_the_old_model_stays(models, folder):
    before, names = saved_mark(folder), sorted(path.name for path in folder.iterdir())
    for n_bytes in (0, 1_000, 20_000):
        with room_for(n_bytes), pytest.raises(mfrec.DataError, match="be saved there .File too large.;"):
            models["bayes"].save(folder)
    assert saved_mark(folder) == before and sorted(path.name for path in folder.iterdir()) == names
    mfrec.load(folder)


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space"), OSError(30, "Read-only"), KeyboardInterrupt()])
def test_where_a_step_fails_the_old_model_stays(step, error, models, folder, monkeypatch):
    before, names = saved_mark(folder), sorted(path.name for path in folder.iterdir())

    def fail(*args):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(persist.os, step, fail)
        with pytest.raises(mfrec.DataError if isinstance(error, OSError) else KeyboardInterrupt):
            models["bayes"].save(folder)
    assert saved_mark(folder) == before and sorted(path.name for path in folder.iterdir()) == names


def test_bad_places_are_refused_in_a_line(models, tmp_path):
    (tmp_path / "file").write_text("text")
    for place in ("/proc/x", *(tmp_path / name for name in ("file", "file/model", "n" * 300, "a\0b"))):
        with pytest.raises(mfrec.DataError) as caught:
            models["bias"].save(place)
        said = str(caught.value)
        assert "\n" not in said and (str(place) in said or "no path" in said or "too long" in said)
    assert (tmp_path / "file").read_text() == "text"


def test_what_was_left_behind_is_taken_away(models, folder):
    def killed():
        persist.os.replace = lambda *args: os.kill(os.getpid(), signal.SIGKILL)
        models["bayes"].save(folder)

    before = saved_mark(folder)
    for _ in range(2):
        os.waitpid(forked(killed), 0)
        assert len(list(folder.glob("*.part"))) == 2 and saved_mark(folder) == before
    models["bayes"].save(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["model.json", TRUTH]


def test_the_mode_is_as_asked_for(models, tmp_path):
    before = os.umask(0o027)
    try:
        folder = models["bias"].save(tmp_path / "model")
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o640}


# Two who write, four who read, and somebody who kills.


def forked(work, *args):
    "A process that does this work, without a word at its end."
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking where there are threads
        pid = os.fork()
    if pid:
        return pid
    try:
        work(*args)
    except BaseException:
        os._exit(1)
    os._exit(0)


def write_for_ever(models, folder):
    "Save one model after the other."
    signal.signal(signal.SIGINT, signal.default_int_handler)
    while True:
        for model in models:
            model.save(folder)


def read_often(marks, folder, n, report):
    "Load `n` times, and count what came: models by their mark, mixes and errors."
    found = dict.fromkeys([*marks, "mix", "error"], 0)
    for _ in range(n):
        try:
            facts = {"format": persist.FORMAT} | persist._facts(mfrec.load(folder), "", {})
        except mfrec.DataError:
            found["error"] += 1
            continue
        mark = persist._checksum(json.dumps(facts))
        found[mark if mark in marks else "mix"] += 1
    report.write_text(json.dumps(found))


def stress(models, folder, n_loads, seed=0):
    "Writers are killed all the time until the readers are done: what these found, and how many were killed."
    rng, marks = np.random.default_rng(seed), [saved_mark(model.save(folder)) for model in models]
    reports = [folder.parent / f"report{n}.json" for n in range(4)]
    readers = [forked(read_often, marks, folder, n_loads // 4, report) for report in reports]
    writers, kills = [forked(write_for_ever, models, folder) for _ in range(2)], 0
    while readers:
        time.sleep(rng.uniform(0.002, 0.06))
        at = rng.integers(2)
        if rng.random() < 0.5:
            os.kill(writers[at], signal.SIGINT)
            time.sleep(0.005)
        os.kill(writers[at], signal.SIGKILL)
        os.waitpid(writers[at], 0)
        writers[at], kills = forked(write_for_ever, models, folder), kills + 1
        readers = [pid for pid in readers if os.waitpid(pid, os.WNOHANG) == (0, 0)]
    for pid in writers:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    counts = pd.DataFrame([json.loads(report.read_text()) for report in reports]).sum()
    return counts.to_dict(), kills


def test_whoever_reads_gets_one_model_or_the_other(models, tmp_path):
    counts, kills = stress([models["als"], models["bayes"]], tmp_path / "model", 400)
    assert counts["mix"] == counts["error"] == 0 and min(counts.values()) == 0 < kills
    assert sum(counts.values()) == 400 and len([n for n in counts.values() if n]) == 2


def test_nobody_takes_away_what_another_is_writing(models, tmp_path):
    def write():
        for _ in range(40):
            models["als"].save(tmp_path / "model")

    pids = [forked(write) for _ in range(2)]
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0, 0]


# Two updates at once.


def test_a_model_that_is_no_longer_there_is_not_replaced(models, folder):
    before = saved_mark(folder)
    models["bias"].save(folder, over=before)
    there = saved_mark(folder)
    with pytest.raises(mfrec.DataError, match="in the meantime"):
        models["adam"].save(folder, over=before)
    assert saved_mark(folder) == there != before
    assert saved_mark(folder / "nowhere") == ""
    assert saved_mark(models["bias"].save(folder / "new", over="")) == there


def test_of_two_updates_at_once_the_second_is_refused(models, few, folder, tmp_path, monkeypatch):
    some = few.head(3).assign(rating=1.0)
    some.to_csv(tmp_path / "new.csv", index=False)
    first, real = models["als"].update(few.tail(3).assign(rating=1.0)), Fitted.update

    def in_between(self, *args, **options):
        first.save(folder)
        return real(self, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Fitted, "update", in_between)
        with pytest.raises(mfrec.DataError, match="in the meantime"):
            command.update(model_dir=folder, new=str(tmp_path / "new.csv"), out=folder)
    command.update(model_dir=folder, new=str(tmp_path / "new.csv"), out=folder)
    assert mfrec.load(folder).about["n_added"] == 6


def test_commands_say_whose_ratings_are_saved(few, tmp_path, capsys):
    few.to_csv(tmp_path / "old.csv", index=False)
    few.head(2).assign(rating=1.0).to_csv(tmp_path / "new.csv", index=False)
    place = tmp_path / "m"
    command.fit(train=str(tmp_path / "old.csv"), out=place, solver="bias", interest=False)
    said = f"saved in {place}, with everybody's 1,200 ratings in it; `mfrec fit --no-ratings` leaves them out"
    assert said in capsys.readouterr().out
    command.update(model_dir=place, new=str(tmp_path / "new.csv"), out=place)
    assert said in capsys.readouterr().out
    command.fit(train=str(tmp_path / "old.csv"), out=place, solver="bias", interest=False, keep=False)
    assert f"saved in {place} without the ratings" in capsys.readouterr().out
