// Files: dropped on a field, and the way of a large one to the server in numbers.
import { number } from "./format.js";

document.addEventListener("dragover", (event) => {
  const drop = event.target.closest?.("[data-drop]");
  event.preventDefault(); // a file that misses the field must not replace the page
  drop?.classList.add("over");
});
document.addEventListener("dragleave", (event) => event.target.closest?.("[data-drop]")?.classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  const drop = event.target.closest?.("[data-drop]");
  drop?.classList.remove("over");
  if (!drop || !event.dataTransfer.files.length) return;
  const input = drop.querySelector('input[type="file"]');
  input.files = event.dataTransfer.files;
  input.dispatchEvent(new Event("input", { bubbles: true }));
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches("[data-upload]") || event.defaultPrevented) return;
  event.preventDefault();
  send(form, event.submitter);
});

function send(form, button) {
  const bar = form.querySelector("[data-drop] progress"), said = form.querySelector("[data-upload-said]");
  const body = new FormData(form);
  if (button?.name) body.append(button.name, button.value);
  const request = new XMLHttpRequest(); // fetch does not tell how far an upload is
  request.open("POST", form.action);
  request.upload.onprogress = ({ loaded, total }) => {
    bar.hidden = false;
    bar.max = total;
    bar.value = loaded;
    said.textContent = loaded < total ? `${number(loaded / 1e6)} of ${number(total / 1e6)} MB` : "Sent. The file is being checked.";
  };
  request.onload = () => show(request);
  request.onerror = () => {
    bar.hidden = true;
    said.textContent = "The connection was lost before the file was sent. Nothing was taken; send it again.";
    delete form.dataset.sent;
    button?.removeAttribute("aria-busy");
  };
  request.send(body);
}

function show(request) {
  const answer = new DOMParser().parseFromString(request.responseText, "text/html");
  const main = answer.querySelector("main");
  if (request.status < 400 || !main) {
    location.assign(request.responseURL);
    return;
  }
  document.querySelector("main").replaceWith(document.adoptNode(main));
  document.querySelector('main [aria-invalid="true"]')?.focus();
}
