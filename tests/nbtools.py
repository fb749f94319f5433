"""Notebook chores that nbdev 2 leaves open: outputs from a real run, the book, and the README.

    python tests/nbtools.py refresh nbs/08_metrics.ipynb  # run and keep the outputs; none named: all
    python tests/nbtools.py book                          # all chapters in order, lessons on the package
    python tests/nbtools.py readme                        # README.md from nbs/index.ipynb

`--flags "slow data"` also runs the cells so flagged; a study (nbs/studies) always runs whole.
"""
import argparse
import ast
import atexit
import base64
import json
import os
import re
import sys
import time
import warnings
from pathlib import Path

from execnb.nbio import read_nb, write_nb
from execnb.shell import CaptureShell
from IPython.core.inputtransformer2 import TransformerManager
from nbdev.clean import clean_nb
from nbdev.process import extract_directives

ROOT = Path(__file__).resolve().parents[1]
NBS = ROOT / "nbs"
FLAGS = {"slow", "gpu", "data"}  # as tst_flags in settings.ini: skipped unless asked for
IMAGES = "nbs/images"
WHOLE = ("00_a_tour", "index")  # they use the whole package, so the book runs them when all of it is made


def chapters(folder=NBS):
    "The notebooks that make the package, in the order in which they build on each other."
    return sorted(p for p in Path(folder).glob("*.ipynb") if not p.name.startswith(("_", "index")))


def directives(cell):
    return extract_directives(cell, remove=False) if cell.cell_type == "code" else {}


def skipped(cell, flags=()):
    "Is this cell left out of a run with `flags`? The rule of nbdev_test."
    d = directives(cell)
    return d.get("eval:", [""])[0] == "false" or bool((FLAGS - set(flags)) & d.keys())


def module_of(nb):
    "The name after `#| default_exp`, or None."
    names = [d["default_exp"][0] for d in map(directives, nb.cells) if "default_exp" in d]
    return names[0] if names else None


class NotebookError(AssertionError):
    "A cell raised; the message holds the notebook, the cell's source and the traceback."


def run(path, flags=(), keep_outputs=False, package="", guard=None):
    """Run a notebook in its own folder, in process, and return it.

    With the name of a package the exported cells give way to one import of everything that the notebook's
    module defines, private names included: the lesson cells test the package, not the notebook's own
    namespace. After each cell, `guard` (see run_book) says whether it reached up.
    """
    path = Path(path).resolve()
    nb = read_nb(path)
    module = module_of(nb)
    shell = CaptureShell(path, mpl_format="png")
    shell.run("import matplotlib as mpl; mpl.rcParams['figure.dpi'] = 80")
    here, environment = os.getcwd(), dict(os.environ)
    os.chdir(path.parent)
    if path.parent == NBS and "data" not in flags:
        # a chapter shows no folder of the machine it ran on; a study reads real data
        os.environ.pop("MFREC_DATA", None)
    imported = False
    try:
        for cell in nb.cells:
            if cell.cell_type != "code" or skipped(cell, flags):
                continue
            source = cell.source
            if package and module and {"export", "exporti", "exports"} & directives(cell).keys():
                if imported:
                    continue
                source, imported = import_of(package, module), True
            elif guard:
                guard.read(source)
            outputs = shell.run(source)
            if shell.exc:
                trace = "".join(next(o["traceback"] for o in outputs if o["output_type"] == "error"))
                raise NotebookError(f"{path.name}, cell {cell.id}:\n{source}\n\n{trace}")
            if guard and guard.refused:
                raise NotebookError(f"{path.name}, cell {cell.id}:\n{source}\n\n{guard.refused[0]}")
            if keep_outputs:
                cell.outputs = [_quiet(o) for o in outputs]
        if keep_outputs:
            clean_nb(nb)
            write_nb(nb, path)
        return nb
    finally:
        end(shell)
        os.chdir(here)
        os.environ.clear()  # a notebook may set variables; the next test must not see them
        os.environ.update(environment)


def end(shell):
    "Let go of what a notebook made. Python would end all shells at its exit, each with a search for garbage."
    shell.displayhook.do_full_cache = False
    atexit.unregister(shell.atexit_operations)
    shell.atexit_operations()


def import_of(package, module):
    "The import that stands for the exported cells of a chapter: all that its module defines."
    if module == "__init__":
        return f"import {package} as _m\nglobals().update({{k: getattr(_m, k) for k in _m.__all__}})"
    return f"import {package}.{module} as _m\nglobals().update(vars(_m))"


class Guard:
    """A finder for sys.meta_path that refuses a module of any chapter after the one that runs.

    `modules` is {chapter: its module or None}, in the order of the book. What was refused stays in `refused`,
    so that a chapter which catches ImportError is found too.
    """

    def __init__(self, package, modules):
        self.package, self.modules = package, modules
        self.place = {chapter: place for place, chapter in enumerate(modules)}
        self.owner = {f"{package}.{module}": chapter for chapter, module in modules.items()}
        self.start(next(iter(modules)))

    def start(self, chapter):
        "From now on this chapter runs; one of `WHOLE`, such as the index, may import all of the book."
        self.chapter, self.refused = chapter, []

    def find_spec(self, name, path=None, target=None):
        "Asked for every module that is not loaded; the answer None leaves it to the other finders."
        owner = self.owner.get(name)
        if owner and self.place[owner] > self.place.get(self.chapter, len(self.place)):
            self.refused.append(
                f"{self.chapter} reaches up: it imports {name}, the module of chapter {owner}"
            )
            raise ImportError(self.refused[-1])

    def read(self, source):
        "A lesson names the module of what it imports, not the package, which its reader has not met."
        if self.modules.get(self.chapter) in (None, "__init__"):
            return
        parts = {name.split(".")[1] for name in self.owner}
        try:
            tree = ast.parse(TransformerManager().transform_cell(source))
        except SyntaxError:
            return  # the shell will say so
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module == self.package:
                names = [alias.name for alias in node.names if alias.name not in parts]
                where = f"{self.chapter} imports from {self.package} itself"
                self.refused += [f"{where}: name the module that defines {name}" for name in names]


def run_book(folder=NBS, package="mfrec", flags=()):
    """Run all chapters once, in order, in this process; yields (chapter, seconds, what went wrong or None).

    The lessons of a chapter test the package, and neither they nor the module that they test may import a
    module of a later chapter. The package itself is loaded with its first module, and is free to import what
    may be imported then. What uses the whole package (`WHOLE`) comes last. No module of the package may be
    loaded before, since an import of what is loaded goes unseen; none is dropped.
    """
    loaded = sorted(name for name in sys.modules if name.split(".")[0] == package)
    if loaded:
        raise RuntimeError(
            f"{loaded} are loaded before the first chapter; run the book in a process of its own"
        )
    paths = [path for path in chapters(folder) if path.stem not in WHOLE]
    last = [Path(folder) / f"{name}.ipynb" for name in WHOLE]
    guard = Guard(package, {path.stem: module_of(read_nb(path)) for path in paths})
    sys.meta_path.insert(0, guard)
    try:
        for path in [*paths, *filter(Path.exists, last)]:
            start, wrong = time.perf_counter(), None
            guard.start(path.stem)
            try:
                with warnings.catch_warnings():
                    run(path, flags, package=package, guard=guard)
            except Exception as error:
                wrong = str(error) if isinstance(error, NotebookError) else f"{path.name}: {error!r}"
            yield path.stem, time.perf_counter() - start, wrong
    finally:
        sys.meta_path.remove(guard)


def _quiet(output):
    "One output without what would differ between two runs: memory addresses, paths of this machine."
    for value in (output.get("data", {}), output):
        for key in ("text", "text/plain", "text/html"):
            if key in value:
                lines = value[key] if isinstance(value[key], list) else [value[key]]
                value[key] = [
                    re.sub(r" at 0x[0-9a-f]+", "", line).replace(str(ROOT), "mfrec") for line in lines
                ]
    return output


def _text(output):
    "What a reader without a notebook sees of one output: its plain text, without colours."
    data = output.get("data", {})
    text = output.get("text") or ([] if "image/png" in data else data.get("text/plain", []))
    return re.sub(r"\x1b\[[0-9;]*m", "", "".join(text)).rstrip()


def readme(nb_path=NBS / "index.ipynb"):
    "README.md as text, and its pictures as {path: bytes}, from the index notebook."
    parts, images = [], {}
    for cell in read_nb(nb_path).cells:
        d = directives(cell)
        if cell.cell_type == "markdown":
            parts.append(cell.source.strip())
        if cell.cell_type != "code" or "hide" in d:
            continue
        source = "\n".join(line for line in cell.source.splitlines() if not line.startswith("#|")).strip()
        if d.get("echo:", [""])[0] != "false":
            parts.append(f"```python\n{source}\n```")
        for output in cell.get("outputs", []):
            if text := _text(output):
                parts.append("```text\n" + text + "\n```")
            if png := output.get("data", {}).get("image/png"):
                name = f"{IMAGES}/index_{len(images)}.png"
                images[name] = base64.b64decode("".join(png))
                parts.append(f"![{d.get('fig-alt:', ['figure'])[0].replace('_', ' ')}]({name})")
    head = "<!-- Built from nbs/index.ipynb by tests/nbtools.py: edit that notebook. -->"
    return "\n\n".join([head, *parts]) + "\n", images


def write_readme():
    text, images = readme()
    (ROOT / "README.md").write_text(text, encoding="utf-8")
    (ROOT / IMAGES).mkdir(exist_ok=True)
    for name, png in images.items():
        (ROOT / name).write_bytes(png)


def write_book(folder, package, flags, report):
    "Runs the book and says how each chapter went, also in `report` (JSON); returns 1 if one went wrong."
    found = []
    for chapter, seconds, wrong in run_book(folder, package, flags):
        found.append({"chapter": chapter, "seconds": round(seconds, 1), "wrong": wrong})
        print(f"{chapter}: {seconds:.1f} s{' WRONG' if wrong else ''}", flush=True)
        if wrong:
            print(wrong, file=sys.stderr, flush=True)
        if report:
            report.write_text(json.dumps(found), encoding="utf-8")
    return int(any(row["wrong"] for row in found))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["refresh", "book", "readme"])
    parser.add_argument("notebooks", nargs="*")
    parser.add_argument("--flags", default="")
    parser.add_argument("--folder", type=Path, default=NBS, help="where the book's chapters are")
    parser.add_argument("--package", default="mfrec", help="what the book's chapters make")
    parser.add_argument("--report", type=Path, help="a JSON file of how each chapter of the book went")
    args = parser.parse_args()
    sys.path.insert(0, str(ROOT if args.folder == NBS else args.folder.resolve().parent))
    if args.what == "readme":
        return write_readme()
    if args.what == "book":
        return write_book(args.folder, args.package, args.flags.split(), args.report)
    for path in map(Path, args.notebooks or chapters()):
        start = time.time()
        study = path.resolve().parent.name == "studies"
        run(path, flags=FLAGS if study else args.flags.split(), keep_outputs=True)
        print(f"{path}: {time.time() - start:.1f} s")


if __name__ == "__main__":
    sys.exit(main())
