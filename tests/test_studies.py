"The studies: their imports resolve, their tables are there, their links lead somewhere, and they run."
import ast
import importlib
import json
import re
import subprocess
import sys

import nbtools
import pandas as pd
import pytest
from execnb.nbio import read_nb

STUDIES = nbtools.NBS / "studies"
NOTEBOOKS = sorted(STUDIES.glob("*.ipynb"))
NUMBERED = [path for path in NOTEBOOKS if path.name[0].isdigit()]


@pytest.fixture
def here(monkeypatch):
    "The place from which a study imports its workers."
    monkeypatch.syspath_prepend(STUDIES)
    monkeypatch.chdir(STUDIES)


def code_of(path):
    return "\n".join(cell.source for cell in read_nb(path).cells if cell.cell_type == "code")


def imports_of(source):
    "The import statements of some code, each by itself."
    statements = (ast.Import, ast.ImportFrom)
    return [ast.unparse(node) for node in ast.parse(source).body if isinstance(node, statements)]


def links_of(path):
    "Where the links of a notebook's text lead that stay in the repository, without their anchors."
    text = "\n".join(cell.source for cell in read_nb(path).cells if cell.cell_type == "markdown")
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    return [link.split("#")[0] for link in links if not link.startswith(("http", "#"))]


def test_there_are_eight_and_an_index_that_names_them():
    assert [path.name[0] for path in NUMBERED] == list("12345678")
    links = links_of(STUDIES / "index.ipynb")
    assert [path.name for path in NUMBERED] == [link for link in links if link.endswith(".ipynb")]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_a_study_imports_is_there(path, here):
    statements = imports_of(code_of(path))
    assert "from workers import" in " ".join(statements)
    for statement in statements:
        exec(statement, {})


@pytest.mark.parametrize("path", [*NOTEBOOKS, STUDIES / "workers.py"], ids=lambda path: path.stem)
def test_tables_that_a_study_names_are_there(path):
    source = code_of(path) if path.suffix == ".ipynb" else path.read_text(encoding="utf-8")
    for name in set(re.findall(r"\"(\w+\.json)\"", source)) - {"job.json"}:
        assert json.loads((STUDIES / name).read_text(encoding="utf-8")), name


@pytest.mark.parametrize("path", [*NOTEBOOKS, *nbtools.chapters()], ids=lambda path: path.stem)
def test_links_of_studies_and_to_studies_lead_to_files(path):
    for link in links_of(path):
        if path in NOTEBOOKS or link.startswith("studies/"):
            assert (path.parent / link).exists(), f"{path.name} links to {link}, which is not there"


@pytest.mark.parametrize("path", NUMBERED, ids=lambda path: path.stem)
def test_a_study_opens_with_question_answer_and_figure(path):
    title, figure = read_nb(path).cells[:2]
    heading, question, answer = title.source.split("\n\n")
    assert heading.startswith(f"# {path.name[0]}. ") and re.fullmatch(r"> .+\?", question)
    assert len(answer.split()) <= 60
    assert any("image/png" in output.get("data", {}) for output in figure.outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_study_runs(path, here):
    nbtools.run(path)


def test_the_commands_of_the_workers_are_told(here):
    told = importlib.import_module("workers").parser().format_help()
    assert all(name in told for name in ("fit", "tune-peers", "errors", "interest"))


def test_every_function_of_a_table_has_its_table(here):
    workers = importlib.import_module("workers")
    for study, name in workers.TABLES:
        assert name in workers.results(f"{study}.json")


def test_a_recorded_table_is_read_back(here, tmp_path, monkeypatch):
    workers = importlib.import_module("workers")
    tables = workers.results("3_sampler.json")
    monkeypatch.setattr(workers, "HERE", tmp_path)
    for name in ("mask", "chains", "mask"):
        workers.record("copy", name, tables[name])
    found = workers.results("copy.json")
    assert list(found) == ["mask", "chains"]
    pd.testing.assert_frame_equal(found["mask"], tables["mask"])


def test_the_workers_load_where_mfrec_is_not(here):
    "As in the Python of the peers."
    program = "import sys; sys.modules['mfrec'] = None; import workers; print(sorted(workers.MODELS)[0])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "cmfrec\n", done.stderr
