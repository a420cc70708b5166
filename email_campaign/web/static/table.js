// Selected rows: how many, and all of a page at once.

for (const bar of document.querySelectorAll("[data-bulk]")) {
  const form = bar.closest("form");
  const all = form.querySelector("[data-select-all]");
  const boxes = [...form.querySelectorAll('input[name="selected"]')];
  const matching = form.querySelector('input[name="scope"]');

  const show = () => {
    const chosen = boxes.filter((box) => box.checked).length;
    bar.toggleAttribute("data-idle", !chosen);
    if (!chosen && matching) matching.checked = false;
    bar.querySelector("[data-bulk-count]").textContent = matching?.checked ? "All that match:" : `${chosen.toLocaleString("en")} selected`;
    if (all) {
      all.checked = chosen > 0 && chosen === boxes.length;
      all.indeterminate = chosen > 0 && chosen < boxes.length;
    }
  };
  all?.addEventListener("change", () => {
    for (const box of boxes) box.checked = all.checked;
    show();
  });
  form.addEventListener("change", show);
  show();
}
