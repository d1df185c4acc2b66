// Pictures come in: dropped, pasted, chosen, photographed, or one of ours to try.

import { address } from "./api.js";
import { byId } from "./dom.js";

const CANNOT_READ = "The browser cannot read it; it may be a folder, or be gone.";

// Pictures that are no file of whoever gave them.
const unsaved = new WeakSet();

function noteUnsaved(file) {
  unsaved.add(file);
  return file;
}

/** Whether a `File` is in the page alone: pasted as pixels, just photographed, or one of ours. */
export const isUnsaved = (file) => unsaved.has(file);

/**
 * Take pictures in.
 * @param {function} onPictures - called with a list of `File`
 * @param {function} onExample - called with a `File` and the name of the model that knows it
 */
export function watchIntake(onPictures, onExample) {
  watchButtons(onPictures);
  watchDrops(onPictures);
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length) return; // text, into the field of the key
    event.preventDefault();
    onPictures(files.map((file) => named(file)));
  });
  for (const button of document.querySelectorAll("[data-example]")) {
    button.addEventListener("click", async () => {
      const { example, model } = button.dataset;
      const response = await fetch(address(`playground/${example}`)).catch(() => null);
      const content = response?.ok ? await response.blob() : new Blob();
      onExample(noteUnsaved(new File([content], example, { type: "image/webp" })), model);
    });
  }
}

// Browsers call whatever is pasted image.png.
function named(file) {
  const isGeneric = file.name === "image.png" || file.name === "";
  if (!isGeneric) return file;
  return noteUnsaved(new File([file], "pasted.png", { type: file.type || "image/png" }));
}

function watchButtons(onPictures) {
  // Elsewhere it would be one more way to choose a file.
  byId("photo").hidden = navigator.maxTouchPoints === 0;
  for (const [button, input] of [["choose", "files"], ["photo", "camera"]]) {
    byId(button).addEventListener("click", () => byId(input).click());
    byId(input).addEventListener("change", ({ target }) => {
      const files = [...target.files];
      if (input === "camera") files.forEach(noteUnsaved);
      if (files.length) onPictures(files);
      target.value = ""; // the same file can be chosen again
    });
  }
}

function watchDrops(onPictures) {
  const zone = byId("drop");
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  let depth = 0; // of elements of the page that are entered and not left
  const show = () => zone.classList.toggle("over", depth > 0);
  // Anywhere on the page: a picture beside the field must not replace the page.
  document.addEventListener("dragenter", (event) => {
    if (!carriesFiles(event)) return;
    depth += 1;
    show();
  });
  document.addEventListener("dragleave", (event) => {
    if (!carriesFiles(event)) return;
    depth = Math.max(0, depth - 1);
    show();
  });
  document.addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
  });
  document.addEventListener("drop", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    depth = 0;
    show();
    if (event.dataTransfer.files.length) onPictures([...event.dataTransfer.files]);
  });
}

/** Say why a file cannot be sent; null if it can. */
export async function whyUnreadable(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
    return null;
  } catch {
    return { title: "Not readable", status: 0, code: "not_readable", detail: CANNOT_READ };
  }
}
