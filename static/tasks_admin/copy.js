// Copy buttons: copy the text of all <pre> elements, including collapsed ones, in the element whose
// ID the button names. Without JavaScript, the buttons stay hidden and the text can be selected.
"use strict";

for (const button of document.querySelectorAll("[data-copies]")) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    const parts = document.getElementById(button.dataset.copies).querySelectorAll("pre");
    await navigator.clipboard.writeText([...parts].map((part) => part.textContent).join("\n"));
    button.classList.add("copied");
  });
}
