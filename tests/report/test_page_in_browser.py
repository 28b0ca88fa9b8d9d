"""The page in a real browser: it answers, shows names as text, raises no errors, and fits a phone."""

import json
import re
import shutil
import subprocess

import pytest

from softmax_impls.choice.answer import Question
from softmax_impls.choice.choose import choose
from softmax_impls.report.html.page import Report
from softmax_impls.results.frame import load
from tests.report.results import cell, square

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
HOSTILE = "<img src=x onerror=console.error('ran')></script><script>console.error('ran')</script>"
pytestmark = pytest.mark.skipif(BROWSER is None, reason="takes Chromium")

# Puts the page into a frame of a phone's width, does each step in it, and keeps what is seen after it.
DRIVER = """<!doctype html><meta charset="utf-8">
<iframe style="width: 390px; height: 800px"></iframe><pre></pre><script>
const frame = document.querySelector("iframe"), seen = [], steps = STEPS;
frame.src = "report.html" + HASH;
const pause = () => new Promise((done) => setTimeout(done, 50));
frame.onload = async () => {
  frame.onload = null;
  const view = frame.contentWindow, page = frame.contentDocument;
  for (const step of steps) {
    new Function("view", "page", step)(view, page);
    await pause();
    const root = page.documentElement;
    seen.push({ answer: page.getElementById("answer").innerText, wide: root.scrollWidth - root.clientWidth,
      value: String(view.told ?? "") });
  }
  document.querySelector("pre").textContent = JSON.stringify(seen);
};
</script>"""


@pytest.fixture
def browse(tmp_path):
    """Return what is seen of the report of some files after each step, and the lines of the console."""

    def browse(*texts, steps=("",), address=""):
        for number, text in enumerate(texts):
            (tmp_path / f"{number}.jsonl").write_text(text)
        html, _ = Report(load([tmp_path])).html()
        (tmp_path / "report.html").write_text(html, encoding="utf-8")
        driver = DRIVER.replace("STEPS", json.dumps(steps)).replace("HASH", json.dumps(address))
        (tmp_path / "driver.html").write_text(driver, encoding="utf-8")
        command = [BROWSER, "--headless=new", "--no-sandbox", "--allow-file-access-from-files", "--dump-dom"]
        command += ["--virtual-time-budget=10000", "--enable-logging=stderr", "--v=0", f"--user-data-dir={tmp_path}/it"]
        done = subprocess.run(
            [*command, (tmp_path / "driver.html").as_uri()], capture_output=True, text=True, timeout=120, check=True
        )
        text = re.search(r"<pre>(.*?)</pre>", done.stdout, re.DOTALL)[1]
        assert text, done.stdout[-1000:] + done.stderr[-2000:]
        seen = json.loads(text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
        return seen, [line for line in done.stderr.splitlines() if "CONSOLE" in line]

    return browse


def ask(batch, dim, dtype="float32", threads=1):
    """Return the step that fills in the form and sends it."""
    fields = {"batch": batch, "dim": dim, "dtype": dtype, "threads": threads}
    fill = "".join(f"page.forms[0].elements.{key}.value = {json.dumps(str(value))};" for key, value in fields.items())
    return fill + "page.querySelector('form button').click();"


def test_console_errors_are_seen(browse):
    _, console = browse(cell({"a": 1e-6}), steps=["view.console.error('planted')"])
    assert any("planted" in line for line in console)


def test_answers(browse):
    steps = [
        "",
        ask(256, 4096),
        ask(64, 1000),
        ask(8192, 16),
        ask(16, 16, threads=2),
        ask("1e3", 0),
        ask("", 7, threads=-1),
    ]
    seen, console = browse(square(), steps=steps, address="#batch=16&dim=256&dtype=float32&threads=1")
    assert console == []
    linked, exact, between, outside, threads, wrong, missing = (one["answer"] for one in seen)
    assert linked.startswith("quick, 2.06 µs\n")
    assert "Measured at 16×256; what is within 1.0 % is a tie." in linked
    assert "The machine's limit, for moving the bytes, is 100 ns." in linked
    assert exact.startswith("quick, 527 µs\n")
    assert re.search(r"slow\s+raw row\s+1\.05 ms\s+2\.00 \(2\.00 to 2\.00\)", exact)
    # Times are proportional to batch · dim, so interpolation is exact: 0.5 ns · 64 · 1000, and half a percent more.
    assert between.startswith("quick, about 32.2 µs\n")
    assert "Interpolated, not measured: between 16×256, 16×4096, 256×256, 256×4096," in between
    assert "softmax-impls choose --batch 64 --dim 1000 --dtype float32 --measure" in between
    assert outside.startswith("Outside of what was measured\n")
    assert "batch was measured from 16 to 4096 and dim from 16 to 4096" in outside
    assert "softmax-impls choose --batch 8192 --dim 16 --dtype float32 --measure" in outside
    assert "Nothing was measured with float32 and 2 threads." in threads
    assert wrong.splitlines()[0] == "batch: “1e3” is not a whole number from 1 to 2^40."
    assert "dim: “0” is not a whole number from 1 to 2^40." in wrong
    assert "batch: give a whole number" in missing
    assert "threads: “-1” is not" in missing


def test_a_tie_is_told_and_the_more_accurate_one(browse):
    text = (
        cell({"a": 1e-6, "b": 1.001e-6}, errors={"saturated": 1.0}, rows_in_cell=4)
        + cell({"c": 2e-6}, limit=1e-7, rows_in_cell=4).splitlines(keepends=True)[0]
    )
    (one,), console = browse(text)
    assert console == []
    assert "It ties with b: they can't be told apart." in one["answer"]
    assert "More accurate: c, in 2.00 times the time; its worst error is 1e-7, that of a 1e0." in one["answer"]
    assert len(re.findall("✓|raw row", one["answer"])) == 3


def test_of_those_that_tie_it_picks_the_most_accurate_as_choose_does(browse, tmp_path):
    lines = cell({"a": 1e-6, "b": 1.001e-6}).splitlines(keepends=True)
    lines[0] = json.dumps(json.loads(lines[0]) | {"errors": {"saturated": 1.0}}) + "\n"
    (one,), console = browse("".join(lines))
    assert console == []
    assert one["answer"].startswith("b, 1.")
    assert "It ties with a: they can't be told apart." in one["answer"]
    file = tmp_path / "results.jsonl"
    file.write_text("".join(lines))
    loaded = load([file])
    assert choose(Question(16, 16, "float32"), loaded.frame, [], "", {}).pick.name == "b"


@pytest.mark.parametrize(
    "address",
    ["#batch=%&dim=%00", "#batch=<img src=x onerror=alert(1)>&dtype=float16", "#row=99999", "#row=__proto__", "#other"],
)
def test_addresses_that_make_no_sense(browse, address):
    (one,), console = browse(square((16, 256)), address=address)
    assert console == []
    assert one["answer"]
    if "float16" in address:
        assert "dtype: “float16” is neither float32 nor float64." in one["answer"]
        assert "batch: “<img src=x onerror=alert(1)>” is not" in one["answer"]


def test_raw_rows_on_demand(browse):
    steps = ["page.querySelector('td button').click()", "page.querySelector('td button').click()"]
    steps += ["view.location.hash = '#row=0'", "page.querySelector('figure svg a[href*=row]').dispatchEvent("
              "new view.MouseEvent('click', { bubbles: true }))"]  # fmt: skip
    (opened, closed, linked, clicked), console = browse(square(), steps=steps)
    assert console == []
    for one in (opened, linked, clicked):
        raw = json.loads(re.search(r"\{.*\}", one["answer"], re.DOTALL)[0])
        assert raw["machine"] == "a cpu, 2 cores, Linux"
        assert raw["versions"] == {"numpy": "2.4.6"}
        assert len(raw["samples"]) == 12
    assert "{" not in closed["answer"]


def test_samples_of_the_chosen_cell(browse):
    count = "view.told = ['path', 'rect'].map((tag) => page.querySelectorAll('#samples ' + tag).length).join(' ');"
    choose = "const s = page.getElementById('cell'); s.selectedIndex = 0; s.dispatchEvent(new view.Event('change'));"
    (first, second), console = browse(square(), cell({"a": 1e-6}, dim=2, rounds=1), steps=[count, choose + count])
    assert console == []
    assert first["value"] == "24 2"
    assert second["value"] == "1 0"


def test_names_are_shown_as_text_and_do_not_run(browse):
    strange = {"machine": {"cpu": HOSTILE, "cores": 2, "system": HOSTILE}, "commit": HOSTILE}
    told = "view.told = page.querySelectorAll('img, main script').length;"
    (one,), console = browse(
        cell({HOSTILE: 1e-6}, **strange), cell({HOSTILE: 1e-6}, workload=HOSTILE), steps=[told + ask(16, 16)]
    )
    assert console == []
    assert one["value"] == "0"
    assert one["answer"].count(HOSTILE) >= 4
    assert one["wide"] == 0


def test_a_phone_s_width_is_enough(browse):
    steps = [
        "view.told = view.innerWidth",
        ask(64, 1000),
        ask(16, 16),
        ask("x" * 300, 1),
        "view.location.hash = '#row=3'",
    ]
    seen, console = browse(square(), square((16, 64), commit="f" * 40 + "+changes"), steps=steps)
    assert console == []
    assert seen[0]["value"] == "390"
    assert [one["wide"] for one in seen] == [0] * len(steps)


def test_the_keyboard_reaches_what_there_is(browse):
    told = """
    const inputs = [...page.querySelectorAll('input, select, button')];
    const unnamed = inputs.filter((one) => !(one.labels?.length || one.ariaLabel || one.textContent.trim()));
    const untitled = [...page.querySelectorAll('th')].filter((one) => !one.scope);
    page.forms[0].elements.batch.focus();
    const outline = view.getComputedStyle(page.activeElement).outlineWidth;
    view.told = JSON.stringify([unnamed.length, untitled.length, outline, page.querySelector('[aria-live]').id]);
    """
    (one,), console = browse(square(), steps=[told])
    assert console == []
    assert json.loads(one["value"]) == [0, 0, "3px", "answer"]
