"""The page in a browser: it answers as `choose` does, shows names as text, raises no errors, and fits a phone."""

import json
import re
import shutil
import subprocess

import pytest

from softmax_impls import implementations
from softmax_impls.choice.answer import LOSES_SATURATED_ROWS, Question
from softmax_impls.choice.choose import choose
from softmax_impls.choice.ranking import rank_run
from softmax_impls.report import figures
from softmax_impls.results.runs import load
from softmax_impls.usage import usage
from tests.report.results import cell, kernel, loaded, page_of, square

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
HOSTILE = "<img src=x onerror=console.error('ran')></script><script>console.error('ran')</script>"
pytestmark = [pytest.mark.skipif(BROWSER is None, reason="needs Chromium"), pytest.mark.slow]

# Show the page in a frame as wide as a phone, run each step in it, and keep what is seen after each step.
DRIVER = """<!doctype html><meta charset="utf-8">
<iframe style="width: WIDTHpx; height: 800px"></iframe><pre></pre><script>
const frame = document.querySelector("iframe"), seen = [], steps = STEPS;
frame.src = "report.html" + HASH;
const pause = () => new Promise((done) => setTimeout(done, 50));
const isHidden = (one) => ["auto", "scroll"].includes(getComputedStyle(one).overflowX) &&
  (one.scrollWidth > one.clientWidth || one.scrollHeight > one.clientHeight);  // behind a scroll bar
frame.onload = async () => {
  frame.onload = null;
  const view = frame.contentWindow, page = frame.contentDocument;
  for (const step of steps) {
    new Function("view", "page", step)(view, page);
    await pause();
    const root = page.documentElement;
    seen.push({ answer: page.getElementById("answer").innerText, wide: root.scrollWidth - root.clientWidth,
      value: String(view.value ?? ""), code: page.querySelector(".code pre")?.textContent ?? "",
      hidden: [...page.querySelectorAll("*")].filter(isHidden).map((one) => one.outerHTML)
    });
  }
  document.querySelector("pre").textContent = JSON.stringify(seen);
};
</script>"""


@pytest.fixture
def browse(tmp_path, monkeypatch):
    """Return a function that opens the report of some lists of cells, and returns what is seen after each step.

    It fails if there is a line in the console.
    """

    def browse(*lists, steps=("",), address="", with_figures=False, width=390):
        if not with_figures:
            monkeypatch.setattr(figures, "KINDS", ())
        for cells in lists:
            found = loaded(tmp_path, cells)
        html, _, _ = page_of(found)
        (tmp_path / "report.html").write_text(html, encoding="utf-8")
        driver = DRIVER.replace("STEPS", json.dumps(steps)).replace("HASH", json.dumps(address))
        (tmp_path / "driver.html").write_text(driver.replace("WIDTH", str(width)), encoding="utf-8")
        command = [BROWSER, "--headless=new", "--no-sandbox", "--allow-file-access-from-files", "--dump-dom"]
        command += ["--virtual-time-budget=10000", "--enable-logging=stderr", "--v=0", f"--user-data-dir={tmp_path}/it"]
        done = subprocess.run(
            [*command, (tmp_path / "driver.html").as_uri()], capture_output=True, text=True, timeout=120, check=True
        )
        text = re.search(r"<pre>(.*?)</pre>", done.stdout, re.DOTALL)[1]
        assert text, done.stdout[-1000:] + done.stderr[-2000:]
        assert not [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        return json.loads(text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))

    return browse


def ask(batch, dim, dtype="float32", threads=1):
    """Return the step that fills in the form and sends it."""
    fields = {"batch": batch, "dim": dim, "dtype": dtype, "threads": threads}
    fill = "".join(f"page.forms[0].elements.{key}.value = {json.dumps(str(value))};" for key, value in fields.items())
    return fill + "page.querySelector('form button').click();"


def test_errors_in_the_console_are_noticed(browse):
    with pytest.raises(AssertionError, match="planted"):
        browse([cell({"a": 1e-6})], steps=["view.console.error('planted')"])


def test_page_answers_for_measured_predicted_and_outside_shapes(browse):
    steps = ["", ask(256, 4096), ask(64, 1024), ask(64, 1000), ask(8192, 16), ask(16, 16, threads=2)]
    seen = browse(square(), steps=steps, address="#batch=16&dim=256&dtype=float32&threads=1")
    linked, measured, predicted, near, outside, threads = (one["answer"] for one in seen)
    assert linked.startswith("quick, 2.06 µs\n")
    assert "Measured at 16×256." in linked
    assert "The roofline, the time to move the bytes, is 100 ns." in linked
    assert "softmax-impls choose" not in linked
    assert measured.startswith("quick, 527 µs\n")
    assert re.search(r"slow\s+raw result\s+1\.05 ms\s+2\.00 \(2\.00 to 2\.00\)", measured)
    # Times are proportional to batch · dim, so prediction is exact: 0.5 ns · 64 · 1024, and half a percent more.
    assert predicted.startswith("quick, about 33 µs\n")
    assert "Predicted from measured shapes at 64×1024." in predicted
    assert "raw result" not in predicted
    assert "softmax-impls choose --batch 64 --dim 1024 --dtype float32" in predicted
    assert "at 64×1024, the nearest shape that this page knows to 64×1000." in near
    assert "softmax-impls choose --batch 64 --dim 1000 --dtype float32" in near
    assert outside.startswith("Outside of the measured shapes\n")
    assert "batch was measured from 16 to 4096 and dim from 16 to 4096" in outside
    assert "softmax-impls choose --batch 8192 --dim 16 --dtype float32" in outside
    assert "This page has no verified times with float32 and 2 threads." in threads


def test_page_agrees_with_choose(browse, tmp_path):
    shapes = [(16, 16), (16, 256), (23, 45), (64, 362), (1024, 4096), (5793, 16), (16, 8)]  # the last two are outside
    cells = [
        cell(
            [kernel("a", 1e-7 + 1e-9 * b * d**1.1), kernel("b", 3e-7 + 8e-10 * b * d, errors={"ordinary": 1e-4})], b, d
        )
        for b in (16, 64, 1024, 4096)
        for d in (16, 256, 4096)
        if b * d < 10**7
    ]
    seen = browse(cells, steps=[ask(*shape) for shape in shapes])
    runs = [rank_run(run) for run in load([tmp_path / "0.jsonl"]).runs]
    bases = []
    for shape, one in zip(shapes[:-2], seen, strict=False):
        answer = choose(Question(*shape, "float32"), runs, "", implementations())
        bases.append(answer.basis)
        name, seconds, unit = re.match(r"(\w+), (?:about )?([\d.]+) (\w+)\n", one["answer"]).groups()
        assert name == answer.pick.name
        assert float(seconds) * {"ns": 1e-9, "µs": 1e-6, "ms": 1e-3}[unit] == pytest.approx(
            answer.pick.seconds, rel=5e-3
        )
        assert ("Measured at" in one["answer"]) == (answer.basis == "measured")
        assert str(answer.usage) in one["answer"]
        for other in answer.candidates:
            if other != answer.comparison.best:
                ratio = re.search(rf"^{other}\s.*?([\d.]+) \(", one["answer"], re.MULTILINE | re.DOTALL)[1]
                assert float(ratio) == pytest.approx(answer.ratio(other).value, rel=6e-3)
    assert set(bases) == {"measured", "predicted"}
    assert all(one["answer"].startswith("Outside of the measured shapes\n") for one in seen[-2:])


@pytest.mark.parametrize(
    ("measured", "shapes"),
    [
        (  # some shapes lie between the smallest and largest sizes, but not between measured shapes
            [(1, 1024), (1024, 1), (64, 64), (1024, 1024)],
            [(1, 1), (16, 16), (32, 32), (512, 2), (64, 128), (128, 512), (32, 1024), (1024, 512), (2048, 64)],
        ),
        ([(16, 16), (16, 64), (16, 256)], [(16, 16), (16, 23), (16, 256), (16, 257), (17, 23), (16, 15)]),
        ([(16, 16)], [(16, 16), (16, 17), (15, 16)]),
    ],
)
def test_page_answers_where_choose_does_or_for_a_shape_nearby(browse, tmp_path, measured, shapes):
    cells = [cell({"a": 1e-9 * b * d}, b, d) for b, d in measured]
    seen = browse(cells, steps=[ask(*shape) for shape in shapes])
    runs = [rank_run(run) for run in load([tmp_path / "0.jsonl"]).runs]
    low, high = ([end(sizes) for sizes in zip(*measured, strict=True)] for end in (min, max))
    for shape, one in zip(shapes, seen, strict=True):
        answer = choose(Question(*shape, "float32"), runs, "", implementations())
        if one["answer"].startswith("Outside"):
            inside = all(a <= size <= b for a, size, b in zip(low, shape, high, strict=True))
            assert answer.basis == "outside" or not inside, shape
        elif answer.basis == "outside":
            assert "the nearest shape that this page knows" in one["answer"], shape


def test_wrong_fields_are_named(browse):
    seen = browse([cell({"a": 1e-6})], steps=[ask("1e3", 0), ask("", 7, threads=-1)])
    wrong, missing = (one["answer"] for one in seen)
    assert wrong.splitlines()[0] == "batch: expected a whole number from 1 to 2^40, got “1e3”."
    assert "dim: expected a whole number from 1 to 2^40, got “0”." in wrong
    assert "batch: expected a whole number from 1 to 2^40, got “”." in missing
    assert "threads: expected a whole number from 1 to 2^40, got “-1”." in missing


def test_page_marks_kernels_that_lose_saturated_rows_and_recommends_another(browse):
    cells = [
        kernel("a", 1e-6, accurate_for="probs"), kernel("b", 2e-6), kernel("c", 2.001e-6), kernel("d", 9e-6)
    ]  # fmt: skip
    (one,) = browse([cell(cells)])
    assert one["answer"].startswith("b, 2.01 µs\n")
    assert "It ties with c: no measurable difference." in one["answer"]
    assert re.search(r"^a †\s+raw result\s+1\.01 µs\s+0\.50 \(", one["answer"], re.MULTILINE)
    assert f"† {LOSES_SATURATED_ROWS}" in one["answer"]


def test_code_is_that_of_the_recommended_implementation_and_can_be_copied(browse):
    # The browser's own clipboard may forbid to write, and answers after any time: this one writes to `view.value`.
    clipboard = "const value = {writeText: async (text) => {%s}};"
    clipboard += "Object.defineProperty(view.navigator, 'clipboard', {value, configurable: true});"
    copy, button = "page.querySelector('.code button').click()", "page.querySelector('.code button').textContent"
    allow, forbid = clipboard % "view.value = text;", clipboard % "throw Error('forbidden');"
    cells = [cell({"numba_simd": 1e-6, "a": 2e-6}, 16, dim) for dim in (16, 32)]
    steps = [allow + ask(16, 16), copy, f"view.value += {button}", forbid + ask(16, 32), copy, f"view.value = {button}"]
    seen = browse(cells, steps=steps)
    code = str(usage("numba_simd", implementations()["numba_simd"], 16, 16, "float32", 1))
    assert seen[1]["value"] == code
    assert seen[2]["value"] == code + "copied"
    assert seen[-1]["value"] in ("copied", "selected")  # by the selection, or left to the reader
    assert code.replace("16, 16", "16, 32") in seen[-1]["code"]


def test_later_runs_are_sorted_as_the_first_with_the_ratio_of_their_times(browse):
    here, there = cell({"a": 1e-6, "b": 2e-6, "c": 3e-6}), cell({"c": 1e-6, "b": 2e-6, "a": 3e-6}, machine="other")
    (one,) = browse([here], [there])
    rows = re.findall(r"^([abc])\s+raw result\s+(.*)$", one["answer"], re.MULTILINE)
    assert [name for name, _ in rows] == ["a", "b", "c"] * 2
    assert [row.split("\t")[2] for _, row in rows[3:]] == ["3.00", "1.00", "0.33"]


def test_kernels_that_are_not_ranked_are_listed_with_the_reason(browse):
    results = [kernel("a", 1e-6), kernel("b", 1e-7, status="wrong", note="row 3 is wrong")]
    (one,) = browse([cell(results)])
    assert one["answer"].startswith("a, 1.01 µs")
    assert re.search(r"b\s+raw result\s+Not ranked: wrong, row 3 is wrong", one["answer"])


@pytest.mark.parametrize(
    "address",
    ["#batch=%&dim=%00", "#batch=<img src=x onerror=alert(1)>&dtype=float16", "#dim=16&kernel=__proto__", "#other"],
)
def test_addresses_without_sense_do_no_harm(browse, address):
    (one,) = browse(square((16, 256)), address=address)
    assert one["answer"]
    if "float16" in address:
        assert "dtype: expected float32 or float64, got “float16”." in one["answer"]
        assert "batch: expected a whole number from 1 to 2^40, got “<img src=x onerror=alert(1)>”." in one["answer"]


def test_raw_results_open_and_close(browse):
    steps = ["page.querySelector('td button').click()", "page.querySelector('td button').click()"]
    steps += ["view.location.hash = '#batch=16&dim=16&kernel=slow'"]
    steps += ["page.querySelector('figure svg a[href*=kernel]').dispatchEvent("
              "new view.MouseEvent('click', { bubbles: true }))"]  # fmt: skip
    opened, closed, linked, clicked = browse(square((16, 256)), steps=steps, with_figures=True)
    for one in (opened, linked, clicked):
        raw = json.loads(re.search(r"\{.*\}", one["answer"], re.DOTALL)[0])
        assert raw["environment"]["machine"] == "a cpu, 2 cores, Linux"
        assert raw["environment"]["versions"] == {"numpy": "2.4.6"}
        assert len(raw["samples"]) == 12
    assert json.loads(re.search(r"\{.*\}", linked["answer"], re.DOTALL)[0])["name"] == "slow"
    assert "{" not in closed["answer"]


def test_names_are_shown_as_text_and_do_not_run(browse):
    strange = {"machine": HOSTILE, "versions": {HOSTILE: HOSTILE}}
    count = "view.value = page.querySelectorAll('img, main script').length;"
    (one,) = browse(
        [cell({HOSTILE: 1e-6}, **strange)],
        [cell([kernel(HOSTILE, 1e-6), kernel("b", 1e-6, status="wrong", note=HOSTILE)], workload=HOSTILE)],
        steps=[count + ask(16, 16)],
        with_figures=True,
    )
    assert one["value"] == "0"
    assert one["answer"].count(HOSTILE) >= 4
    assert one["wide"] == 0


@pytest.mark.parametrize("width", [390, 1280])
def test_page_does_not_scroll_sideways(browse, width):
    steps = ["view.value = view.innerWidth", ask(64, 1000), ask(16, 16), ask("x" * 300, 1)]
    steps += ["view.location.hash = '#batch=16&dim=16&kernel=slow'"]
    lists = square(), square((16, 64), commit="f" * 40 + "+changes")
    seen = browse(*lists, steps=steps, with_figures=True, width=width)
    assert seen[0]["value"] == str(width)
    assert [one["wide"] for one in seen] == [0] * len(steps)
    if width == 1280:
        assert seen[-1]["hidden"] == []


def test_controls_have_names_and_a_visible_focus(browse):
    collect = """
    const inputs = [...page.querySelectorAll('input, select, button')];
    const unnamed = inputs.filter((one) => !(one.labels?.length || one.ariaLabel || one.textContent.trim()));
    const untitled = [...page.querySelectorAll('th')].filter((one) => !one.scope);
    page.forms[0].elements.batch.focus();
    const outline = view.getComputedStyle(page.activeElement).outlineWidth;
    view.value = JSON.stringify([unnamed.length, untitled.length, outline, page.querySelector('[aria-live]').id]);
    """
    (one,) = browse(square((16, 256)), steps=[collect])
    assert json.loads(one["value"]) == [0, 0, "3px", "answer"]
