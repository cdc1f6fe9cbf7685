// Keeps the live part of an operation's page honest, and reachable by keyboard.
"use strict";

const stale = (hidden) => {
  const words = document.getElementById("stale");
  if (words) words.hidden = hidden;
};

document.addEventListener("htmx:beforeRequest", (event) => {
  const part = document.getElementById("progress");
  // Whoever is in it keeps their place: it is not exchanged under their fingers.
  if (part && (part.contains(document.activeElement) || part.querySelector("details[open]"))) {
    event.preventDefault();
  }
});
for (const trouble of ["htmx:sendError", "htmx:responseError", "htmx:timeout"]) {
  document.addEventListener(trouble, () => stale(false));
}
document.addEventListener("htmx:afterRequest", (event) => {
  if (event.detail.successful) stale(true);
});
