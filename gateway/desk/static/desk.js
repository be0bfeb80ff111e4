// Keys for the desk: / find, 1-8 pages, j and k rows, s steps, n note, ? the list of keys. Everything works without them.
"use strict";
document.querySelector("[data-print]")?.addEventListener("click", () => print());
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
