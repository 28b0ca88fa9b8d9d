"""Open what ``asv publish`` made in a headless Chromium, see that a graph is drawn, and keep a picture of it.

``python docs/picture.py`` after ``asv publish``. The page loads jQuery, Flot and Bootstrap from the network; where that
can't be reached, ``--npm`` has npm fetch them, and shows the page with those.
"""

from __future__ import annotations

import contextlib
import functools
import http.server
import re
import shutil
import subprocess
import tarfile
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import click

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "results" / "history.png"
# Every implementation in one graph, on one shape.
GRAPH = "#backward.Grid.time_kernel?p-batch=256&p-dim=256&p-dtype='float64'&x-axis-scale=even&y-axis-scale=log"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WAIT = 20_000  # milliseconds of the page's own time, for its requests and drawing

# The files that the page names, the packages that have them, and where.
LIBRARIES = {
    "jquery-3.3.1.min.js": ("jquery@3.3.1", "dist/jquery.min.js"),
    "jquery.flot.min.js": ("flot@0.8.3", "jquery.flot.js"),
    "jquery.flot.time.min.js": ("flot@0.8.3", "jquery.flot.time.js"),
    "jquery.flot.selection.min.js": ("flot@0.8.3", "jquery.flot.selection.js"),
    "jquery.flot.categories.min.js": ("flot@0.8.3", "jquery.flot.categories.js"),
    "jquery.flot.orderBars.js": ("flot-orderbars@1.0.0", "js/jquery.flot.orderBars.js"),
    "stupidtable.min.js": ("stupid-table-plugin@1.1.3", "stupidtable.min.js"),
    "md5.min.js": ("blueimp-md5@2.19.0", "js/md5.min.js"),
    "bootstrap.min.js": ("bootstrap@3.1.1", "dist/js/bootstrap.min.js"),
    "bootstrap.min.css": ("bootstrap@3.1.1", "dist/css/bootstrap.min.css"),
}


def with_libraries(html: Path, folder: Path) -> Path:
    """Return a copy of the page that has with it what it would load from the network."""
    copy = folder / "html"
    shutil.copytree(html, copy)
    for name, (package, path) in LIBRARIES.items():
        archive = folder / f"{package.replace('@', '-')}.tgz"
        if not archive.exists():
            subprocess.run(["npm", "pack", "--silent", package], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        with tarfile.open(archive) as packed:
            member = packed.extractfile(f"package/{path}")
            assert member is not None  # it is a file, or extractfile would have raised
            (copy / name).write_bytes(member.read())
    index = copy / "index.html"
    text = re.sub(r'"https://[^"]*/([^"/]+)"', r'"\1"', index.read_text(encoding="utf-8"))
    index.write_text(re.sub(r' (integrity|crossorigin)="[^"]*"', "", text), encoding="utf-8")
    return copy


@contextlib.contextmanager
def served(html: Path) -> Iterator[str]:
    """Serve a folder on this machine; yields its address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("localhost", 0), functools.partial(Quiet, directory=str(html)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://localhost:{server.server_port}/"
    finally:
        server.shutdown()


def browse(address: str, *what: str) -> str:
    """Have a headless browser do something with a page; returns what it printed."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise SystemExit(f"none of these browsers is installed: {', '.join(BROWSERS)}")
    always = ("--headless=new", "--no-sandbox", "--window-size=1500,900", f"--virtual-time-budget={WAIT}")
    done = subprocess.run([found, *always, *what, address], capture_output=True, text=True, check=True, timeout=120)
    return done.stdout


@click.command()
@click.option("--html", default=ROOT / ".asv" / "html", type=click.Path(exists=True, path_type=Path), show_default=True)
@click.option("--graph", default=GRAPH, show_default=True, help="Which graph: what follows the page's address.")
@click.option("--output", default=PICTURE, type=click.Path(path_type=Path), show_default=True)
@click.option("--npm", is_flag=True, help="Let npm fetch what the page would load from the network.")
def main(html: Path, graph: str, output: Path, npm: bool) -> None:
    """Draw a graph as a reader would see it; exits with 1 if there is none."""
    with tempfile.TemporaryDirectory() as folder:
        page = with_libraries(html, Path(folder)) if npm else html
        with served(page) as address:
            document = browse(address + graph, "--dump-dom")
            curves = len(re.findall(r'class="legendLabel"', document))
            if not ('class="flot-base"' in document and curves):
                raise SystemExit("no graph was drawn")
            browse(address + graph, f"--screenshot={output}")
    click.echo(f"{curves} curves: {output}")


if __name__ == "__main__":
    main()
