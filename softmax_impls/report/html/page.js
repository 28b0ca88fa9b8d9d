"use strict";
// Look up the answer for a shape. All text from results is inserted as text, never as HTML.
const data = JSON.parse(document.getElementById("data").textContent);
const form = document.getElementById("ask"), answer = document.getElementById("answer");
const FIELDS = ["batch", "dim", "dtype", "threads"], DTYPES = ["float32", "float64"];
const MAX_SIZE = 2 ** 40;
const FARTHEST = 1; // octaves between a shape and the predicted shape that answers for it

function make(parent, tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  parent.append(node);
  return node;
}

// ------------------------------------------------------------------ formatting

function inSeconds(seconds) {
  for (const [unit, scale] of [["ns", 1e-9], ["µs", 1e-6], ["ms", 1e-3]])
    if (seconds < 999.5 * scale) return Number((seconds / scale).toPrecision(3)) + " " + unit;
  return Number(seconds.toPrecision(3)) + " s";
}

function inBytes(bytes) {
  if (bytes == null) return "–";
  for (const [unit, scale] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]])
    if (bytes >= scale) return (bytes / scale).toFixed(1) + " " + unit;
  return bytes + " bytes";
}

const inTimes = (ratio) => ratio < 100 ? ratio.toFixed(2) : Math.round(ratio).toLocaleString("en");
const inPowers = (error) => error === null ? "–" : error.toExponential(0).replace("e+", "e");
const inThreads = (n) => n + (n === 1 ? " thread" : " threads");
const inShape = (cell) => `${cell.batch}×${cell.dim}`;

// ------------------------------------------------------------------ look up

/** Return the fields of the form as a question, and a problem for each field that is wrong. */
function parse(fields) {
  const problems = {};
  const whole = (key) => {
    const text = (fields.get(key) ?? "").trim();
    const ok = /^\d+$/.test(text) && Number(text) >= 1 && Number(text) <= MAX_SIZE;
    if (!ok) problems[key] = `${key}: expected a whole number from 1 to 2^40, got “${text.slice(0, 30)}”`;
    return Number(text);
  };
  const question = { batch: whole("batch"), dim: whole("dim"), dtype: (fields.get("dtype") ?? "").trim(), threads: whole("threads") };
  if (!DTYPES.includes(question.dtype))
    problems.dtype = `dtype: expected float32 or float64, got “${question.dtype.slice(0, 30)}”`;
  return [question, problems];
}

/** Whether a shape is inside the convex hull of the measured shapes, over logarithms: they surround it without a gap above 180°. */
function inside(measured, { batch, dim }) {
  if (measured.some((shape) => shape[0] === batch && shape[1] === dim)) return true;
  const angles = measured.map((shape) => Math.atan2(Math.log2(shape[1] / dim), Math.log2(shape[0] / batch))).sort((a, b) => a - b);
  return angles.length > 0 && angles.every((angle, i) => (angles[i + 1] ?? angles[0] + 2 * Math.PI) - angle <= Math.PI + 1e-9);
}

/** Return the prediction for a shape, or for the nearest shape; null outside of the measured shapes. */
function lookUp(panel, question) {
  if (!panel || !inside(measuredShapes(panel), question)) return null;
  const octaves = (shape) => Math.max(...["batch", "dim"].map((key, i) => Math.abs(Math.log2(shape[i] / question[key]))));
  let nearest = null, distance = Infinity;
  for (const shape of panel.shapes) {
    const here = octaves(shape);
    if (here < distance) [nearest, distance] = [shape, here];
  }
  return distance <= FARTHEST ? unpack(nearest, panel) : null;
}

const measuredShapes = (panel) => panel.shapes.filter(([, , measured]) => measured);

function unpack([batch, dim, measured, pick, candidates], panel) {
  const found = candidates.map(([name, nanoseconds, ratio, low, high, tied]) =>
    ({ name: data.names[name], seconds: nanoseconds * 1e-9, ratio, low, high, tied, error: panel.errors[name] }));
  return { batch, dim, measured, candidates: found, pick: found.find((one) => one.name === data.names[pick]) };
}

/** Return the raw results of a shape in a run, as objects. */
function rawResults(run, { batch, dim }, { dtype, threads }) {
  const raw = data.raw, found = [];
  for (const cell of raw.cells) {
    if (data.runs[cell.run] !== run || cell.batch !== batch || cell.dim !== dim || cell.dtype !== dtype || cell.threads !== threads) continue;
    for (const values of cell.kernels) {
      const kernel = Object.fromEntries(raw.fields.map((field, i) => [field, values[i]]));
      found.push({ ...kernel, errors: raw.errors[kernel.errors], ...cell, run: run.title, kernels: undefined,
        environment: raw.environments[cell.environment] });
    }
  }
  return found;
}

// ------------------------------------------------------------------ show

const COLUMNS = [["Implementation", ""], ["", ""], ["Time", "n"], ["× the fastest", "n"], ["Worst error", "n"], ["Temporary", "n"]];

function showTable(parent, found, raw, caption, opened) {
  const box = make(parent, "div", { class: "box", tabindex: "0", role: "region", "aria-label": caption });
  const table = make(box, "table");
  make(table, "caption", {}, caption);
  const head = make(make(table, "thead"), "tr"), body = make(table, "tbody");
  for (const [text, kind] of found.measured ? COLUMNS : COLUMNS.slice(0, -1)) make(head, text ? "th" : "td", text ? { scope: "col", class: kind } : {}, text);
  const names = new Set(found.candidates.map((one) => one.name));
  const unranked = [...new Set(raw.map((one) => one.name))].filter((name) => !names.has(name)).map((name) => ({ name }));
  for (const one of [...found.candidates, ...unranked]) {
    const line = make(body, "tr", one.tied ? { class: "best" } : {}), its = raw.filter(({ name }) => name === one.name);
    make(line, "th", { scope: "row" }, one.name);
    const cell = make(line, "td");
    if (its.length) addRaw(cell, line, its, one.name, one.name === opened);
    if (one.seconds === undefined) {
      const { status, note, verified } = its[0];
      make(line, "td", { colspan: "4", class: "wrap" }, "Not ranked: " + (note ? `${status}, ${note}` : verified ? status : "not verified"));
      continue;
    }
    make(line, "td", { class: "n" }, (found.measured ? "" : "≈ ") + inSeconds(one.seconds));
    make(line, "td", { class: "n" }, one.ratio === 1 && one.high === 1 ? "1" : `${inTimes(one.ratio)} (${inTimes(one.low)} to ${inTimes(one.high)})`);
    make(line, "td", { class: "n" }, inPowers(one.error));
    if (found.measured) make(line, "td", { class: "n" }, inBytes(its[0]?.temporary_bytes));
  }
}

/** Add a button that shows and hides the raw results of an implementation. */
function addRaw(cell, line, results, name, open) {
  const button = make(cell, "button", { type: "button", "aria-expanded": "false", "aria-label": `raw result of ${name}` }, "raw result");
  const toggle = () => {
    const shown = button.getAttribute("aria-expanded") === "true";
    button.setAttribute("aria-expanded", String(!shown));
    if (shown) return line.nextSibling.remove();
    const row = document.createElement("tr");
    row.className = "raw";
    const text = results.map((result) => JSON.stringify(result, null, 1).replace(/,\n\s+(?=-?\d)/g, ", ")).join("\n");
    make(make(row, "td", { colspan: String(COLUMNS.length) }), "pre", { tabindex: "0" }, text);
    return line.after(row);
  };
  button.addEventListener("click", toggle);
  if (open) toggle();
}

function showFound(parent, run, found, question, opened) {
  const { pick, candidates } = found, exact = found.batch === question.batch && found.dim === question.dim;
  const tied = candidates.filter((one) => one.tied && one !== pick).map((one) => one.name);
  const where = `${inShape(found)}${exact ? "" : `, the nearest shape that this page knows to ${inShape(question)}`}`;
  make(parent, "h3", {}, `${pick.name}, ${found.measured && exact ? "" : "about "}${inSeconds(pick.seconds)}`);
  const reason = found.measured ? "no measurable difference" : "the difference is within the error of interpolation";
  const ties = tied.length ? `It ties with ${tied.join(", ")}: ${reason}. ` : "";
  make(parent, "p", {}, `${ties}${found.measured ? "Measured" : "Interpolated between measured shapes"} at ${where}.`);
  const better = pick.error === null ? undefined
    : candidates.find((one) => one.error !== null && data.more_accurate * one.error < pick.error);
  if (better) make(parent, "p", {}, `More accurate: ${better.name}, in ${inTimes(better.ratio)} times the time of the fastest. ` +
    `Its worst error is ${inPowers(better.error)}, the worst error of ${pick.name} is ${inPowers(pick.error)}.`);
  const raw = found.measured ? rawResults(run, found, question) : [];
  const roofline = raw.find((one) => one.roofline_seconds)?.roofline_seconds;
  if (roofline) make(parent, "p", {}, `The roofline, the time to move the bytes, is ${inSeconds(roofline)}.`);
  showTable(parent, found, raw, `${found.measured ? "Measured" : "Interpolated"} at ${inShape(found)}, ${question.dtype}, ${inThreads(question.threads)}`, opened);
  if (!found.measured || !exact) suggest(parent, question);
}

function suggest(parent, question) {
  const threads = question.threads > 1 ? ` --threads ${question.threads}` : "";
  const command = `softmax-impls choose --batch ${question.batch} --dim ${question.dim} --dtype ${question.dtype}${threads} --measure`;
  make(make(parent, "p", {}, `To measure ${inShape(question)}: `), "code", {}, command);
}

function showRun(parent, run, question, opened) {
  const part = make(parent, "div");
  if (data.runs.length > 1) make(part, "p", { class: "small" }, run.title);
  const panel = run.panels.find((one) => one.dtype === question.dtype && one.threads === question.threads);
  const found = lookUp(panel, question);
  if (found) return showFound(part, run, found, question, opened);
  const measured = panel ? measuredShapes(panel) : [];
  const range = (axis) => [Math.min, Math.max].map((f) => f(...measured.map((shape) => shape[axis]))).join(" to ");
  make(part, "h3", {}, measured.length ? "Outside of the measured shapes" : "No answer");
  make(part, "p", {}, measured.length
    ? `With ${question.dtype} and ${inThreads(question.threads)}, batch was measured from ${range(0)} and dim from ${range(1)}, but not in all combinations.`
    : `This page has no verified times with ${question.dtype} and ${inThreads(question.threads)}.`);
  return suggest(part, question);
}

function respond(fields) {
  const [question, problems] = parse(fields);
  for (const control of form.elements) if (control.name) control.setAttribute("aria-invalid", String(control.name in problems));
  answer.replaceChildren();
  for (const problem of Object.values(problems)) make(answer, "p", { class: "error" }, problem + ".");
  if (Object.keys(problems).length) return;
  const parts = make(answer, "div", data.runs.length > 1 ? { class: "runs" } : {});
  for (const run of data.runs) showRun(parts, run, question, fields.get("kernel"));
}

function fromAddress() {
  const fields = new URLSearchParams(location.hash.slice(1));
  if (!FIELDS.some((key) => fields.has(key))) return false;
  for (const key of FIELDS) {
    if (!fields.has(key)) fields.set(key, data.first[key]);
    if (key !== "dtype" || DTYPES.includes(fields.get(key))) form.elements[key].value = fields.get(key);
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
// The mouse shows what a point or a tile is. With the keyboard, use the table of all cells.
for (const link of document.querySelectorAll("figure svg a")) {
  const fields = new URLSearchParams(link.getAttribute("href").slice(1));
  const title = document.createElementNS("http://www.w3.org/2000/svg", "title");
  title.textContent = [fields.get("kernel"), `${fields.get("batch")}×${fields.get("dim")}`, fields.get("dtype")].filter(Boolean).join(", ");
  link.append(title);
  link.setAttribute("tabindex", "-1");
}
for (const key of FIELDS) form.elements[key].value = data.first[key];
if (!fromAddress()) respond(new FormData(form));
