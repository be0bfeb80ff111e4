// Keys for the desk: / find, 1-8 pages, j and k rows, s steps, n note, ? the list of keys. Everything works without them.
"use strict";
document.querySelector("[data-print]")?.addEventListener("click", () => print());
// A second click while the first is under way sends nothing more; a page gone back to may send again, and so may a download.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post") return;
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "yes";
  setTimeout(() => delete form.dataset.sent, 3000);
});
addEventListener("pageshow", () => document.querySelectorAll("form[data-sent]").forEach((form) => delete form.dataset.sent));
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const go = (element) => element && (event.preventDefault(), element.focus(), element.scrollIntoView({ block: "nearest" }));
  const links = [...document.querySelectorAll(".rows tbody th a")];
  const at = links.indexOf(document.activeElement);
  if (event.key === "/") go(document.querySelector("#q"));
  else if (/^[1-8]$/.test(event.key)) document.querySelector(`.top nav a[data-key="${event.key}"]`)?.click();
  else if (event.key === "j") go(links[Math.min(at + 1, links.length - 1)]);
  else if (event.key === "k") go(links[Math.max(at - 1, 0)]);
  else if (event.key === "s") go(document.querySelector("#steps"));
  else if (event.key === "n") go(document.querySelector("#note"));
  else if (event.key === "?") {
    const keys = document.querySelector("footer details");
    if (keys) { keys.open = true; go(keys.querySelector("summary")); }
  }
});
