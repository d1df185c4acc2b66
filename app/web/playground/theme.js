// Before anything is drawn: the colours that were chosen on an earlier visit. Not a module, which
// would run after the first paint.
try {
  const kept = localStorage.getItem("theme");
  if (kept === "dark" || kept === "light") document.documentElement.dataset.theme = kept;
} catch {
  // Storage is switched off: the system's colours it is.
}
