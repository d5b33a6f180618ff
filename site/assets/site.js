// A formula in a sentence that is wider than the page gets a box of its own, to be scrolled.
function boxed() {
  for (const formula of document.querySelectorAll("article .formula-inline")) {
    const room = formula.closest("p, li, article").clientWidth;
    formula.classList.toggle("wide", formula.firstElementChild.getBoundingClientRect().width > room);
  }
}

// A block that is wider than its box can be scrolled with the keys.
function reachable() {
  boxed();
  for (const block of document.querySelectorAll("article pre code, article .formula, article .report, .md-typeset__scrollwrap")) {
    if (block.scrollWidth > block.clientWidth) {
      block.tabIndex = 0;
    } else {
      block.removeAttribute("tabindex");
    }
  }
}

// A frame is as high as what it shows.
function fitted(frame) {
  const page = frame.contentDocument;
  if (!page || !page.body) return;
  const fit = () => { frame.style.height = `${page.documentElement.offsetHeight + 4}px`; };
  new ResizeObserver(fit).observe(page.documentElement);
  fit();
}

// The clinic as a game: the first guess at each patient counts. This browser keeps it, and nobody else hears of it.
const GUESSES = "tinytorch clinic";

function guessed() {
  return JSON.parse(localStorage.getItem(GUESSES) || "{}");
}

function keep(guess) {
  const first = guessed();
  if (guess.open && !(guess.dataset.patient in first)) {
    first[guess.dataset.patient] = guess.classList.contains("right");
    localStorage.setItem(GUESSES, JSON.stringify(first));
  }
}

function showScore(score) {
  const first = guessed(), links = [...document.querySelectorAll("a[data-patient]")];
  const found = links.filter((link) => first[link.dataset.patient] === true);
  const missed = links.filter((link) => first[link.dataset.patient] === false);
  found.forEach((link) => link.classList.add("found"));
  missed.forEach((link) => link.classList.add("missed"));
  score.hidden = found.length + missed.length === 0;
  score.textContent = `Right at the first guess: ${found.length} of ${found.length + missed.length}.`;
}

addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll("details.guess").forEach((guess) => guess.addEventListener("toggle", () => keep(guess)));
  document.querySelectorAll("p.score").forEach(showScore);
  reachable();
  addEventListener("resize", reachable);
  document.addEventListener("toggle", reachable, true); // what was folded away has no width
  for (const frame of document.querySelectorAll("iframe.widget")) {
    frame.addEventListener("load", () => fitted(frame));
    fitted(frame);
  }
});
