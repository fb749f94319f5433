"The rules of the book's prose and shape; beside them, made-up texts that break each."
import ast
import json
import re

import nbtools
import pytest

import mfrec

SENTENCE, MEAN = 40, 20  # words
PARAGRAPH, CELL = 90, 45  # words, lines
PAGES = [*sorted(nbtools.NBS.rglob("*.ipynb")), *sorted(nbtools.ROOT.glob("*.md"))]
DEFS = (ast.FunctionDef, ast.ClassDef)
ASIDE = re.compile(r"<!--.*?-->|```.*?```|!\[[^]]*\]\([^)]*\)", re.S)  # no prose
WORD = re.compile(r"\$\$.*?\$\$|\$[^$\n]+\$|`[^`\n]+`", re.S)  # formulas and code, a word each
LINE = re.compile(r"^\s*(?:#|\||>>>|---).*$", re.M)  # headings, tables, code
HEAD = re.compile(r"^\w+\n-+$|^\S.*\n(?=    )", re.M)  # of a section and of a parameter, in numpydoc
END = re.compile(r"""(?<!e\.g\.)(?<!i\.e\.)(?<=[.!?])["')*]*\s+(?=["'(*]*[A-Z\d])""")


def faults(text):
    "What is too long in a text: sentences, paragraphs, and sentences on average. List items are paragraphs."
    text = LINE.sub("", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", WORD.sub("x", ASIDE.sub("", text))))
    parts = [part for part in re.split(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) )", text) if part.strip()]
    told = [said.split() for part in parts for said in END.split(part.strip(" *->\n"))]
    found = [f"sentence of {len(said)} words: {said[:9]}" for said in told if len(said) > SENTENCE]
    found += [f"paragraph of {len(p.split())} words: {p[:60]}" for p in parts if len(p.split()) > PARAGRAPH]
    mean = sum(map(len, told)) / max(len(told), 1)
    return found + [f"mean of {mean:.1f} words"] * (mean > MEAN)


def docstrings(tree):
    return [node.body[0] for node in ast.walk(tree) if isinstance(node, DEFS) and ast.get_docstring(node)]


def lines_of(source):
    "Lines of a cell; of a single definition, which cannot be cut, less docstrings and blank lines."
    lines = [line for line in source.splitlines() if not line.startswith("#|")]
    tree = ast.parse("\n".join(lines))
    if sum(isinstance(node, DEFS) for node in tree.body) > 1:
        return len(lines)
    return sum(map(bool, lines)) - sum(d.end_lineno - d.lineno + 1 for d in docstrings(tree))


def shape(cells):
    "What is wrong with the cells of a chapter: exported ones that are too long, or no figure."
    code = [(c, "".join(c["source"])) for c in cells if c["cell_type"] == "code"]
    sizes = [lines_of(source) for _, source in code if re.match(r"#\| *export", source)]
    drawn = any("image/png" in out.get("data", {}) for cell, _ in code for out in cell["outputs"])
    return [f"cell of {n} lines" for n in sizes if n > CELL] + ["no figure"] * (not drawn)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_pages_are_short_and_in_shape(path):
    text = path.read_text(encoding="utf-8")
    page = {"cells": [{"cell_type": "markdown", "source": text}]}
    cells = (json.loads(text) if path.suffix == ".ipynb" else page)["cells"]
    assert not faults("\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown"))
    assert path not in nbtools.chapters() or not shape(cells)


@pytest.mark.parametrize("module", sorted(set(mfrec.HOMES.values())))
def test_docstrings_of_public_names_are_short(module):
    file = nbtools.ROOT / "mfrec" / (module.replace(".", "/") + ".py")
    public = [node for node in ast.parse(file.read_text(encoding="utf-8")).body
              if isinstance(node, DEFS) and node.name in mfrec.HOMES]
    told = [ast.literal_eval(d.value) for node in public for d in docstrings(node)]
    texts = [re.sub("^    ", "", text, flags=re.M) for text in told]
    assert not faults("\n\n".join(HEAD.sub("\n", text) for text in texts))


def test_faults_are_seen():
    cell = {"cell_type": "code", "source": "#| export\n" + "x = 1\n" * 46, "outputs": []}
    assert faults("Word " * 40 + "end.")[0].startswith("sentence of 41")
    assert not faults("A `b c` $d e$ end.")
    assert faults("Some words here. " * 31)[0].startswith("paragraph of 93")
    assert faults("word " * 20 + "end.") == ["mean of 21.0 words"]
    assert shape([cell]) == ["cell of 46 lines", "no figure"]
    assert not shape([cell | {"source": cell["source"][:-6], "outputs": [{"data": {"image/png": ""}}]}])
    assert lines_of('def f():\n    "Says."\n\n    x = 1\n') == 2
    assert lines_of("def f(): 1\n\n\ndef g(): 2") == 4
