"use strict";
// Look up the answer for a shape. All text from results is inserted as text, never as HTML.
const data = JSON.parse(document.getElementById("data").textContent);
const form = document.getElementById("ask"), answer = document.getElementById("answer");
const FIELDS = ["batch", "dim", "dtype", "threads"], DTYPES = ["float32", "float64"];
const MAX_SIZE = 2 ** 40;
const FARTHEST = 0.5; // octaves: the largest distance between a shape and the predicted shape that answers for it
const PLACEHOLDER = "(batch, dim)"; // in the code to paste; replaced by the shape that the reader enters

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
  return seconds < 120 ? Number(seconds.toPrecision(3)) + " s" : Math.round(seconds / 60) + " min";
}

function inBytes(bytes) {
  if (bytes == null) return "–";
  for (const [unit, scale] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]])
    if (bytes >= 0.99995 * scale) return (bytes / scale).toFixed(1) + " " + unit;
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

/** Return the prediction for a shape, or for the nearest shape; null if that is farther than `FARTHEST` octaves. */
function lookUp(panel, question) {
  const octaves = (shape) => Math.max(...["batch", "dim"].map((key, i) => Math.abs(Math.log2(shape[i] / question[key]))));
  let nearest = null, distance = Infinity;
  for (const shape of panel?.shapes ?? []) {
    const here = octaves(shape);
    if (here < distance) [nearest, distance] = [shape, here];
  }
  return distance <= FARTHEST ? unpack(nearest, panel, question) : null;
}

function unpack([batch, dim, measured, pick, code, candidates], panel, question) {
  const found = candidates.map(([name, nanoseconds, ratio, low, high, tied]) =>
    ({ name: data.names[name], seconds: nanoseconds * 1e-9, ratio, low, high, tied, error: panel.errors[name] }));
  const text = panel.code[code]?.replaceAll(PLACEHOLDER, `(${question.batch}, ${question.dim})`);
  return { batch, dim, measured, candidates: found, pick: found.find((one) => one.name === data.names[pick]), code: text };
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

const panelOf = (run, { dtype, threads }) => run.panels.find((one) => one.dtype === dtype && one.threads === threads);

// ------------------------------------------------------------------ show

const LETTERS = "ABCD";

const COLUMNS = [["Implementation", ""], ["", ""], ["Time", "n"], ["× fastest unmarked", "n"], ["÷ A", "n"], ["Worst error", "n"], ["Temporary", "n"]];
const inMark = (name) => name + (Object.hasOwn(data.marks, name) ? data.marks[name] : "");

/** Show the candidates of a run in the order of the first run. A later run has a column: its times over the times of the first run. */
function showTable(parent, found, first, raw, caption, opened) {
  const box = make(parent, "div", { class: "box", tabindex: "0", role: "region", "aria-label": caption });
  const table = make(box, "table"), order = first.candidates.map((one) => one.name);
  make(table, "caption", {}, caption);
  const head = make(make(table, "thead"), "tr"), body = make(table, "tbody");
  const hidden = [first === found ? "÷ A" : "", found.measured ? "" : "Temporary"];
  for (const [text, kind] of COLUMNS)
    if (!text) make(head, "td"); else if (!hidden.includes(text)) make(head, "th", { scope: "col", class: kind }, text);
  const place = ({ name }) => order.includes(name) ? order.indexOf(name) : Infinity;
  const candidates = [...found.candidates].sort((a, b) => place(a) - place(b) || 0);
  const names = new Set(candidates.map((one) => one.name));
  const unranked = [...new Set(raw.map((one) => one.name))].filter((name) => !names.has(name)).map((name) => ({ name }));
  for (const one of [...candidates, ...unranked]) {
    const line = make(body, "tr", one.tied ? { class: "best" } : {}), its = raw.filter(({ name }) => name === one.name);
    make(line, "th", { scope: "row" }, inMark(one.name));
    const cell = make(line, "td");
    if (its.length) addRaw(cell, line, its, one.name, one.name === opened);
    if (one.seconds === undefined) {
      const { status, note, verified, seconds } = its[0];
      const time = status === "extrapolated" && seconds ? `About ${inSeconds(seconds)}, n` : "N";
      make(line, "td", { colspan: "5", class: "wrap" }, time + "ot ranked: " + (note ? `${status}, ${note}` : verified ? status : "not verified"));
      continue;
    }
    make(line, "td", { class: "n" }, (found.measured ? "" : "≈ ") + inSeconds(one.seconds));
    make(line, "td", { class: "n" }, one.ratio === null ? "–" : one.ratio === 1 && one.high === 1 ? "1" : `${inTimes(one.ratio)} (${inTimes(one.low)} to ${inTimes(one.high)})`);
    const before = first.candidates.find(({ name }) => name === one.name);
    if (first !== found) make(line, "td", { class: "n" }, before ? inTimes(one.seconds / before.seconds) : "–");
    make(line, "td", { class: "n" }, inPowers(one.error));
    if (found.measured) make(line, "td", { class: "n" }, inBytes(its[0]?.temporary_bytes));
  }
}

/** Show code, and a button that copies it. */
function showCode(parent, code) {
  const box = make(parent, "div", { class: "code" }), text = make(box, "pre", {}, make(box, "code", {}, code));
  const button = make(box, "button", { type: "button" }, "copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(code);
      button.textContent = "copied";
    } catch { // not allowed: select the code, so that the reader can copy it
      getSelection().selectAllChildren(text);
      button.textContent = document.execCommand("copy") ? "copied" : "selected";
    }
  });
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

function showFound(parent, run, found, first, question, opened) {
  const { pick, candidates } = found, exact = found.batch === question.batch && found.dim === question.dim;
  const tied = candidates.filter((one) => one.tied && one !== pick).map((one) => one.name);
  const where = `${inShape(found)}${exact ? "" : `, the nearest shape that this page knows to ${inShape(question)}`}`;
  make(parent, "h3", {}, pick ? `${pick.name}, ${found.measured && exact ? "" : "about "}${inSeconds(pick.seconds)}`
    : "No implementation that stays accurate on saturated rows");
  const reason = found.measured ? "no measurable difference" : "the difference is within the error of the prediction";
  const ties = tied.length ? `It ties with ${tied.join(", ")}: ${reason}. ` : "";
  make(parent, "p", {}, `${ties}${found.measured ? "Measured" : "Predicted from measured shapes"} at ${where}.`);
  const raw = found.measured ? rawResults(run, found, question) : [];
  const roofline = raw.find((one) => one.roofline_seconds)?.roofline_seconds;
  if (roofline) make(parent, "p", {}, `The roofline, the time to move the bytes, is ${inSeconds(roofline)}.`);
  if (found.code) showCode(parent, found.code);
  const same = first && first.batch === found.batch && first.dim === found.dim ? first : found;
  showTable(parent, found, same, raw, `${found.measured ? "Measured" : "Predicted"} at ${inShape(found)}, ${question.dtype}, ${inThreads(question.threads)}`, opened);
  if (!found.measured || !exact) suggest(parent, question);
}

function suggest(parent, question) {
  const threads = question.threads > 1 ? ` --threads ${question.threads}` : "";
  const command = `softmax-impls choose --batch ${question.batch} --dim ${question.dim} --dtype ${question.dtype}${threads}`;
  make(make(parent, "p", {}, `To measure ${inShape(question)}: `), "code", {}, command);
}

function showRun(parent, run, found, first, question, opened) {
  const part = make(parent, "div");
  if (data.runs.length > 1) make(part, "p", { class: "small" }, `${LETTERS[data.runs.indexOf(run)] ?? ""}: ${run.title}`);
  if (found) return showFound(part, run, found, first, question, opened);
  const measured = panelOf(run, question)?.shapes.filter(([, , measured]) => measured) ?? [];
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
  const parts = make(answer, "div", { class: "runs" });
  const found = data.runs.map((run) => lookUp(panelOf(run, question), question));
  data.runs.forEach((run, i) => showRun(parts, run, found[i], i && found[0], question, fields.get("kernel")));
  const shown = new Set(found.flatMap((one) => one?.candidates ?? []).map(({ name }) => inMark(name).slice(name.length)));
  for (const [mark, text] of Object.entries(data.explanations)) if (shown.has(mark)) make(answer, "p", { class: "small" }, text);
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
