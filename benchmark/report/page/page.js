// Keep what the reader has chosen in `state`, and draw everything again when it changes.
const boards = JSON.parse(document.getElementById("data").textContent);
const state = { board: 0, metric: "", find: "", roles: new Set(["method", "baseline"]), target: "", threshold: "", sort: "mean", up: false, gallery: "", category: "", why: "all", open: 0 };
const ALL = "data sets";
const at = (id) => document.getElementById(id);

function element(name, properties = {}, children = []) {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...[].concat(children));
  return node;
}

function options(select, values, chosen) {
  select.replaceChildren(...values.map((value) => element("option", { value, textContent: value, selected: value === chosen })));
}

const board = () => boards[state.board];
const palette = (number) => `var(--s${number % 10})`;
const color = (row) => palette(row.colour);
const figure = (row, target, category = "") => (row.targets[target].figures[category] || {})[state.metric];
const hasMetric = (target) => board().rows.some((row) => figure(row, target.name) || Object.values(row.targets[target.name].figures).some((each) => state.metric in each));

function visible() {
  return board().rows.filter(isWanted);
}

function isWanted({ method, role }) {
  return state.roles.has(role) && method.toLowerCase().includes(state.find.trim().toLowerCase());
}

function value(row, column) {
  if (column === "method") return row.method.toLowerCase();
  if (column === "mean") return row.means[state.metric];
  if (column === "ms") return row.milliseconds;
  const found = figure(row, column.slice(1));
  return found ? found[0] : null;
}

function sorted(rows) {
  const direction = state.up ? 1 : -1;
  return [...rows].sort((a, b) => {
    const [first, second] = [value(a, state.sort), value(b, state.sort)];
    if (first == null || second == null) return (first == null) - (second == null);
    return direction * (first < second ? -1 : first > second ? 1 : 0);
  });
}

function drawBoard() {
  const targets = board().targets.filter(hasMetric);
  const columns = [["method", "Method"], ...targets.map((each) => ["=" + each.name, each.name]), ["mean", "Mean"], ["ms", "ms per image"]];
  if (!columns.some(([key]) => key === state.sort)) state.sort = "mean";
  const heads = columns.map(([key, name]) => {
    const button = element("button", { type: "button", textContent: name });
    button.dataset.column = key;
    button.addEventListener("click", () => {
      state.up = state.sort === key ? !state.up : key === "method" || key === "ms";
      state.sort = key;
      drawBoard();
      at("board").querySelector(`button[data-column="${CSS.escape(key)}"]`).focus();
    });
    const head = element("th", { scope: "col" }, button);
    head.setAttribute("aria-sort", state.sort === key ? (state.up ? "ascending" : "descending") : "none");
    return head;
  });
  const rows = sorted(visible());
  const ranked = rows.filter((row) => row.role !== "ablation");
  const best = Object.fromEntries(columns.map(([key]) => [key, [...new Set(ranked.map((row) => value(row, key)).filter((each) => each != null).map((each) => +(+each).toFixed(3)))].sort((a, b) => b - a)]));
  const cell = (row, key, text) => {
    const shown = value(row, key), node = element("td", {}, text);
    if (row.role !== "ablation" && key !== "ms" && shown != null) {
      const place = best[key].indexOf(+shown.toFixed(3));
      if (place === 0) node.className = "best";
      if (place === 1) node.className = "second";
    }
    return node;
  };
  const lines = rows.map((row) => {
    const dot = element("span", { className: "dot" });
    dot.style.background = color(row);
    const words = element("span", { textContent: row.method });
    if (row.role !== "method") words.append(element("small", { className: "role", textContent: row.role }));
    const name = element("th", { scope: "row" }, element("span", { className: "name" }, [dot, words]));
    name.title = "trained on " + row.sources.join(", ");
    const cells = targets.map((target) => {
      const found = figure(row, target.name);
      if (!found) return element("td", { className: "hole", textContent: row.targets[target.name].hole || "–" });
      const node = cell(row, "=" + target.name, percent(found[0]));
      if (found[1] != null) node.append(element("small", { textContent: ` ±${percent(found[1])}` }));
      const paper = row.targets[target.name].paper[state.metric];
      if (paper != null) node.append(element("small", { textContent: ` (paper ${paper.toFixed(1)})` }));
      return node;
    });
    const mean = row.means[state.metric];
    const pace = row.milliseconds == null ? "–" : row.milliseconds.toFixed(1);
    return element("tr", {}, [name, ...cells, mean == null ? element("td", { className: "hole", textContent: "–" }) : cell(row, "mean", percent(mean)), cell(row, "ms", pace)]);
  });
  at("board").tHead.replaceChildren(element("tr", {}, heads));
  at("board").tBodies[0].replaceChildren(...lines);
  at("count").textContent = `${rows.length} of ${board().rows.length} rows; ${state.metric} in percent, mean over categories. Best marked, second underlined.`;
}

// Return the width in pixels that a chart may use, so that its letters are as large as those of the text.
function room(id) {
  return Math.max(300, Math.min(736, at(id).clientWidth));
}

function drawCharts() {
  const rows = visible();
  const shown = rows.map((row) => ({ name: row.method, color: color(row) }));
  const axes = board().targets.filter((target) => rows.some((row) => figure(row, target.name))).map((target) => target.name);
  const whole = rows.filter((row) => axes.every((axis) => figure(row, axis)));
  const shapes = whole.map((row) => ({ name: row.method, color: color(row), values: Object.fromEntries(axes.map((axis) => [axis, figure(row, axis)[0]])) }));
  const values = shapes.flatMap((each) => Object.values(each.values));
  const low = Math.max(0, Math.floor(10 * Math.min(...values, 1) - 0.5) / 10);
  const enough = axes.length > 2 && shapes.length;
  at("radar").replaceChildren(...(enough ? [radarChart(axes, shapes, low, `${state.metric} of every method over data sets`, room("radar")), legend(shapes)] : [note("A radar needs three data sets that have this metric.")]));
  const points = rows.filter((row) => row.milliseconds && row.means[state.metric] != null).map((row) => ({ name: row.method, color: color(row), x: row.milliseconds, y: row.means[state.metric] }));
  at("speed").replaceChildren(points.length ? scatterChart(points, { x: "milliseconds per image in the model" }, `Mean ${state.metric} against time per image`, room("speed")) : note("Nothing to compare."));
  drawBars(shown, rows);
  drawShots();
  drawThresholds();
  drawAblation();
}

function drawShots() {
  const compared = board().by_shots;
  at("shots-section").hidden = !compared;
  if (!compared) return;
  const figures = compared.figures[state.metric];
  // A method need not be on this board: some cannot do without references.
  const lines = compared.methods
    .map((each, number) => ({ ...each, name: each.method, color: palette(number), points: figures[each.method] }))
    .filter((each) => isWanted(each) && each.points.some(Boolean));
  const label = `Mean ${state.metric} of every method by number of references`;
  const words = note(`${state.metric} in percent, mean over data sets. Bars: one sample standard deviation over draws of references. In a draw, all numbers of references were tested on the same images.`);
  at("shots").replaceChildren(...(lines.length ? [lineChart(compared.shots, lines, { x: "references per category" }, label, room("shots")), legend(lines), words] : [note("No row has all data sets.")]));
}

function drawThresholds() {
  const names = board().thresholds;
  at("threshold-section").hidden = !names.length;
  if (!names.length) return;
  const target = board().targets.find((each) => each.name === state.threshold);
  const columns = target ? target.categories.map((name) => [name, target.name, name]) : board().targets.map((each) => [each.name, each.name, ""]);
  const found = (row, [, where, category], name) => ((row.targets[where].figures[category] || {})[name] || [null])[0];
  const text = (values) => (values.every((each) => each == null) ? "–" : values.map((each) => (each == null ? "–" : percent(each))).join(" / "));
  const heads = ["Method", ...columns.map(([name]) => name), ...(target ? [] : ["Mean"])];
  const any = (row) => Object.values(row.targets).some((each) => Object.values(each.figures).some((one) => names.some((name) => name in one)));
  const lines = visible().filter(any).map((row) => {
    const cells = columns.map((column) => text(names.map((name) => found(row, column, name))));
    if (!target) cells.push(text(names.map((name) => row.means[name])));
    return element("tr", {}, [element("th", { scope: "row", textContent: row.method }), ...cells.map((textContent) => element("td", { textContent }))]);
  });
  at("threshold").tHead.replaceChildren(element("tr", {}, heads.map((textContent) => element("th", { scope: "col", textContent }))));
  at("threshold").tBodies[0].replaceChildren(...lines);
}

function drawBars(series, rows) {
  const target = board().targets.find((each) => each.name === state.target);
  const groups = target.categories.map((category) => ({
    name: category,
    values: Object.fromEntries(rows.map((row) => [row.method, (figure(row, target.name, category) || [null])[0]])),
  }));
  const any = groups.some((group) => Object.values(group.values).some((each) => each != null));
  at("bars").replaceChildren(...(any ? [legend(series), barChart(groups, series, `${state.metric} per category of ${target.name}`, room("bars"))] : [note(`${target.name} has no ${state.metric}.`)]));
}

function drawAblation() {
  const cut = board().rows.filter((row) => row.role === "ablation");
  const models = new Set(cut.map((row) => row.model));
  const rows = board().rows.filter((row) => models.has(row.model) && row.means[state.metric] != null);
  at("ablation-section").hidden = !cut.length;
  const groups = rows.map((row) => {
    const full = rows.find((each) => each.model === row.model && each.role === "method");
    const delta = full && full !== row ? 100 * (row.means[state.metric] - full.means[state.metric]) : null;
    return { name: row.method, values: { [row.method]: row.means[state.metric] }, notes: { [row.method]: delta == null ? "" : ` (${delta >= 0 ? "+" : "−"}${Math.abs(delta).toFixed(1)})` } };
  });
  const series = rows.map((row) => ({ name: row.method, color: color(row) }));
  at("ablation").replaceChildren(rows.length ? barChart(groups, series, `Mean ${state.metric} without parts of the method`, room("ablation")) : note("No row has all data sets."));
}

function note(text) {
  return element("p", { className: "fine", textContent: text });
}

const pictured = () => board().gallery.find((each) => each.target === state.gallery) || { cases: [] };

function cases() {
  const inside = pictured().cases.filter((each) => state.category === "all" || each.category === state.category);
  return inside.filter((each) => state.why === "all" || each.why.some((why) => why === state.why || why.split(" ")[0] === state.why));
}

// Return "best of A, B; worst of C" for the rows that are shown.
function reasons(item) {
  const shown = visible().map((row) => row.method);
  const named = (word) => shown.filter((method) => item.why.includes(`${word} of ${method}`)).join(", ");
  return ["best", "worst"].filter(named).map((word) => `${word} of ${named(word)}`).join("; ") || "of a row that is not shown";
}

function tiles(item) {
  const tile = (source, name, small) =>
    element("span", { className: "tile" }, [source ? element("img", { src: source, alt: "", width: 128, height: 128 }) : note("no map"), element("b", { textContent: name }), element("small", { textContent: small || "" })]);
  const order = visible().filter((row) => item.maps[row.method]);
  return [
    tile(item.photo, "image", item.kind),
    ...(item.truth ? [tile(item.truth, "truth")] : []),
    ...order.map((row) => tile(item.maps[row.method].map, row.method, `score ${item.maps[row.method].score.toFixed(3)}, quality ${percent(item.maps[row.method].quality, 0)}`)),
  ];
}

function drawGallery() {
  const categories = [...new Set(pictured().cases.map((each) => each.category))];
  state.category = state.category === "all" || categories.includes(state.category) ? state.category : categories[0];
  options(at("gallery-category"), [...categories, "all"], state.category);
  const shown = cases();
  at("gallery-section").hidden = !board().gallery.length;
  at("gallery").replaceChildren(
    ...shown.map((item, index) => {
      const name = `${item.category}, ${item.image}`;
      const button = element("button", { type: "button" }, tiles(item));
      button.setAttribute("aria-label", `Open ${name}`);
      button.addEventListener("click", () => openCase(index));
      return element("div", { className: "case" }, [element("p", {}, [element("b", { textContent: `${item.category} · ${item.kind}` }), ` · ${reasons(item)}`]), button]);
    }),
  );
}

function openCase(index) {
  const shown = cases();
  state.open = (index + shown.length) % shown.length;
  const item = shown[state.open];
  at("viewer-title").textContent = `${state.gallery} / ${item.category} · ${item.kind} (${state.open + 1} of ${shown.length})`;
  at("viewer-body").replaceChildren(note(`${reasons(item)}. Quality: AP of the map's pixels, or without labelled pixels the share of normal images that score lower.`), element("div", { className: "tiles" }, tiles(item)));
  if (!at("viewer").open) at("viewer").showModal();
}

function drawProvenance() {
  at("label").textContent = board().label;
  at("label").hidden = !board().label;
  const unlike = board().unlike.map((name) => `${name}: rows saw different images, so they cannot be compared.`);
  at("failures").replaceChildren(...[...unlike, ...board().failures].map((text) => element("li", { textContent: text })));
  at("provenance").replaceChildren(...board().provenance.map((each) => element("li", { textContent: each.text })));
  at("settings").replaceChildren(...board().rows.flatMap((row) => [element("h3", { textContent: row.method }), element("p", { className: "fine", textContent: `trained on ${row.sources.join(", ")}` + (row.training_seconds ? ` in ${row.training_seconds.toFixed(0)} s` : "") }), element("pre", { textContent: JSON.stringify(row.settings[0], null, 1) })]));
}

function choose(index) {
  state.board = index;
  state.metric = board().metrics.includes(state.metric) ? state.metric : board().metrics[0];
  const targets = board().targets.map((each) => each.name);
  state.target = targets.includes(state.target) ? state.target : targets[0];
  state.threshold = targets.includes(state.threshold) ? state.threshold : ALL;
  const galleries = board().gallery.map((each) => each.target);
  state.gallery = galleries.includes(state.gallery) ? state.gallery : galleries[0];
  options(at("metric"), board().metrics, state.metric);
  options(at("target"), targets, state.target);
  options(at("threshold-target"), [ALL, ...targets], state.threshold);
  options(at("gallery-target"), galleries, state.gallery);
  options(at("gallery-why"), ["all", "best", "worst", ...board().rows.flatMap((row) => [`best of ${row.method}`, `worst of ${row.method}`])], state.why);
  drawAll();
}

function drawAll() {
  drawBoard();
  drawCharts();
  drawGallery();
  drawProvenance();
}

at("backbone").addEventListener("change", (event) => choose(+event.target.value));
at("metric").addEventListener("change", (event) => ((state.metric = event.target.value), drawBoard(), drawCharts()));
at("find").addEventListener("input", (event) => ((state.find = event.target.value), drawBoard(), drawCharts(), drawGallery()));
at("target").addEventListener("change", (event) => ((state.target = event.target.value), drawCharts()));
at("threshold-target").addEventListener("change", (event) => ((state.threshold = event.target.value), drawThresholds()));
at("gallery-target").addEventListener("change", (event) => ((state.gallery = event.target.value), drawGallery()));
at("gallery-category").addEventListener("change", (event) => ((state.category = event.target.value), drawGallery()));
at("gallery-why").addEventListener("change", (event) => ((state.why = event.target.value), drawGallery()));
at("previous").addEventListener("click", () => openCase(state.open - 1));
at("next").addEventListener("click", () => openCase(state.open + 1));
at("viewer").addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") openCase(state.open - 1);
  if (event.key === "ArrowRight") openCase(state.open + 1);
});
for (const box of document.querySelectorAll('input[name="role"]')) {
  box.addEventListener("change", () => {
    state.roles[box.checked ? "add" : "delete"](box.value);
    drawBoard();
    drawCharts();
    drawGallery();
  });
}
let width = innerWidth;
addEventListener("resize", () => {
  if (innerWidth !== width) drawCharts();
  width = innerWidth;
});
choose(0);
