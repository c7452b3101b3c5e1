"use strict";
// The page asks the server for JSON and shows it. Whatever comes from the network is put into text nodes: nothing here
// makes HTML of a string.

const $ = id => document.getElementById(id);

// make is an element with a class, and texts or elements in it.
function make(tag, name, ...content) {
  const e = document.createElement(tag);
  if (name) e.className = name;
  e.append(...content);
  return e;
}

async function get(path) {
  const reply = await fetch(path, {cache: "no-store"});
  const value = await reply.json().catch(() => ({error: "The server answered " + reply.status + "."}));
  if (!reply.ok) throw new Error(value.error || "The server answered " + reply.status + ".");
  return value;
}

// --- Numbers as people read them.

function count(n) {
  if (n < 10000) return Math.round(n).toLocaleString("en");
  if (n < 1e6) return (n / 1e3).toFixed(n < 1e5 ? 1 : 0) + " k";
  if (n < 1e9) return (n / 1e6).toFixed(n < 1e8 ? 1 : 0) + " M";
  return (n / 1e9).toFixed(1) + " G";
}
const rate = n => n === 0 ? "0" : n < 0.095 ? n.toFixed(2) : n < 100 ? n.toFixed(1) : count(n);
function duration(s) {
  if (!s) return "–";
  if (s < 0.00095) return Math.max(Math.round(s * 1e6), 1) + " µs";
  if (s < 0.95) return (s * 1e3).toFixed(s < 0.0095 ? 1 : 0) + " ms";
  return s.toFixed(s < 10 ? 1 : 0) + " s";
}
function span(s) {
  if (s < 60) return Math.floor(s) + " s";
  if (s < 3600) return Math.floor(s / 60) + " min";
  if (s < 86400) return Math.floor(s / 3600) + " h " + Math.floor(s % 3600 / 60) + " min";
  return Math.floor(s / 86400) + " d " + Math.floor(s % 86400 / 3600) + " h";
}
function bytes(n) {
  if (n < 1000) return n + " B";
  return n < 1e6 ? (n / 1e3).toFixed(0) + " kB" : (n / 1e6).toFixed(1) + " MB";
}
const percent = (n, of) => of ? (100 * n / of).toFixed(n && n / of < 0.0995 ? 1 : 0) + " %" : "–";
const clock = (t, seconds) => new Date(t).toLocaleTimeString("en-GB", {hour: "2-digit", minute: "2-digit", second: seconds ? "2-digit" : undefined});

// --- Tables.

// table fills a place with rows. A column is {head, n: it is a number, cell: row -> text or element}; one without a head
// shares that of the column before.
function table(place, columns, rows, none, caption) {
  if (rows.length === 0) {
    place.replaceChildren(make("p", "none", none));
    reachable(place, caption);
    return;
  }
  const head = make("tr");
  for (const c of columns) {
    if (c.head === undefined) {
      head.lastChild.colSpan++;
      head.lastChild.className = "";
      continue;
    }
    const th = make("th", c.n ? "n" : "", c.head);
    th.scope = "col";
    head.append(th);
  }
  const body = make("tbody");
  for (const row of rows) {
    const tr = make("tr");
    for (const c of columns) {
      const value = c.cell(row);
      tr.append(make("td", [c.n ? "n" : "", c.kind || ""].join(" ").trim(), ...[].concat(value)));
    }
    body.append(tr);
  }
  const t = make("table", "", make("thead", "", head), body);
  t.setAttribute("aria-label", caption);
  place.replaceChildren(t);
  reachable(place, caption);
}

// reachable lets the keyboard scroll a place that is too narrow for its table.
function reachable(place, caption) {
  if (place.classList.contains("scroll")) return;
  if (place.scrollWidth > place.clientWidth) {
    place.tabIndex = 0;
    place.setAttribute("role", "region");
    place.setAttribute("aria-label", caption + ", more to the side");
  } else for (const name of ["tabindex", "role", "aria-label"]) place.removeAttribute(name);
}

// meter is a bar for a share of 1. The number stands beside it.
function meter(share, kind) {
  const m = make("span", "meter " + (kind || ""));
  m.style.width = Math.max(100 * share, 0.5) + "%";
  m.setAttribute("aria-hidden", "true");
  return m;
}

// --- Plots.

function svg(tag, attributes, text) {
  const e = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const name in attributes) e.setAttribute(name, attributes[name]);
  if (text !== undefined) e.textContent = text;
  return e;
}

// steps is about n round numbers from 0 to most.
function steps(most, n) {
  const raw = most / n, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].find(f => f * power >= raw) * power;
  const all = [];
  for (let v = 0; v <= most + step / 1e6; v += step) all.push(v);
  if (all[all.length - 1] < most) all.push(all[all.length - 1] + step);
  return all;
}

// plot draws lines over time. lines are {values, name, area, kind, format}; y maps a value to 0..1, ticks are values.
function plot(place, series, lines, y, ticks, format, label) {
  const width = Math.max(place.clientWidth, 200), height = place.clientHeight || 170;
  const left = 46, right = 4, top = 16, bottom = 20;
  const n = series.queries.length, inner = width - left - right, tall = height - top - bottom;
  const px = i => left + inner * (n > 1 ? i / (n - 1) : 0), py = v => top + tall * (1 - Math.min(Math.max(y(v), 0), 1));
  const root = svg("svg", {viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label});
  for (const v of ticks) {
    root.append(svg("line", {class: "grid", x1: left, x2: width - right, y1: py(v), y2: py(v)}),
      svg("text", {x: left - 6, y: py(v) + 4, "text-anchor": "end"}, format(v)));
  }
  const from = new Date(series.from).getTime(), every = Math.max(Math.ceil(n / Math.max(Math.floor(inner / 120), 1)), 1);
  for (let i = 0; i < n; i += every) {
    root.append(svg("text", {x: px(i), y: height - 5, "text-anchor": i ? "middle" : "start"}, clock(from + i * series.step * 1000, series.step < 60)));
  }
  for (const line of lines) {
    // A gap in the values is a gap in the line.
    let path = "", area = "", start = -1;
    const close = end => {
      if (start >= 0 && line.area) area += `L${px(end)},${py(0)}L${px(start)},${py(0)}Z`;
      start = -1;
    };
    line.values.forEach((v, i) => {
      if (v === null) return close(i - 1);
      const point = `${px(i).toFixed(1)},${py(v).toFixed(1)}`;
      path += (start < 0 ? "M" : "L") + point;
      area += (start < 0 ? "M" : "L") + point;
      if (start < 0) start = i;
    });
    close(n - 1);
    if (line.area) root.append(svg("path", {class: "area" + line.kind, d: area}));
    root.append(svg("path", {class: "line" + line.kind, d: path}));
  }
  const cursor = svg("line", {class: "cursor", y1: top, y2: top + tall, visibility: "hidden"});
  const read = make("div", "read");
  root.append(cursor);
  root.addEventListener("pointermove", event => {
    const box = root.getBoundingClientRect();
    const i = Math.min(Math.max(Math.round((event.clientX - box.left - left) / inner * (n - 1)), 0), n - 1);
    cursor.setAttribute("x1", px(i));
    cursor.setAttribute("x2", px(i));
    cursor.setAttribute("visibility", "visible");
    read.textContent = clock(from + i * series.step * 1000, series.step < 60) + ": " +
      lines.map(l => l.name + " " + l.format((l.raw || l.values)[i] || 0)).join(", ");
  });
  root.addEventListener("pointerleave", () => {
    cursor.setAttribute("visibility", "hidden");
    read.textContent = "";
  });
  place.replaceChildren(root, read);
}

// perSecond is how many of n there are in a second, for each part of a series since counting began.
function perSecond(series, values) {
  const from = new Date(series.from) / 1000, since = new Date(last.since) / 1000, now = new Date(last.time) / 1000;
  return values.map((n, i) => {
    const begin = Math.max(from + i * series.step, since), end = Math.min(from + (i + 1) * series.step, now);
    return end <= begin || series.step === 1 && i === values.length - 1 ? null : n / Math.max(end - begin, 1);
  });
}

function plots(series, title) {
  const [failed, missing, all] = [series.failed, series.nxdomain, series.queries].map(values => perSecond(series, values));
  const answered = all.map((v, i) => v - failed[i] - missing[i]);
  const most = Math.max(...all, 1 / series.step), ticks = steps(most, 3), end = ticks[ticks.length - 1];
  const label = `Queries per second, ${title}: between ${rate(Math.min(...all))} and ${rate(Math.max(...all))}.`;
  // Stacked: the failures below, so that few of them are seen.
  plot($("plot-queries"), series, [
    {values: all, raw: answered, name: "answered", area: true, kind: 1, format: rate},
    {values: missing.map((v, i) => v === null ? v : v + failed[i]), raw: missing, name: "NXDOMAIN", area: true, kind: 2, format: rate},
    {values: failed, name: "failed", area: true, kind: 3, format: rate},
  ], v => v / end, ticks, rate, label);
  const gap = list => list.map(v => v || null), p50 = gap(series.p50), p99 = gap(series.p99);
  const times = [...series.p50, ...series.p99].filter(v => v > 0);
  const low = Math.floor(Math.log10(Math.min(...times, 1e-4))), high = Math.max(Math.ceil(Math.log10(Math.max(...times, 1e-3))), low + 1);
  const decades = [];
  for (let e = low; e <= high; e++) decades.push(10 ** e);
  const round = s => s >= 1 ? s + " s" : s >= 0.001 ? Math.round(s * 1e3) + " ms" : Math.round(s * 1e6) + " µs";
  plot($("plot-latency"), series, [
    {values: p99, raw: series.p99, name: "99 %", kind: 2, format: duration},
    {values: p50, raw: series.p50, name: "median", kind: 1, format: duration},
  ], v => (Math.log10(v || 10 ** low) - low) / (high - low), decades, round,
  `Time to answer, ${title}: median up to ${duration(Math.max(...series.p50, 0))}, 99 % up to ${duration(Math.max(...series.p99, 0))}.`);
}

// plotTables writes what the plots show, when somebody looks.
function plotTables(series) {
  const rows = series.queries.map((n, i) => ({i, n})).filter(r => r.n > 0).reverse();
  const time = {head: "Time", cell: r => clock(new Date(series.from).getTime() + r.i * series.step * 1000, series.step < 60)};
  const number = (head, list, format) => ({head, n: true, cell: r => format(list[r.i])});
  const per = n => rate(n || 0);
  if ($("table-queries").parentElement.open)
    table($("table-queries"), [time, ...[["Queries/s", series.queries], ["NXDOMAIN/s", series.nxdomain], ["Failed/s", series.failed]].map(([head, values]) => number(head, perSecond(series, values), per))], rows, "No queries yet.", "Queries per second");
  if ($("table-latency").parentElement.open)
    table($("table-latency"), [time, number("Median", series.p50, duration), number("99 %", series.p99, duration)], rows, "No queries yet.", "Time to answer");
}

// --- The sections.

let last; // summary

function chosen(name) {
  return document.querySelector(`input[name=${name}]:checked`).value;
}

function say(element, text, bad) {
  if (element.textContent !== text) element.textContent = text; // a live region speaks only of changes
  element.classList.toggle("bad", !!bad);
}

function figures(s) {
  const now = s.now, seen = now.queries ? now : s.total;
  const share = (rates, ...names) => names.reduce((sum, name) => sum + (rates.rcodes[name] || 0), 0);
  const missing = share(seen, "NXDOMAIN"), failed = seen.queries - share(seen, "NOERROR", "NXDOMAIN");
  const all = [
    ["Queries", rate(now.perSecond), "/s", ""],
    ["Median", duration(seen.latency.p50), "", ""],
    ["99 %", duration(seen.latency.p99), "", ""],
    ["NXDOMAIN", percent(missing, seen.queries), "", ""],
    ["Failed", percent(failed, seen.queries), "", failed ? "bad" : ""],
    ["In the last hour", count(s.total.queries), "", ""],
  ];
  $("figures").replaceChildren(...all.map(([name, value, unit, kind]) =>
    make("div", "", make("dt", "", name), make("dd", kind, value, ...(unit ? [make("small", "", unit)] : [])))));
}

const rcodeKind = name => name === "NOERROR" ? "" : name === "NXDOMAIN" ? "grey" : "bad";

function shares(place, byName, total, first, kind, none) {
  const rows = Object.entries(byName).sort((a, b) => b[1] - a[1]);
  table(place, [
    {head: first, kind: "short", cell: r => r[0] || "none (refused here)"},
    {head: "Last hour", n: true, cell: r => count(r[1])},
    {head: "Share", n: true, cell: r => percent(r[1], total)},
    {kind: "share", cell: r => meter(r[1] / total, kind(r[0]))},
  ], rows, none, first);
}

function status(s) {
  const late = s.watches.some(w => w.idle > 150);
  if (!s.reload.current) return say($("status"), "The Corefile on disk is not served", true);
  if (s.notReady.length) return say($("status"), "Not ready: waits for " + s.notReady.join(", "), true);
  if (s.troubles.length) return say($("status"), "The API server cannot be read", true);
  if (late) return say($("status"), "The API server is silent", true);
  say($("status"), "Ready", false);
}

function reload(s) {
  const r = s.reload;
  let text = r.last ? "Reloaded at " + clock(r.last, true) + "." : "As it was read at the start.";
  if (!r.current) text = "Since " + clock(r.last, true) + " the Corefile on disk cannot be served, and the one below goes on. What is wrong:\n" + r.fault;
  say($("reload"), text, !r.current);
}

const health = {up: ["up", "good"], down: ["down", "bad"], loop: ["asks this server", "bad"]};

function parts(s) {
  table($("upstreams"), [
    {head: "Address", kind: "name", cell: u => u.address},
    {head: "Health", kind: "short", cell: u => make("span", health[u.health][1], health[u.health][0])},
    {head: "Queries", n: true, cell: u => count(u.queries)},
    {head: "Failed", n: true, cell: u => make("span", u.failed ? "bad" : "", count(u.failed))},
    {head: "Median", n: true, cell: u => duration(u.p50)},
    {head: "99 %", n: true, cell: u => duration(u.p99)},
  ], s.upstreams, "Nothing is forwarded.", "Upstreams");
  say($("troubles"), s.troubles.map(t => t.why).join("\n"), true);
  table($("watches"), [
    {head: "Kind", cell: w => w.kind},
    {head: "Objects", n: true, cell: w => count(w.objects)},
    {head: "Last heard of", n: true, cell: w => !w.synced ? make("span", "bad", "not read yet") : w.idle === null ? "manifests" : make("span", w.idle > 150 ? "bad" : "", span(w.idle) + " ago")},
  ], s.watches, "No cluster is watched.", "Watches");
  table($("caches"), [
    {head: "Zones", kind: "name", cell: c => c.zones},
    {head: "Entries", n: true, cell: c => count(c.entries)},
    {head: "Memory", n: true, cell: c => bytes(c.bytes)},
    {head: "Queries", n: true, cell: c => count(c.requests)},
    {head: "Hits", n: true, cell: c => percent(c.hits, c.requests)},
    {head: "Stale", n: true, cell: c => count(c.stale)},
  ], s.caches, "Nothing is cached.", "Caches");
}

function shadow(s) {
  for (const e of document.querySelectorAll("#shadow, a[href='#shadow']")) e.hidden = !s.shadow;
  if (!s.shadow) return;
  say($("away"), s.shadow.away.length ? "It does not answer: " + s.shadow.away.join(", ") : "", true);
  const total = s.shadow.outcomes.reduce((n, o) => n + o.count, 0);
  table($("outcomes"), [
    {head: "Result", kind: "short", cell: o => make("span", o.result === "different" ? "bad" : "", o.result)},
    {head: "Kind", cell: o => o.kind},
    {head: "Answers", n: true, cell: o => count(o.count)},
    {head: "Share", n: true, cell: o => percent(o.count, total)},
  ], s.shadow.outcomes, "None yet.", "Answers compared");
  table($("differences"), [
    {head: "Time", kind: "short", cell: d => clock(d.time, true)},
    {head: "Question", kind: "name", cell: d => d.name + " " + d.type},
    {head: "Ours", kind: "name", cell: d => d.ours},
    {head: "Theirs", kind: "name", cell: d => [d.theirs, make("small", "", d.server)]},
  ], s.shadow.differences, "None.", "Differences that nothing explains");
}

function showSummary(s) {
  for (const e of document.querySelectorAll("#explain, a[href='#explain']")) e.hidden = !s.explain;
  const up = (new Date(s.time) - new Date(s.started)) / 1000;
  if (!last && up < 600) for (const input of document.querySelectorAll("input[name=range]")) input.checked = input.value === "recent";
  last = s;
  $("identity").textContent = `${s.version} · up ${span(up)} · ${s.addresses.slice(0, 4).join(", ")}${s.addresses.length > 4 ? ", …" : ""}`;
  status(s);
  figures(s);
  const hour = chosen("range") === "hour", series = hour ? s.hour : s.recent;
  plots(series, hour ? "last hour" : "last two minutes");
  plotTables(series);
  shares($("rcodes"), s.total.rcodes, s.total.queries, "Rcode", rcodeKind, "No queries in the last hour.");
  shares($("sources"), s.total.sources, s.total.queries, "Directive", () => "", "No queries in the last hour.");
  parts(s);
  shadow(s);
  reload(s);
  say($("sampled"), s.sample > 1 ? `There are many queries: one in ${s.sample} is looked at, and stands for the others.` : "", false);
}

const row = {
  count: {head: "Queries", n: true, cell: r => count(r.count)},
  rate: {head: "/s", n: true, cell: r => rate(r.rate)},
  name: {head: "Name", kind: "name", cell: r => r.name},
  reasoned: {head: "Name", kind: "name", cell: r => r.reason ? [r.name, make("small", "", r.reason)] : r.name},
  client: {head: "Client", kind: "name", cell: r => r.who ? [r.client, make("small", "", r.who)] : r.client},
  example: {head: "Client, and one of the names", kind: "name", cell: r => [r.client, make("small", "", r.who ? r.who + " asked for " + r.example : r.example)]},
};

async function tops() {
  const over = chosen("over");
  for (const [of, columns, none, label] of [
    ["names", [row.name, row.count, row.rate], "No queries yet.", "Names asked for most"],
    ["nxdomains", [row.reasoned, row.count, row.rate], "No name was missing.", "Names that do not exist"],
    ["clients", [row.client, row.count, row.rate], "No queries yet.", "Clients that ask most"],
    ["searches", [row.example, row.count, row.rate], "No search list has made a name that does not exist.", "Queries that only a search list made, by client"],
  ]) {
    const m = await get(`api/top?of=${of}&over=${over}&n=10`);
    table($("top-" + of), columns, m.rows, none, label);
  }
}

async function failures() {
  const all = (await get("api/failures")).failures.slice(0, 50);
  table($("list-failures"), [
    {head: "Time", kind: "short", cell: f => clock(f.time, true)},
    {head: "Question", kind: "name", cell: f => f.name + " " + f.type},
    {head: "Rcode", kind: "short", cell: f => make("span", f.rcode === "NXDOMAIN" ? "" : "bad", f.rcode)},
    {head: "Reason", cell: f => f.reason || "given by the upstream, without a reason"},
    {head: "Client", kind: "name short", cell: f => f.who ? [f.client, make("small", "", f.who)] : f.client},
    {head: "Times", n: true, cell: f => count(f.count)},
  ], all, "None. Names that only a search list made are not counted as failures.", "Recent failures");
}

// --- Queries as they come.

let following; // AbortController
const kept = 100; // lines

async function follow(event) {
  event.preventDefault();
  const button = event.submitter || $("filter").querySelector("button");
  if (following) {
    following.abort();
    return;
  }
  const query = new URLSearchParams();
  for (const [name, value] of new FormData($("filter"))) if (value.trim()) query.set(name, value.trim());
  const stop = following = new AbortController();
  button.textContent = "Stop";
  say($("following"), "Waiting for queries …", false);
  const columns = ["Time", "Client", "Question", "Rcode", "From", "Took", "Reason"];
  const head = make("tr", "", ...columns.map(c => { const th = make("th", c === "Took" ? "n" : "", c); th.scope = "col"; return th; }));
  const body = make("tbody"), list = make("table", "", make("thead", "", head), body);
  list.setAttribute("aria-label", "Queries as they come");
  $("list-live").replaceChildren(list);
  $("list-live").hidden = false;
  try {
    const reply = await fetch("api/tail?" + query, {signal: stop.signal, cache: "no-store"});
    if (!reply.ok) throw new Error((await reply.json().catch(() => ({}))).error || await reply.text().catch(() => "") || "The server answered " + reply.status + ".");
    const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "", sample = 0;
    for (;;) {
      const {value, done} = await reader.read();
      if (done) break;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      const fresh = lines.filter(Boolean).map(line => JSON.parse(line)).filter(l => l.name !== undefined);
      body.prepend(...fresh.slice(-kept).reverse().map(liveRow));
      while (body.rows.length > kept) body.lastChild.remove();
      if (fresh.length && fresh[0].sample !== sample) {
        sample = fresh[0].sample;
        say($("following"), sample > 1 ? `One query in ${sample} is shown.` : "Each query is shown.", false);
      }
    }
    say($("following"), "The server has ended it.", false);
  } catch (error) {
    say($("following"), stop.signal.aborted ? "Stopped." : error.message, !stop.signal.aborted);
  }
  following = undefined;
  button.textContent = "Follow";
}

function liveRow(l) {
  const td = (name, ...content) => make("td", name, ...content);
  return make("tr", "", td("short", clock(l.time, true)), td("name short", l.client, ...(l.who ? [make("small", "", l.who)] : [])), td("name", l.name + " " + l.type),
    td("short", make("span", rcodeKind(l.rcode) === "bad" ? "bad" : "", l.rcode)), td("short", l.source || "–"),
    td("n", duration(l.took)), td("", l.reason || ""));
}

// --- Services.

const browse = {zone: "", namespace: "", word: "", from: 0, service: ""};
const pageSize = 50;

function list(place, items, none) {
  place.replaceChildren(items.length ? make("ul", "", ...items.map(i => make("li", "", i))) : make("p", "none", none));
}

function choice(name, number, pressed, act) {
  const b = make("button", "", make("span", "", name), make("span", "", number));
  b.type = "button";
  b.setAttribute("aria-pressed", pressed);
  b.addEventListener("click", act);
  return b;
}

async function services() {
  const q = new URLSearchParams({n: pageSize, from: browse.from});
  for (const name of ["zone", "namespace", "word"]) if (browse[name]) q.set(name, browse[name]);
  let s;
  try {
    s = await get("api/services?" + q);
  } catch (error) {
    return say($("found"), error.message, true);
  }
  const select = $("search").elements.zone;
  if (select.options.length !== s.zones.length) select.replaceChildren(...s.zones.map(z => new Option(z, z)));
  $("label-zone").hidden = s.zones.length < 2;
  if (!s.zones.length) return say($("found"), "No cluster is served.", false);
  const restore = document.activeElement && document.activeElement.closest(".list") ? document.activeElement.firstChild.textContent : "";
  const move = change => { Object.assign(browse, change); services(); };
  const sum = s.namespaces.reduce((n, space) => n + space.services, 0);
  const spaces = [choice("all", count(sum), browse.namespace === "", () => move({namespace: "", from: 0}))];
  for (const space of s.namespaces) spaces.push(choice(space.name, count(space.services), browse.namespace === space.name, () => move({namespace: space.name, from: 0})));
  list($("namespaces"), spaces, "");
  if (s.moreNamespaces) $("namespaces").append(make("p", "note", "… and more: search."));
  list($("found-services"), s.services.map(v => choice(browse.namespace ? v.name : v.name + "." + v.namespace, v.why ? "no names" : "",
    browse.service === v.name + "." + v.namespace, () => { browse.service = v.name + "." + v.namespace; services(); records(s.zone, v); })), "No service is called so.");
  say($("found"), s.found ? `${s.from + 1}–${s.from + s.services.length} of ${count(s.found)} services` : "No service", false);
  $("previous").disabled = s.from === 0;
  $("next").disabled = s.from + s.services.length >= s.found;
  $("previous").onclick = () => move({from: Math.max(s.from - pageSize, 0)});
  $("next").onclick = () => move({from: s.from + pageSize});
  if (restore) for (const b of document.querySelectorAll(".list button")) if (b.firstChild.textContent === restore) b.focus();
}

async function records(zone, service) {
  const place = $("records");
  try {
    const r = await get("api/service?" + new URLSearchParams({zone, namespace: service.namespace, name: service.name}));
    const rows = make("div");
    table(rows, [
      {head: "Name", kind: "name", cell: x => x.name},
      {head: "Type", kind: "short", cell: x => x.type},
      {head: "Data", kind: "name", cell: x => x.data},
    ], r.records, "It has no records.", "Records of " + service.name + "." + service.namespace);
    place.replaceChildren(rows, ...r.notes.map(n => make("p", "note", n)));
    reachable(rows, "Records");
    if (r.found > r.records.length) place.append(make("p", "note", `… and ${count(r.found - r.records.length)} more.`));
  } catch (error) {
    place.replaceChildren(make("p", "bad", error.message));
  }
}

// --- Explain.

async function explain(event) {
  event.preventDefault();
  const query = new URLSearchParams();
  for (const [name, value] of new FormData($("ask"))) if (value.trim()) query.set(name, value.trim());
  $("answer").replaceChildren(make("p", "note", "Asking …"));
  $("questions").replaceChildren();
  let r;
  try {
    r = await get("explain?" + query);
  } catch (error) {
    return $("answer").replaceChildren(make("p", "bad", error.message));
  }
  const [kind, verdict] = !r.resolves ? ["bad", "It does not resolve. "] : r.unready ? ["bad", "It resolves, and nothing answers. "] : ["good", "It resolves. "];
  const said = [make("p", "sentence", make("span", kind, verdict), r.sentence)];
  if (r.fix) said.push(make("p", "note", r.fix));
  if (r.near) said.push(make("p", "near", "Perhaps: ", ...r.near.map(name => {
    const b = make("button", "", name);
    b.type = "button";
    b.addEventListener("click", () => { $("ask").elements.name.value = name; $("ask").requestSubmit(); });
    return b;
  })));
  said.push(make("p", "note", `The search list of a pod in ${r.from.split("/")[0]}, ndots:${r.ndots}: ${r.search.join(", ")}. ${r.note || ""}`));
  $("answer").replaceChildren(...said);
  const rows = r.questions.map((q, i) => ({...q, decides: i === r.decisive}));
  table($("questions"), [
    {head: "Decides", kind: "short good", cell: q => q.decides ? "this one" : ""},
    {head: "Question", kind: "name", cell: q => q.name + " " + q.type},
    {head: "Rcode", kind: "short", cell: q => make("span", rcodeKind(q.rcode || "") === "bad" ? "bad" : "", q.rcode || "no reply")},
    {head: "Answer", cell: q => [...(q.records || []).map(record => make("div", "name", record)), q.reason || ""]},
  ], rows, "Nothing was asked.", "The questions that are asked for it, in order");
}

// --- The Corefile.

async function corefile() {
  const {files} = await get("api/corefile");
  const place = $("files");
  place.replaceChildren(...files.flatMap(f => {
    const pre = make("pre", "", f.text);
    pre.tabIndex = 0;
    pre.setAttribute("role", "region");
    pre.setAttribute("aria-label", f.name);
    return [make("h3", "", f.name), pre];
  }));
}

// --- Running.

let paused = false, digest;

async function refresh(all) {
  try {
    const s = await get("api/summary");
    showSummary(s);
    if (s.reload.digest !== digest) {
      digest = s.reload.digest;
      await corefile();
      await services();
    }
    if (all) {
      await tops();
      await failures();
    }
  } catch (error) {
    say($("status"), "The server does not answer", true);
  }
}

let round = 0;
async function run() {
  for (;;) {
    if (!paused && !document.hidden) await refresh(round++ % 2 === 0);
    await new Promise(done => setTimeout(done, 2000));
  }
}

$("pause").addEventListener("click", () => {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", paused);
  $("pause").textContent = paused ? "Paused" : "Pause";
});
for (const input of document.querySelectorAll("input[name=range]")) input.addEventListener("change", () => last && showSummary(last));
for (const input of document.querySelectorAll("input[name=over]")) input.addEventListener("change", tops);
for (const d of document.querySelectorAll("details")) d.addEventListener("toggle", () => last && showSummary(last));
addEventListener("resize", () => last && showSummary(last));
$("filter").addEventListener("submit", follow);
$("ask").addEventListener("submit", explain);
$("search").addEventListener("submit", event => event.preventDefault());
let typing;
$("search").elements.word.addEventListener("input", event => {
  clearTimeout(typing);
  typing = setTimeout(() => { Object.assign(browse, {word: event.target.value.trim(), namespace: "", from: 0}); services(); }, 200);
});
$("search").elements.zone.addEventListener("change", event => { Object.assign(browse, {zone: event.target.value, namespace: "", from: 0}); services(); });
run();
