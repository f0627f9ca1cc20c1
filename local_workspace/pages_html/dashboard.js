// Draws a page of a dashboard: reads the rows of its datasets, filters and aggregates them here, and asks again when
// something is published. So a filter needs no query.
"use strict";
const model = JSON.parse(document.getElementById("model").textContent);
const datasets = {}; // by name: { rows, kinds, columns } or { error }
const charts = {}; // by name of the widget: the view of Vega
const chosen = Object.fromEntries(new URLSearchParams(location.search)); // by name of the filter: from..until, or values
const isDark = matchMedia("(prefers-color-scheme: dark)");
const isNarrow = matchMedia("(max-width: 760px)");
const MOST_TABLE_ROWS = 500;

// ---- rows: filtered, grouped and aggregated, as the query of a widget says

function cut(value, unit) {
  if (value === null || !unit) return value;
  const day = value.slice(0, 10), year = day.slice(0, 4), month = day.slice(5, 7);
  if (unit === "YEAR") return `${year}-01-01`;
  if (unit === "QUARTER") return `${year}-${String(Math.floor((month - 1) / 3) * 3 + 1).padStart(2, "0")}-01`;
  if (unit === "MONTH") return `${year}-${month}-01`;
  if (unit === "DAY") return day;
  const date = new Date(`${day}T00:00:00Z`); // weeks begin on Monday
  date.setUTCDate(date.getUTCDate() - (date.getUTCDay() + 6) % 7);
  return date.toISOString().slice(0, 10);
}

function isWanted(name, data) {
  const tests = [];
  for (const filter of model.filters) {
    const values = data.columns[filter.columns[name]];
    if (!values || !chosen[filter.name]) continue;
    if (filter.type === "filter-date-range-picker") {
      const [from, until] = chosen[filter.name].split("..");
      tests.push((row) => values[row] !== null && (!from || values[row].slice(0, 10) >= from)
        && (!until || values[row].slice(0, 10) <= until));
    } else {
      const wanted = new Set(chosen[filter.name].split("|"));
      tests.push((row) => wanted.has(String(values[row])));
    }
  }
  return (row) => tests.every((test) => test(row));
}

function measured(field, columns, rows) {
  if (field.operation === "ratio") {
    const [above, below] = field.parts.map((part) => measured(part, columns, rows));
    return above === null || !below ? null : above / below;
  }
  if (!field.column) return rows.length;
  const values = [];
  for (const row of rows) if (columns[field.column][row] !== null) values.push(columns[field.column][row]);
  if (field.operation === "count") return values.length;
  if (field.operation === "distinct") return new Set(values).size;
  if (!values.length) return null;
  if (field.operation === "min" || field.operation === "max") {
    return values.reduce((best, value) => ((field.operation === "min") === (value < best) ? value : best));
  }
  const sum = values.reduce((total, value) => total + Number(value), 0);
  return field.operation === "avg" ? sum / values.length : sum;
}

function evaluate(widget) {
  const data = datasets[widget.dataset];
  const wanted = isWanted(widget.dataset, data);
  const dimensions = widget.fields.filter((field) => field.operation === "value");
  const groups = new Map();
  for (let row = 0; row < data.rows; row += 1) {
    if (!wanted(row)) continue;
    const values = dimensions.map((field) => cut(data.columns[field.column][row], field.unit));
    const key = widget.disaggregated ? row : values.join("\u0000");
    const group = groups.get(key);
    if (group) group.rows.push(row);
    else groups.set(key, { values, rows: [row] });
  }
  if (!dimensions.length && !groups.size) groups.set("", { values: [], rows: [] });
  const found = [...groups.values()].map((group) => Object.fromEntries(widget.fields.map((field) =>
    [field.name, field.operation === "value" ? group.values[dimensions.indexOf(field)]
      : measured(field, data.columns, group.rows)])));
  if (widget.disaggregated || !dimensions.length) return found;
  const order = dimensions.map((field) => field.name);
  const compare = (a, b) => (a === b ? 0 : a === null ? 1 : b === null || a < b ? -1 : 1);
  return found.sort((a, b) => order.reduce((so, name) => so || compare(a[name], b[name]), 0));
}

// ---- widgets

function kindOf(widget, field) {
  const found = widget.fields.find((each) => each.name === field);
  return found.operation === "value" ? datasets[widget.dataset].kinds[found.column] : "number";
}

function shown(value, format) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "number") return new Intl.NumberFormat("en-US", format).format(value);
  return String(value).replace(/^(\d{4}-\d\d-\d\d)T([\d:.]+)Z?$/, "$1 $2"); // a moment
}

function table(widget, rows) {
  const made = document.createElement("table");
  const head = made.createTHead().insertRow();
  for (const column of widget.columns) {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.textContent = column.title;
    if (kindOf(widget, column.field) === "number") cell.className = "number";
    head.append(cell);
  }
  const body = made.createTBody();
  for (const row of rows.slice(0, MOST_TABLE_ROWS)) {
    const line = body.insertRow();
    for (const column of widget.columns) {
      const cell = line.insertCell();
      cell.textContent = shown(row[column.field], column.format);
      if (kindOf(widget, column.field) === "number") cell.className = "number";
    }
  }
  if (rows.length > MOST_TABLE_ROWS) made.createCaption().textContent = `The first ${MOST_TABLE_ROWS} of ${rows.length} rows`;
  return made;
}

function summary(widget, rows) {
  const measure = widget.fields.find((field) => field.operation !== "value")
    || widget.fields.find((field) => kindOf(widget, field.name) === "number") || widget.fields.at(-1);
  const column = widget.columns.find((each) => each.field === measure.name);
  const named = rows.filter((row) => typeof row[measure.name] === "number");
  const by = widget.columns.filter((each) => each !== column);
  const label = (row) => by.map((each) => shown(row[each.field], each.format)).join(", ");
  let text = `${widget.title}: ${widget.type} chart of ${rows.length} values`;
  if (named.length) {
    const sorted = [...named].sort((a, b) => a[measure.name] - b[measure.name]);
    const value = (row) => `${shown(row[measure.name], column.format)} (${label(row)})`;
    text += `; least ${value(sorted[0])}, greatest ${value(sorted.at(-1))}`;
    text += `; first ${value(named[0])}, last ${value(named.at(-1))}`;
  }
  return `${text}.`;
}

function theme() {
  const style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue(`--${name}`).trim();
  const soft = color("soft"), line = color("line");
  const series = [1, 2, 3, 4, 5, 6, 7, 8].map((number) => color(`chart-${number}`));
  const bottom = { orient: "bottom", columns: isNarrow.matches ? 2 : 5 };
  return {
    background: "transparent", font: "system-ui, Segoe UI, Roboto, sans-serif", view: { stroke: null },
    axis: { labelColor: soft, titleColor: soft, gridColor: line, domainColor: line, tickColor: line, labelFontSize: 11,
      titleFontSize: 11, titleFontWeight: 500, labelLimit: isNarrow.matches ? 110 : 170, titlePadding: 8, labelOverlap: true },
    axisX: { grid: false }, axisQuantitative: { tickCount: 5, domain: false, ticks: false },
    axisTemporal: { tickCount: isNarrow.matches ? 4 : 7 }, axisDiscrete: { ticks: false, labelOverlap: false },
    legend: { labelColor: soft, titleColor: soft, labelFontSize: 11, titleFontSize: 11, labelLimit: 150, title: null, symbolType: "circle", ...bottom },
    range: { category: series, heatmap: [color("low"), color("high")], ramp: [color("low"), color("high")] },
    mark: { color: series[0], tooltip: { content: "data" } }, bar: { color: series[0] },
    area: { color: series[0], tooltip: null }, line: { color: series[0], strokeWidth: 2, tooltip: null },
    arc: { stroke: color("card") }, rect: { color: series[0] },
  };
}

function chartRows(widget, rows) {
  // Vega takes dates as numbers.
  const dates = widget.fields.filter((field) => kindOf(widget, field.name) === "date").map((field) => field.name);
  return rows.map((row) => ({ ...row, ...Object.fromEntries(dates.map((name) => [name, row[name] && Date.parse(row[name])])) }));
}

// The row that a person points at. Vega's own tooltips are made for all rows, which takes longer than to draw them.
function tooltip(widget, row, sanitize) {
  const lines = widget.columns.map(({ field, title, format }) => {
    const { unit } = widget.fields.find((each) => each.name === field);
    const isDate = kindOf(widget, field) === "date" && row[field] !== null;
    const text = isDate ? new Date(row[field]).toISOString().slice(0, unit === "MONTH" ? 7 : 10) : shown(row[field], format);
    return `<tr><td class="key">${sanitize(title)}</td><td class="value">${sanitize(text)}</td></tr>`;
  });
  return `<table>${lines.join("")}</table>`;
}

async function drawChart(widget, section, rows) {
  const body = section.querySelector(".body");
  const details = section.querySelector("details");
  body.setAttribute("role", "img");
  body.tabIndex = 0;
  body.setAttribute("aria-label", summary(widget, rows));
  const fill = () => { if (details.open) details.querySelector(".scroll").replaceChildren(table(widget, rows)); };
  details.ontoggle = fill;
  fill();
  if (!rows.length) { drop(widget); return say(body, "No rows for these filters."); }
  const values = chartRows(widget, rows);
  if (charts[widget.name]) {
    charts[widget.name].data("rows", values);
    await charts[widget.name].runAsync();
    return undefined;
  }
  const spec = structuredClone(widget.spec);
  spec.autosize = { type: "fit", contains: "padding" };
  // With a finger, dragging scrolls the page.
  if (matchMedia("(pointer: coarse)").matches) delete spec.params;
  spec.data.values = values;
  for (const layer of spec.layer || []) layer.encoding.x.axis = { labelAngle: labelAngle(layer.encoding.x.field, rows, body) };
  const place = document.createElement("div");
  body.replaceChildren(place);
  const made = await vegaEmbed(place, spec, { actions: false, ast: true, config: theme(), defaultStyle: false, renderer: "svg",
    tooltip: { disableDefaultStyle: true, formatTooltip: (row, sanitize) => tooltip(widget, row, sanitize) } });
  charts[widget.name] = made.view;
  if (spec.params) pickDates(widget, made.view);
  return undefined;
}

function labelAngle(field, rows, body) { // level, where the labels have room
  const labels = new Set(rows.map((row) => String(row[field])));
  const longest = Math.max(...[...labels].map((label) => label.length));
  return longest * 6.5 < (body.clientWidth * 0.85) / labels.size ? 0 : -40;
}

function pickDates(widget, view) {
  const filter = model.filters.find((each) => each.type === "filter-date-range-picker" && each.columns[widget.dataset]);
  const field = widget.fields.find((each) => each.name === widget.spec.encoding.x.field);
  if (!filter || !field || field.column !== filter.columns[widget.dataset]) return;
  let picked = null;
  view.addSignalListener("dates", (_, value) => { picked = Object.values(value)[0] || null; });
  view.container().addEventListener("pointerup", () => setTimeout(() => {
    if (!picked) return;
    const [from, until] = picked.map((moment) => new Date(moment).toISOString().slice(0, 10));
    drop(widget);
    choose(filter, `${from}..${until}`);
  }));
}

function drop(widget) {
  charts[widget.name]?.finalize();
  delete charts[widget.name];
}

function say(body, text) {
  const line = document.createElement("p");
  line.className = "empty";
  line.textContent = text;
  body.replaceChildren(line);
}

async function draw(widget) {
  const section = document.querySelector(`[data-name="${CSS.escape(widget.name)}"]`);
  const body = section.querySelector(".body"), problem = section.querySelector(".problem");
  const data = datasets[widget.dataset];
  if (!data) return;
  body.setAttribute("aria-busy", "false");
  problem.hidden = !data.error;
  body.hidden = Boolean(data.error);
  problem.textContent = data.error || "";
  if (data.error) { drop(widget); return; }
  try {
    const rows = evaluate(widget);
    if (widget.type === "counter") {
      body.textContent = rows.length ? shown(rows[0][widget.columns[0].field], widget.columns[0].format) : "–";
      body.style.setProperty("--length", body.textContent.length); // long numbers are smaller, so that they fit
    } else if (widget.type === "table") {
      const scroll = document.createElement("div");
      scroll.className = "scroll";
      scroll.tabIndex = 0;
      scroll.append(table(widget, rows));
      if (rows.length) body.replaceChildren(scroll); else say(body, "No rows.");
    } else {
      await drawChart(widget, section, rows);
    }
    section.dataset.drawn = "yes";
  } catch (error) {
    problem.hidden = false;
    problem.textContent = `It cannot be drawn: ${error.message}`;
  }
}

const drawAll = () => Promise.all(model.widgets.map(draw));

// ---- filters, which stay in the address, so that they hold on all pages and can be sent to others

function choose(filter, value) {
  if (value && value !== "..") chosen[filter.name] = value;
  else delete chosen[filter.name];
  const query = new URLSearchParams(chosen);
  history.replaceState(null, "", `?${query}`);
  keepInTabs();
  showFilters();
  drawAll();
}

function keepInTabs() {
  for (const tab of document.querySelectorAll(".tabs a")) {
    const page = new URLSearchParams(tab.search).get("page");
    tab.search = `?${new URLSearchParams({ ...chosen, page })}`;
  }
}

function element(name, properties) {
  return Object.assign(document.createElement(name), properties);
}

function dateInputs(filter) {
  const [from = "", until = ""] = (chosen[filter.name] || "").split("..");
  const inputs = [["from", from], ["until", until]].map(([label, value]) =>
    element("input", { type: "date", value, ariaLabel: `${filter.title}: ${label}`, id: `${filter.name}-${label}` }));
  for (const input of inputs) input.onchange = () => choose(filter, inputs.map((each) => each.value).join(".."));
  return [inputs[0], document.createTextNode(" – "), inputs[1]];
}

function choices(filter) {
  const values = new Set();
  for (const [name, column] of Object.entries(filter.columns)) {
    for (const value of datasets[name]?.columns?.[column] || []) if (value !== null) values.add(String(value));
  }
  const wanted = new Set((chosen[filter.name] || "").split("|").filter(Boolean));
  for (const value of wanted) values.add(value);
  const sorted = [...values].sort();
  if (filter.type === "filter-single-select") {
    const select = element("select", { id: filter.name, ariaLabel: filter.title });
    for (const value of ["", ...sorted]) select.append(new Option(value || "All", value, false, wanted.has(value)));
    select.onchange = () => choose(filter, select.value);
    return [select];
  }
  const group = element("div", { className: "choices" });
  for (const value of sorted) {
    const box = element("input", { type: "checkbox", checked: wanted.has(value), id: `${filter.name}-${value}` });
    box.onchange = () => {
      if (box.checked) wanted.add(value); else wanted.delete(value);
      choose(filter, [...wanted].join("|"));
    };
    const label = element("label", {});
    label.append(box, value);
    group.append(label);
  }
  return [group];
}

function showFilters() {
  const form = document.getElementById("filters");
  const focused = document.activeElement?.id;
  form.onsubmit = () => false;
  const parts = model.filters.map((filter) => {
    const set = element("fieldset", {});
    const inputs = filter.type === "filter-date-range-picker" ? dateInputs(filter) : choices(filter);
    set.append(element("legend", { textContent: filter.title }), ...inputs);
    set.hidden = !set.querySelector("input, option:nth-child(2)"); // no data of this page has values for it
    return set;
  });
  const clear = element("button", { type: "button", textContent: "Clear filters", id: "clear-filters" });
  clear.hidden = !model.filters.some((filter) => chosen[filter.name]);
  clear.onclick = () => {
    for (const filter of model.filters) delete chosen[filter.name];
    choose(model.filters[0], "");
  };
  form.replaceChildren(...parts, ...(parts.length ? [clear] : []));
  if (focused) document.getElementById(focused)?.focus();
}

// ---- the rows, and the news that there are others

async function load() {
  const names = [...new Set(model.widgets.map((widget) => widget.dataset))];
  await Promise.all(names.map(async (name) => {
    try {
      const answer = await fetch(`${model.address}/rows/${encodeURIComponent(name)}`, { credentials: "same-origin" });
      if (!answer.ok || answer.redirected) throw new Error(`the workspace answers ${answer.status}`);
      datasets[name] = await answer.json();
    } catch (error) {
      datasets[name] = { error: `The rows cannot be read: ${error.message}` };
    }
    if (model.filters.some((filter) => filter.columns[name] && filter.type !== "filter-date-range-picker")) showFilters();
    await Promise.all(model.widgets.filter((widget) => widget.dataset === name).map(draw));
  }));
  document.body.dataset.loaded = String(Number(document.body.dataset.loaded || 0) + 1);
}

let loading = null, isStale = false;
async function reload() { // one at a time: of the news that come meanwhile, the last counts
  isStale = true;
  if (loading) return;
  while (isStale) {
    isStale = false;
    loading = load();
    await loading;
  }
  loading = null;
}

function showNews(news) {
  const notice = document.getElementById("notice"), line = document.getElementById("as-of");
  notice.hidden = Boolean(news.error || news.layers.length);
  if (news.error) { line.textContent = news.error; return; }
  if (!news.layers.length) {
    line.textContent = "";
    notice.textContent = "Nothing is published yet. “make medallion FEED=1 START=2018-01-01 END=2018-01-08” lands invented orders "
      + "and publishes them; “make run START=… END=…” publishes what has landed. This page then shows it by itself.";
    return;
  }
  const last = news.layers.at(-1);
  const until = last.landedUntil && new Date(Date.parse(last.landedUntil) - 864e5).toISOString().slice(0, 10);
  const numbers = news.layers.map((each) => `${each.layer} ${each.seq}`).join(", ");
  line.textContent = `As of ${until || "–"}, the last landing date in ${last.layer}; published ${shown(last.publishedAt)} UTC (${numbers})`;
}

let source = null, seen = JSON.stringify(model.stamp);
function listen() { // only while somebody looks: a hidden page asks for nothing
  source?.close();
  source = document.hidden ? null : new EventSource(`${model.address}/news`);
  if (source) source.onmessage = (event) => {
    const news = JSON.parse(event.data);
    showNews(news);
    const isNew = seen !== JSON.stringify(news.stamp);
    seen = JSON.stringify(news.stamp);
    if (isNew) reload();
  };
}

for (const section of document.querySelectorAll("#grid > section")) {
  const { x, y, width, height } = section.dataset;
  const place = () => {
    section.style.gridRow = isNarrow.matches ? `span ${height}` : `${Number(y) + 1} / span ${height}`;
    section.style.gridColumn = isNarrow.matches ? "" : `${Number(x) + 1} / span ${width}`;
  };
  place();
  isNarrow.addEventListener("change", place);
}
for (const query of [isDark, isNarrow]) query.addEventListener("change", () => { model.widgets.forEach(drop); drawAll(); });
keepInTabs();
showFilters();
reload();
listen();
document.addEventListener("visibilitychange", listen);
