// The part of a page that htmx refreshes: keep focus and scroll positions, and report lost connections.
"use strict";

const showStale = (visible) => {
  const warning = document.getElementById("stale");
  if (warning) warning.hidden = !visible;
};
const scrollables = (part) => [...part.querySelectorAll(".wide")];
let scrollPositions = [];

document.addEventListener("htmx:beforeRequest", (event) => {
  const part = event.detail.elt;
  // Do not replace elements that the user has focused or expanded.
  const inUse = part.contains(document.activeElement) || part.querySelector("details[open]");
  if (inUse || document.hidden) event.preventDefault();
});
document.addEventListener("htmx:beforeSwap", (event) => {
  scrollPositions = scrollables(event.detail.target).map((element) => element.scrollLeft);
});
document.addEventListener("htmx:load", (event) => {
  scrollables(event.detail.elt).forEach((element, index) => {
    element.scrollLeft = scrollPositions[index] || 0;
  });
});
for (const name of ["htmx:sendError", "htmx:responseError", "htmx:timeout"]) {
  document.addEventListener(name, () => showStale(true));
}
document.addEventListener("htmx:afterRequest", (event) => {
  if (event.detail.successful) showStale(false);
});
