// Copies what a button names, folded parts too. Without a script the text can be selected.
"use strict";

for (const button of document.querySelectorAll("[data-copies]")) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    const parts = document.getElementById(button.dataset.copies).querySelectorAll("pre");
    await navigator.clipboard.writeText([...parts].map((part) => part.textContent).join("\n"));
    button.classList.add("copied");
  });
}
