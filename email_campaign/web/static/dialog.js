// The question before what cannot be undone: the panel of a <details class="confirm"> becomes a modal dialog.

function ask(details) {
  let dialog = details.nextElementSibling;
  if (!dialog?.matches("dialog[data-confirm]")) {
    const panel = details.querySelector(".confirm-panel");
    dialog = document.createElement("dialog");
    dialog.dataset.confirm = "";
    dialog.setAttribute("aria-labelledby", panel.getAttribute("aria-labelledby"));
    dialog.append(panel);
    details.after(dialog);
  }
  dialog.showModal();
}

for (const details of document.querySelectorAll(".confirm[open]")) { // whoever was quicker than this script
  details.open = false;
  ask(details);
}

document.addEventListener("click", (event) => {
  const summary = event.target.closest?.(".confirm > summary");
  if (summary) {
    event.preventDefault();
    ask(summary.parentElement);
  } else if (event.target.closest?.("[data-close]") || event.target.matches?.("dialog[data-confirm]")) {
    event.target.closest("dialog")?.close(); // a click on the dialog itself is one on its backdrop
  }
});

// A menu closes when the reader goes elsewhere.
document.addEventListener("pointerdown", ({ target }) => {
  for (const open of document.querySelectorAll(".menu[open], .account[open]")) if (!open.contains(target)) open.open = false;
});
document.addEventListener("keydown", ({ key }) => {
  if (key !== "Escape") return;
  for (const open of document.querySelectorAll(".menu[open], .account[open]")) {
    open.open = false;
    open.querySelector("summary").focus();
  }
});
