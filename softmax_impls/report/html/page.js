"use strict";
// Everything that comes from results is put in as text, never as HTML.
const data = JSON.parse(document.getElementById("data").textContent);
const form = document.getElementById("ask"), answer = document.getElementById("answer");
const limits = data.limits; // the same that `softmax-impls choose` goes by
const MORE_ACCURATE = 10; // times as small an error is worth a word
const SVG = "http://www.w3.org/2000/svg";

function make(parent, tag, attributes = {}, ...children) {
  const node = parent.namespaceURI === SVG || tag === "svg"
    ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  parent.append(node);
  return node;
}

function inSeconds(seconds) {
  for (const [unit, scale] of [["ns", 1e-9], ["µs", 1e-6], ["ms", 1e-3]])
    if (seconds < 999.5 * scale) return Number((seconds / scale).toPrecision(3)) + " " + unit;
  return Number(seconds.toPrecision(3)) + " s";
}

function inBytes(bytes) {
  if (bytes === null) return "–";
  for (const [unit, scale] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]])
    if (bytes >= scale) return (bytes / scale).toFixed(1) + " " + unit;
  return bytes + " bytes";
}

const times = (ratio) => ratio < 100 ? ratio.toFixed(2) : Math.round(ratio).toLocaleString("en");
const magnitude = (error) => error === null ? Infinity : Math.floor(Math.log10(Math.max(error, 1e-20)));
const inPowers = (error) => error.toExponential(0).replace("e+", "e");
const threadsInWords = (n) => n + (n === 1 ? " thread" : " threads");
const shapeOf = (cell) => (cell.workload ? cell.workload + " " : "") + cell.batch + "×" + cell.dim;
const row = (number) => Object.fromEntries(data.columns.map((key, i) => [key, data.rows[number][i]]));
const nameOf = (number) => data.rows[number][data.columns.indexOf("implementation")];
const medianOf = (number) => data.rows[number][data.columns.indexOf("median")];

function rawOf(number, run) {
  const found = row(number);
  const { title, ...shared } = run;
  return { ...found, ...shared, cells: undefined, file: data.files[found.file], versions: data.versions[found.versions] };
}

// ------------------------------------------------------------------ what is asked

function asked(fields) {
  const problems = {};
  const whole = (key) => {
    const text = (fields.get(key) ?? "").trim();
    const ok = /^\d+$/.test(text) && Number(text) >= 1 && Number(text) <= limits.size;
    if (!ok) problems[key] = `${key}: ${text ? `“${text.slice(0, 30)}” is not` : "give"} a whole number from 1 to 2^40`;
    return Number(text);
  };
  const found = { batch: whole("batch"), dim: whole("dim"), dtype: (fields.get("dtype") ?? "").trim(), threads: whole("threads") };
  if (!["float32", "float64"].includes(found.dtype))
    problems.dtype = `dtype: “${found.dtype.slice(0, 30)}” is neither float32 nor float64`;
  return [found, problems];
}

// ------------------------------------------------------------------ between measured cells

/** The tightest rectangle of cells around a shape, and where in it the shape lies; null if it is outside. */
function around(cells, batch, dim) {
  const at = new Map(cells.map((cell) => [cell.batch + "×" + cell.dim, cell]));
  const values = (key) => [...new Set(cells.map((cell) => cell[key]))];
  const batches = values("batch"), dims = values("dim");
  let best = null;
  for (const low of batches.filter((b) => b <= batch)) for (const high of batches.filter((b) => b >= batch))
    for (const left of dims.filter((d) => d <= dim)) for (const right of dims.filter((d) => d >= dim)) {
      const size = Math.log(high / low) + Math.log(right / left);
      if (best && size >= best.size) continue;
      const corners = [[low, left], [low, right], [high, left], [high, right]].map(([b, d]) => at.get(b + "×" + d));
      if (!corners.every(Boolean)) continue;
      const up = high > low ? Math.log(batch / low) / Math.log(high / low) : 0;
      const along = right > left ? Math.log(dim / left) / Math.log(right / left) : 0;
      const weights = [(1 - up) * (1 - along), (1 - up) * along, up * (1 - along), up * along];
      best = { size, corners, weights };
    }
  return best;
}

const numberIn = (cell, name) => (cell.ranking.find(([number]) => nameOf(number) === name) ?? [null])[0];

/** The logarithm of an implementation's time there; NaN if it was not measured in all corners. */
function logTime(place, name) {
  let sum = 0;
  place.corners.forEach((cell, i) => {
    const number = numberIn(cell, name);
    sum += number === null ? NaN : place.weights[i] * Math.log(medianOf(number));
  });
  return sum;
}

/** By what factor a ratio of two interpolated times is likely off: cells estimated from the others tell. */
function likelyOff(cells, name, best) {
  const off = [];
  for (const cell of cells) {
    const place = around(cells.filter((other) => other !== cell), cell.batch, cell.dim);
    const mine = numberIn(cell, name), its = numberIn(cell, best);
    if (!place || mine === null || its === null) continue;
    const error = logTime(place, name) - logTime(place, best) - Math.log(medianOf(mine) / medianOf(its));
    if (!Number.isNaN(error)) off.push(Math.abs(error));
  }
  off.sort((a, b) => a - b);
  return Math.exp(off.length < limits.fewest ? Math.log(limits.unknown)
    : off[Math.min(off.length - 1, Math.ceil(limits.likely * off.length) - 1)]);
}

function estimate(cells, place) {
  const names = [...new Set(cells.flatMap((cell) => cell.ranking.map(([number]) => nameOf(number))))];
  const found = names.map((name) => ({ name, seconds: Math.exp(logTime(place, name)) }));
  const known = found.filter((one) => !Number.isNaN(one.seconds)).sort((a, b) => a.seconds - b.seconds);
  for (const one of known) {
    one.ratio = one.seconds / known[0].seconds;
    const off = one === known[0] ? 1 : likelyOff(cells, one.name, known[0].name);
    Object.assign(one, { low: one.ratio / off, high: one.ratio * off, tied: one.ratio / off <= 1 + limits.margin });
    one.numbers = [...new Set(place.corners)].map((cell) => numberIn(cell, one.name));
  }
  return [known, found.filter((one) => Number.isNaN(one.seconds)).map((one) => one.name)];
}

// ------------------------------------------------------------------ the answer

function showTable(parent, run, ranked, caption, opened) {
  const box = make(parent, "div", { class: "box", tabindex: "0", role: "region", "aria-label": caption });
  const table = make(box, "table");
  make(table, "caption", {}, caption);
  const head = make(make(table, "thead"), "tr");
  for (const [text, kind] of [["Implementation", ""], ["", ""], ["Time", "n"], ["× the fastest", "n"], ["Worst error", "n"], ["Temporary", "n"]])
    make(head, text ? "th" : "td", text ? { scope: "col", class: kind } : {}, text);
  const body = make(table, "tbody");
  for (const one of ranked) {
    const line = make(body, "tr", one.tied ? { class: "best" } : {});
    const first = row(one.numbers[0]);
    make(line, "th", { scope: "row" }, one.name);
    const button = make(make(line, "td"), "button", { type: "button", "aria-expanded": "false" },
      one.numbers.length > 1 ? "raw rows" : "raw row");
    button.setAttribute("aria-label", `${button.textContent} of ${one.name}`);
    make(line, "td", { class: "n" }, (one.measured ? "" : "≈ ") + inSeconds(one.seconds));
    make(line, "td", { class: "n" }, one.ratio === 1 ? "1" : `${times(one.ratio)} (${times(one.low)} to ${times(one.high)})`);
    make(line, "td", { class: "n" }, first.error === null ? "–" : inPowers(first.error));
    make(line, "td", { class: "n" }, one.measured ? inBytes(first.temporary_bytes) : "–");
    const toggle = () => {
      const open = button.getAttribute("aria-expanded") === "true";
      button.setAttribute("aria-expanded", String(!open));
      if (open) return line.nextSibling.remove();
      const raw = document.createElement("tr");
      raw.className = "raw";
      const text = one.numbers.map((number) => JSON.stringify(rawOf(number, run), null, 1).replace(/,\n\s+(?=-?\d)/g, ", "));
      make(make(raw, "td", { colspan: "6" }), "pre", { tabindex: "0" }, text.join("\n"));
      return line.after(raw);
    };
    button.addEventListener("click", toggle);
    if (one.numbers.includes(opened)) toggle();
  }
}

function headline(parent, ranked, mark) {
  const error = (one) => row(one.numbers[0]).error;
  const asFast = ranked.filter((one, place) => place === 0 || one.tied);
  const pick = asFast.reduce((best, one) => magnitude(error(one)) < magnitude(error(best)) ? one : best); // as `choose` does
  const tied = asFast.filter((one) => one !== pick);
  make(parent, "h3", {}, `${pick.name}, ${mark}${inSeconds(pick.seconds)}`);
  const better = error(pick) === null ? undefined
    : ranked.find((one) => error(one) !== null && error(one) < error(pick) / MORE_ACCURATE);
  if (better) make(parent, "p", {}, `More accurate: ${better.name}, in ${times(better.ratio)} times the time; its worst error is ` +
    `${inPowers(error(better))}, that of ${pick.name} ${inPowers(error(pick))}.`);
  return tied.length ? `It ties with ${tied.map((one) => one.name).join(", ")}: they can't be told apart. ` : "";
}

function showExact(parent, run, cell, opened) {
  const ranked = cell.ranking.map(([number, ratio, low, high, tied]) => (
    { name: nameOf(number), seconds: medianOf(number), ratio, low, high, tied, numbers: [number], measured: true }));
  const told = headline(parent, ranked, "");
  const limit = cell.limit === null ? ""
    : ` The machine's limit, for moving the bytes, is ${inSeconds(cell.limit)}.`;
  make(parent, "p", {}, `${told}Measured at ${shapeOf(cell)}; what is within ${(100 * cell.margin).toFixed(1)} % is a tie.${limit}`);
  showTable(parent, run, ranked, `Ranking at ${shapeOf(cell)}, ${cell.dtype}, ${threadsInWords(cell.threads)}`, opened);
}

function showBetween(parent, run, cells, place, question) {
  const [ranked, left] = estimate(cells, place);
  const corners = [...new Set(place.corners)].map(shapeOf).join(", ");
  if (!ranked.length) return make(parent, "p", {}, `No implementation was measured in all of ${corners}.`);
  const told = headline(parent, ranked, "about ");
  make(parent, "p", {}, `${told}Interpolated, not measured: between ${corners}, in the logarithms of batch, dim and time. ` +
    "The range of a ratio is what cells come out within, mostly, if estimated from the others.");
  if (left.length) make(parent, "p", { class: "small" }, `Not measured in all of these cells: ${left.join(", ")}.`);
  showTable(parent, run, ranked, `Interpolated at ${question.batch}×${question.dim}, ${question.dtype}, ${threadsInWords(question.threads)}`);
  return suggest(parent, question, "To measure it:");
}

function suggest(parent, question, why) {
  const threads = question.threads > 1 ? ` --threads ${question.threads}` : "";
  const command = `softmax-impls choose --batch ${question.batch} --dim ${question.dim} --dtype ${question.dtype}${threads} --measure`;
  make(make(parent, "p", {}, why + " "), "code", {}, command);
}

function showRun(parent, run, question, opened) {
  const part = make(parent, "div");
  if (data.runs.length > 1) make(part, "p", { class: "small" }, run.title);
  const cells = run.cells.filter((cell) => cell.dtype === question.dtype && cell.threads === question.threads);
  const exact = cells.filter((cell) => cell.batch === question.batch && cell.dim === question.dim);
  const place = exact.length ? null : around(cells, question.batch, question.dim);
  for (const cell of exact) showExact(part, run, cell, opened);
  if (place) showBetween(part, run, cells, place, question);
  if (exact.length || place) return;
  const range = (key) => [Math.min, Math.max].map((f) => f(...cells.map((cell) => cell[key]))).join(" to ");
  make(part, "h3", {}, "Outside of what was measured");
  make(part, "p", {}, cells.length
    ? `No measured cells lie around ${question.batch}×${question.dim}; with ${question.dtype} and ${threadsInWords(question.threads)}, batch was measured from ${range("batch")} and dim from ${range("dim")}.`
    : `Nothing was measured with ${question.dtype} and ${threadsInWords(question.threads)}.`);
  suggest(part, question, "To measure it:");
}

function respond(fields) {
  const [question, problems] = asked(fields);
  for (const control of form.elements) if (control.name) control.setAttribute("aria-invalid", String(control.name in problems));
  answer.replaceChildren();
  for (const problem of Object.values(problems)) make(answer, "p", { class: "error" }, problem + ".");
  if (Object.keys(problems).length) return;
  const opened = /^\d+$/.test(fields.get("row") ?? "") ? Number(fields.get("row")) : -1;
  const parts = make(answer, "div", data.runs.length > 1 ? { class: "runs" } : {});
  for (const run of data.runs) showRun(parts, run, question, opened);
}

function fromAddress() {
  const fields = new URLSearchParams(location.hash.slice(1)), found = data.rows[fields.get("row")];
  if (found) for (const key of ["batch", "dim", "dtype", "threads"]) fields.set(key, found[data.columns.indexOf(key)]);
  if (![..."batch dim dtype threads".split(" ")].some((key) => fields.has(key))) return false;
  for (const key of ["batch", "dim", "dtype", "threads"]) {
    if (!fields.has(key)) fields.set(key, data.first[key]);
    const shown = key !== "dtype" || ["float32", "float64"].includes(fields.get(key));
    if (shown) form.elements[key].value = fields.get(key);
  }
  respond(fields);
  return true;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const address = "#" + new URLSearchParams(new FormData(form));
  if (address === location.hash) fromAddress(); else location.hash = address;
});
addEventListener("hashchange", () => {
  if (!fromAddress() || form.contains(document.activeElement)) return;
  answer.focus({ preventScroll: true });
  document.getElementById("shape").scrollIntoView();
});
