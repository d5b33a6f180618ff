const bars = make("div", { class: "bars", role: "list", "aria-label": "Shares" });
const start = data.stops.reduce((best, stop, i) => Math.abs(stop - 1) < Math.abs(data.stops[best] - 1) ? i : best, 0);
const knob = slider("Temperature", { min: 0, max: data.stops.length - 1, step: 1, value: start }, show);

function show(stop) {
  const temperature = String(data.stops[stop]), shares = data.shares[stop];
  knob.shown.textContent = temperature;
  knob.input.setAttribute("aria-valuetext", `temperature ${temperature}`);
  bars.replaceChildren(...data.labels.flatMap((label, i) => [make("span", {}, `${label} (${data.logits[i]})`),
    make("div", { class: "track" }, make("div", { class: "fill", style: `width:${100 * shares[i]}%` })),
    make("span", { class: "share", role: "listitem", "aria-label": `${label}: ${shares[i].toFixed(4)}` }, shares[i].toFixed(4))]));
  const most = shares.indexOf(Math.max(...shares));
  said.textContent = `temperature ${temperature}: the most goes to ${data.labels[most]}, ${shares[most].toFixed(4)}`;
}

main.append(knob.row, bars, said);
show(start);
