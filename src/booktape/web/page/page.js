// The page of a running recorder, and of a finished recording: the same tables and pictures, fed by a WebSocket or by
// requests. Every name and number comes from outside, so nothing is ever made from markup: textContent sets all text.
"use strict";

const $ = (id) => document.getElementById(id);
const REACHES = [5, 10, 25, 50, 100, 250, 500, 1000];
const WINDOWS = [["1 min", 60], ["5 min", 300], ["15 min", 900], ["1 h", 3600], ["6 h", 21600], ["1 d", 86400]];
const ROW_PX = matchMedia("(max-width: 640px)").matches ? 34 : 27;
const LADDER = 16; // levels of each side that are shown
const LIVE_WINDOW_S = 120;
const LIVE_COLUMNS = 480;
const KEEP_S = 600;
const STALE_MS = 3000; // when two frames are farther apart than this, the picture leaves the time between them blank
const UNKNOWN = 255;
const STRIP_SLOTS = 150;

const app = { mode: "", about: null, symbol: null, books: new Map(), order: [], sort: null, filter: "", reach: 25, reachChosen: false, focus: null };

// ── texts and numbers ────────────────────────────────────────────────────────────────────────────

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

function setText(node, text) { if (node.textContent !== text) node.textContent = text; }
function setClass(node, name) { if (node.className !== name) node.className = name; }
function make(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}
function two(value) { return String(value).padStart(2, "0"); }
function clock(us, fraction = 0) {
  const at = new Date(us / 1000);
  const text = `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}:${two(at.getUTCSeconds())}`;
  return fraction ? `${text}.${String(at.getUTCMilliseconds()).padStart(3, "0").slice(0, fraction)}` : text;
}
function day(us) { return new Date(us / 1000).toISOString().slice(0, 10); }
function length(s) {
  if (s < 0.9995) return `${Math.max(0, s * 1000).toFixed(0)} ms`;
  if (s < 60) return `${s.toFixed(1)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${Math.floor(s % 60)} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}
function bytes(count) {
  let unit = 0;
  for (; count >= 1000 && unit < 4; unit++) count /= 1000;
  return `${unit && count < 100 ? count.toFixed(1) : count.toFixed(0)} ${["B", "kB", "MB", "GB", "TB"][unit]}`;
}
function share(value) {
  // Rounded down: only a book that was never lost has 100 %.
  return value >= 1 ? "100 %" : `${(Math.floor(value * 100000) / 1000).toFixed(3)} %`;
}
function digitsOf(value) {
  const [number, power] = String(value).split("e-");
  return (number.split(".")[1] || "").length + Number(power || 0);
}
function decimals(levels) { return Math.min(10, levels.reduce((most, [price]) => Math.max(most, digitsOf(price)), 0)); }
function brief(value) { return value >= 10000 ? compact.format(value) : String(Number(value.toPrecision(4))); }

// ── colours ──────────────────────────────────────────────────────────────────────────────────────

const theme = {};
function readTheme() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["back", "panel", "line", "grid", "text", "dim", "good", "bad", "warn", "off", "bid", "ask", "unknown", "curve", "raised"]) {
    theme[name] = style.getPropertyValue(`--${name}`).trim();
  }
  const stops = [0, 1, 2, 3, 4].map((n) => rgb(style.getPropertyValue(`--heat-${n}`).trim()));
  theme.heat = new Uint32Array(256);
  for (let level = 0; level < UNKNOWN; level++) {
    // The few large sizes stand out from the many small ones.
    const at = level === 0 ? 0 : 0.12 + (level / 254) ** 1.7 * 3.88;
    const low = Math.min(3, Math.floor(at));
    const mixed = stops[low].map((value, n) => Math.round(value + (stops[low + 1][n] - value) * (at - low)));
    theme.heat[level] = pixel(mixed);
  }
  theme.heat[UNKNOWN] = pixel(rgb(theme.unknown));
  theme.back32 = pixel(rgb(theme.panel));
}
function rgb(hex) { return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)); }
const LITTLE = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;
function pixel([r, g, b]) { return (LITTLE ? (255 << 24) | (b << 16) | (g << 8) | r : (r << 24) | (g << 16) | (b << 8) | 255) >>> 0; }
matchMedia("(prefers-color-scheme: light)").addEventListener("change", () => { readTheme(); charts.drop(); redraw(); });

function fitted(canvas) {
  // Gives the canvas one pixel for each pixel of the screen.
  const ratio = Math.min(3, devicePixelRatio || 1);
  const width = Math.max(1, Math.round(canvas.clientWidth * ratio));
  const height = Math.max(1, Math.round(canvas.clientHeight * ratio));
  if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  return [pen, canvas.clientWidth, canvas.clientHeight];
}

// ── the overview ─────────────────────────────────────────────────────────────────────────────────

const SEVERITY = { live: 0, ended: 1, break: 2, syncing: 3, cold: 4 };
const COLUMNS = {
  live: [
    { name: "symbol", label: "symbol", css: "text symbol", value: (b) => b.symbol },
    { name: "state", label: "state", css: "text state", value: (b) => -SEVERITY[b.state], text: (b) => (b.reason && b.state !== "live" ? `${b.state}: ${b.reason}` : b.state) },
    { name: "age", label: "evidence age", hint: "time since something last proved this book current", value: (b) => -b.age_s, text: (b) => (b.age_s === null ? "–" : length(b.age_s)), mark: (b) => (b.age_s > 60 ? "amber" : "") },
    { name: "rate", label: "updates/s", css: "narrow", value: (b) => -b.rate, text: (b) => b.rate.toFixed(b.rate < 10 ? 1 : 0) },
    { name: "lag", label: "lag", css: "minor narrow", hint: "from the exchange's time of the last event to our receipt", value: (b) => -(b.lag_ms ?? -1), text: (b) => (b.lag_ms === null ? "–" : length(b.lag_ms / 1e3)) },
    { name: "rows", label: "rows", css: "minor narrow", value: (b) => -b.rows, text: (b) => whole.format(b.rows) },
    { name: "checks", label: "checks", css: "narrow", hint: "comparisons with other sources; red: those that found a difference", value: (b) => -b.failed * 1e12 - b.checks, text: (b) => (b.failed ? `${whole.format(b.failed)} failed` : whole.format(b.checks)), mark: (b) => (b.failed ? "red" : "") },
    { name: "gaps", label: "gaps", value: (b) => -b.gaps, text: (b) => whole.format(b.gaps), mark: (b) => (b.gaps ? "red" : "none") },
    { name: "coverage", label: "coverage", css: "narrow", hint: "share of the time since this start in which the book was known", value: (b) => b.coverage, text: (b) => share(b.coverage), mark: (b) => (b.coverage < 1 ? "amber" : "") },
    { name: "strip", label: "last minutes", css: "text minor narrow", strip: true },
  ],
  recording: [
    { name: "symbol", label: "symbol", css: "text symbol", value: (b) => b.symbol },
    { name: "coverage", label: "coverage", value: (b) => b.coverage, text: (b) => share(b.coverage), mark: (b) => (b.coverage < 1 ? "amber" : "") },
    { name: "gaps", label: "gaps", value: (b) => -b.gap_count, text: (b) => whole.format(b.gap_count), mark: (b) => (b.gap_count ? "red" : "none") },
    { name: "reasons", label: "reasons", css: "text minor narrow", value: (b) => b.reason_text, text: (b) => b.reason_text || "–" },
    { name: "lost", label: "time lost", value: (b) => -b.lost_s, text: (b) => (b.lost_s ? length(b.lost_s) : "–"), mark: (b) => (b.lost_s ? "red" : "none") },
    { name: "checks", label: "checks", css: "narrow", hint: "stored comparisons with other sources", value: (b) => -b.failed * 1e12 - b.checks, text: (b) => (b.failed ? `${whole.format(b.failed)} failed` : whole.format(b.checks)), mark: (b) => (b.failed ? "red" : "") },
    { name: "rows", label: "rows", css: "narrow", value: (b) => -b.rows, text: (b) => whole.format(b.rows) },
    { name: "size", label: "bytes/row", css: "minor narrow", value: (b) => -b.bytes / b.rows, text: (b) => whole.format(b.bytes / b.rows) },
    { name: "first", label: "first row", css: "minor narrow", value: (b) => b.first_us, text: (b) => `${day(b.first_us)} ${clock(b.first_us)}` },
    { name: "time", label: "time", css: "minor narrow", value: (b) => -b.span_s, text: (b) => length(b.span_s) },
    { name: "strip", label: "timeline", css: "text narrow", strip: true },
  ],
};

function trouble(book) {
  // Books that need a look come first: by how bad, then by how long.
  if (app.mode === "recording") return -(book.failed * 1e9 + book.lost_s + book.gap_count / 1e3);
  return -(SEVERITY[book.state] * 1e9 + (book.failed ? 1e8 : 0) + (book.state === "live" ? 0 : book.age_s || 0) + Math.min(9e3, book.gaps) * 1e3);
}
function health(book) {
  if (app.mode === "recording") return book.failed ? "bad" : book.gap_count ? "warn" : "good";
  if (book.failed) return "bad";
  return { live: "good", ended: "", break: "warn", syncing: "bad", cold: "bad" }[book.state];
}

function buildHead() {
  const heads = $("heads");
  heads.replaceChildren(...COLUMNS[app.mode].map((column) => {
    const head = make("th", `${column.css || ""}`);
    head.scope = "col";
    const button = make("button", "", column.label);
    button.type = "button";
    button.title = column.hint || "";
    button.disabled = Boolean(column.strip);
    button.addEventListener("click", () => {
      const same = app.sort && app.sort.column === column;
      app.sort = same && app.sort.down ? null : { column, down: same };
      arrange();
    });
    head.append(button);
    return head;
  }));
}

function arrange() {
  const words = app.filter.toLowerCase().split(/[\s,]+/).filter(Boolean);
  const shown = [...app.books.values()].filter((book) => words.every((word) => searchable(book).includes(word)));
  const key = app.sort ? app.sort.column.value : trouble;
  const sign = app.sort && app.sort.down ? -1 : 1;
  for (const book of shown) book.key = key(book);
  shown.sort((a, b) => sign * (a.key < b.key ? -1 : a.key > b.key ? 1 : 0) || (a.symbol < b.symbol ? -1 : 1));
  app.order = shown;
  for (const [n, head] of [...$("heads").children].entries()) {
    const own = app.sort && app.sort.column === COLUMNS[app.mode][n];
    if (own) head.setAttribute("aria-sort", app.sort.down ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  }
  setText($("count"), `${whole.format(shown.length)} of ${whole.format(app.books.size)} symbols${app.sort ? "" : ", trouble first"}`);
  $("table").setAttribute("aria-rowcount", String(shown.length + 1));
  paintRows();
}
function searchable(book) { return `${book.symbol} ${book.state || ""} ${book.reason || ""} ${book.reason_text || ""}`.toLowerCase(); }

// Only the rows in view exist; two rows of empty space stand in for the others.
const pool = [];
const spaces = [make("tr", "space"), make("tr", "space")];
for (const space of spaces) { space.append(make("td")); space.setAttribute("aria-hidden", "true"); }

function paintRows() {
  if ($("overview").hidden) return;
  const box = $("scroll");
  const tall = box.scrollHeight > box.clientHeight + 1;
  const above = tall ? box.scrollTop : Math.max(0, -box.getBoundingClientRect().top);
  const room = Math.ceil((tall ? box.clientHeight : innerHeight) / ROW_PX) + 6;
  const first = Math.max(0, Math.min(app.order.length - room, Math.floor(above / ROW_PX) - 2));
  const count = Math.min(room, app.order.length - first);
  while (pool.length < count) pool.push(makeRow());
  const wanted = [spaces[0], ...pool.slice(0, count), spaces[1]];
  const body = $("rows");
  if (body.children.length !== wanted.length) body.replaceChildren(...wanted);
  spaces[0].firstChild.style.height = `${first * ROW_PX}px`;
  spaces[1].firstChild.style.height = `${(app.order.length - first - count) * ROW_PX}px`;
  for (let n = 0; n < count; n++) fillRow(pool[n], app.order[first + n], first + n);
  app.first = first;
}
function makeRow() {
  const row = make("tr");
  row.tabIndex = -1;
  row.cells_ = COLUMNS[app.mode].map((column) => {
    const cell = make("td", column.css || "");
    if (column.strip) cell.append(make("canvas"));
    if (column.name === "symbol") cell.append(make("a"));
    return cell;
  });
  row.append(...row.cells_);
  row.addEventListener("click", () => { location.hash = hashOf(row.book_.symbol); });
  row.addEventListener("keydown", (event) => {
    if (event.key === "Enter") { event.preventDefault(); location.hash = hashOf(row.book_.symbol); }
  });
  return row;
}
function fillRow(row, book, place) {
  row.book_ = book;
  row.place_ = place;
  row.setAttribute("aria-rowindex", String(place + 2));
  row.tabIndex = place === 0 || book.symbol === app.focus ? 0 : -1;
  setClass(row, health(book));
  COLUMNS[app.mode].forEach((column, n) => {
    const cell = row.cells_[n];
    if (column.strip) { drawStrip(cell.firstChild, book); return; }
    if (column.name === "symbol") {
      const link = cell.firstChild;
      setText(link, book.symbol);
      link.setAttribute("href", hashOf(book.symbol));
      link.tabIndex = -1;
      return;
    }
    setText(cell, column.text(book));
    setClass(cell, `${column.css || ""} ${column.mark ? column.mark(book) : ""}`.trim());
  });
}
function moveFocus(by) {
  const now = document.activeElement && document.activeElement.closest("#rows tr");
  const place = now ? now.place_ + by : 0;
  if (!app.order.length) return;
  const to = Math.max(0, Math.min(app.order.length - 1, place));
  app.focus = app.order[to].symbol;
  const box = $("scroll");
  if (box.scrollHeight > box.clientHeight + 1) {
    const top = to * ROW_PX;
    if (top < box.scrollTop) box.scrollTop = top;
    else if (top + 3 * ROW_PX > box.scrollTop + box.clientHeight) box.scrollTop = top + 3 * ROW_PX - box.clientHeight;
  }
  paintRows();
  const row = pool.find((each) => each.isConnected && each.place_ === to);
  if (row) row.focus({ preventScroll: box.scrollHeight > box.clientHeight + 1 });
}

function drawStrip(canvas, book) {
  const [pen, width, height] = fitted(canvas);
  if (app.mode === "recording") return drawTimeline(pen, width, height, book, app.span);
  pen.fillStyle = theme.grid;
  pen.fillRect(0, 0, width, height);
  const states = book.states;
  for (let n = 0; n < states.length; n++) {
    pen.fillStyle = { live: theme.good, ended: theme.off, break: theme.warn }[states[n]] || theme.bad;
    pen.fillRect(width - (states.length - n) * (width / STRIP_SLOTS), states[n] === "live" ? height * 0.35 : 0, width / STRIP_SLOTS + 0.3, states[n] === "live" ? height * 0.3 : height);
  }
}
function drawTimeline(pen, width, height, book, [from_us, to_us]) {
  const x = (us) => ((us - from_us) / Math.max(1, to_us - from_us)) * width;
  pen.fillStyle = theme.grid;
  pen.fillRect(0, 0, width, height);
  pen.fillStyle = theme.good;
  pen.fillRect(x(book.first_us), height * 0.3, Math.max(1, x(book.last_us) - x(book.first_us)), height * 0.4);
  for (const gap of book.gaps) {
    const start = x(Math.max(gap.from_us, book.first_us));
    const end = x(Math.min(gap.to_us ?? book.last_us, book.last_us));
    if (end <= start) continue;
    pen.fillStyle = theme.bad;
    pen.fillRect(start, 0, Math.max(1.5, end - start), height);
  }
}

function showTotals(items) {
  const box = $("totals");
  while (box.children.length < items.length) {
    const item = make("div");
    item.append(make("dt"), make("dd"));
    box.append(item);
  }
  while (box.children.length > items.length) box.lastChild.remove();
  items.forEach(([label, text, css], n) => {
    setText(box.children[n].children[0], label);
    setText(box.children[n].children[1], text);
    setClass(box.children[n], css || "");
  });
}

// ── one symbol ───────────────────────────────────────────────────────────────────────────────────

const ladderRows = [];
function buildLadder() {
  const body = $("ladder").tBodies[0];
  for (let n = 0; n < 2 * LADDER + 1; n++) {
    const row = make("tr", n < LADDER ? "ask" : n > LADDER ? "bid" : "middle");
    const cells = n === LADDER ? [make("td")] : [make("td"), make("td"), make("td")];
    if (n === LADDER) cells[0].colSpan = 3;
    row.append(...cells);
    body.append(row);
    ladderRows.push({ row, cells });
  }
}
function showLadder(book, lost) {
  const middle = ladderRows[LADDER];
  if (!book) {
    for (const { row, cells } of ladderRows) if (row.className !== "middle" && cells.length === 3) fillLevel(cells, null, 0, 1, 0, brief);
    setClass(middle.row, "middle lost");
    setText(middle.cells[0], lost);
    setText($("levels"), "");
    return;
  }
  setClass(middle.row, "middle");
  const digits = decimals([...book.bids.slice(0, LADDER), ...book.asks.slice(0, LADDER)]);
  const most = Math.max(1e-12, ...book.bids.slice(0, LADDER).map((l) => l[1]), ...book.asks.slice(0, LADDER).map((l) => l[1]));
  const size = sizeFormat(book);
  for (const [levels, place] of [[book.asks, (n) => LADDER - 1 - n], [book.bids, (n) => LADDER + 1 + n]]) {
    let total = 0;
    for (let n = 0; n < LADDER; n++) {
      const level = levels[n] || null;
      total += level ? level[1] : 0;
      fillLevel(ladderRows[place(n)].cells, level, total, most, digits, size);
    }
  }
  const [bid, ask] = [book.bids[0], book.asks[0]];
  setText(middle.cells[0], bid && ask ? `spread ${(ask[0] - bid[0]).toFixed(digits)} · ${bps(bid[0], ask[0]).toFixed(3)} bps` : "one side is empty");
  setText($("levels"), `${whole.format(book.bid_levels)} bids, ${whole.format(book.ask_levels)} asks`);
}
function sizeFormat(book) {
  // All sizes have the same number of decimals, so that the points line up; fewer where the totals are long.
  const shown = [book.bids.slice(0, LADDER), book.asks.slice(0, LADDER)];
  const total = Math.max(1, ...shown.map((levels) => levels.reduce((sum, level) => sum + level[1], 0)));
  if (total >= 1e10) return (value) => compact.format(value);
  const exact = Math.max(0, ...shown.flat().map(([, value]) => digitsOf(value)));
  const digits = Math.max(0, Math.min(exact, 8 - Math.floor(Math.log10(total))));
  return (value) => value.toFixed(digits);
}
function fillLevel(cells, level, total, most, digits, size) {
  setText(cells[0], level ? size(level[1]) : "");
  setText(cells[1], level ? level[0].toFixed(digits) : "");
  setText(cells[2], level ? size(total) : "");
  cells[0].style.backgroundSize = level ? `${(100 * level[1]) / most}% 100%` : "0 100%";
}
function bps(bid, ask) { return ((ask - bid) / ((ask + bid) / 2)) * 1e4; }

function showQuote(book) {
  const box = $("quote");
  while (box.children.length < 3) box.append(make("span"));
  const [bid, ask] = book ? [book.bids[0], book.asks[0]] : [null, null];
  const digits = book ? decimals([...book.bids.slice(0, LADDER), ...book.asks.slice(0, LADDER)]) : 0;
  setClass(box.children[0], "bid"); setText(box.children[0], bid ? `bid ${bid[0].toFixed(digits)}` : "");
  setClass(box.children[1], "ask"); setText(box.children[1], ask ? `ask ${ask[0].toFixed(digits)}` : "");
  setClass(box.children[2], "dim"); setText(box.children[2], book ? `update ${book.update_id}` : "");
}
function showState(text, css) { setText($("state"), text); setClass($("state"), `badge ${css}`); }

// The charts of uPlot: made when first needed, and again when the colours change.
const charts = {
  made: new Map(),
  drop() { for (const chart of this.made.values()) chart.destroy(); this.made.clear(); },
  show(id, options, data) {
    const box = $(id);
    if (!box.clientWidth) return null;
    let chart = this.made.get(id);
    if (!chart) {
      const own = options();
      chart = new uPlot({ width: box.clientWidth, height: box.clientHeight, legend: { show: false }, ...own }, data, box);
      this.made.set(id, chart);
    } else {
      if (chart.width !== box.clientWidth || chart.height !== box.clientHeight) chart.setSize({ width: box.clientWidth, height: box.clientHeight });
      chart.setData(data);
    }
    return chart;
  },
};
const PADDING = [8, 28, 2, 0]; // top, right (half of the last label), bottom, left
const axis = (more) => ({ stroke: theme.dim, grid: { stroke: theme.grid, width: 1 }, ticks: { stroke: theme.grid, width: 1, size: 4 }, font: "11px system-ui, sans-serif", ...more });
const bands = { spans: [], range: null };
function shadeGaps(chart) {
  const { left, top, width, height } = chart.bbox;
  chart.ctx.save();
  chart.ctx.fillStyle = theme.unknown;
  for (const [from, to] of bands.spans) {
    const a = Math.max(left, chart.valToPos(from, "x", true));
    const b = Math.min(left + width, chart.valToPos(to, "x", true));
    if (b > left && a < left + width) chart.ctx.fillRect(a, top, Math.max(2, b - a), height);
  }
  chart.ctx.restore();
}
function spreadOptions() {
  return {
    tzDate: (s) => uPlot.tzDate(new Date(s * 1e3), "Etc/UTC"),
    cursor: { y: false, drag: { x: false, y: false } },
    scales: { x: { range: () => bands.range }, y: { range: (_, low, high) => (low === null ? [0, 1] : [0, Math.max(high * 1.15, 1e-9)]) } },
    padding: PADDING,
    axes: [axis({ size: 28, space: 80, values: (_, ticks) => ticks.map((tick) => clock(tick * 1e6)) }), axis({ size: 52, values: (_, ticks) => ticks.map((tick) => String(Number(tick.toPrecision(4)))) })],
    series: [{}, { stroke: theme.curve, width: 1.25, fill: `${theme.curve}22`, paths: uPlot.paths.stepped({ align: 1 }), points: { show: false } }],
    hooks: {
      drawClear: [shadeGaps],
      setCursor: [(chart) => { const n = chart.cursor.idx; const value = n === null || n === undefined ? null : chart.data[1][n]; chart.note_ = value === null || value === undefined ? "" : `${clock(chart.data[0][n] * 1e6, 1)} · ${value.toFixed(3)}`; if (chart.note_) setText($("spread-now"), chart.note_); }],
    },
  };
}
function depthOptions() {
  const stepped = uPlot.paths.stepped({ align: 1 });
  return {
    cursor: { y: false, drag: { x: false, y: false } },
    scales: { x: { time: false }, y: { range: (_, low, high) => [0, Math.max(high || 0, 1e-9) * 1.05] } },
    padding: PADDING,
    axes: [axis({ size: 28, values: (_, ticks) => ticks.map((tick) => String(Number(tick.toPrecision(9)))) }), axis({ size: 52, values: (_, ticks) => ticks.map(brief) })],
    series: [{}, { stroke: theme.bid, width: 1.25, fill: `${theme.bid}33`, paths: stepped, points: { show: false } }, { stroke: theme.ask, width: 1.25, fill: `${theme.ask}33`, paths: stepped, points: { show: false } }],
    hooks: { setCursor: [(chart) => { const n = chart.cursor.idx; if (n === null || n === undefined) return; const value = chart.data[1][n] ?? chart.data[2][n]; if (value !== null && value !== undefined) setText($("depth-now"), `${String(Number(chart.data[0][n].toPrecision(9)))} · ${brief(value)}`); }] },
  };
}
function showDepth(book) {
  const panel = $("depth").parentNode;
  panel.classList.toggle("stale", !book);
  if (!book || !book.bid_cells.length) return;
  const count = book.bid_cells.length;
  const prices = Array.from({ length: count }, (_, n) => book.low + (n + 0.5) * book.step);
  const bids = new Array(count).fill(null);
  const asks = new Array(count).fill(null);
  const bestBid = book.bids[0][0];
  const bestAsk = book.asks[0][0];
  let total = 0;
  for (let n = count - 1; n >= 0; n--) { total += book.bid_cells[n]; if (book.low + n * book.step <= bestBid) bids[n] = total; }
  total = 0;
  for (let n = 0; n < count; n++) { total += book.ask_cells[n]; if (book.low + (n + 1) * book.step >= bestAsk) asks[n] = total; }
  charts.show("depth", depthOptions, [prices, bids, asks]);
  setText($("depth-now"), `±${app.reach} bps: ${brief(bids.find((v) => v !== null) || 0)} bid, ${brief(total)} ask`);
}

// ── the heatmap ──────────────────────────────────────────────────────────────────────────────────

// picture: { from_us, to_us, columns, bins, low, step, levels: Uint8Array(columns * bins), begin_us, step_us, lines: [[us, bid, ask]…], gaps: [[from_us, to_us]…] }
const sheet = document.createElement("canvas");
function drawHeat(picture, at_us) {
  const canvas = $("heat");
  const [pen, width, height] = fitted(canvas);
  const right = 66;
  const bottom = 20;
  const [w, h] = [width - right, height - bottom];
  pen.clearRect(0, 0, width, height);
  showScale(picture);
  if (!picture || !picture.bins || w < 20) { pen.fillStyle = theme.dim; pen.font = "12px system-ui, sans-serif"; pen.fillText("nothing to draw yet", 12, 24); return; }
  const { from_us, to_us, low, step, bins } = picture;
  const x = (us) => ((us - from_us) / (to_us - from_us)) * w;
  const y = (value) => h - ((value - low) / (bins * step)) * h;
  sheet.width = picture.columns;
  sheet.height = bins;
  const ink = sheet.getContext("2d");
  const image = ink.createImageData(picture.columns, bins);
  const pixels = new Uint32Array(image.data.buffer);
  for (let c = 0; c < picture.columns; c++) {
    for (let b = 0; b < bins; b++) {
      const level = picture.levels[c * bins + b];
      pixels[(bins - 1 - b) * picture.columns + c] = level === 0 && picture.blank && picture.blank[c] ? theme.back32 : theme.heat[level];
    }
  }
  ink.putImageData(image, 0, 0);
  pen.save();
  pen.beginPath();
  pen.rect(0, 0, w, h);
  pen.clip();
  pen.fillStyle = theme.back;
  pen.fillRect(0, 0, w, h);
  pen.imageSmoothingEnabled = false;
  pen.drawImage(sheet, x(picture.begin_us), 0, x(picture.begin_us + picture.columns * picture.step_us) - x(picture.begin_us), h);
  for (const [from, to] of picture.gaps) {
    const a = x(Math.max(from, from_us));
    const b = Math.max(a + 2, x(Math.min(to, to_us)));
    if (from > to_us || to < from_us) continue;
    pen.fillStyle = theme.unknown;
    pen.fillRect(a, 0, b - a, h);
    pen.strokeStyle = theme.bad;
    pen.lineWidth = 1;
    pen.save();
    pen.beginPath();
    pen.rect(a, 0, b - a, h);
    pen.clip();
    pen.beginPath();
    for (let at = a - h; at < b; at += 9) { pen.moveTo(at, h); pen.lineTo(at + h, 0); }
    pen.globalAlpha = 0.55;
    pen.stroke();
    pen.restore();
  }
  for (const [side, colour] of [[1, theme.bid], [2, theme.ask]]) {
    pen.strokeStyle = colour;
    pen.lineWidth = 1.4;
    pen.beginPath();
    let drawing = false;
    for (const point of picture.lines) {
      const value = point[side];
      if (value === null || value === undefined) { drawing = false; continue; }
      if (drawing) pen.lineTo(x(point[0]), y(drawing));
      drawing ? pen.lineTo(x(point[0]), y(value)) : pen.moveTo(x(point[0]), y(value));
      drawing = value;
    }
    pen.stroke();
  }
  if (at_us) {
    pen.strokeStyle = theme.text;
    pen.lineWidth = 1;
    pen.setLineDash([3, 3]);
    pen.beginPath();
    pen.moveTo(x(at_us), 0);
    pen.lineTo(x(at_us), h);
    pen.stroke();
  }
  pen.restore();
  drawAxes(pen, picture, x, y, w, h);
}
function showScale(picture) {
  // Which colour means which size: the scale is logarithmic, and the few largest sizes share its end.
  const box = $("heat-scale");
  box.hidden = !picture || !picture.bins;
  if (box.hidden) return;
  const [low, canvas, high] = box.children;
  setText(low, brief(picture.size_low));
  setText(high, brief(picture.size_high));
  const [pen, width, height] = fitted(canvas);
  sheet.width = UNKNOWN - 1;
  sheet.height = 1;
  const image = new ImageData(UNKNOWN - 1, 1);
  new Uint32Array(image.data.buffer).set(theme.heat.subarray(1, UNKNOWN));
  sheet.getContext("2d").putImageData(image, 0, 0);
  pen.drawImage(sheet, 0, 0, width, height);
}
function drawAxes(pen, picture, x, y, w, h) {
  pen.font = "11px ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace";
  pen.fillStyle = theme.dim;
  pen.strokeStyle = theme.line;
  pen.lineWidth = 1;
  pen.textBaseline = "middle";
  const range = picture.bins * picture.step;
  const priceStep = roundStep(range / Math.max(2, h / 48));
  const digits = Math.max(0, Math.min(10, -Math.floor(Math.log10(priceStep) + 1e-9)));
  for (let n = Math.ceil(picture.low / priceStep); n * priceStep <= picture.low + range; n++) {
    const at = y(n * priceStep);
    pen.beginPath(); pen.moveTo(w, at); pen.lineTo(w + 4, at); pen.stroke();
    if (at > 6 && at < h - 4) pen.fillText((n * priceStep).toFixed(digits), w + 7, at);
  }
  const span_s = (picture.to_us - picture.from_us) / 1e6;
  const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400];
  const step_s = steps.find((s) => s >= span_s / Math.max(2, w / 95)) || 86400;
  pen.textAlign = "center";
  for (let s = Math.ceil(picture.from_us / 1e6 / step_s) * step_s; s * 1e6 <= picture.to_us; s += step_s) {
    const at = x(s * 1e6);
    pen.beginPath(); pen.moveTo(at, h); pen.lineTo(at, h + 4); pen.stroke();
    if (at > 26 && at < w - 20) pen.fillText(step_s < 1 ? clock(s * 1e6, 1) : clock(s * 1e6), at, h + 12);
  }
  pen.textAlign = "left";
  pen.strokeRect(0.5, 0.5, w - 1, h - 1);
}
function roundStep(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((f) => f * power).find((s) => s >= least * (1 - 1e-9));
}

// ── a finished recording ─────────────────────────────────────────────────────────────────────────

const seen = { at_us: 0, window_s: 300, history: null, historyKey: "", bookKey: "", asked: null };

async function ask(path, signal) {
  const answer = await fetch(path, { signal, cache: "no-store" });
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.error || `The server answered ${answer.status}.`);
  return found;
}
function notice(text) { setText($("notice"), text || ""); $("notice").hidden = !text; }

async function loadRecording() {
  setText($("link"), "reading"); setClass($("link"), "badge warn");
  const found = await ask("recording/overview");
  setText($("link"), "recording"); setClass($("link"), "badge");
  app.books = new Map(found.symbols.map((own) => [own.symbol, {
    ...own,
    span_s: (own.last_us - own.first_us) / 1e6,
    gap_count: Object.values(own.reasons).reduce((sum, n) => sum + n, 0),
    reason_text: Object.entries(own.reasons).map(([reason, n]) => `${n} ${reason}`).join(", "),
  }]));
  const all = [...app.books.values()];
  app.span = [Math.min(...all.map((b) => b.first_us)), Math.max(...all.map((b) => b.last_us))];
  const sum = (name) => all.reduce((total, b) => total + b[name], 0);
  const [span, lost] = [sum("span_s"), sum("lost_s")];
  showTotals(all.length ? [
    ["symbols", whole.format(all.length)],
    ["coverage", share(span ? 1 - lost / span : 1), lost ? "warn" : ""],
    ["gaps", whole.format(sum("gap_count")), sum("gap_count") ? "bad" : ""],
    ["failed checks", whole.format(sum("failed")), sum("failed") ? "bad" : ""],
    ["rows", whole.format(sum("rows"))],
    ["size of rows", bytes(sum("bytes"))],
  ] : []);
  if (!all.length) notice("No sealed rows yet: rows can be read here once their segment is sealed.");
  else if (found.damaged_files) notice(`${found.damaged_files} files cannot be read: ${found.damaged.slice(0, 3).join("; ")}${found.damaged_files > 3 ? " …" : ""}. Everything else is shown.`);
  buildCalendar(all);
}

const DAYS_SHOWN = 31;
const CALENDAR_ROWS = 100;
function buildCalendar(all) {
  $("calendar").hidden = !all.length;
  const days = [...new Set(all.flatMap((b) => b.days.map(([date]) => date)))].sort().slice(-DAYS_SHOWN);
  const head = make("tr");
  head.append(make("th", "", "symbol"), ...days.map((date) => make("th", "", date.slice(5))));
  const rows = [...all].sort((a, b) => trouble(a) - trouble(b) || (a.symbol < b.symbol ? -1 : 1)).slice(0, CALENDAR_ROWS).map((book) => {
    const row = make("tr");
    row.append(make("th", "", book.symbol));
    const known = new Map(book.days.map(([date, known_s, gaps]) => [date, [known_s, gaps]]));
    for (const date of days) {
      const cell = make("td");
      const [known_s, gaps] = known.get(date) || [0, 0];
      if (known_s || gaps) {
        const button = make("button", `${gaps ? "gaps" : "whole"}`, known_s < 3600 ? `${Math.floor(known_s)} s` : `${(Math.floor(known_s / 8.64) / 100).toFixed(2)} %`);
        if (gaps) button.append(make("small", "", `${whole.format(gaps)} ${gaps === 1 ? "gap" : "gaps"}`));
        button.type = "button";
        button.setAttribute("aria-label", `${book.symbol} on ${date}: ${Math.floor(known_s)} seconds known, ${gaps} gaps`);
        button.addEventListener("click", () => { const day_us = Date.parse(`${date}T00:00:00Z`) * 1000; const gap = book.gaps.find((g) => g.from_us >= day_us && g.from_us < day_us + 864e8); seen.jump_us = gap ? gap.from_us : Math.max(day_us, book.first_us); location.hash = hashOf(book.symbol); });
        cell.append(button);
      }
      row.append(cell);
    }
    return row;
  });
  $("days").replaceChildren(head, ...rows);
}

function openRecorded() {
  const book = app.books.get(app.symbol);
  $("time").hidden = !book;
  $("window-pick").hidden = !book;
  if (!book) { notice("This recording has no rows of this symbol."); return; }
  const slider = $("slider");
  slider.max = String(Math.max(1, Math.ceil((book.last_us - book.first_us) / 1000)));
  seen.window_s = (WINDOWS.find(([, s]) => s >= Math.min(300, book.span_s)) || WINDOWS[0])[1];
  $("window").value = String(seen.window_s);
  moveTo(seen.jump_us || book.last_us, book);
  seen.jump_us = null;
}
function moveTo(at_us, book = app.books.get(app.symbol)) {
  if (!book) return;
  seen.at_us = Math.round(Math.min(book.last_us, Math.max(book.first_us, at_us)));
  $("slider").step = String(Math.max(1, Math.round(seen.window_s * 2)));
  $("slider").value = String(Math.round((seen.at_us - book.first_us) / 1000));
  const text = `${day(seen.at_us)} ${clock(seen.at_us, 3)}`;
  setText($("moment"), text);
  $("slider").setAttribute("aria-valuetext", `${text} UTC`);
  const [pen, width, height] = fitted($("strip"));
  drawTimeline(pen, width, height, book, [book.first_us, book.last_us]);
  pen.fillStyle = theme.text;
  pen.fillRect(((seen.at_us - book.first_us) / Math.max(1, book.last_us - book.first_us)) * (width - 2), 0, 2, height);
  const before = book.gaps.filter((gap) => gap.from_us < seen.at_us - 1);
  const after = book.gaps.filter((gap) => gap.from_us > seen.at_us + 1);
  $("gap-before").disabled = !before.length;
  $("gap-after").disabled = !after.length;
  askForMoment(book);
}
// At most one request of each kind is under way; the newest wish follows it, and wishes in between are dropped.
const wishes = { book: { busy: false, next: null }, history: { busy: false, next: null } };
async function wish(kind, path, show) {
  const own = wishes[kind];
  own.next = { path, show };
  if (own.busy) return;
  own.busy = true;
  try {
    while (own.next) {
      const { path: now, show: then } = own.next;
      own.next = null;
      try { then(await ask(now)); notice(""); } catch (error) { notice(error.message); }
    }
  } finally { own.busy = false; }
}
function askForMoment(book) {
  const symbol = encodeURIComponent(book.symbol);
  wish("book", `recording/book?symbol=${symbol}&at=${seen.at_us}&bps=${app.reach}`, (found) => { if (app.symbol === book.symbol) showMoment(found); });
  // The picture moves when the moment leaves its middle.
  const half_us = (seen.window_s * 1e6) / 2;
  const from = Math.max(book.first_us, Math.min(seen.at_us - half_us, book.last_us - 2 * half_us));
  const to = Math.min(book.last_us, from + 2 * half_us);
  const inside = seen.history && seen.history.symbol === book.symbol && seen.history.asked_s === seen.window_s && Math.abs(from - seen.history.from_us) < half_us * 0.5;
  if (inside) { drawRecorded(); return; }
  const asked_s = seen.window_s;
  $("heat").parentNode.parentNode.classList.add("stale");
  wish("history", `recording/history?symbol=${symbol}&from=${Math.round(from)}&to=${Math.round(to)}`, (found) => {
    if (app.symbol !== book.symbol) return;
    seen.history = { ...found, asked_s, levels: fromBase64(found.cells) };
    drawRecorded();
  });
}
function fromBase64(text) {
  const raw = atob(text);
  const found = new Uint8Array(raw.length);
  for (let n = 0; n < raw.length; n++) found[n] = raw.charCodeAt(n);
  return found;
}
function showMoment(found) {
  const gap = found.gap;
  const lost = gap ? `The book was not known from ${clock(gap.from_us, 3)} until ${gap.to_us === null ? "the end" : clock(gap.to_us, 3)}: ${gap.reason}${gap.missed === null ? "" : `, ${whole.format(gap.missed)} updates missed`}` : "";
  showLadder(found.book, lost);
  showQuote(found.book);
  showDepth(found.book);
  showState(gap ? `gap: ${gap.reason}` : "known", gap ? "bad" : "good");
  setText($("gaptext"), gap ? lost : `row of ${clock(found.book.time_us, 3)}, epoch ${found.book.epoch}`);
}
function drawRecorded() {
  const found = seen.history;
  if (!found) return;
  $("heat").parentNode.parentNode.classList.remove("stale");
  const times = found.bid.map((_, n) => found.begin_us + n * found.step_us);
  const gaps = found.gaps.map((gap) => [gap.from_us, gap.to_us ?? found.to_us]);
  drawHeat({
    from_us: found.from_us, to_us: Math.max(found.to_us, found.from_us + found.step_us), begin_us: found.begin_us, step_us: found.step_us,
    columns: found.bid.length, bins: found.bins, low: found.low, step: found.price_step, levels: found.levels, size_low: found.size_low, size_high: found.size_high,
    lines: times.map((us, n) => [us, found.bid[n], found.ask[n]]), gaps,
  }, seen.at_us);
  const lost = found.gaps.length ? `${found.gaps.length} ${found.gaps.length === 1 ? "gap" : "gaps"} in red` : "no gap";
  setText($("heat-note"), `columns of ${found.interval}, cells of ${Number(found.price_step.toPrecision(6))} · ${lost}`);
  $("heat").setAttribute("aria-label", `Heatmap of ${found.symbol} from ${clock(found.from_us)} to ${clock(found.to_us)}, ${lost}`);
  bands.spans = gaps.map(([from, to]) => [from / 1e6, to / 1e6]);
  bands.range = [found.from_us / 1e6, found.to_us / 1e6];
  const values = found.bid.map((bid, n) => (bid === null || found.ask[n] === null ? null : bps(bid, found.ask[n])));
  charts.show("spread", spreadOptions, [times.map((us) => us / 1e6), values]);
  const known = values.filter((v) => v !== null);
  setText($("spread-now"), known.length ? `median ${known.sort((a, b) => a - b)[known.length >> 1].toFixed(3)}` : "");
}

// ── a running recorder ───────────────────────────────────────────────────────────────────────────

// The next frame is asked for once the last one has been drawn. A hidden tab draws nothing, and so asks for nothing.
const live = { socket: null, at_us: 0, retry_ms: 500, strip_slot: 0, columns: [], frames: 0 };
const decoder = new TextDecoder();

function connect() {
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/live`);
  live.socket = socket;
  socket.binaryType = "arraybuffer";
  socket.addEventListener("open", () => { live.retry_ms = 500; notice(""); askNext(); });
  socket.addEventListener("message", (event) => {
    const frame = JSON.parse(decoder.decode(event.data));
    requestAnimationFrame(() => {
      if (live.socket !== socket) return;
      show(frame);
      askNext();
    });
  });
  socket.addEventListener("close", () => {
    if (live.socket !== socket) return;
    setText($("link"), "connection lost"); setClass($("link"), "badge bad");
    notice("The recorder does not answer: it has ended, or cannot be reached. This page shows old data.");
    document.body.classList.add("old");
    setTimeout(connect, live.retry_ms);
    live.retry_ms = Math.min(3000, live.retry_ms * 2);
  });
}
function askNext() {
  if (live.socket.readyState === WebSocket.OPEN) live.socket.send(JSON.stringify({ symbol: app.symbol || null, reach: app.reach }));
}
function show(frame) {
  live.frames += 1;
  if (frame.kind === "waiting") { setText($("link"), "waiting"); setClass($("link"), "badge warn"); notice("The recorder has not begun yet, or is sealing its files."); return; }
  document.body.classList.remove("old");
  if (frame.kind === "unknown") { notice("This symbol is not recorded."); showState("not recorded", "bad"); return; }
  notice(frame.retention_blocked && `Old segments are kept: ${frame.retention_blocked}`);
  live.at_us = frame.at_us;
  setText($("link"), "live"); setClass($("link"), "badge good");
  showLiveTotals(frame);
  if (frame.kind === "overview") showOverview(frame);
  else if (app.symbol) showLiveBook(frame);
}
function showLiveTotals(frame) {
  const unknown = frame.books_all - frame.books_known;
  showTotals([
    ["books known", `${whole.format(frame.books_known)} / ${whole.format(frame.books_all)}`, unknown ? "bad" : ""],
    ["queue lag", `${frame.queue_lag_ms.toFixed(1)} ms`, frame.queue_lag_ms > 1000 ? "bad" : frame.queue_lag_ms > 200 ? "warn" : ""],
    ["gaps", whole.format(frame.gap_count), frame.gap_count ? "bad" : ""],
    ["failed checks", whole.format(frame.failed_checks), frame.failed_checks ? "bad" : ""],
    ["rows", compact.format(frame.rows)],
    ["disk per hour", bytes(frame.bytes_an_hour)],
    ["running", length((frame.at_us - frame.started_us) / 1e6)],
  ]);
}
function showOverview(frame) {
  const run_s = Math.max(1e-6, (frame.at_us - frame.started_us) / 1e6);
  const fresh = new Set();
  // A slot of a strip is two seconds, whatever the pace of frames.
  const slot = Math.floor(frame.at_us / 2e6);
  const slots = live.strip_slot ? Math.min(STRIP_SLOTS, slot - live.strip_slot) : 1;
  live.strip_slot = slot;
  for (const values of frame.books) {
    const own = {};
    frame.columns.forEach((name, n) => { own[name] = values[n]; });
    fresh.add(own.symbol);
    const book = app.books.get(own.symbol) || { states: [], seen: [] };
    Object.assign(book, own);
    book.age_s = own.evidence_us ? (frame.at_us - own.evidence_us) / 1e6 : null;
    book.coverage = own.evidence_us ? Math.max(0, 1 - own.lost_s / run_s) : 0;
    book.seen.push([frame.at_us, own.updates, own.epoch]);
    while (book.seen.length > 2 && frame.at_us - book.seen[0][0] > 5e6) book.seen.shift();
    const [since, updates, epoch] = book.seen[0];
    book.rate = frame.at_us > since ? Math.max(0, own.updates - (epoch === own.epoch ? updates : 0)) / ((frame.at_us - since) / 1e6) : 0;
    // A slot keeps its worst state, so that a short gap stays visible.
    for (let n = 0; n < slots; n++) book.states.push(own.state);
    if (slots <= 0 && book.states.length && SEVERITY[own.state] > SEVERITY[book.states[book.states.length - 1]]) book.states[book.states.length - 1] = own.state;
    if (book.states.length > STRIP_SLOTS) book.states.splice(0, book.states.length - STRIP_SLOTS);
    app.books.set(own.symbol, book);
  }
  for (const symbol of [...app.books.keys()]) if (!fresh.has(symbol)) app.books.delete(symbol);
  arrange();
}
function showLiveBook(frame) {
  const own = {};
  frame.columns.forEach((name, n) => { own[name] = frame.own[n]; });
  if (own.symbol !== app.symbol) return;
  const book = frame.book;
  const lost = own.state === "live" ? "" : `The book is not known${own.reason ? `: ${own.reason}` : ""}. ${own.state === "syncing" ? "A snapshot is under way." : own.state === "cold" ? "No connection carries it." : own.state}`;
  const age_s = own.evidence_us ? (frame.at_us - own.evidence_us) / 1e6 : null;
  showState(own.state === "live" ? "known" : `${own.state}${own.reason ? `: ${own.reason}` : ""}`, health(own) || "");
  showQuote(book);
  setText($("quote").children[2], `evidence ${age_s === null ? "–" : length(age_s)} ago · lag ${own.lag_ms === null ? "–" : length(own.lag_ms / 1e3)} · ${whole.format(own.gaps)} ${own.gaps === 1 ? "gap" : "gaps"} · ${own.failed ? `${whole.format(own.failed)} checks failed` : `${whole.format(own.checks)} checks`}`);
  if (book && !app.reachChosen) chooseReach(book);
  // While a worker has not answered, the book is still known: the ladder stays, marked as old.
  const missing = own.state === "live" && !book;
  $("ladder").parentNode.classList.toggle("stale", missing);
  if (!missing) { showLadder(book, lost); showDepth(book); }
  keep(frame.at_us, own.state === "live", book);
  drawLive();
}
function chooseReach(book) {
  if (!book.bids.length || !book.asks.length) return;
  const wanted = Math.max(25, 10 * bps(book.bids[0][0], book.asks[0][0]));
  app.reach = REACHES.find((reach) => reach >= wanted) || REACHES[REACHES.length - 1];
  app.reachChosen = true;
  $("reach").value = String(app.reach);
}
function keep(at_us, known, book) {
  const last = live.columns[live.columns.length - 1];
  if (last && at_us <= last.at_us) return;
  const bid = book && book.bids[0] ? book.bids[0][0] : null;
  const ask = book && book.asks[0] ? book.asks[0][0] : null;
  const cells = book && book.bid_cells.length ? Float64Array.from(book.bid_cells, (size, n) => size + book.ask_cells[n]) : null;
  live.columns.push({ at_us, known, bid, ask, cells, low: book ? book.low : 0, step: book ? book.step : 0 });
  while (at_us - live.columns[0].at_us > KEEP_S * 1e6) live.columns.shift();
}
function drawLive() {
  const all = live.columns;
  if (!all.length) return;
  const to_us = all[all.length - 1].at_us;
  // The window grows with what has been seen, up to two minutes.
  const window_us = Math.min(LIVE_WINDOW_S, Math.max(20, (to_us - all[0].at_us) / 1e6)) * 1e6;
  const from_us = to_us - window_us;
  const newest = all.findLast((c) => c.cells);
  const gaps = [];
  for (let n = 0; n < all.length; n++) {
    if (all[n].known) continue;
    const until = n + 1 < all.length ? all[n + 1].at_us : to_us;
    if (gaps.length && gaps[gaps.length - 1][1] === all[n].at_us) gaps[gaps.length - 1][1] = until;
    else gaps.push([all[n].at_us, until]);
  }
  const shown = gaps.filter(([, to]) => to >= from_us);
  const lines = [];
  let before = 0;
  for (const c of all) {
    if (c.at_us < from_us - 5e6) continue;
    if (before && c.at_us - before > STALE_MS * 1e3) lines.push([before, null, null]);
    lines.push([c.at_us, c.bid, c.ask]);
    before = c.at_us;
  }
  drawHeat(newest ? { ...gridOf(all, newest, from_us, to_us), lines, gaps: shown, from_us, to_us } : null, 0);
  setText($("heat-note"), newest ? `up to ${LIVE_WINDOW_S / 60} min, while this page is open · cells of ${Number(newest.step.toPrecision(6))}${shown.length ? " · gaps in red" : ""}` : "");
  $("heat").setAttribute("aria-label", `Heatmap of ${app.symbol}, the last ${length(window_us / 1e6)}, ${shown.length} gaps`);
  bands.spans = gaps.map(([from, to]) => [from / 1e6, to / 1e6]);
  bands.range = [from_us / 1e6, to_us / 1e6];
  const times = lines.map(([us]) => us / 1e6);
  const values = lines.map(([, bid, ask]) => (bid === null || ask === null ? null : bps(bid, ask)));
  charts.show("spread", spreadOptions, [times, values]);
  const now = values[values.length - 1];
  setText($("spread-now"), now === null || now === undefined ? "" : `now ${now.toFixed(3)}`);
}
function gridOf(all, newest, from_us, to_us) {
  // Columns came at their own times, around their own mids: each column of pixels shows the newest one before it.
  const bins = newest.cells.length;
  const { low, step } = newest;
  const levels = new Uint8Array(LIVE_COLUMNS * bins);
  const step_us = (to_us - from_us) / LIVE_COLUMNS;
  const [small, large] = scaleOf(all, from_us);
  const width = Math.log(large / small);
  let at = 0;
  for (let c = 0; c < LIVE_COLUMNS; c++) {
    const us = from_us + (c + 1) * step_us;
    while (at + 1 < all.length && all[at + 1].at_us <= us) at += 1;
    const column = all[at];
    if (column.at_us > us || !column.cells || us - column.at_us > STALE_MS * 1e3) continue;
    for (let b = 0; b < bins; b++) {
      const size = column.cells[Math.floor((low + (b + 0.5) * step - column.low) / column.step)];
      if (size > 0) levels[c * bins + b] = Math.max(1, Math.min(254, Math.round(1 + (253 * Math.log(size / small)) / width)));
    }
  }
  return { begin_us: from_us, step_us, columns: LIVE_COLUMNS, bins, low, step, levels, size_low: small, size_high: large };
}
function scaleOf(all, from_us) {
  // The few largest sizes share the brightest colour. A sample is enough.
  const sizes = [];
  const shown = all.filter((c) => c.cells && c.at_us >= from_us);
  const every = Math.max(1, Math.floor((shown.length * 200) / 8000));
  let n = 0;
  for (const column of shown) for (const size of column.cells) if (size > 0 && n++ % every === 0) sizes.push(size);
  if (!sizes.length) return [1, 2];
  sizes.sort((a, b) => a - b);
  const small = sizes[Math.floor(sizes.length * 0.02)];
  return [small, Math.max(small * 1.01, sizes[Math.min(sizes.length - 1, Math.floor(sizes.length * 0.998))])];
}

// ── where we are ─────────────────────────────────────────────────────────────────────────────────

function hashOf(symbol) { return `#/${encodeURIComponent(symbol)}`; }
function route() {
  let symbol = null;
  try { symbol = decodeURIComponent(location.hash.replace(/^#\/?/, "")) || null; } catch { symbol = null; }
  if (symbol === app.symbol && !$("overview").hidden === (symbol === null)) return;
  const before = app.symbol;
  app.symbol = symbol;
  $("overview").hidden = symbol !== null;
  $("symbol").hidden = symbol === null;
  notice("");
  if (symbol === null) {
    document.title = "booktape";
    if (before) app.focus = before;
    arrange();
    const row = pool.find((each) => each.isConnected && each.book_.symbol === app.focus);
    if (row && before) row.focus();
    return;
  }
  document.title = `${symbol} · booktape`;
  setText($("name"), symbol);
  app.reachChosen = false;
  charts.drop();
  showState("…", "");
  showQuote(null);
  for (const id of ["heat-note", "spread-now", "depth-now", "levels"]) setText($(id), "");
  drawHeat(null, 0); // another symbol's picture must not be seen under this name
  $("main").focus({ preventScroll: true });
  scrollTo(0, 0);
  if (app.mode === "recording") { seen.history = null; openRecorded(); return; }
  live.columns = [];
  showLadder(null, "Waiting for the next frame.");
}
function redraw() {
  if (app.symbol === null) paintRows();
  else if (app.mode === "recording") moveTo(seen.at_us);
  else drawLive();
}

function buildChoices() {
  for (const reach of REACHES) { const option = make("option", "", `±${reach} bps`); option.value = String(reach); $("reach").append(option); }
  $("reach").value = String(app.reach);
  $("reach").addEventListener("change", () => { app.reach = Number($("reach").value); app.reachChosen = true; redraw(); });
  for (const [label, s] of WINDOWS) { const option = make("option", "", label); option.value = String(s); $("window").append(option); }
  $("window").addEventListener("change", () => { seen.window_s = Number($("window").value); moveTo(seen.at_us); });
  $("slider").addEventListener("input", () => { const book = app.books.get(app.symbol); if (book) moveTo(book.first_us + Number($("slider").value) * 1000); });
  const pickTime = (event) => { const book = app.books.get(app.symbol); const box = $("strip").getBoundingClientRect(); if (book) moveTo(book.first_us + ((event.clientX - box.left) / box.width) * (book.last_us - book.first_us)); };
  $("strip").addEventListener("pointerdown", pickTime);
  $("heat").addEventListener("pointerdown", (event) => {
    const found = seen.history;
    if (app.mode !== "recording" || !found) return;
    const box = $("heat").getBoundingClientRect();
    moveTo(found.from_us + Math.min(1, (event.clientX - box.left) / (box.width - 66)) * (found.to_us - found.from_us));
  });
  const inGap = (gap) => moveTo((gap.from_us + (gap.to_us ?? gap.from_us + 2)) / 2);
  $("gap-before").addEventListener("click", () => { const gaps = app.books.get(app.symbol).gaps.filter((gap) => (gap.to_us ?? Infinity) < seen.at_us); if (gaps.length) inGap(gaps[gaps.length - 1]); });
  $("gap-after").addEventListener("click", () => { const gaps = app.books.get(app.symbol).gaps.filter((gap) => gap.from_us > seen.at_us); if (gaps.length) inGap(gaps[0]); });
  $("filter").addEventListener("input", () => { app.filter = $("filter").value; arrange(); });
  $("scroll").addEventListener("scroll", paintRows, { passive: true });
  addEventListener("scroll", paintRows, { passive: true });
  addEventListener("resize", () => redraw());
  addEventListener("hashchange", route);
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target instanceof Element && event.target.closest("input[type=search], select");
    if (event.key === "Escape") {
      if (typing && $("filter").value) { $("filter").value = ""; app.filter = ""; arrange(); }
      else if (app.symbol !== null) location.hash = "#/";
      return;
    }
    if (event.key === "/" && !typing && app.symbol === null) { event.preventDefault(); $("filter").focus(); return; }
    if (app.symbol === null && (event.key === "ArrowDown" || event.key === "ArrowUp") && !(typing && event.key === "ArrowUp") && !(event.target instanceof HTMLSelectElement)) {
      event.preventDefault();
      moveFocus(event.key === "ArrowDown" ? 1 : -1);
    }
    if (app.symbol !== null && !typing && (event.key === "+" || event.key === "-")) {
      const n = REACHES.indexOf(app.reach) + (event.key === "-" ? 1 : -1);
      if (REACHES[n]) { app.reach = REACHES[n]; app.reachChosen = true; $("reach").value = String(app.reach); redraw(); }
    }
  });
}

async function begin() {
  readTheme();
  buildLadder();
  buildChoices();
  try {
    app.about = await ask("about");
    app.mode = app.about.mode;
    setText($("where"), app.about.name);
    setText($("version"), `booktape ${app.about.version}`);
    buildHead();
    if (app.mode === "recording") await loadRecording();
    else connect();
  } catch (error) {
    setText($("link"), "no answer"); setClass($("link"), "badge bad");
    notice(error.message);
    return;
  }
  $("overview").hidden = true;
  app.symbol = undefined;
  route();
}
begin();
