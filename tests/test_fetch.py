"""`download` against a real HTTP server on loopback:
what arrives, what is refused, and that nothing half-done is left."""

import hashlib
import io
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
import zipfile
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psutil
import pytest

from mfrec.doors.fetch import GROUPLENS, NAMES, download, md5_in
from mfrec.doors.files import read_ratings
from mfrec.doors.items import read_items
from mfrec.errors import DownloadError, MfrecWarning, SettingError

CSV = "userId,movieId,rating,timestamp\n1,10,4.0,978300760\n1,20,3.5,978300761\n"
MOVIES = "movieId,title,genres\n10,Heat (1995),Action|Crime\n"


def zipped(members):
    "A zip file in memory, as bytes."
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as z:
        for name, text in members.items():
            z.writestr(name, text)
    return file.getvalue()


def layout(root):
    return {
        f"{root}/": "", f"{root}/README.txt": "about", f"{root}/ratings.csv": CSV,
        f"{root}/movies.csv": MOVIES
    }


@pytest.fixture
def server(monkeypatch):
    """A server whose files are a dict: path -> bytes, or (bytes, promised length), or a status code.
    `asked` lists the requests."""
    files, asked = {}, []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            answer = files.get(self.path, 404)
            if isinstance(answer, int):
                return self.send_error(answer)
            body, length = answer if isinstance(answer, tuple) else (answer, len(answer))
            self.send_response(200)
            if length is not None:
                self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=partial(http.serve_forever, 0.02), daemon=True)
    thread.start()
    http.files, http.asked = files, asked
    http.url = f"http://127.0.0.1:{http.server_port}/"
    yield http
    http.shutdown()
    http.server_close()
    thread.join(10)


def publish(server, name, members=None, data=None, md5="right"):
    """Put a set on the server; `md5` is the text of its checksum file, 'right' for the true sum,
    None for no such file."""
    data = zipped(members or layout(name)) if data is None else data
    server.files[f"/{name}.zip"] = data
    if md5 is not None:
        text = f"{hashlib.md5(data).hexdigest()}  {name}.zip\n" if md5 == "right" else md5
        server.files[f"/{name}.zip.md5"] = text.encode()
    return data


def refused(server, name, dest, *words, url=None):
    """The DownloadError of a download, after checking that it names the URL and both places and leaves
    nothing behind."""
    before = sorted(dest.rglob("*")) if dest.exists() else []
    url = url or server.url
    with pytest.raises(DownloadError) as caught:
        download(name, dest, url)
    message = str(caught.value)
    for word in (
        f"{url.rstrip('/')}/{name}.zip", f"save that file as {dest / name}.zip",
        f"as the folder {dest / name}", *words
    ):
        assert word in message
    assert "\n" not in message
    assert sorted(p for p in dest.rglob("*")) == before
    return message


@pytest.mark.parametrize("name", NAMES)
def test_good(server, tmp_path, name):
    publish(server, name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        path = download(name, tmp_path / "data" / "raw", server.url)
    assert path == tmp_path / "data" / "raw" / name
    assert sorted(p.name for p in path.iterdir()) == ["README.txt", "movies.csv", "ratings.csv"]
    assert [p.name for p in path.parent.iterdir()] == [name]
    assert read_ratings(path).rating.tolist() == [4.0, 3.5] and read_items(path).year.tolist() == [1995]
    assert server.asked == [f"/{name}.zip.md5", f"/{name}.zip"]


def test_found_by_name(server, tmp_path, monkeypatch):
    publish(server, "ml-32m")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MFREC_DATA", raising=False)
    download("ml-32m", base_url=server.url.rstrip("/"))
    assert len(read_ratings("ml-32m")) == len(read_ratings()) == 2
    (tmp_path / "nbs").mkdir()
    monkeypatch.chdir(tmp_path / "nbs")
    assert len(read_ratings("ml-32m")) == 2


def test_second_call_needs_no_network(server, tmp_path):
    publish(server, "ml-1m")
    path = download("ml-1m", tmp_path, server.url)
    asked = list(server.asked)
    assert download("ml-1m", str(tmp_path), server.url) == path
    assert download("ml-1m", tmp_path, "http://127.0.0.1:9/") == path
    assert server.asked == asked


def test_zip_put_there_by_hand(tmp_path):
    (tmp_path / "ml-1m.zip").write_bytes(zipped(layout("ml-1m")))
    path = download("ml-1m", tmp_path, "http://127.0.0.1:9/")
    assert path == tmp_path / "ml-1m.zip" and len(read_ratings(path)) == 2


def test_an_empty_folder_is_not_a_data_set(server, tmp_path):
    (tmp_path / "ml-1m").mkdir()
    publish(server, "ml-1m")
    assert len(read_ratings(download("ml-1m", tmp_path, server.url))) == 2


@pytest.mark.parametrize("form", [
    "{}", "{}\n", "{}  NAME.zip", "{} *NAME.zip\r\n", "MD5 (NAME.zip) = {}", "MD5(NAME.zip)= {}\n",
    "\ufeff{}"
])
@pytest.mark.parametrize("case", [str.lower, str.upper])
def test_checksum_formats(server, tmp_path, form, case):
    data = publish(server, "ml-20m", md5=None)
    md5 = case(hashlib.md5(data).hexdigest())
    assert md5_in(form.format(md5)) == md5.lower()
    server.files["/ml-20m.zip.md5"] = form.format(md5).encode()
    assert download("ml-20m", tmp_path, server.url).is_dir()


@pytest.mark.parametrize("md5, word", [
    ("0" * 32 + "  ml-1m.zip", "published is " + "0" * 32),
    ("<html>log in</html>", "no MD5 sum"),
    ("", "no MD5 sum"),
    ("a" * 64, "no MD5 sum"),
])
def test_wrong_checksum(server, tmp_path, md5, word):
    publish(server, "ml-1m", md5=md5)
    refused(server, "ml-1m", tmp_path, word)


def test_no_checksum_published(server, tmp_path):
    publish(server, "ml-latest-small", md5=None)
    with pytest.warns(MfrecWarning, match="no checksum is published") as caught:
        path = download("ml-latest-small", tmp_path, server.url)
    assert len(caught) == 1 and caught[0].filename == __file__ and len(read_ratings(path)) == 2


@pytest.mark.parametrize("status", [403, 500, 503])
def test_checksum_that_cannot_be_had_is_not_one_that_does_not_exist(server, tmp_path, status):
    publish(server, "ml-1m", md5=None)
    server.files["/ml-1m.zip.md5"] = status
    refused(server, "ml-1m", tmp_path, str(status))


@pytest.mark.parametrize("md5", ["right", None])
def test_file_cut_off_on_the_server(server, tmp_path, md5):
    whole = publish(server, "ml-1m", md5=md5)
    server.files["/ml-1m.zip"] = whole[:len(whole) // 2]
    refused(server, "ml-1m", tmp_path, "MD5" if md5 else "not a zip file")


def test_connection_breaks_off(server, tmp_path):
    whole = publish(server, "ml-1m", md5=None)
    server.files["/ml-1m.zip"] = whole[:200], len(whole)
    refused(server, "ml-1m", tmp_path, "200 bytes read")


def test_length_not_announced(server, tmp_path):
    whole = publish(server, "ml-1m")
    server.files["/ml-1m.zip"] = whole, None
    assert download("ml-1m", tmp_path, server.url).is_dir()


def test_flipped_byte_without_checksum(server, tmp_path):
    publish(server, "ml-1m", md5=None)
    data = bytearray(zipped({"ml-1m/ratings.csv": CSV}))
    data[data.index(b"ratings.csv") + 20] ^= 0xFF
    server.files["/ml-1m.zip"] = bytes(data)
    refused(server, "ml-1m", tmp_path)


@pytest.mark.parametrize("data", [b"", b"<html>Welcome to our network, please log in</html>"])
def test_something_else_than_a_zip(server, tmp_path, data):
    publish(server, "ml-1m", data=data)
    refused(server, "ml-1m", tmp_path, "not a zip file")


@pytest.mark.parametrize("members", [{}, {"ml-1m/README": "about"}])
def test_zip_without_ratings(server, tmp_path, members):
    publish(server, "ml-1m", data=zipped(members))
    refused(server, "ml-1m", tmp_path, "no ratings")


@pytest.mark.parametrize(
    "evil",
    ["../evil.txt", "ml-1m/../../evil.txt", "/tmp/evil-mfrec.txt", "../../../../../../tmp/evil-mfrec.txt"],
    ids=["up", "within", "root", "far"],  # short, since the folder of the test is named in a message
)
def test_zip_slip(server, tmp_path, evil):
    dest = tmp_path / "deep" / "raw"
    publish(server, "ml-1m", layout("ml-1m") | {evil: "boo"})
    refused(server, "ml-1m", dest, "outside its own folder", evil)
    assert not list(tmp_path.rglob("evil*"))


def test_ten_million_folder_is_renamed(server, tmp_path):
    publish(
        server,
        "ml-10m",
        {
            "ml-10M100K/ratings.dat": "1::122::5::838985046\n1::185::4.5::838983525\n",
            "ml-10M100K/README.html": "about",
            "ml-10M100K/movies.dat": "122::Boomerang (1992)::Comedy|Romance\n185::Net, The (1995)::Action\n",
        },
    )
    path = download("ml-10m", tmp_path, server.url)
    assert [p.name for p in tmp_path.iterdir()] == ["ml-10m"] and path == tmp_path / "ml-10m"
    assert read_ratings(path).rating.tolist() == [5.0, 4.5]
    assert read_items(path).title.tolist()[1] == "Net, The (1995)"


@pytest.mark.parametrize("extra", ["__MACOSX/._ratings.csv", "notes.txt"])
def test_more_than_one_root(server, tmp_path, extra):
    publish(server, "ml-1m", layout("ml-1m") | {extra: "x"})
    assert len(read_ratings(download("ml-1m", tmp_path, server.url))) == 2


def test_no_root_folder(server, tmp_path):
    publish(server, "ml-1m", {"ratings.csv": CSV, "movies.csv": MOVIES})
    path = download("ml-1m", tmp_path, server.url)
    assert path == tmp_path / "ml-1m"
    assert sorted(p.name for p in path.iterdir()) == ["movies.csv", "ratings.csv"]


def test_not_on_the_server(server, tmp_path):
    refused(server, "ml-25m", tmp_path, "404")


def test_server_down(server, tmp_path):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    refused(server, "ml-1m", tmp_path, "refused", url=f"http://127.0.0.1:{port}/")


def test_server_silent(server, tmp_path, monkeypatch):
    import pooch
    original = pooch.HTTPDownloader.__init__
    monkeypatch.setattr(
        pooch.HTTPDownloader, "__init__", lambda self, **kwargs: original(self, **{**kwargs, "timeout": 0.2})
    )
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        refused(server, "ml-1m", tmp_path, "timed out", url=f"http://127.0.0.1:{s.getsockname()[1]}/")


def test_no_such_host(server, tmp_path, monkeypatch):
    def unknown(*args, **kwargs):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    refused(server, "ml-1m", tmp_path, "Name or service not known", url="http://files.example/")


def test_dest_is_a_file(server, tmp_path):
    publish(server, "ml-1m")
    (tmp_path / "raw").write_text("I was here first")
    with pytest.raises(DownloadError, match="raw"):
        download("ml-1m", tmp_path / "raw", server.url)


def test_interrupted(server, tmp_path, monkeypatch):
    "Ctrl-C while unpacking leaves nothing, and the next try succeeds."
    publish(server, "ml-1m")

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(zipfile.ZipFile, "extract", interrupt)
        with pytest.raises(KeyboardInterrupt):
            download("ml-1m", tmp_path, server.url)
    assert list(tmp_path.iterdir()) == []
    assert download("ml-1m", tmp_path, server.url).is_dir()


@pytest.mark.parametrize("number, left", [(signal.SIGKILL, 1), (signal.SIGTERM, 0)])
def test_killed(server, tmp_path, number, left):
    "Who is killed leaves a folder, which the next call removes; who is told to end leaves none."
    publish(server, "ml-1m")
    program = f"""
import signal, time
from mfrec.doors import entry, fetch
signal.signal(signal.SIGTERM, entry._stop)
fetch._unpack = lambda *args: time.sleep(60)
fetch.download("ml-1m", {str(tmp_path)!r}, {server.url!r})
"""
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)
    while not [*tmp_path.glob(".ml-1m-*/ml-1m.zip")] and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(number)
    said = process.communicate(timeout=20)[1]
    assert "Traceback" not in said and len([*tmp_path.iterdir()]) == left
    busy = tmp_path / f".ml-1m-{os.getpid()}-{int(psutil.Process().create_time())}-x"
    busy.mkdir()  # of a process that is still at work
    assert download("ml-1m", tmp_path, server.url).is_dir()
    assert {*tmp_path.iterdir()} == {tmp_path / "ml-1m", busy}


@pytest.mark.parametrize("name", ["ml-2m", "ML-1M", "", "../ml-1m", "ml-1m.zip"])
def test_unknown_name(name, tmp_path):
    with pytest.raises(SettingError) as caught:
        download(name, tmp_path)
    assert all(known in str(caught.value) for known in NAMES) and repr(name) in str(caught.value)


def test_grouplens_address():
    assert GROUPLENS == "https://files.grouplens.org/datasets/movielens/"
