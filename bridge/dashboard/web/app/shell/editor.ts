// Editing in the page: tiles are moved and resized by pointer or keys, added, removed and described in a form. Every
// change is a new layout; undo goes back to the one before.

import { addTile, placeTile, removeTile, replaceTile, type Spot, tileAt } from "./change.ts";
import { ask, choose, open } from "./dialog.ts";
import { button, h, icon, setAttr, styles, visible } from "./dom.ts";
import { kinds } from "./fields.ts";
import { firstFree, within } from "./geometry.ts";
import { counts } from "./keys.ts";
import { columns, type Kind, type Layout, type Place, type Tile } from "./layout.ts";
import { pagesDialog } from "./pages.ts";
import { newTile, tileDialog } from "./tileform.ts";
import { titleOf } from "./tiles/common.ts";
import { spotStyle, type View } from "./view.ts";

export interface EditorOptions {
  topics(): readonly string[];
  announce(text: string): void;
  rebuild(layout: Layout, page: number): View; // shows it anew
  save(layout: Layout): Promise<boolean>;
  done(layout: Layout | null): void; // null: nothing is kept of it
}

export class Editor {
  readonly #o: EditorOptions;
  readonly #bar: HTMLElement;
  readonly #first: Layout;
  readonly #before: Layout[] = [];
  readonly #abort = new AbortController();
  #saved: Layout;
  #layout: Layout;
  #view: View;

  constructor(layout: Layout, view: View, o: EditorOptions) {
    this.#first = this.#saved = this.#layout = layout;
    this.#view = view;
    this.#o = o;
    this.#bar = h("div", { class: "edit-bar", role: "group", "aria-label": "Editing" },
      button("Add tile", () => void this.#add(), { class: "primary" }), button("Pages and groups", () => void this.#structure()), button("Undo", () => this.undo()),
      h("span", { class: "grow" }), button("Discard", () => void this.#discard()), button("Save", () => void this.#save(), { class: "primary" }), button("Done", () => void this.leave()));
    document.body.append(this.#bar);
    document.documentElement.dataset["editing"] = "";
    document.addEventListener("keydown", (e) => this.#key(e), { signal: this.#abort.signal });
    addEventListener("beforeunload", (e) => { if (this.#layout !== this.#saved) e.preventDefault(); }, { signal: this.#abort.signal });
    this.#dress();
    o.announce("Editing. Tab goes through the tiles, arrows move one, Shift and arrows resize it, Enter opens its properties.");
  }

  #key(e: KeyboardEvent): void {
    const at = e.target instanceof Element ? e.target : null;
    if (at !== null && at.closest("dialog, input, textarea, select") !== null) return;
    if ((e.ctrlKey || e.metaKey) && e.key.toLowerCase() === "z") { e.preventDefault(); return this.undo(); }
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    if (e.key.toLowerCase() === "n" && counts(e.key)) { e.preventDefault(); void this.#add(); }
  }

  // change takes the next layout; shape: whether tiles came or went, so that the view is made anew.
  #change(next: Layout, shape: boolean, page = this.#view.page): void {
    if (next === this.#layout) return;
    this.#before.push(this.#layout);
    if (this.#before.length > 200) this.#before.shift();
    this.#take(next, shape, page);
  }

  #take(next: Layout, shape: boolean, page: number): void {
    this.#layout = next;
    if (shape) {
      this.#view = this.#o.rebuild(next, Math.min(page, next.pages.length - 1));
      this.#dress();
    } else {
      this.#settle(next);
    }
  }

  undo(): void {
    const back = this.#before.pop();
    if (back === undefined) return this.#o.announce("There is nothing to undo.");
    this.#take(back, true, this.#view.page);
    this.#o.announce("Undone.");
  }

  // turn goes to another page.
  turn(page: number): void {
    this.#view.show(page);
    this.#settle(this.#layout);
    this.#dress();
  }

  // settle writes the places of a layout to the cells that are there.
  #settle(layout: Layout): void {
    for (const c of this.#view.cells()) {
      const t = tileAt(layout, c.spot);
      if (t !== undefined) styles(c.el, spotStyle(t));
    }
  }

  // dress gives each cell its handles.
  #dress(): void {
    for (const c of this.#view.cells()) {
      if (c.el.hasAttribute("data-edit")) continue;
      const title = visible(titleOf(c.tile) || c.tile.kind, 60);
      setAttr(c.el, "data-edit", "");
      setAttr(c.el, "tabindex", "0");
      setAttr(c.el, "role", "group");
      setAttr(c.el, "aria-roledescription", "tile, can be moved");
      setAttr(c.el, "aria-label", title);
      const move = h("div", { class: "grip", "aria-hidden": "true" }, icon("drag"));
      const size = h("div", { class: "corner", "aria-hidden": "true" });
      c.el.append(h("div", { class: "cover" }, move,
        h("div", { class: "cover-tools" }, button("Properties", () => void this.#properties(c.spot), { class: "small", "aria-label": `Properties of ${title}` }),
          h("button", { type: "button", class: "small", "aria-label": `Remove ${title}`, onclick: () => this.#remove(c.spot) }, icon("close"))), size));
      c.el.lastElementChild?.addEventListener("pointerdown", (e) => this.#drag(e as PointerEvent, c.el, c.spot, e.target === size));
      c.el.addEventListener("keydown", (e) => this.#cellKey(e, c.spot));
    }
  }

  #cellKey(e: KeyboardEvent, spot: Spot): void {
    if (e.target !== e.currentTarget || e.ctrlKey || e.metaKey || e.altKey) return;
    const t = tileAt(this.#layout, spot);
    if (t === undefined) return;
    const step = ({ ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] } as Record<string, [number, number]>)[e.key];
    if (step !== undefined) {
      e.preventDefault();
      const [dx, dy] = step;
      const to = e.shiftKey ? within({ x: t.x, y: t.y, w: Math.min(t.w + dx, columns - t.x), h: t.h + dy }) : within({ x: t.x + dx, y: t.y + dy, w: t.w, h: t.h });
      this.#change(placeTile(this.#layout, spot, to), false);
      this.#o.announce(`Column ${to.x + 1}, row ${to.y + 1}, ${to.w} wide, ${to.h} high`);
    } else if (e.key === "Enter") {
      e.preventDefault();
      void this.#properties(spot);
    } else if (e.key === "Delete" || e.key === "Backspace") {
      e.preventDefault();
      this.#remove(spot);
    }
  }

  #drag(e: PointerEvent, cell: HTMLElement, spot: Spot, sizing: boolean): void {
    const tile = tileAt(this.#layout, spot), grid = cell.parentElement;
    if (tile === undefined || grid === null || e.button !== 0 || (e.target as Element).closest("button") !== null) return;
    e.preventDefault();
    cell.focus();
    const start = this.#layout, step = gridStep(grid, cell, tile);
    const abort = new AbortController(), signal = abort.signal;
    const to = (m: PointerEvent): Place => {
      const dx = Math.round((m.clientX - e.clientX) / step.x), dy = Math.round((m.clientY - e.clientY) / step.y);
      return sizing ? within({ x: tile.x, y: tile.y, w: Math.min(tile.w + dx, columns - tile.x), h: tile.h + dy }) : within({ x: tile.x + dx, y: tile.y + dy, w: tile.w, h: tile.h });
    };
    cell.setPointerCapture(e.pointerId);
    setAttr(cell, "data-dragged", "");
    const end = (): void => { abort.abort(); setAttr(cell, "data-dragged", null); };
    cell.addEventListener("pointermove", (m) => this.#settle(placeTile(start, spot, to(m))), { signal });
    cell.addEventListener("pointerup", (m) => { end(); this.#change(placeTile(start, spot, to(m)), false); }, { signal });
    cell.addEventListener("pointercancel", () => { end(); this.#settle(start); }, { signal });
    document.addEventListener("keydown", (k) => { if (k.key === "Escape") { k.preventDefault(); end(); this.#settle(start); } }, { signal });
  }

  async #add(): Promise<void> {
    const page = this.#view.page, groups = this.#layout.pages[page]?.groups ?? [];
    const kind = await kindDialog();
    if (kind === null) return;
    const got = await tileDialog(newTile(kind), { title: "New tile", topics: this.#o.topics(), groups, group: groups.length - 1 });
    if (got === null) return;
    const tile = { ...got.tile, ...firstFree(groups[got.group]?.tiles ?? [], got.tile.w, got.tile.h) } as Tile;
    this.#change(addTile(this.#layout, page, got.group, tile), true);
    this.#focus({ page, group: got.group, tile: (groups[got.group]?.tiles.length ?? 0) });
  }

  async #properties(spot: Spot): Promise<void> {
    const tile = tileAt(this.#layout, spot), groups = this.#layout.pages[spot.page]?.groups ?? [];
    if (tile === undefined) return;
    const got = await tileDialog(tile, { title: "Properties of the tile", topics: this.#o.topics(), groups, group: spot.group });
    if (got === null) return;
    if (got.group === spot.group) this.#change(replaceTile(this.#layout, spot, got.tile), true);
    else this.#change(addTile(removeTile(this.#layout, spot), spot.page, got.group, { ...got.tile, ...firstFree(groups[got.group]?.tiles ?? [], got.tile.w, got.tile.h) } as Tile), true);
    this.#focus(spot);
  }

  #remove(spot: Spot): void {
    this.#change(removeTile(this.#layout, spot), true);
    this.#o.announce("Removed. Ctrl Z brings it back.");
    this.#focus({ ...spot, tile: Math.max(spot.tile - 1, 0) });
  }

  #focus(spot: Spot): void {
    this.#view.cells().find((c) => c.spot.group === spot.group && c.spot.tile === spot.tile)?.el.focus();
  }

  async #structure(): Promise<void> {
    const next = await pagesDialog(this.#layout);
    if (next !== null) this.#change(next, true);
  }

  async #save(): Promise<boolean> {
    const what = this.#layout;
    if (!await this.#o.save(what)) return false;
    this.#saved = what;
    return true;
  }

  async #discard(): Promise<void> {
    if (this.#layout !== this.#first && !await ask("Discard what you changed?", [], "Discard", true)) return;
    this.#end(null);
  }

  // leave ends editing; what is not saved is kept in the address.
  async leave(): Promise<void> {
    if (this.#layout !== this.#saved) {
      const how = await choose("The layout is not saved", ["What you changed can be saved on the bridge, or kept in the page's address alone."],
        [{ label: "Keep in the address", value: "address" as const }, { label: "Save", value: "save" as const, primary: true }]);
      if (how === null || (how === "save" && !await this.#save())) return;
    }
    this.#end(this.#layout);
  }

  #end(layout: Layout | null): void {
    this.#abort.abort();
    this.#bar.remove();
    delete document.documentElement.dataset["editing"];
    this.#o.done(layout);
  }
}

// gridStep is the distance of columns and rows, measured on the cell itself.
function gridStep(grid: HTMLElement, cell: HTMLElement, tile: Place): { x: number; y: number } {
  const style = getComputedStyle(grid), gapX = parseFloat(style.columnGap) || 0, gapY = parseFloat(style.rowGap) || 0;
  const box = cell.getBoundingClientRect();
  return { x: (grid.clientWidth + gapX) / columns, y: (box.height + gapY) / tile.h };
}

async function kindDialog(): Promise<Kind | null> {
  let chosen: Kind | null = null;
  const d = open("What shall it show?", [h("div", { class: "kinds" }, (Object.keys(kinds) as Kind[]).map((k) => button(kinds[k].label, () => { chosen = k; d.close(); })))]);
  await d.closed;
  return chosen;
}
