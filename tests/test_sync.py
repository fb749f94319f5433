"The repository is what its notebooks say: clean, exported, in order, and described by its README."
import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbtools
import pytest
from execnb.nbio import read_nb

ROOT, NBS = nbtools.ROOT, nbtools.NBS


def nbdev(command, cwd):
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"from nbdev.cli import *; from nbdev.clean import *; from nbdev.doclinks import *; {command}",
        ],
        cwd=cwd,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    "The files nbdev needs, with the package emptied: whatever is there afterwards came from the notebooks."
    root = tmp_path_factory.mktemp("copy")
    for name in ("settings.ini", "pyproject.toml", "setup.py", "README.md"):
        shutil.copy(ROOT / name, root / name)
    shutil.copytree(NBS, root / "nbs", ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    shutil.copytree(ROOT / "mfrec", root / "mfrec", ignore=shutil.ignore_patterns("__pycache__", "*.py"))
    return root


def test_notebooks_are_clean(copy):
    nbdev("nbdev_clean()", copy)
    for path in sorted(NBS.rglob("*.ipynb")):
        if ".ipynb_checkpoints" not in path.parts:
            assert path.read_bytes() == (copy / path.relative_to(ROOT)).read_bytes(), (
                f"{path.name}: run nbdev_clean"
            )


def test_export_is_up_to_date(copy):
    nbdev("nbdev_export()", copy)

    def files(root):
        package = root / "mfrec"
        return {str(p.relative_to(package)): p.read_text(encoding="utf-8") for p in package.rglob("*.py")}

    here, exported = files(ROOT), files(copy)
    assert here.keys() == exported.keys()
    for name in here:
        assert here[name] == exported[name], (
            f"mfrec/{name} is not what the notebooks export: run nbdev_export"
        )


def test_readme_is_built_from_the_index():
    text, images = nbtools.readme()
    assert (ROOT / "README.md").read_text(encoding="utf-8") == text, "run python tests/nbtools.py readme"
    for name, png in images.items():
        assert (ROOT / name).read_bytes() == png


def imported_modules(source):
    """The mfrec modules that a piece of code imports, by any form of import and however deep they lie;
    of `from mfrec import x` what may be one. What stands under `if TYPE_CHECKING` is never imported."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (
                alias.name.removeprefix("mfrec.") for alias in node.names if alias.name.startswith("mfrec.")
            )
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "mfrec":
            inside = node.module.removeprefix("mfrec").lstrip(".")
            yield from ([inside] if inside else []) + [
                f"{inside}.{alias.name}".lstrip(".") for alias in node.names
            ]


def test_a_chapter_imports_only_earlier_ones():
    order = {nbtools.module_of(read_nb(path)): n for n, path in enumerate(nbtools.chapters())}
    for path in nbtools.chapters():
        nb = read_nb(path)
        me = order[nbtools.module_of(nb)]
        for cell in nb.cells:
            if cell.cell_type == "code" and {"export", "exporti"} & nbtools.directives(cell).keys():
                late = [m for m in imported_modules(cell.source) if order.get(m, -1) >= me]
                assert not late, f"{path.name} imports {late}, which come later"


@pytest.mark.parametrize("source", [
    "from mfrec.kernel.rows import x", "import mfrec.kernel.rows", "from mfrec.kernel import rows",
    "from mfrec.kernel.rows import a, b"
])
def test_imports_of_nested_modules_are_seen(source):
    assert "kernel.rows" in imported_modules(source)
    assert "kernel.rows" not in imported_modules(f"if TYPE_CHECKING:\n    {source}")
    assert "cold_start" in imported_modules("from mfrec import cold_start")


def test_kinds_of_errors_and_sides_are_asked_through_their_records():
    "No isinstance on errors outside the chapters of their kinds, no attribute named after a side by text."
    texts = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "mfrec").rglob("*.py")}
    kinds = {name: re.findall(r"^class (\w+)\(Errors\)", text, re.M) for name, text in texts.items()}
    asked = "|".join(["errors", "Errors", *sum(kinds.values(), [])])
    assert {"Spread", "Draws"} <= set(asked.split("|"))
    for name, text in texts.items():
        assert kinds[name] or not re.search(rf"isinstance\([^)]*\b({asked})\b", text), name
        assert not re.search(r"""(getattr|setattr|replace)\([^()\n]*f["']\{""", text), name


def test_exported_code_needs_no_development_tool():
    for path in (ROOT / "mfrec").rglob("*.py"):
        if path.name != "_modidx.py":
            assert not re.search(
                r"^\s*(from|import) (nbdev|fastcore|execnb|IPython|pytest)\b", path.read_text(), re.M
            ), path.name


def test_ruff_finds_no_undefined_or_unused_name():
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--select", "F", "--no-cache", "mfrec", "tests"], cwd=ROOT,
        capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", sorted(NBS.rglob("*.ipynb")), ids=lambda p: p.stem)
def test_a_notebook_is_fit_to_read(path):
    """Committed outputs hold no error, pictures stay small, exported cells short;
    a study is committed with its outputs."""
    nb = read_nb(path)
    code = [c for c in nb.cells if c.cell_type == "code"]
    assert not [o for c in code for o in c.get("outputs", []) if o["output_type"] == "error"]
    assert path.stat().st_size < 600_000
    assert any(c.get("outputs") for c in code) or len(code) <= 3
    for cell in code:
        if "export" in nbtools.directives(cell):
            assert len(cell.source.splitlines()) <= 80, (
                f"{path.name}: a cell of {len(cell.source.splitlines())} lines:\n{cell.source[:200]}"
            )


def test_nothing_of_this_machine_is_committed():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    for name in tracked:
        path = ROOT / name
        if path.suffix in (".py", ".md", ".ipynb", ".ini", ".toml", ".txt") and path.exists():
            assert str(Path.home()) + "/" not in path.read_text(encoding="utf-8"), name
