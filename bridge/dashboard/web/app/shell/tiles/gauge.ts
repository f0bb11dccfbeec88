// A number on its scale: as a dial, or as bars side by side for many topics. The limits are drawn on the scale.

import type { Item } from "../../core/index.ts";
import { h, name, replace, setAttr, setText, styles, svg, visible } from "../dom.ts";
import type { GaugeTile, Level, Limits } from "../layout.ts";
import { asks, type Context, drawing, emptyText, figure, frame, itemsOf, type Live, shortNames, stateOf, watchIn } from "./common.ts";
import { signOf } from "./value.ts";

const most = 24;

export function gaugeTile(tile: GaugeTile, ctx: Context): Live {
  const f = frame(tile);
  const empty = h("p", { class: "empty" });
  const dial = tile.kind === "gauge" ? makeDial(tile, ctx) : null;
  const bars = h("ul", { class: "bars" });
  const draw = (): void => {
    const items = itemsOf(watch);
    const state = stateOf(items);
    f.sign(state.level, state.quality, state.why);
    const content = items.length === 0 ? empty : dial !== null && items.length === 1 ? dial.el : bars;
    if (content.parentNode !== f.body) replace(f.body, content);
    if (content === empty) setText(empty, emptyText(watch));
    else if (content === bars) drawBars(bars, items.slice(0, most), tile);
    else dial?.draw(items[0] as Item);
  };
  const watch = watchIn(ctx, tile.filter, asks(tile, ctx.layout), () => slot.dirty());
  const slot = drawing(ctx, f.el, 200, draw);
  return { el: f.el, show: (v) => { watch.setPaused(!v); slot.dirty(); }, close: () => { slot.remove(); watch.close(); } };
}

// share is where a value lies on the scale, 0 to 1; NaN when it is no number.
export function share(value: number, min: number, max: number): number {
  return Number.isFinite(value) ? Math.min(Math.max((value - min) / (max - min), 0), 1) : NaN;
}

// zones are the parts of the scale that limits make, from 0 to 1.
export function zones(l: Limits | undefined, min: number, max: number): { from: number; to: number; level: Level }[] {
  if (l === undefined) return [];
  const out: { from: number; to: number; level: Level }[] = [];
  const at = (v: number): number => share(v, min, max);
  const add = (from: number, to: number, level: Level): void => { if (to > from) out.push({ from, to, level }); };
  if (l.alarmLow !== undefined) add(0, at(l.alarmLow), "alarm");
  if (l.warnLow !== undefined) add(l.alarmLow === undefined ? 0 : at(l.alarmLow), at(l.warnLow), "warning");
  if (l.warnHigh !== undefined) add(at(l.warnHigh), l.alarmHigh === undefined ? 1 : at(l.alarmHigh), "warning");
  if (l.alarmHigh !== undefined) add(at(l.alarmHigh), 1, "alarm");
  return out;
}

const radius = 80, sweep = 240;

function arc(from: number, to: number, r: number): string {
  const point = (t: number): string => {
    const a = (150 + sweep * t) * Math.PI / 180;
    return `${(100 + r * Math.cos(a)).toFixed(2)} ${(96 + r * Math.sin(a)).toFixed(2)}`;
  };
  return `M${point(from)}A${r} ${r} 0 ${(to - from) * sweep > 180 ? 1 : 0} 1 ${point(to)}`;
}

function makeDial(tile: GaugeTile, ctx: Context): { el: HTMLElement; draw(item: Item): void } {
  const hand = svg("path", { class: "dial-value" });
  const number = h("p", { class: "figure" });
  const end = (v: number): string => ctx.format.number(v, Number.isInteger(v) ? 0 : undefined);
  const el = h("div", { class: "dial" },
    svg("svg", { viewBox: "0 0 200 166", "aria-hidden": "true" },
      svg("path", { class: "dial-track", d: arc(0, 1, radius) }),
      zones(tile.limits, tile.min, tile.max).map((z) => svg("path", { class: "dial-zone", "data-level": z.level, d: arc(z.from, z.to, radius + 12) })),
      hand,
      svg("text", { class: "dial-end", x: 30, y: 156 }, end(tile.min)), svg("text", { class: "dial-end", x: 170, y: 156 }, end(tile.max))),
    number);
  return {
    el,
    draw(item) {
      const at = share(item.number, tile.min, tile.max);
      setAttr(hand, "d", Number.isNaN(at) || at === 0 ? "" : arc(0, at, radius));
      figure(number, item);
    },
  };
}

function drawBars(list: HTMLElement, items: readonly Item[], tile: GaugeTile): void {
  const key = items.map((i) => i.topic).join("\n");
  if (list.dataset["of"] !== key) {
    list.dataset["of"] = key;
    const names = shortNames(items.map((i) => i.topic));
    replace(list, items.map((i) => h("li", { title: visible(i.topic, 1000) },
      name(items.length === 1 ? "" : names.get(i.topic) ?? i.topic, { class: "of" }),
      h("span", { class: "track", "aria-hidden": "true" },
        zones(tile.limits, tile.min, tile.max).map((z) => h("span", { class: "zone", "data-level": z.level, style: { left: `${z.from * 100}%`, width: `${(z.to - z.from) * 100}%` } })),
        h("span", { class: "fill" })),
      h("span", { class: "figure" }), h("span", { class: "at" }))));
  }
  for (const [i, item] of items.entries()) {
    const row = list.children[i] as HTMLElement;
    const at = share(item.number, tile.min, tile.max);
    setAttr(row, "data-level", item.level);
    setAttr(row, "data-quality", item.quality().quality);
    styles((row.children[1] as HTMLElement).lastElementChild as HTMLElement, { "--at": Number.isNaN(at) ? 0 : at.toFixed(3) });
    figure(row.children[2] as HTMLElement, item);
    signOf(row.children[3] as HTMLElement, item);
  }
}
