// Keeps the live part of a page honest, and reachable by keyboard.
"use strict";

const stale = (hidden) => {
  const words = document.getElementById("stale");
  if (words) words.hidden = hidden;
};
const wide = (part) => [...part.querySelectorAll(".wide")];
let scrolled = [];

document.addEventListener("htmx:beforeRequest", (event) => {
  const part = event.detail.elt;
  // Whoever is in it keeps their place: it is not exchanged under their fingers.
  const used = part.contains(document.activeElement) || part.querySelector("details[open]");
  if (used || document.hidden) event.preventDefault();
});
document.addEventListener("htmx:beforeSwap", (event) => {
  scrolled = wide(event.detail.target).map((table) => table.scrollLeft);
});
document.addEventListener("htmx:load", (event) => {
  wide(event.detail.elt).forEach((table, at) => { table.scrollLeft = scrolled[at] || 0; });
});
for (const trouble of ["htmx:sendError", "htmx:responseError", "htmx:timeout"]) {
  document.addEventListener(trouble, () => stale(false));
}
document.addEventListener("htmx:afterRequest", (event) => {
  if (event.detail.successful) stale(true);
});
