"""The frame of ``report.html``: order of its parts, and how they look in light and in dark."""

from __future__ import annotations

from string import Template

PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>$title</title>
<style>
:root { color-scheme: light dark; --text: #1f2937; --soft: #5b6472; --line: #e5e7eb;
  --page: #ffffff; --card: #f9fafb; --accent: #2166ac; --good: #1b7837; --bad: #b2182b; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e5e7eb; --soft: #9ca3af; --line: #374151; --page: #111827; --card: #1f2937;
    --accent: #92c5de; --good: #7fbf7b; --bad: #f4a582; }
}
body { margin: 2rem auto; max-width: 60rem; padding: 0 1rem; background: var(--page);
  color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
h1 { margin-bottom: 0; line-height: 1.2; overflow-wrap: anywhere; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); padding-bottom: .3rem; }
.lead, .note { color: var(--soft); }
.lead { margin-top: .3rem; }
.verdict { background: var(--card); border: 1px solid var(--line); border-radius: .5rem;
  border-left: .4rem solid var(--good); padding: .8rem 1.2rem; }
.verdict.failed { border-left-color: var(--bad); }
.verdict b { color: var(--good); }
.verdict.failed b, .no { color: var(--bad); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: 1rem; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: .5rem;
  padding: .8rem 1rem; }
.tile b { display: block; font-size: 1.6rem; line-height: 1.3; color: var(--accent);
  overflow-wrap: anywhere; }
.tile small { display: block; color: var(--soft); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .35rem 0 .35rem .8rem; border-bottom: 1px solid var(--line);
  vertical-align: top; }
tr > :first-child { padding-left: 0; }
tbody th { font-weight: 600; min-width: 7rem; overflow-wrap: anywhere; }
.numbers td, .numbers thead th + th { text-align: right; white-space: nowrap; }
.numbers td.text, .numbers thead th.text { text-align: left; white-space: normal; }
.facts th { width: 11rem; }
.facts td { overflow-wrap: anywhere; }
.summary { font-style: italic; }
figure { margin: 1.5rem 0; overflow-x: auto; }
figure img { background: #ffffff; border: 1px solid var(--line); border-radius: .5rem;
  max-width: 100%; height: auto; display: block; margin: auto; box-sizing: border-box; }
details { margin: 1rem 0; }
summary { cursor: pointer; color: var(--accent); }
pre { background: var(--card); border: 1px solid var(--line); border-radius: .5rem;
  padding: .8rem 1rem; overflow-x: auto; font-size: .85rem; }
@media (max-width: 40rem) {
  body { margin: 1rem auto; }
  /* Smaller than this, the letters in the pictures cannot be read: they scroll instead. */
  figure img { max-width: none; width: 36rem; }
  table { font-size: .8rem; }
  th, td { padding-left: .45rem; }
  tbody th { min-width: 5.2rem; }
  .facts th { width: 6rem; }
}
@media print { figure, .wide { overflow: visible; } }
</style>
</head>
<body>
<h1>$title</h1>
<p class="lead">$lead</p>
$verdict
$notes
<div class="tiles">$tiles</div>
$sections
</body>
</html>
""")
