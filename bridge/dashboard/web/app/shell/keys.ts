// Keys for everything, and the dialog that lists them. Single letters count only where no text is being written.

import { open } from "./dialog.ts";
import { h } from "./dom.ts";

export interface Key { readonly key: string; readonly shown: string /* "" = not in the list */; readonly does: string; readonly run: () => void }

export class Keys {
  readonly #keys: readonly Key[];
  readonly #abort = new AbortController();

  constructor(keys: readonly Key[]) {
    this.#keys = keys;
    document.addEventListener("keydown", (e) => this.#on(e), { signal: this.#abort.signal });
  }

  #on(e: KeyboardEvent): void {
    if (e.defaultPrevented || e.ctrlKey || e.metaKey || e.altKey || e.isComposing) return;
    const at = e.target instanceof Element ? e.target : null;
    if (at?.closest("input, textarea, select, [contenteditable], dialog, .chart, .cell[data-edit]") !== null && at !== null) return;
    const key = this.#keys.find((k) => k.key.toLowerCase() === e.key.toLowerCase());
    if (key === undefined) return;
    e.preventDefault();
    key.run();
  }

  help(): void {
    const row = (shown: string, does: string): HTMLElement => h("tr", null, h("th", { scope: "row" }, shown.split(" ").map((k) => h("kbd", null, k))), h("td", null, does));
    open("Keys", [
      h("table", { class: "keys" }, h("tbody", null, this.#keys.filter((k) => k.shown !== "").map((k) => row(k.shown, k.does)))),
      h("h3", null, "On a chart"), h("table", { class: "keys" }, h("tbody", null, row("← →", "move in time"), row("+ −", "zoom"), row("Space", "pause, go on"), row("Home", "back to the present"))),
      h("h3", null, "While editing"), h("table", { class: "keys" }, h("tbody", null, row("← ↑ → ↓", "move the tile"), row("Shift ← ↑ → ↓", "make it wider, narrower, higher, lower"),
        row("Enter", "its properties"), row("Delete", "remove it"), row("N", "a new tile"), row("Ctrl Z", "undo"))),
    ], { wide: true });
  }

  close(): void { this.#abort.abort(); }
}
