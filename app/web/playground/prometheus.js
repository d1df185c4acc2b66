// Reads Prometheus' text format, and makes rates and quantiles of two readings. Pure.

const LINE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? ([^ ]+)(?: -?\d+)?$/;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"/g;
const ESCAPES = { n: "\n", '"': '"', "\\": "\\" };

/**
 * Read a text.
 * @returns {Map<string, Array<{labels: object, value: number}>>} series by name
 */
export function parse(text) {
  const found = new Map();
  for (const line of text.split("\n")) {
    if (line === "" || line.startsWith("#")) continue;
    const match = LINE.exec(line.trimEnd());
    if (!match) continue;
    const [, name, labels, value] = match;
    if (!found.has(name)) found.set(name, []);
    found.get(name).push({ labels: parseLabels(labels ?? ""), value: number(value) });
  }
  return found;
}

function parseLabels(text) {
  const labels = {};
  for (const [, name, value] of text.matchAll(LABEL)) {
    labels[name] = value.replace(/\\(.)/g, (_, escaped) => ESCAPES[escaped] ?? escaped);
  }
  return labels;
}

function number(text) {
  if (text === "+Inf") return Infinity;
  if (text === "-Inf") return -Infinity;
  return Number(text);
}

/** The sum of all series of a name whose labels are wanted. */
export function total(series, name, isWanted = () => true) {
  let sum = 0;
  for (const { labels, value } of series.get(name) ?? []) if (isWanted(labels)) sum += value;
  return sum;
}

/** Cumulative counts of a histogram by upper bound, ascending; several series are added up. */
export function buckets(series, name, isWanted = () => true) {
  const counts = new Map();
  for (const { labels, value } of series.get(`${name}_bucket`) ?? []) {
    if (!isWanted(labels)) continue;
    const bound = number(labels.le);
    counts.set(bound, (counts.get(bound) ?? 0) + value);
  }
  return [...counts].sort(([one], [other]) => one - other);
}

/** What came to a histogram between two readings; null where it began anew between them. */
export function increase(before, after) {
  const earlier = new Map(before);
  const grown = after.map(([bound, value]) => [bound, value - (earlier.get(bound) ?? 0)]);
  return grown.some(([, value]) => value < 0) ? null : grown;
}

/** What came to a histogram and not to a part of it, which may have been read a little later. */
export function without(counts, part) {
  const less = new Map(part);
  return counts.map(([bound, value]) => [bound, Math.max(0, value - (less.get(bound) ?? 0))]);
}

/**
 * A quantile of a histogram, as `histogram_quantile` of Prometheus: linear within its bucket.
 * @returns {number|null} null where nothing was counted
 */
export function quantile(share, counts) {
  const all = counts.at(-1)?.[1] ?? 0;
  if (all === 0) return null;
  const rank = share * all;
  const index = counts.findIndex(([, value]) => value >= rank);
  const [upper, reached] = counts[index];
  const [lower, below] = index > 0 ? counts[index - 1] : [0, 0];
  if (upper === Infinity) return lower;
  return reached === below ? upper : lower + ((upper - lower) * (rank - below)) / (reached - below);
}
