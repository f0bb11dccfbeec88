// The legend of a chart: a list of buttons, each with a line's colour, name and value.

import type { LineState } from "./lines.ts";
import { visible } from "./visible.ts";

/** Legend writes the DOM only where it has changed. */
export class Legend {
  readonly element: HTMLUListElement;
  private readonly rows = new Map<LineState, { button: HTMLButtonElement; name: HTMLElement; last: HTMLElement; swatch: HTMLElement }>();
  private readonly onToggle: (l: LineState) => void;

  constructor(onToggle: (l: LineState) => void) {
    this.onToggle = onToggle;
    this.element = document.createElement("ul");
    this.element.className = "chart-legend";
    this.element.setAttribute("aria-label", "Lines");
  }

  add(l: LineState): void {
    const li = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-pressed", "true");
    const swatch = part("swatch");
    const name = part("name");
    const last = part("last");
    button.title = visible(l.item.topic, 1000);
    button.append(swatch, name, last);
    button.addEventListener("click", () => this.onToggle(l));
    li.append(button);
    this.element.append(li);
    this.rows.set(l, { button, name, last, swatch });
  }

  /** write shows each line's value: at the cursor, or the last one. */
  write(valueOf: (l: LineState) => string): void {
    for (const [l, row] of this.rows) {
      const text = visible(valueOf(l));
      if (row.last.textContent !== text) row.last.textContent = text;
      if (row.name.textContent !== l.name) row.name.textContent = l.name;
      const quality = l.item.quality().quality;
      if (row.button.dataset["quality"] !== quality) row.button.dataset["quality"] = quality;
      const pressed = String(!l.hidden);
      if (row.button.getAttribute("aria-pressed") !== pressed) row.button.setAttribute("aria-pressed", pressed);
      if (row.swatch.style.backgroundColor !== l.colour) row.swatch.style.backgroundColor = l.colour;
    }
  }
}

function part(name: string): HTMLElement {
  const el = document.createElement("span");
  el.className = name;
  return el;
}
