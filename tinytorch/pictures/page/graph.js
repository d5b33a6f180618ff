const WIDTH = 156, HEIGHT = 58;
let step = data.stepping ? 0 : data.steps.length, chosen = 0;
const middle = Math.max(...data.nodes.map(node => Math.abs(node.x))) * WIDTH + 84;
const rows = Math.max(...data.nodes.map(node => node.row)) + 1;

function place(node) { return [middle + node.x * WIDTH, node.row * HEIGHT + 12]; }

// What a node's gradient is after so many steps of the backward pass; null: nothing has arrived.
function gradient(id, steps) {
  let found = null;
  for (const one of data.steps.slice(0, steps)) {
    if (one.node === id) found = found ?? one.grad;
    for (const [parent, , sum] of one.given) if (parent === id) found = sum;
  }
  if (id === data.steps[0].node) found = data.steps[0].grad;
  return found;
}

function numbers(name, table, missing) {
  const box = make("section", { "aria-label": name }, make("h2", {}, name));
  if (!table) { box.append(make("p", {}, missing)); return box; }
  box.append(make("p", {}, "shape " + table.shape),
    make("div", { class: "wide", tabindex: 0, role: "region", "aria-label": name + " numbers" }, make("table", { class: "numbers" }, make("tbody", {},
      ...table.rows.map(row => make("tr", {}, ...row.map(text => make("td", {}, text))))))));
  if (table.left_out) box.append(make("p", {}, table.left_out + " more numbers are not shown"));
  return box;
}

const picture = make("svg", { width: 2 * middle, height: rows * HEIGHT + 10, role: "group",
  "aria-label": "Operations and leaves; arrow keys move, Enter shows the code" });
for (const [from, to] of data.edges) {
  const [[x1, y1], [x2, y2]] = [place(data.nodes[from]), place(data.nodes[to])];
  picture.append(make("path", { class: "edge", d: `M${x1} ${y1 + 34} C${x1} ${y1 + 46} ${x2} ${y2 - 12} ${x2} ${y2}` }));
}
const shapes = data.nodes.map(node => {
  const [x, y] = place(node);
  return make("g", { role: "button", tabindex: -1, "data-id": node.id, "aria-label": node.label, "aria-expanded": "false",
      onfocus: () => choose(node.id), onmouseenter: () => choose(node.id), onclick: () => { choose(node.id); toggle(); } },
    make("rect", { x: x - 66, y, width: 132, height: 34, rx: node.leaf ? 17 : 3 }),
    make("text", { x, y: y + 21, "text-anchor": "middle" },
      node.label.length > 20 ? node.label.slice(0, 19) + "\u2026" : node.label));
});
picture.append(...shapes);
picture.addEventListener("keydown", event => {
  const move = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1, Home: -chosen, End: shapes.length - 1 - chosen }[event.key];
  if (event.key === "Enter" || event.key === " ") toggle();
  else if (move === undefined) return;
  else shapes[Math.min(Math.max(chosen + move, 0), shapes.length - 1)].focus();
  event.preventDefault();
});

const details = make("section", { "aria-label": "Chosen node" });
const code = make("pre", { hidden: "", tabindex: 0, "aria-label": "Code of the operation" });
const back = make("button", { type: "button", id: "back", onclick: () => go(step - 1) }, "Step back");
const next = make("button", { type: "button", id: "next", onclick: () => go(step + 1) }, "Next step");
const start = make("button", { type: "button", id: "start", onclick: () => go(0) }, "Before backward");
const end = make("button", { type: "button", id: "end", onclick: () => go(data.steps.length) }, "After backward");

function toggle() {
  code.hidden = !code.hidden || !data.nodes[chosen].code;
  show();
}

function choose(id) {
  if (id !== chosen) code.hidden = true;
  chosen = id;
  show();
}

function go(to) {
  step = Math.min(Math.max(to, 0), data.steps.length);
  if (step > 0) chosen = data.steps[step - 1].node;
  code.hidden = true;
  show();
  const of = `Backward, step ${step} of ${data.steps.length}`;
  if (step === 0) said.textContent = `${of}: the result's gradient is 1, nothing else is known`;
  else {
    const one = data.steps[step - 1];
    said.textContent = `${of}: ${data.nodes[one.node].label} hands on ` + (one.given.map(([parent, given]) =>
      `${given.rows.map(row => row.join(", ")).join("; ")} to ${data.nodes[parent].label}`).join(", and ") || "nothing");
  }
}

function show() {
  const now = step > 0 && step < data.steps.length ? data.steps[step - 1].node : -1;
  shapes.forEach((shape, id) => {
    const classes = ["node", data.nodes[id].leaf && "leaf", id === chosen && "chosen", id === now && "now",
      !gradient(id, step) && "waiting"];
    shape.setAttribute("class", classes.filter(Boolean).join(" "));
    shape.setAttribute("tabindex", id === chosen ? 0 : -1);
    shape.setAttribute("aria-expanded", id === chosen && !code.hidden);
  });
  const node = data.nodes[chosen];
  code.textContent = node.code;
  details.replaceChildren(make("h2", { id: "name" }, node.label), make("div", { class: "sides" },
    numbers("Value", node.value, "not watched: give graph() a function that computes the result"),
    numbers("Gradient", gradient(chosen, step), "nothing has arrived yet")));
  back.disabled = start.disabled = step === 0;
  next.disabled = end.disabled = step === data.steps.length;
}

main.append(make("div", { class: "row", role: "toolbar", "aria-label": "Steps of the backward pass" }, start, back, next, end), said,
  make("div", { class: "wide" }, picture), make("p", {}, "Point at a box, or move with the arrow keys; click or Enter shows its code."),
  details, code);
chosen = data.steps[0].node;
show();
if (data.stepping) go(0);
