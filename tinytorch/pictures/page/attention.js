let layer = 0, head = 0, at = [data.tokens.length - 1, 0];
const share = (row, column) => data.layers[layer][head][row][column] / 1000;

function choices(name, count, current, pick) {
  return make("div", { class: "row", role: "group", "aria-label": name }, make("span", {}, name),
    ...Array.from({ length: count }, (_, i) => make("button", { type: "button", "aria-pressed": i === current(),
      "aria-label": `${name} ${i}`, onclick: () => { pick(i); draw(); } }, String(i))));
}

const controls = make("div"), holder = make("div", { class: "wide" });
let cells = [], sides = [], tops = [];

function say() {
  const [row, column] = at;
  said.textContent = `layer ${layer}, head ${head}: ${data.tokens[row]} (place ${row}) takes ` +
    `${share(row, column).toFixed(3)} from ${data.keys[column]} (place ${column})`;
  cells.forEach((line, i) => line.forEach((cell, j) => cell.setAttribute("tabindex", i === row && j === column ? 0 : -1)));
  sides.forEach((side, i) => side.classList.toggle("on", i === row));
  tops.forEach((top, j) => top.classList.toggle("on", j === column));
}

function point(row, column, focus) {
  at = [Math.min(Math.max(row, 0), data.tokens.length - 1), Math.min(Math.max(column, 0), data.keys.length - 1)];
  say();
  if (focus) cells[at[0]][at[1]].focus();
}

function draw() {
  head = Math.min(head, data.layers[layer].length - 1);
  const focused = document.activeElement && document.activeElement.getAttribute("aria-label");
  controls.replaceChildren(choices("Layer", data.layers.length, () => layer, i => { layer = i; }),
    choices("Head", data.layers[layer].length, () => head, i => { head = i; }));
  const again = [...controls.querySelectorAll("button")].find(button => button.getAttribute("aria-label") === focused);
  tops = data.keys.map(key => make("th", { scope: "col" }, key));
  sides = data.tokens.map(token => make("th", { scope: "row" }, token));
  cells = data.tokens.map((token, i) => data.keys.map((key, j) => make("td", { role: "gridcell",
    "aria-label": `${token} from ${key}: ${share(i, j).toFixed(3)}`, style: `background:rgba(var(--rgb),${share(i, j)})`,
    onmouseenter: () => point(i, j), onclick: () => point(i, j, true), onfocus: () => point(i, j) })));
  holder.replaceChildren(make("table", { class: "map", role: "grid",
    "aria-label": "Attention: each row is a token that looks, each column one that it looks at" },
    make("thead", {}, make("tr", {}, make("td", {}), ...tops)),
    make("tbody", {}, ...cells.map((line, i) => make("tr", {}, sides[i], ...line)))));
  say();
  if (again) again.focus();
}

holder.addEventListener("keydown", event => {
  const [row, column] = at;
  const to = { ArrowUp: [row - 1, column], ArrowDown: [row + 1, column], ArrowLeft: [row, column - 1],
    ArrowRight: [row, column + 1], Home: [row, 0], End: [row, data.keys.length - 1] }[event.key];
  if (to) { point(...to, true); event.preventDefault(); }
});
main.append(controls, said, holder);
draw();
