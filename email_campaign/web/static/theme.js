// Choices of this browser – theme, density, zone of times – applied before the first paint; a classic script in <head>.
"use strict";
{
  const root = document.documentElement;
  const names = ["theme", "density", "zone"];

  const read = (name) => {
    try { return localStorage.getItem(name) || ""; } catch { return ""; } // storage may be forbidden
  };
  const apply = (name, value) => {
    if (value) root.dataset[name] = value; else delete root.dataset[name];
    for (const button of document.querySelectorAll(`[data-choose="${name}"]`)) {
      button.setAttribute("aria-pressed", String(button.value === value));
    }
  };

  root.classList.add("js");
  for (const name of names) apply(name, read(name));

  document.addEventListener("DOMContentLoaded", () => names.forEach((name) => apply(name, read(name))));
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-choose]");
    if (!button) return;
    const name = button.dataset.choose;
    try { localStorage.setItem(name, button.value); } catch { /* the choice lasts as long as the page */ }
    apply(name, button.value);
    document.dispatchEvent(new CustomEvent("chosen", { detail: name }));
  });
  window.addEventListener("storage", ({ key }) => names.includes(key) && apply(key, read(key)));
}
