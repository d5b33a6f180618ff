let { weight, bias } = data;
const SIZE = 320, count = data.x.length;
const spread = values => { const low = Math.min(...values), high = Math.max(...values), room = (high - low || 1) * 0.15; return [low - room, high + room]; };
const [left, right] = spread(data.x), [low, high] = spread(data.y);
const across = x => (x - left) / (right - left) * SIZE, down = y => SIZE - (y - low) / (high - low) * SIZE;
const path = make("line", { stroke: "var(--bar)", "stroke-width": 3 });
const misses = data.x.map(() => make("line", { stroke: "var(--mark)", "stroke-dasharray": "3 3" }));
const plot = make("svg", { viewBox: `0 0 ${SIZE} ${SIZE}`, width: SIZE, height: SIZE, role: "img", style: "max-width:100%" }, ...misses, path,
  ...data.x.map((x, i) => make("circle", { cx: across(x), cy: down(data.y[i]), r: 5, fill: "var(--ink)" })));
const reach = Math.max(5, Math.abs(weight), Math.abs(bias), 2 * (high - low) / (right - left));
const w = slider("Weight", { min: -reach, max: reach, step: "any", value: weight }, value => { weight = value; show(); });
const b = slider("Bias", { min: -reach, max: reach, step: "any", value: bias }, value => { bias = value; show(); });

function gradients() {
  const errors = data.x.map((x, i) => weight * x + bias - data.y[i]);
  const mean = values => values.reduce((sum, value) => sum + value, 0) / count;
  return { loss: mean(errors.map(e => e * e)), dw: mean(errors.map((e, i) => 2 * e * data.x[i])), db: mean(errors.map(e => 2 * e)) };
}

function descend() {
  const { dw, db } = gradients();
  weight -= data.lr * dw;
  bias -= data.lr * db;
  w.input.value = weight;
  b.input.value = bias;
  show();
}

function show() {
  const { loss, dw, db } = gradients();
  const ends = { x1: across(left), y1: down(weight * left + bias), x2: across(right), y2: down(weight * right + bias) };
  for (const [name, value] of Object.entries(ends)) path.setAttribute(name, value);
  misses.forEach((miss, i) => {
    const x = across(data.x[i]);
    for (const [name, value] of Object.entries({ x1: x, x2: x, y1: down(data.y[i]), y2: down(weight * data.x[i] + bias) })) miss.setAttribute(name, value);
  });
  w.shown.textContent = weight.toFixed(3);
  b.shown.textContent = bias.toFixed(3);
  said.textContent = `loss ${loss.toFixed(4)}, gradient of the weight ${dw.toFixed(4)}, of the bias ${db.toFixed(4)}`;
  plot.setAttribute("aria-label", `${count} points and the line ${weight.toFixed(3)} x + ${bias.toFixed(3)}; loss ${loss.toFixed(4)}`);
}

main.append(w.row, b.row, make("div", { class: "row" }, make("button", { type: "button", id: "descend", onclick: descend },
  `One step of gradient descent (rate ${data.lr})`)), said, plot);
show();
