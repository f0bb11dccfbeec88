// The pages of a layout, of which one is shown. Tiles whose limits make alarms work on all pages, others from when their
// page is first shown.

import type { Spot } from "./change.ts";
import { h, name, setAttr, setText, styles, visible } from "./dom.ts";
import { readingOrder, rowsOf } from "./geometry.ts";
import type { Layout, Page, Tile } from "./layout.ts";
import { type Context, type Live, titleOf } from "./tiles/common.ts";
import { makeTile } from "./tiles/index.ts";

interface Shown { readonly el: HTMLElement; readonly tiles: Map<HTMLElement, { spot: Spot; tile: Tile; live: Live | null; holder: HTMLElement }> }

// judges: whether a tile may raise an alarm, so that it works even when it is not seen. A chart only draws its limits.
function judges(t: Tile): boolean {
  return t.kind !== "chart" && (("limits" in t && t.limits !== undefined) || ("states" in t && t.states !== undefined));
}

const scrollers = ".states, .bars, .figures, .texts, .tile-note .tile-body, .tile-alarms .tile-body, .tile-command .tile-body, .chart-legend";
const tall: ReadonlySet<string> = new Set(["chart", "devices", "table", "alarms"]);

// spotStyle: the place in twelve columns; m, s and hm are the spans where there are six or two.
export function spotStyle(t: Tile): Record<string, number> {
  return { "--x": t.x, "--y": t.y, "--w": t.w, "--h": t.h, "--m": Math.min(Math.max(Math.ceil(t.w / 2), 2), 6), "--s": t.w <= 3 && !tall.has(t.kind) ? 1 : 2, "--hm": tall.has(t.kind) ? Math.max(t.h, 5) : t.kind === "state" || t.kind === "command" ? Math.max(t.h, 3) : t.h };
}

export class View {
  readonly el = h("main", { id: "view", class: "view", tabindex: "-1" });
  readonly #ctx: Context;
  readonly #pages: Shown[];
  readonly #watcher: ResizeObserver;
  readonly #off: () => void;
  #page = -1;
  #wall = false;

  constructor(layout: Layout, ctx: Context, head: HTMLElement) {
    this.#ctx = ctx;
    this.#pages = layout.pages.map((p, i) => this.#make(p, i));
    this.el.append(...this.#pages.map((p) => p.el));
    for (const p of this.#pages) for (const t of p.tiles.values()) if (judges(t.tile)) this.#start(t, false);
    this.#off = ctx.everySecond(() => this.#reach());
    this.#watcher = new ResizeObserver(() => this.fit());
    this.#watcher.observe(this.el);
    this.#watcher.observe(head); // it grows by a line when there is something to say
  }

  // reach lets the keyboard into what scrolls, and spares it a stop at what does not.
  #reach(): void {
    for (const el of this.#pages[this.#page]?.el.querySelectorAll<HTMLElement>(scrollers) ?? []) {
      setAttr(el, "tabindex", el.scrollHeight > el.clientHeight + 1 ? "0" : null);
    }
  }

  get page(): number { return this.#page; }

  #make(page: Page, at: number): Shown {
    const tiles: Shown["tiles"] = new Map();
    const groups = page.groups.map((g, gi) => {
      const grid = h("div", { class: "grid", "data-group": gi });
      for (const ti of readingOrder(g.tiles)) {
        const tile = g.tiles[ti] as Tile;
        const holder = h("div", { class: "cell", style: spotStyle(tile), "data-tile": ti });
        tiles.set(holder, { spot: { page: at, group: gi, tile: ti }, tile, live: null, holder });
        grid.append(holder);
      }
      const title = g.title ?? "";
      return h("section", { class: "group", "aria-label": title === "" ? undefined : visible(title), style: { "--rows": rowsOf(g.tiles) } }, title !== "" ? h("h2", null, name(title)) : gi === 0 && h("h2", { class: "hidden" }, name(page.title)), grid);
    });
    return { el: h("section", { class: "page", "aria-label": visible(page.title), hidden: true }, groups), tiles };
  }

  #start(t: { tile: Tile; live: Live | null; holder: HTMLElement }, visible: boolean): void {
    if (t.live === null) {
      t.live = this.#guarded(t.tile);
      t.holder.append(t.live.el);
    }
    t.live.show(visible);
  }

  // guarded: a tile that cannot be made says so in its place; the others are none the worse.
  #guarded(tile: Tile): Live {
    try {
      return makeTile(tile, this.#ctx);
    } catch (error) {
      const el = h("section", { class: "tile broken", "aria-label": titleOf(tile) }, h("p", { class: "empty" }, `This tile could not be made: ${error instanceof Error ? error.message : String(error)}`));
      return { el, show: () => undefined, close: () => undefined };
    }
  }

  show(page: number): void {
    const to = Math.min(Math.max(page, 0), this.#pages.length - 1);
    if (to === this.#page) return;
    const from = this.#pages[this.#page], now = this.#pages[to] as Shown;
    if (from !== undefined) {
      from.el.hidden = true;
      for (const t of from.tiles.values()) t.live?.show(false);
    }
    this.#page = to;
    now.el.hidden = false;
    for (const t of now.tiles.values()) {
      this.#start(t, true);
      t.live?.theme?.(); // colours are known from now on
    }
    this.fit();
  }

  set wall(on: boolean) {
    this.#wall = on;
    this.fit();
    this.theme(); // charts take the size of their type anew
  }

  // fit makes rows so high that the page fills the screen: a wall's in any case, others within bounds, where there are twelve columns.
  fit(): void {
    const page = this.#pages[this.#page];
    if (page === undefined) return;
    if (!this.#wall && innerWidth < 900) {
      this.el.style.removeProperty("--row");
      return;
    }
    const groups = [...page.el.querySelectorAll<HTMLElement>(".group")];
    const gap = parseFloat(getComputedStyle(groups[0]?.querySelector(".grid") ?? this.el).rowGap) || 0;
    let rows = 0, other = 0;
    for (const g of groups) {
      const n = Number(g.style.getPropertyValue("--rows")) || 0;
      rows += n;
      other += Math.max(n - 1, 0) * gap + (g.querySelector("h2:not(.hidden)")?.getBoundingClientRect().height ?? 0);
    }
    const style = getComputedStyle(page.el);
    other += (groups.length - 1) * (parseFloat(style.rowGap) || 0) + (parseFloat(style.paddingTop) || 0) + (parseFloat(style.paddingBottom) || 0);
    if (!this.#wall) other += parseFloat(getComputedStyle(this.el).paddingBottom) || 0;
    const row = (innerHeight - this.el.getBoundingClientRect().top - scrollY - other) / Math.max(rows, 1);
    styles(this.el, { "--row": `${(this.#wall ? Math.max(row, 18) : Math.min(Math.max(row, 44), 72)).toFixed(2)}px` });
  }

  theme(): void {
    for (const p of this.#pages) for (const t of p.tiles.values()) t.live?.theme?.();
  }

  // cells are the holders of the page that is shown, for the editor.
  cells(): { readonly el: HTMLElement; readonly spot: Spot; readonly tile: Tile }[] {
    return [...(this.#pages[this.#page]?.tiles.values() ?? [])].map((t) => ({ el: t.holder, spot: t.spot, tile: t.tile }));
  }

  close(): void {
    this.#off();
    this.#watcher.disconnect();
    for (const p of this.#pages) for (const t of p.tiles.values()) t.live?.close();
    this.el.remove();
  }
}

// announcer says things to screen readers, and to nobody else. What is said twice in a row has to differ to be read twice.
export function announcer(): { el: HTMLElement; say(text: string): void } {
  const el = h("p", { class: "hidden", role: "status", "aria-live": "polite" });
  return { el, say: (text) => setText(el, el.textContent === text ? `${text}\u00a0` : text) };
}
