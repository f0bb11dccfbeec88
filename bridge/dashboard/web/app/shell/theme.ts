// Light, dark, or as the system has it; remembered for this browser.

export type Theme = "auto" | "light" | "dark";
const key = "plumbline-theme";
const dark = typeof matchMedia === "function" ? matchMedia("(prefers-color-scheme: dark)") : null;

export function storedTheme(): Theme | null {
  const t = read(key);
  return t === "light" || t === "dark" || t === "auto" ? t : null;
}

export function applyTheme(theme: Theme): void {
  const is = theme === "auto" ? (dark?.matches === true ? "dark" : "light") : theme;
  document.documentElement.dataset["theme"] = is;
  document.querySelector("meta[name=color-scheme]")?.setAttribute("content", is);
}

export function keepTheme(theme: Theme): void { write(key, theme); }

export function onSystemTheme(f: () => void): void { dark?.addEventListener("change", f); }

// Storage may be switched off: then nothing is remembered, and nothing breaks.
export function read(name: string): string | null {
  try { return localStorage.getItem(name); } catch { return null; }
}
export function write(name: string, value: string): void {
  try { localStorage.setItem(name, value); } catch { /* not remembered */ }
}
