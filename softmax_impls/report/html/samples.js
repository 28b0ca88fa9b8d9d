// ------------------------------------------------------------------ samples of a chosen cell

const MARKS = {
  o: "M4 0A4 4 0 1 1-4 0A4 4 0 1 1 4 0Z", s: "M-4-4H4V4H-4Z", "^": "M0-4L4 4H-4Z", D: "M0-5L5 0 0 5-5 0Z",
  v: "M0 4L4-4H-4Z", P: "M-1.5-4h3v2.5h2.5v3H1.5V4h-3V1.5H-4v-3h2.5Z", X: "M-4-2L-2-4 0-2 2-4 4-2 2 0 4 2 2 4 0 2-2 4-4 2-2 0Z",
  "<": "M-4 0L4-4V4Z", "*": "M0-5L1.2-1.5H5L2 .7 3 4.5 0 2.2-3 4.5-2 .7-5-1.5H-1.2Z",
};
const HEIGHT = 34, LEFT = 170, WIDTH = 760, RIGHT = 20;

/** Powers of ten, with 2 and 5 times them where there is room; even steps where there are none of those. */
function ticks(low, high) {
  const found = [], steps = Math.exp(high) - Math.exp(low), step = 10 ** Math.floor(Math.log10(steps / 2));
  if (high - low < Math.log(5)) {
    const wide = steps / step > 8 ? 5 * step : steps / step > 4 ? 2 * step : step;
    for (let at = Math.ceil(Math.exp(low) / wide) * wide; at < Math.exp(high); at += wide) found.push(at);
    return found;
  }
  for (let power = Math.floor(low / Math.LN10); power <= high / Math.LN10; power++)
    for (const digit of high - low > 8 ? [1] : [1, 2, 5]) found.push(digit * 10 ** power);
  return found;
}

function drawSamples(run, cell) {
  const figure = document.getElementById("samples");
  figure.replaceChildren();
  const rows = cell.ranking.map(([number]) => row(number)).sort((a, b) => a.median - b.median);
  const all = rows.flatMap((one) => [...one.samples, one.median, one.low ?? one.median, one.high ?? one.median]).map(Math.log);
  const low = Math.min(...all) - 0.05, high = Math.max(...all) + 0.05;
  const x = (seconds) => LEFT + (WIDTH - LEFT - RIGHT) * (Math.log(seconds) - low) / (high - low);
  const bottom = rows.length * HEIGHT + 8;
  const label = `Samples at ${shapeOf(cell)}, ${cell.dtype}, ${threadsInWords(cell.threads)}`;
  const svg = make(figure, "svg", { viewBox: `0 0 ${WIDTH} ${bottom + 42}`, role: "img", "aria-label": label, "font-size": 12 });
  for (const seconds of ticks(low, high)) {
    const at = x(seconds);
    if (at < LEFT || at > WIDTH - RIGHT) continue;
    make(svg, "line", { x1: at, x2: at, y1: 0, y2: bottom, stroke: "var(--line)" });
    make(svg, "text", { x: at, y: bottom + 16, "text-anchor": "middle", fill: "currentColor" }, inSeconds(seconds));
  }
  make(svg, "text", { x: (LEFT + WIDTH) / 2, y: bottom + 36, "text-anchor": "middle", fill: "currentColor" }, "time of one call");
  rows.forEach((one, i) => {
    const middle = i * HEIGHT + HEIGHT / 2 + 4, [colour, mark] = data.looks[one.implementation];
    const name = make(svg, "text", { x: LEFT - 12, y: middle + 4, "text-anchor": "end", fill: "currentColor" });
    name.textContent = one.implementation.length > 22 ? one.implementation.slice(0, 21) + "…" : one.implementation;
    if (one.low !== null) make(svg, "rect", { x: x(one.low), y: middle - 14, width: Math.max(1, x(one.high) - x(one.low)), height: 28, fill: colour, opacity: 0.25 });
    one.samples.forEach((sample, n) => make(svg, "path", { d: MARKS[mark], fill: colour, stroke: "currentColor", "stroke-width": 0.4,
      transform: `translate(${x(sample).toFixed(1)} ${(middle + (one.samples.length > 1 ? 20 * n / (one.samples.length - 1) - 10 : 0)).toFixed(1)})` }));
    make(svg, "line", { x1: x(one.median), x2: x(one.median), y1: middle - 15, y2: middle + 15, stroke: "currentColor", "stroke-width": 2 });
  });
}

const choice = document.getElementById("cell");
data.runs.forEach((run, r) => {
  const group = data.runs.length > 1 ? make(choice, "optgroup", { label: run.title }) : choice;
  run.cells.forEach((cell, c) => make(group, "option", { value: `${r} ${c}` }, `${shapeOf(cell)}, ${cell.dtype}, ${threadsInWords(cell.threads)}`));
});
function drawChosen() {
  const [r, c] = choice.value.split(" ").map(Number);
  drawSamples(data.runs[r], data.runs[r].cells[c]);
}
choice.addEventListener("change", drawChosen);
choice.value = `0 ${data.first.cell}`;
drawChosen();

// A point of a figure says what it is when it is pointed at.
for (const link of document.querySelectorAll("figure svg a")) {
  const fields = new URLSearchParams(link.getAttribute("href").slice(1)), number = fields.get("row");
  const cell = number in data.rows ? row(number) : Object.fromEntries(fields), where = `${cell.batch}×${cell.dim}, ${cell.dtype}`;
  make(link, "title", {}, number in data.rows ? `${cell.implementation}, ${inSeconds(cell.median)} at ${where}` : where);
  link.setAttribute("tabindex", "-1"); // for the keyboard there is the table of all cells
}
for (const key of ["batch", "dim", "dtype", "threads"]) form.elements[key].value = data.first[key];
if (!fromAddress()) respond(new FormData(form));
