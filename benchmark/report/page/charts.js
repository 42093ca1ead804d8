// Draw small charts as SVG, `width` pixels wide. Every function takes plain data and returns an element.
const SVG = "http://www.w3.org/2000/svg";

function draw(name, attributes = {}, children = []) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  for (const child of [].concat(children)) node.append(child);
  return node;
}

function picture(width, height, label) {
  return draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
}

function titled(node, text) {
  node.append(draw("title", {}, text));
  return node;
}

function legend(series) {
  const list = document.createElement("ul");
  list.className = "legend";
  for (const each of series) {
    const item = document.createElement("li");
    const dot = document.createElement("span");
    dot.className = "dot";
    dot.style.background = each.color;
    item.append(dot, each.name);
    list.append(item);
  }
  return list;
}

// Draw horizontal bars in groups: groups [{name, values: {series: share}}], series [{name, color}].
function barChart(groups, series, label, width) {
  const bar = 14, gap = 14, left = 118, right = 84;
  const shown = groups.map((group) => ({ ...group, bars: series.filter((each) => group.values[each.name] != null) }));
  const height = shown.reduce((sum, group) => sum + Math.max(1, group.bars.length) * bar + gap, 26);
  const svg = picture(width, height, label);
  const x = (share) => left + share * (width - left - right);
  for (const tick of [0, 0.25, 0.5, 0.75, 1]) {
    svg.append(draw("line", { class: "grid", x1: x(tick), x2: x(tick), y1: 4, y2: height - 20 }));
    svg.append(draw("text", { class: "soft", x: x(tick), y: height - 6, "text-anchor": "middle" }, String(100 * tick)));
  }
  let y = 8;
  for (const group of shown) {
    const middle = y + (Math.max(1, group.bars.length) * bar) / 2;
    svg.append(draw("text", { x: left - 8, y: middle + 4, "text-anchor": "end" }, shortened(group.name, 16)));
    for (const each of group.bars) {
      const share = group.values[each.name];
      const rect = draw("rect", { x: left, y: y + 1, width: Math.max(1, x(share) - left), height: bar - 2, rx: 2 });
      rect.style.fill = each.color;
      svg.append(titled(rect, `${group.name}, ${each.name}: ${percent(share)}`));
      const note = (group.notes || {})[each.name] || "";
      svg.append(draw("text", { x: x(share) + 4, y: y + bar - 3, style: "font-size:10px" }, percent(share) + note));
      y += bar;
    }
    if (!group.bars.length) y += bar;
    y += gap;
  }
  return svg;
}

// Draw a polygon per series over axes [name]; series [{name, color, values: {axis: share}}]. The centre stands for `low`.
function radarChart(axes, series, low, label, width) {
  const radius = Math.min(140, (width - 190) / 2), centre = width / 2, height = 2 * radius + 60, middle = height / 2;
  const svg = picture(width, height, label);
  const point = (index, share) => {
    const angle = (2 * Math.PI * index) / axes.length - Math.PI / 2;
    const r = (radius * Math.max(0, share - low)) / (1 - low);
    return [centre + r * Math.cos(angle), middle + r * Math.sin(angle)];
  };
  const polygon = (shares) => shares.map((share, index) => point(index, share).join(",")).join(" ");
  for (const part of [0.25, 0.5, 0.75, 1]) {
    const share = low + part * (1 - low);
    svg.append(draw("polygon", { class: "grid", points: polygon(axes.map(() => share)) }));
    svg.append(draw("text", { class: "soft", x: centre + 4, y: middle - radius * part - 2, style: "font-size:10px" }, percent(share, 0)));
  }
  axes.forEach((name, index) => {
    const [x, y] = point(index, 1), [tx, ty] = point(index, 1 + 0.12 * (1 - low));
    svg.append(draw("line", { class: "grid", x1: centre, y1: middle, x2: x, y2: y }));
    const anchor = Math.abs(tx - centre) < 12 ? "middle" : tx > centre ? "start" : "end";
    svg.append(draw("text", { x: tx, y: ty + 4, "text-anchor": anchor }, shortened(name, 14)));
  });
  for (const each of series) {
    const shape = draw("polygon", { points: polygon(axes.map((axis) => each.values[axis])), "fill-opacity": 0.04, "stroke-width": 2 });
    shape.style.stroke = shape.style.fill = each.color;
    svg.append(titled(shape, each.name + ": " + axes.map((axis) => `${axis} ${percent(each.values[axis])}`).join(", ")));
  }
  return svg;
}

// Draw points [{name, color, x, y}], with x on a logarithmic axis and y a share.
function scatterChart(points, labels, label, width) {
  const height = 330, left = 44, bottom = 44, top = 14, right = 16;
  const svg = picture(width, height, label);
  const xs = points.map((each) => Math.log10(each.x)), ys = points.map((each) => each.y);
  const [x0, x1] = [Math.min(...xs) - 0.15, Math.max(...xs) + 0.35];
  const [y0, y1] = [Math.floor(20 * Math.min(...ys) - 0.4) / 20, Math.min(1, Math.ceil(20 * Math.max(...ys) + 0.2) / 20)];
  const x = (value) => left + ((Math.log10(value) - x0) / (x1 - x0)) * (width - left - right);
  const y = (value) => height - bottom - ((value - y0) / (y1 - y0)) * (height - bottom - top);
  const step = y1 - y0 > 0.3 ? 0.1 : 0.05;
  for (let tick = y0; tick <= y1 + 1e-9; tick += step) {
    svg.append(draw("line", { class: "grid", x1: left, x2: width - right, y1: y(tick), y2: y(tick) }));
    svg.append(draw("text", { class: "soft", x: left - 6, y: y(tick) + 4, "text-anchor": "end" }, percent(tick, 0)));
  }
  for (let power = Math.floor(x0); power <= x1; power += 1) {
    for (const factor of [1, 2, 5]) {
      const tick = factor * 10 ** power;
      if (Math.log10(tick) < x0 || Math.log10(tick) > x1) continue;
      svg.append(draw("line", { class: "grid", x1: x(tick), x2: x(tick), y1: top, y2: height - bottom }));
      svg.append(draw("text", { class: "soft", x: x(tick), y: height - bottom + 16, "text-anchor": "middle" }, String(+tick.toPrecision(2))));
    }
  }
  svg.append(draw("text", { class: "soft", x: (left + width) / 2, y: height - 8, "text-anchor": "middle" }, labels.x));
  const boxes = points.map((each) => [x(each.x) - 7, y(each.y) - 7, x(each.x) + 7, y(each.y) + 7]);
  for (const each of points) {
    const dot = draw("circle", { cx: x(each.x), cy: y(each.y), r: 6 });
    dot.style.fill = each.color;
    svg.append(titled(dot, `${each.name}: ${percent(each.y)}, ${each.x.toPrecision(3)} ms`));
  }
  for (const each of points) {
    const spot = labelSpot(x(each.x), y(each.y), 6.6 * each.name.length, boxes, width - right);
    boxes.push(spot);
    svg.append(draw("text", { x: spot[0], y: spot[3] - 3 }, each.name));
  }
  return svg;
}

// Draw a line per series over columns [name]; series [{name, color, points: [[share, deviation] or null]}], with a bar of
// one deviation up and down where there is one.
function lineChart(columns, series, labels, label, width) {
  const height = 330, left = 44, bottom = 44, top = 14, right = 16;
  const svg = picture(width, height, label);
  const all = series.flatMap((each) => each.points.filter(Boolean));
  const low = Math.min(...all.map(([share, deviation]) => share - (deviation || 0)));
  const high = Math.max(...all.map(([share, deviation]) => share + (deviation || 0)));
  const [y0, y1] = [Math.max(0, Math.floor(20 * low - 0.2) / 20), Math.min(1, Math.ceil(20 * high + 0.2) / 20)];
  const gap = (width - left - right) / columns.length;
  const x = (index) => left + (index + 0.5) * gap;
  const y = (share) => height - bottom - ((Math.min(y1, Math.max(y0, share)) - y0) / (y1 - y0)) * (height - bottom - top);
  const step = y1 - y0 > 0.3 ? 0.1 : 0.05;
  for (let tick = y0; tick <= y1 + 1e-9; tick += step) {
    svg.append(draw("line", { class: "grid", x1: left, x2: width - right, y1: y(tick), y2: y(tick) }));
    svg.append(draw("text", { class: "soft", x: left - 6, y: y(tick) + 4, "text-anchor": "end" }, percent(tick, 0)));
  }
  columns.forEach((name, index) => svg.append(draw("text", { class: "soft", x: x(index), y: height - bottom + 16, "text-anchor": "middle" }, String(name))));
  svg.append(draw("text", { class: "soft", x: (left + width) / 2, y: height - 8, "text-anchor": "middle" }, labels.x));
  series.forEach((each, number) => {
    // Beside each other, so that no bar hides another.
    const shift = (number - (series.length - 1) / 2) * Math.min(7, (0.6 * gap) / series.length);
    const known = each.points.map((point, index) => ({ point, at: x(index) + shift, index })).filter(({ point }) => point);
    const line = draw("polyline", { points: known.map(({ point, at }) => `${at},${y(point[0])}`).join(" "), fill: "none", "stroke-width": 2 });
    line.style.stroke = each.color;
    svg.append(line);
    for (const { point: [share, deviation], at, index } of known) {
      const mark = draw("g", { class: "mark" });
      if (deviation != null) {
        const [from, to] = [y(share - deviation), y(share + deviation)];
        mark.append(draw("path", { d: `M${at} ${from}V${to}M${at - 3} ${from}h6M${at - 3} ${to}h6`, "stroke-width": 1.5 }));
      }
      mark.append(draw("circle", { cx: at, cy: y(share), r: 4 }));
      mark.style.stroke = mark.style.fill = each.color;
      const spread = deviation == null ? "" : ` ± ${percent(deviation)}`;
      svg.append(titled(mark, `${each.name}, ${columns[index]}: ${percent(share)}${spread}`));
    }
  });
  return svg;
}

// Place a label beside, above or below a point, where it covers the least; return its box [left, top, right, bottom].
function labelSpot(x, y, length, boxes, limit) {
  const spots = [];
  for (const lift of [0, -13, 13, -26, 26]) {
    spots.push([x + 10, y - 8 + lift, x + 10 + length, y + 7 + lift], [x - 10 - length, y - 8 + lift, x - 10, y + 7 + lift]);
  }
  const covered = (spot) =>
    boxes.reduce((sum, box) => sum + Math.max(0, Math.min(spot[2], box[2]) - Math.max(spot[0], box[0])) * Math.max(0, Math.min(spot[3], box[3]) - Math.max(spot[1], box[1])), 0) +
    1000 * (spot[2] > limit || spot[0] < 0);
  return spots.reduce((best, spot) => (covered(spot) < covered(best) ? spot : best));
}

function percent(share, decimals = 1) {
  return (100 * share).toFixed(decimals);
}

function shortened(text, length) {
  return text.length > length ? text.slice(0, length - 1) + "…" : text;
}
