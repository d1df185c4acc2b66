// Joins the parts of the page.

import { watchAccess } from "./access.js";
import { watchAppearance } from "./appearance.js";
import { Chooser } from "./chooser.js";
import { watchConnection } from "./connection.js";
import { byId } from "./dom.js";
import { Gallery } from "./gallery.js";
import { Given } from "./given.js";
import { watchIntake } from "./intake.js";
import { Live } from "./live.js";
import { watchRequests } from "./requests.js";
import { Result } from "./result.js";
import { Table } from "./table.js";

const result = new Result("answer", (picture) => given.retry(picture));
const table = new Table(look, () => given.stop(), () => given.goOn());
const given = new Given(table, () => chooser.query, (picture) => {
  table.update(picture);
  if (result.picture === picture) result.show(picture);
});
const gallery = new Gallery(() => chooser.query);
const chooser = new Chooser(({ isShownOnly, isSilent }) => {
  if (!isShownOnly) gallery.choose(chooser.model, chooser.classes);
  if (!isSilent) given.again();
});
const live = new Live(() => chooser.load());

function take(files) {
  look(given.take(files));
}

function look(picture) {
  result.show(picture);
  table.mark(picture);
  // On a phone it is below what was touched, and always above the table.
  byId("answer").scrollIntoView({ block: "nearest" });
}

async function begin() {
  await chooser.load();
  live.begin();
}

// There is another key, or the server is back.
async function beginAgain() {
  await chooser.load();
  gallery.reload();
  live.begin();
  given.resume();
}

watchAppearance();
watchRequests();
watchIntake(take, (file, model) => {
  chooser.choose(model);
  take([file]);
});
watchAccess(beginAgain);
watchConnection(beginAgain);
begin();
