"""Draw a page of ``asv publish`` in a headless Chromium, check that it shows a graph, and keep the picture.

Run ``python tools/history_picture.py`` after ``asv publish``. The page loads jQuery, Flot and Bootstrap from the
network. With ``--npm``, npm fetches them instead.
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
PICTURE = ROOT / "docs" / "pictures" / "history.png"
# All implementations in one graph, for one shape.
GRAPH = "#backward.Grid.time_kernel?p-batch=256&p-dim=256&p-dtype='float64'&x-axis-scale=even&y-axis-scale=log"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WAIT = 20_000  # milliseconds that the page has for its requests and for drawing

# The files that the page loads, the npm package of each, and the path in the package.
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
    """Return a copy of the page, with the files that it loads from the network."""
    copy = folder / "html"
    shutil.copytree(html, copy)
    for name, (package, path) in LIBRARIES.items():
        archive = folder / f"{package.replace('@', '-')}.tgz"
        if not archive.exists():
            subprocess.run(["npm", "pack", "--silent", package], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        with tarfile.open(archive) as packed:
            member = packed.extractfile(f"package/{path}")
            assert member is not None  # it is a file
            (copy / name).write_bytes(member.read())
    index = copy / "index.html"
    text = re.sub(r'"https://[^"]*/([^"/]+)"', r'"\1"', index.read_text(encoding="utf-8"))
    index.write_text(re.sub(r' (integrity|crossorigin)="[^"]*"', "", text), encoding="utf-8")
    return copy


@contextlib.contextmanager
def served(html: Path) -> Iterator[str]:
    """Serve a folder on this machine, and yield its address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("localhost", 0), functools.partial(Quiet, directory=str(html)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://localhost:{server.server_port}/"
    finally:
        server.shutdown()


def browse(address: str, *options: str) -> str:
    """Open a page in a headless browser, and return the output of the browser."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise SystemExit(f"none of these browsers is installed: {', '.join(BROWSERS)}")
    common = ("--headless=new", "--no-sandbox", "--window-size=1500,900", f"--virtual-time-budget={WAIT}")
    done = subprocess.run(
        [browser, *common, *options, address], capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout


@click.command()
@click.option("--html", default=ROOT / ".asv" / "html", type=click.Path(exists=True, path_type=Path), show_default=True)
@click.option("--graph", default=GRAPH, show_default=True, help="The graph, as the part of the address after #.")
@click.option("--output", default=PICTURE, type=click.Path(path_type=Path), show_default=True)
@click.option("--npm", is_flag=True, help="Let npm fetch the files that the page loads.")
def main(html: Path, graph: str, output: Path, npm: bool) -> None:
    """Draw a graph of the history; exit with 1 if the page shows none."""
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
