// All topics of a filter in rows. However many there are, the page holds as many rows as are asked for; a box finds the rest.

import type { Item } from "../../core/index.ts";
import { h, name, replace, setAttr, setText, visible } from "../dom.ts";
import type { TableTile } from "../layout.ts";
import { ageText, asks, type Context, drawing, emptyText, figure, frame, itemsOf, type Live, stateOf, watchIn } from "./common.ts";
import { signOf } from "./value.ts";

export function tableTile(tile: TableTile, ctx: Context): Live {
  const f = frame(tile);
  const rows = h("tbody");
  const foot = h("p", { class: "note" });
  let wanted = "", order: Item[] = [], orderOf = "", sortedMs = -1e9, sortedOf = 0;
  const box = h("input", { type: "search", class: "small", placeholder: "find a topic", "aria-label": "Find a topic", oninput: () => { wanted = box.value.toLowerCase(); sortedMs = -1e9; slot.dirty(); } });
  f.tools.append(box);
  f.body.append(h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table" },
    h("table", null, h("thead", null, h("tr", null, ["Topic", "Value", "State", "Age"].map((t) => h("th", { scope: "col" }, t)))), rows)), foot);
  const draw = (): void => {
    const now = performance.now();
    const lastsMs = sortedOf === watch.items.size && (tile.sort ?? "topic") === "topic" ? 10_000 : 1000; // names stay, and thousands of them take their time
    if (now - sortedMs >= lastsMs || watch.items.size < order.length) {
      sortedMs = now;
      sortedOf = watch.items.size;
      order = pick(itemsOf(watch), wanted, tile.sort ?? "topic", tile.rows ?? 50);
    }
    const key = order.map((i) => i.topic).join("\n");
    if (key !== orderOf) {
      orderOf = key;
      fit(rows, order);
    }
    for (const [i, item] of order.entries()) fillRow(rows.children[i] as HTMLElement, item, ctx);
    const state = stateOf(order);
    f.sign(state.level, state.quality, state.why);
    setText(foot, watch.items.size === 0 ? emptyText(watch) : order.length < watch.items.size ? `${ctx.format.number(order.length, 0)} of ${ctx.format.number(watch.items.size, 0)} topics. ${watch.note}` : watch.note);
  };
  const watch = watchIn(ctx, tile.filter, { ...asks(tile, ctx.layout), every: tile.every ?? "tick" }, () => slot.dirty());
  const slot = drawing(ctx, f.el, tile.every === "message" ? 0 : 200, draw);
  return { el: f.el, show: (v) => { watch.setPaused(!v); slot.dirty(); }, close: () => { slot.remove(); watch.close(); } };
}

// pick finds, sorts and bounds what is shown.
export function pick(items: readonly Item[], wanted: string, sort: "topic" | "value" | "age", rows: number): Item[] {
  const found = wanted === "" ? [...items] : items.filter((i) => i.topic.toLowerCase().includes(wanted));
  const number = (i: Item): number => i.value.kind === "number" || i.value.kind === "bool" ? i.value.number : -Infinity;
  if (sort === "value") found.sort((a, b) => number(b) - number(a) || order(a, b));
  else if (sort === "age") found.sort((a, b) => b.timeUs - a.timeUs || order(a, b));
  else found.sort(order);
  return found.slice(0, rows);
}

const collator = new Intl.Collator("en", { numeric: true });

function order(a: Item, b: Item): number { return collator.compare(a.topic, b.topic); }

function fit(rows: HTMLElement, items: readonly Item[]): void {
  while (rows.childElementCount > items.length) rows.lastElementChild?.remove();
  while (rows.childElementCount < items.length) {
    rows.append(h("tr", null, h("th", { scope: "row" }), h("td", { class: "figure" }), h("td", { class: "at" }), h("td", { class: "age" })));
  }
  for (const [i, item] of items.entries()) {
    const cell = (rows.children[i] as HTMLElement).children[0] as HTMLElement;
    replace(cell, name(item.topic, { title: visible(item.topic, 1000) }));
  }
}

function fillRow(row: HTMLElement, item: Item, ctx: Context): void {
  const [, value, at, age] = row.children as unknown as HTMLElement[];
  setAttr(row, "data-level", item.level);
  setAttr(row, "data-quality", item.quality().quality);
  figure(value as HTMLElement, item);
  signOf(at as HTMLElement, item);
  setText(age as HTMLElement, ageText(item, ctx.format));
}
