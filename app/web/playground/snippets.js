// A request as a command and as a program, to be copied. Pure.

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/**
 * @typedef {object} Request
 * @property {URL} url - with its query
 * @property {string|null} fileName - of the picture that is sent; null for a sample
 * @property {string} contentType - of the picture
 * @property {boolean} hasKey - whether a key is asked for; the key itself is never copied
 */

/** The request for a shell. */
export function curl({ url, fileName, contentType, hasKey }) {
  const parts = [`curl -X POST ${quoted(url.href)}`];
  // In double quotes: the shell puts the key in.
  if (hasKey) parts.push('-H "Authorization: Bearer $KERASERVE_API_KEY"');
  if (fileName !== null) {
    parts.push(`-H ${quoted(`Content-Type: ${contentType}`)}`);
    // A name that is a single - would be the standard input.
    parts.push(`--data-binary ${quoted(`@${fileName === "-" ? "./-" : fileName}`)}`);
  }
  return parts.join(" \\\n  ");
}

/** The request in Python, with httpx. */
export function python({ url, fileName, contentType, hasKey }) {
  const headers = [];
  if (hasKey) headers.push(`    "Authorization": f"Bearer {os.environ['KERASERVE_API_KEY']}",`);
  if (fileName !== null) headers.push(`    "Content-Type": ${JSON.stringify(contentType)},`);
  const query = [...url.searchParams].map(
    ([name, value]) => `${JSON.stringify(name)}: ${JSON.stringify(value)}`,
  );
  const lines = [
    ...(hasKey ? ["import os"] : []),
    ...(fileName !== null ? ["from pathlib import Path"] : []),
    ...(hasKey || fileName !== null ? [""] : []),
    "import httpx",
    "",
    "response = httpx.post(",
    `    ${JSON.stringify(url.origin + url.pathname)},`,
    ...(query.length ? [`    params={${query.join(", ")}},`] : []),
    ...(headers.length ? ["    headers={", ...headers.map((line) => `    ${line}`), "    },"] : []),
    ...(fileName !== null ? [`    content=Path(${JSON.stringify(fileName)}).read_bytes(),`] : []),
    ")",
    "response.raise_for_status()",
    'for found in response.json()["predictions"]:',
    "    print(f\"{found['score']:7.2%}  {found['label']}\")",
  ];
  return lines.join("\n");
}
