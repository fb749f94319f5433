"Every relative link, in notebooks and in the pages beside them, leads to a file that is there."
import json
import re

import nbtools
import pytest

ROOT, NBS = nbtools.ROOT, nbtools.NBS
LINK = re.compile(r"\]\(([^()\s]+)\)")
PAGES = [*sorted(NBS.rglob("*.ipynb")), *sorted(ROOT.glob("*.md"))]


def texts(path):
    "The Markdown of a page or notebook."
    if path.suffix == ".md":
        return [path.read_text(encoding="utf-8")]
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]


def without_code(text):
    "Markdown without what stands in code, where brackets and parentheses are no link."
    return re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.S)


def links(path):
    "The links of a page that are neither to the web nor within the page."
    found = [link for text in texts(path) for link in LINK.findall(without_code(text))]
    return [link for link in found if not re.match(r"[a-z]+:|#", link)]


def missing(path):
    "Those of its links that lead nowhere; the index is read as README.md, from the root."
    folder = ROOT if path == NBS / "index.ipynb" else path.parent
    return [link for link in links(path) if not (folder / link.split("#")[0]).exists()]


CHECKED = [page for page in PAGES if ".ipynb_checkpoints" not in page.parts]


@pytest.mark.parametrize("path", CHECKED, ids=lambda p: p.name)
def test_links_lead_to_files(path):
    assert not missing(path)


def test_a_link_to_nowhere_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("[here](page.md#top), [away](https://example.org), [lost](lost.md), `x[0](y)`")
    assert links(page) == ["page.md#top", "lost.md"] and missing(page) == ["lost.md"]


def test_the_index_lists_every_chapter():
    listed = {link for link in links(NBS / "index.ipynb") if re.fullmatch(r"nbs/\d[^/]*\.ipynb", link)}
    assert listed == {f"nbs/{path.name}" for path in nbtools.chapters()}
