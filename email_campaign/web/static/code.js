// Numbers beside the lines of a code field, and a mark at the wrong one.

export function markLine(textarea, wrong) {
  textarea.dataset.wrong = wrong || "";
  textarea.dispatchEvent(new Event("numbered"));
}

for (const box of document.querySelectorAll("[data-code]")) {
  const textarea = box.querySelector("textarea");
  const gutter = document.createElement("pre");
  gutter.setAttribute("aria-hidden", "true");
  box.prepend(gutter);

  const number = () => {
    const lines = textarea.value.split("\n").length, wrong = Number(textarea.dataset.wrong);
    gutter.replaceChildren();
    for (let line = 1; line <= lines; line += 1) {
      if (line === wrong) {
        const mark = document.createElement("b");
        mark.textContent = String(line);
        gutter.append(mark, "\n");
      } else gutter.append(`${line}\n`);
    }
    gutter.scrollTop = textarea.scrollTop;
  };
  const error = document.getElementById(`${textarea.id}-error`)?.textContent.match(/line (\d+)/i);
  if (error) textarea.dataset.wrong = error[1];
  textarea.addEventListener("input", number);
  textarea.addEventListener("numbered", number);
  textarea.addEventListener("scroll", () => { gutter.scrollTop = textarea.scrollTop; });
  number();
}
