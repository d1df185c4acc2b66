// Joins the parts of the page.

import { watchAccess } from "./access.js";
import { watchAppearance } from "./appearance.js";
import { Chooser } from "./chooser.js";
import { watchConnection } from "./connection.js";
import { byId } from "./dom.js";
import { Gallery } from "./gallery.js";
import { watchIntake } from "./intake.js";
import { Live } from "./live.js";
import { watchRequests } from "./requests.js";
import { Result } from "./result.js";
import { Picture, Runs } from "./runs.js";
import { Table } from "./table.js";

let pictures = []; // what was given last

const result = new Result("answer", retry);
const table = new Table(show, stop, () => classify(pictures.filter(isLeft)));
const runs = new Runs((picture) => {
  table.update(picture);
  if (result.picture === picture) result.show(picture);
});
const gallery = new Gallery(() => chooser.query);
const chooser = new Chooser(({ isShownOnly, isSilent }) => {
  if (!isShownOnly) gallery.choose(chooser.model, chooser.classes);
  if (!isSilent) classifyAgain();
});
const live = new Live(() => chooser.load());

function take(files) {
  runs.stop();
  for (const picture of pictures) picture.release();
  pictures = files.map((file) => new Picture(file));
  table.show(pictures.length > 1 ? pictures : []);
  show(pictures[0]);
  // On a phone the answer is below what was touched.
  byId("answer").scrollIntoView({ block: "nearest" });
  return classify(pictures);
}

function show(picture) {
  result.show(picture);
  table.mark(picture);
}

function stop() {
  runs.stop();
  for (const picture of pictures) table.update(picture);
  table.finish({ isStopped: true });
}

async function classify(wanted) {
  table.begin();
  const isWhole = await runs.run(wanted, chooser.query);
  if (isWhole) table.finish();
}

const isLeft = ({ state }) => state === "waiting" || state === "running";

function retry(picture) {
  classify(pictures.filter((each) => each === picture || isLeft(each)));
}

// Another model or version was chosen, or the server is back: what is shown is asked again.
function classifyAgain() {
  if (pictures.length) classify(pictures);
}

async function begin() {
  await chooser.load();
  live.begin();
}

watchAppearance();
watchRequests();
watchIntake(take, (file, model) => {
  chooser.choose(model);
  take([file]);
});
watchAccess(async () => {
  await chooser.load();
  gallery.reload();
  live.begin();
  if (pictures.some(({ state }) => state === "failed")) classifyAgain();
});
watchConnection(async () => {
  await chooser.load();
  gallery.reload();
  live.begin();
  if (!pictures.some((picture) => picture.isLost)) return;
  // With those that have not had their turn: a new run ends the one before.
  classify(pictures.filter((picture) => picture.isLost || isLeft(picture)));
});
begin();
