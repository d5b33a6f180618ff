// A block of code that is wider than its box can be scrolled with the keys.
function reachable() {
  for (const block of document.querySelectorAll("article pre code, article .formula-block, article .report")) {
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

addEventListener("DOMContentLoaded", () => {
  reachable();
  addEventListener("resize", reachable);
  document.addEventListener("toggle", reachable, true); // what was folded away has no width
  for (const frame of document.querySelectorAll("iframe.widget")) {
    frame.addEventListener("load", () => fitted(frame));
    fitted(frame);
  }
});
