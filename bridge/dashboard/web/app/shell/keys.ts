// Keys for everything, and the dialog that lists them. Single letters count only where no text is being written, and can be switched
// off: who dictates, or has a wall's keyboard within reach of a cleaner, presses them without meaning to (WCAG 2.2, 2.1.4).

import { open } from "./dialog.ts";
import { h } from "./dom.ts";
import { read, write } from "./theme.ts";

export interface Key { readonly key: string; readonly shown: string /* "" = not in the list */; readonly does: string; readonly run: () => void }

const lettersKey = "plumbline-letters";
let letters = read(lettersKey) !== "off";

// counts: whether a key may do something by itself. Letters, digits and signs may not when they are switched off.
export function counts(key: string): boolean { return letters || [...key].length > 1; }

export function setLetters(on: boolean): void {
  letters = on;
  write(lettersKey, on ? "on" : "off");
}

export class Keys {
  readonly #keys: readonly Key[];

  constructor(keys: readonly Key[]) {
    this.#keys = keys;
    document.addEventListener("keydown", (e) => this.#on(e));
  }

  #on(e: KeyboardEvent): void {
    if (e.defaultPrevented || e.ctrlKey || e.metaKey || e.altKey || e.isComposing || !counts(e.key)) return;
    const at = e.target instanceof Element ? e.target : null;
    if (at?.closest("input, textarea, select, [contenteditable], dialog, .chart, .cell[data-edit]") !== null && at !== null) return;
    const key = this.#keys.find((k) => k.key.toLowerCase() === e.key.toLowerCase());
    if (key === undefined) return;
    e.preventDefault();
    key.run();
  }

  help(): void {
    const row = (shown: string, does: string): HTMLElement => h("tr", null, h("th", { scope: "row" }, shown.split(" ").map((k) => h("kbd", null, k))), h("td", null, does));
    const box = h("input", { type: "checkbox", id: "letters", checked: letters, "aria-describedby": "letters-help", onchange: () => setLetters(box.checked) });
    open("Keys", [
      h("p", { class: "check" }, box, h("label", { for: "letters" }, "Letters, digits and ? work as keys")),
      h("p", { class: "help", id: "letters-help" }, "Without them the menu and the buttons do the same; arrows, Enter and Escape still work. Kept in this browser."),
      h("table", { class: "keys" }, h("tbody", null, this.#keys.filter((k) => k.shown !== "").map((k) => row(k.shown, k.does)))),
      h("h3", null, "On a chart"), h("table", { class: "keys" }, h("tbody", null, row("← →", "move in time"), row("+ −", "zoom"), row("Space", "pause, go on"), row("Home", "back to the present"))),
      h("h3", null, "While editing"), h("table", { class: "keys" }, h("tbody", null, row("← ↑ → ↓", "move the tile"), row("Shift ← ↑ → ↓", "make it wider, narrower, higher, lower"),
        row("Enter", "its properties"), row("Delete", "remove it"), row("N", "a new tile"), row("Ctrl Z", "undo"))),
    ], { wide: true });
  }
}
