const data = JSON.parse(document.getElementById("data").textContent);
const main = document.getElementById("main");

// An element with attributes, and children that are elements or texts; texts are never read as HTML.
function make(tag, attributes = {}, ...children) {
  const drawn = ["svg", "g", "rect", "text", "path", "circle", "line"].includes(tag);
  const element = drawn ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

const said = make("p", { class: "said", role: "status", "aria-live": "polite" });

function slider(label, options, changed) {
  const input = make("input", { type: "range", ...options, "aria-label": label });
  const shown = make("output", {}, input.value);
  input.addEventListener("input", () => { changed(Number(input.value)); });
  return { row: make("div", { class: "row" }, make("span", {}, label), input, shown), input, shown };
}
