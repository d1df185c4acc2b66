// The pictures that were given last, and the run over them: stopped, gone on with, asked again.

import { Picture, Runs } from "./runs.js";

const isLeft = ({ state }) => state === "waiting" || state === "running";
const isOwed = (picture) => isLeft(picture) || picture.isUnasked;

/** A run that somebody has stopped stays so, whatever happens, until they go on with it. */
export class Given {
  /**
   * @param {object} table - shows all of them, if there are several
   * @param {function} query - returns the parameters of a classification
   * @param {function} onPicture - called whenever a picture changes its state
   */
  constructor(table, query, onPicture) {
    this._table = table;
    this._query = query;
    this._onPicture = onPicture;
    this._runs = new Runs(onPicture);
    this._pictures = [];
    this._isStopped = false;
    this._isOutdated = false; // what was answered before is of another version, or too short
  }

  /** Classify these instead of those before; return the first one. */
  take(files) {
    this._runs.stop();
    for (const picture of this._pictures) picture.release();
    this._pictures = files.map((file) => new Picture(file));
    this._table.show(this._pictures.length > 1 ? this._pictures : []);
    this._run(this._pictures);
    return this._pictures[0];
  }

  // Where nothing is left, nothing is held back either.
  get _isHeld() {
    return this._isStopped && this._pictures.some(isLeft);
  }

  stop() {
    this._runs.stop();
    this._isStopped = true;
    for (const picture of this._pictures) this._onPicture(picture);
    this._table.finish({ isStopped: true });
  }

  /** What was stopped is wanted after all. */
  goOn() {
    this._run(this._isOutdated ? this._pictures : this._pictures.filter(isOwed));
  }

  /** Another version, or other labels, are wanted of all of them. */
  again() {
    if (this._isHeld) this._isOutdated = true;
    else if (this._pictures.length) this._run(this._pictures);
  }

  /** The server is back, or there is another key: ask what could not be asked. */
  resume() {
    const isAny = this._pictures.some(({ isUnasked }) => isUnasked);
    // With those that have not had their turn: a new run ends the one before.
    if (isAny && !this._isHeld) this._run(this._pictures.filter(isOwed));
  }

  /** Ask about one picture again; a run that goes on goes on. */
  async retry(picture) {
    if (!this._isHeld) {
      this._run(this._pictures.filter((each) => each === picture || isLeft(each)));
    } else if (await this._runs.run([picture], this._query())) {
      this._table.finish({ isStopped: true });
    }
  }

  async _run(wanted) {
    this._isStopped = false;
    this._isOutdated = false;
    this._table.begin();
    if (await this._runs.run(wanted, this._query())) this._table.finish();
  }
}
