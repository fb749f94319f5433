"A wheel built from the tree works where nbdev is not installed."
import configparser
import importlib.metadata
import subprocess
import sys
import venv
import zipfile

import nbtools
import pytest

ROOT = nbtools.ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)],
        check=True,
        capture_output=True,
    )
    return next(out.glob("*.whl"))


def test_wheel_holds_the_package_and_its_marker(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert "mfrec/py.typed" in names and "mfrec/doors/command.py" in names
    assert not [n for n in names if n.startswith(("tests", "nbs", "data"))]


def test_metadata_comes_from_settings(wheel):
    settings = configparser.ConfigParser(delimiters=["="])
    settings.read(ROOT / "settings.ini")
    text = (
        zipfile.ZipFile(wheel)
        .read(next(n for n in zipfile.ZipFile(wheel).namelist() if n.endswith("METADATA")))
        .decode()
    )
    assert f"Version: {settings['DEFAULT']['version']}" in text
    for requirement in settings["DEFAULT"]["requirements"].split():
        assert f"Requires-Dist: {requirement}" in text
    assert not [
        line for line in text.splitlines() if line.startswith("Requires-Dist: nbdev") and "extra" not in line
    ]


def test_modules_import_without_nbdev(wheel, tmp_path):
    "Every module, and the command, in a venv whose only other packages are the declared requirements."
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    site = subprocess.run(
        [python, "-c", "import site; print(site.getsitepackages()[0])"], capture_output=True, text=True
    ).stdout.strip()
    zipfile.ZipFile(wheel).extractall(site)
    # The requirements are borrowed from the test environment,
    # with the development tools hidden from the import system.
    outer = importlib.metadata.distribution("torch").locate_file("")
    program = f"""
import importlib.abc, pkgutil, sys
sys.path.append({str(outer)!r})
class Hide(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in ('nbdev', 'fastcore', 'execnb', 'pytest', 'hypothesis', 'jupyterlab'):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Hide())
import mfrec, importlib
assert mfrec.__file__.startswith({site!r}), mfrec.__file__
for info in pkgutil.walk_packages(mfrec.__path__, 'mfrec.'):
    importlib.import_module(info.name)
sys.argv = ['mfrec', '--help']
from mfrec.doors.command import main
main()
"""
    done = subprocess.run([python, "-I", "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(command in done.stdout for command in ("demo", "download", "evaluate", "fit", "predict"))


def test_the_oldest_releases_are_those_that_settings_admit():
    "But for torch, of which the tests have one release, and what others bring along."
    settings = configparser.ConfigParser(delimiters=["="])
    settings.read(ROOT / "settings.ini")
    wanted = dict(told.split(">=") for told in settings["DEFAULT"]["requirements"].split())
    lines = (ROOT / "constraints-oldest.txt").read_text(encoding="utf-8").splitlines()
    pinned = dict(line.split("==") for line in lines if "==" in line)
    assert pinned.keys() == wanted.keys()
    for name in wanted.keys() - {"torch"}:
        assert pinned[name].startswith(wanted[name] + "."), name
