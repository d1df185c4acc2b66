// Several answers as CSV (RFC 4180), for spreadsheets and programs. Pure.

// What a spreadsheet would take for a formula; file names and classes are anybody's.
const FORMULA = /^[=+\-@\t\r]/;

/** One value: as it is, or in quotes, or behind a ' where it would be computed. */
export function cell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(value);
  const text = FORMULA.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Rows of values as one text. The mark in front tells spreadsheets that it is UTF-8. */
export function csv(rows) {
  return `\ufeff${rows.map((row) => row.map(cell).join(",")).join("\r\n")}\r\n`;
}

/** The table of several pictures: one row each, as many labels as the longest answer has. */
export function picturesCsv(pictures) {
  const most = Math.max(1, ...pictures.map(({ answer }) => answer?.predictions.length ?? 0));
  const ranks = Array.from({ length: most }, (_, index) => index + 1);
  const head = [
    "file", "model", "version", ...ranks.flatMap((rank) => [`label_${rank}`, `score_${rank}`]),
    "format", "width", "height", "decode_ms", "queue_ms", "execute_ms", "total_ms", "batch_size",
    "error_status", "error_code", "error_detail", "request_id",
  ];
  return csv([head, ...pictures.map((picture) => row(picture, ranks))]);
}

function row({ name, answer, error }, ranks) {
  const found = ranks.flatMap((rank) => {
    const prediction = answer?.predictions[rank - 1];
    return [prediction?.label, prediction?.score];
  });
  const { image = {}, timing = {} } = answer ?? {};
  const problem = error?.problem ?? {};
  return [
    name, answer?.model, answer?.version, ...found, image.format, image.width, image.height,
    timing.decode_ms, timing.queue_ms, timing.execute_ms, timing.total_ms, timing.batch_size,
    problem.status || null, problem.code, problem.detail, answer?.request_id ?? problem.request_id,
  ];
}
