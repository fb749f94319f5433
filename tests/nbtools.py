"""Notebook chores that nbdev 2 leaves open: outputs from a real run, package mode, and the README.

    python tests/nbtools.py refresh nbs/00_data.ipynb ...   # run top to bottom and keep the outputs (all chapters if none is named)
    python tests/nbtools.py readme                          # README.md from nbs/index.ipynb

`--flags "slow data"` also runs the cells so flagged; a study (nbs/studies) always runs whole.
"""
import argparse
import base64
import os
import re
import sys
import time
from pathlib import Path

from execnb.nbio import read_nb, write_nb
from execnb.shell import CaptureShell
from nbdev.clean import clean_nb
from nbdev.process import extract_directives

ROOT = Path(__file__).resolve().parents[1]
NBS = ROOT / "nbs"
FLAGS = {"slow", "gpu", "data"}  # as tst_flags in settings.ini: skipped unless asked for
IMAGES = "nbs/images"


def chapters():
    "The notebooks that make the package, in the order in which they build on each other."
    return sorted(p for p in NBS.glob("*.ipynb") if not p.name.startswith(("_", "index")))


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


def run(path, flags=(), keep_outputs=False, package_mode=False):
    """Run a notebook in its own folder, in process, and return it.

    In package mode the exported cells give way to one import of everything the module defines, private names included, so the
    lesson cells test the package, not the notebook's own namespace.
    """
    path = Path(path).resolve()
    nb = read_nb(path)
    module = module_of(nb)
    shell = CaptureShell(path, mpl_format="png")
    shell.run("import matplotlib as mpl; mpl.rcParams['figure.dpi'] = 80")
    here, environment = os.getcwd(), dict(os.environ)
    os.chdir(path.parent)
    if path.parent == NBS:
        os.environ.pop("MFREC_DATA", None)  # a chapter shows no folder of the machine it ran on; a study reads real data
    imported = False
    try:
        for cell in nb.cells:
            if cell.cell_type != "code":
                continue
            if skipped(cell, flags):
                continue
            source = cell.source
            if package_mode and module and {"export", "exporti", "exports"} & directives(cell).keys():
                if imported:
                    continue
                source, imported = f"import mfrec.{module} as _m\nglobals().update(vars(_m))", True
                if module == "__init__":
                    source = "import mfrec as _m\nglobals().update({k: getattr(_m, k) for k in _m.__all__})"
            outputs = shell.run(source)
            if shell.exc:
                trace = "".join(next(o["traceback"] for o in outputs if o["output_type"] == "error"))
                raise NotebookError(f"{path.name}, cell {cell.id}:\n{source}\n\n{trace}")
            if keep_outputs:
                cell.outputs = [_quiet(o) for o in outputs]
        if keep_outputs:
            clean_nb(nb)
            write_nb(nb, path)
        return nb
    finally:
        os.chdir(here)
        os.environ.clear()  # a notebook may set variables; the next test must not see them
        os.environ.update(environment)


def _quiet(output):
    "One output without what would differ between two runs: memory addresses, paths of this machine."
    for value in (output.get("data", {}), output):
        for key in ("text", "text/plain", "text/html"):
            if key in value:
                lines = value[key] if isinstance(value[key], list) else [value[key]]
                value[key] = [re.sub(r" at 0x[0-9a-f]+", "", line).replace(str(ROOT), "mfrec") for line in lines]
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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["refresh", "readme"])
    parser.add_argument("notebooks", nargs="*")
    parser.add_argument("--flags", default="")
    args = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    if args.what == "readme":
        return write_readme()
    for path in map(Path, args.notebooks or chapters()):
        start = time.time()
        study = path.resolve().parent.name == "studies"
        run(path, flags=FLAGS if study else args.flags.split(), keep_outputs=True)
        print(f"{path}: {time.time() - start:.1f} s")


if __name__ == "__main__":
    main()
