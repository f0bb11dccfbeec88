// What all tiles have in common: their frame, how a level and staleness are shown, and what they ask the store for.

import type { Client } from "plumbline-client";
import type { Item, OnChange, Store, Watch, WatchOptions } from "../../core/index.ts";
import { shortNames as cutNames } from "../../core/topics.ts";
import { h, icon, name, replace, setAttr, setText, styles, visible } from "../dom.ts";
import type { Format } from "../format.ts";
import type { Figure, Layout, Level, Source, Tile } from "../layout.ts";
import type { Me } from "../session.ts";

export interface Context {
  readonly store: Store;
  readonly client: Client;
  readonly me: Me;
  readonly format: Format;
  readonly layout: Layout;
  readonly judged: Map<Watch, WatchOptions>; // what may raise alarms in this layout
  foreign(): boolean; // the layout is of somebody else, or of nobody knows whom: its commands are asked about
  announce(text: string): void;
  everySecond(f: () => void): () => void;
}

// Live is a tile at work. A tile of a page that is not shown goes on judging limits and draws nothing.
export interface Live {
  readonly el: HTMLElement;
  show(visible: boolean): void;
  theme?(): void;
  close(): void;
}

export interface Frame {
  readonly el: HTMLElement;
  readonly body: HTMLElement;
  readonly tools: HTMLElement;
  sign(level: Level, quality: Shown, why: string): void;
}

export type Shown = "live" | "stale" | "none";

const words: Readonly<Record<Level, string>> = { ok: "OK", notice: "Notice", warning: "Warning", alarm: "Alarm", off: "" };

// levelSign is a level as sign and word: the colour alone says nothing.
export function levelSign(level: Level, word = words[level]): HTMLElement {
  return h("span", { class: "sign", "data-level": level }, icon(level), word);
}

export function titleOf(tile: Tile): string {
  if (tile.title !== undefined && tile.title !== "") return tile.title;
  if (tile.kind === "chart") return tile.series.map((s) => s.label ?? s.filter).join(", ");
  if (tile.kind === "alarms") return "Alarms";
  if (tile.kind === "command") return tile.label ?? tile.topic;
  return tile.kind === "note" ? "" : tile.filter;
}

export function frame(tile: Tile): Frame {
  const title = titleOf(tile);
  const sign = h("span", { class: "tile-sign" });
  const tools = h("span", { class: "tile-tools" });
  const body = h("div", { class: "tile-body" });
  const el = h("section", { class: `tile tile-${tile.kind}`, role: "group", "aria-label": title === "" ? tile.kind : visible(title) },
    h("header", { class: "tile-head" }, h("h3", null, name(title)), tools, sign), body);
  let shown = "";
  return {
    el, body, tools,
    sign(level, quality, why) {
      const now = `${level} ${quality} ${why}`;
      if (now === shown) return;
      shown = now;
      setAttr(el, "data-level", level);
      setAttr(el, "data-quality", quality);
      if (quality === "stale") replace(sign, h("span", { class: "sign", "data-level": "stale", title: why }, icon("stale"), "Stale", h("span", { class: "hidden" }, `: ${why}`)));
      else if (level === "warning" || level === "alarm" || level === "notice") replace(sign, levelSign(level));
      else replace(sign);
    },
  };
}

// put leaves out what is undefined: the types of the store tell absent from undefined.
export function put<T extends object>(values: { [K in keyof T]?: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(values).filter(([, v]) => v !== undefined)) as T;
}

export function asks(tile: Tile & (Source | Figure), layout: Layout): WatchOptions {
  const f = tile as Figure;
  return put<WatchOptions>({
    pointer: f.pointer, scale: f.scale, offset: f.offset, unit: f.unit, digits: f.digits, limits: f.limits,
    staleAfterS: f.staleAfterS ?? layout.staleAfterS, title: tile.title,
  });
}

// watchIn watches for a tile; the alarm list is told of what can raise an alarm, to say of how much of it nobody knows.
export function watchIn(ctx: Context, filter: string, options: WatchOptions, onChange: OnChange): Watch {
  const watch = ctx.store.watch(filter, options, onChange);
  if ((options.limits !== undefined || options.states !== undefined) && options.alarms !== false) ctx.judged.set(watch, options);
  return watch;
}

export interface State { readonly level: Level; readonly quality: Shown; readonly why: string }

const rank: Readonly<Record<Level, number>> = { alarm: 4, warning: 3, notice: 2, ok: 1, off: 0 };

export function worse(a: Level, b: Level): Level { return rank[a] >= rank[b] ? a : b; }

// stateOf sums up the items of a tile: the worst level; live only if nothing of it is stale.
export function stateOf(items: Iterable<Item>): State {
  let level: Level = "off", quality: Shown = "none", why = "";
  for (const item of items) {
    level = worse(item.level, level);
    const q = item.quality();
    if (q.quality === "stale" && quality !== "stale") [quality, why] = ["stale", q.why];
    else if (q.quality === "live" && quality === "none") quality = "live";
  }
  return { level, quality, why };
}

// itemsOf leaves out topics in which the pointer finds nothing, unless there are no others: a filter may match more than is meant.
export function itemsOf(watch: Watch): Item[] {
  const all = [...watch.items.values()], good = all.filter((i) => i.value.kind !== "missing");
  const items = good.length > 0 ? good : all;
  return items.length <= mostSorted ? items.sort((a, b) => byName.compare(a.topic, b.topic)) : items;
}

const mostSorted = 200; // of more nobody sees all, and sorting them at each draw would cost
const byName = new Intl.Collator("en", { numeric: true });

// emptyText says why there is nothing to see.
export function emptyText(watch: Watch): string {
  return watch.note !== "" ? watch.note : `nothing yet from ${visible(watch.filter, 80)}`;
}

export function ageText(item: Item, format: Format): string {
  return format.age(item.quality().ageUs / 1e6);
}

// figure writes value and unit so that they may be of different size.
export function figure(el: HTMLElement, item: Item | undefined): void {
  const [number, unit] = el.children.length === 2 ? el.children : [h("span", { class: "number" }), h("span", { class: "unit" })];
  if (el.children.length !== 2) replace(el, number as Node, unit as Node);
  setText(number as Node, item === undefined ? "–" : visible(item.text, 60));
  setText(unit as Node, item === undefined ? "" : visible(item.unit, 20));
  const length = ((number as Node).textContent ?? "").length + 0.42 * ((unit as Node).textContent ?? "").length + 0.3;
  if (el.dataset["length"] !== String(length)) {
    el.dataset["length"] = String(length);
    styles(el, { "--length": Math.max(length, 3) });
  }
  setAttr(number as Element, "data-kind", item === undefined ? "missing" : item.value.kind);
}

export interface Drawn { dirty(): void; remove(): void }

// drawing joins a watch with the scheduler: drawn when something came, and once a second, for values grow old by themselves.
export function drawing(ctx: Context, el: HTMLElement, everyMs: number, draw: () => void): Drawn {
  const slot = ctx.store.scheduler.add(draw, { everyMs, element: el });
  const off = ctx.everySecond(() => slot.dirty());
  slot.dirty();
  return { dirty: () => slot.dirty(), remove: () => { off(); slot.remove(); } };
}

// shortNames cuts the levels that all topics share at either end: what tells them apart remains.
export function shortNames(topics: readonly string[]): Map<string, string> {
  const short = topics.length > 1 ? cutNames(topics) : topics;
  return new Map(topics.map((t, i) => [t, short[i] as string]));
}
