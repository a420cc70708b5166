// A button that copies what stands in the field that it names; without it the field is selected and copied by hand.
document.addEventListener("click", async ({ target }) => {
  const button = target.closest?.("[data-copy]");
  if (!button) return;
  const field = document.getElementById(button.dataset.copy);
  field.select();
  try {
    await navigator.clipboard.writeText(field.value);
  } catch { // not over plain http, but for this machine
    if (!document.execCommand("copy")) return;
  }
  button.querySelector("[data-copied]").textContent = "Copied";
});
