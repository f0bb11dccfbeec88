// A number, as large as its tile, over the line of its last minutes. Of a filter that matches more topics: a number for each.

import type { Item, Spark } from "../../core/index.ts";
import { h, name, replace, setAttr, setText, svg, visible } from "../dom.ts";
import type { ValueTile } from "../layout.ts";
import { asks, type Context, drawing, emptyText, figure, frame, itemsOf, levelSign, type Live, shortNames, stateOf, watchIn } from "./common.ts";

const most = 24; // numbers in one tile; more belong into a table

export function valueTile(tile: ValueTile, ctx: Context): Live {
  const f = frame(tile);
  const seconds = tile.sparkS ?? 300;
  const big = h("p", { class: "figure" });
  const line = sparkline();
  const many = h("ul", { class: "figures" });
  const empty = h("p", { class: "empty" });
  const age = h("p", { class: "age" });
  let sparkAt = -1e9;
  const draw = (nowMs: number): void => {
    const items = itemsOf(watch);
    const state = stateOf(items);
    f.sign(state.level, state.quality, state.why);
    if (items.length === 1) {
      const item = items[0] as Item;
      if (big.parentNode !== f.body) replace(f.body, big, age, line.el);
      figure(big, item);
      setText(age, state.quality === "live" ? "" : state.quality === "stale" ? `${ctx.format.age(item.quality().ageUs / 1e6)} ago` : `held since ${ctx.format.instant(item.timeUs)}`);
      if (nowMs - sparkAt >= 1000) {
        sparkAt = nowMs;
        line.draw(item.spark(seconds, 90));
      }
    } else if (items.length === 0) {
      if (empty.parentNode !== f.body) replace(f.body, empty);
      setText(empty, emptyText(watch));
    } else {
      if (many.parentNode !== f.body) replace(f.body, many);
      drawMany(many, items);
    }
  };
  const watch = watchIn(ctx, tile.filter, { ...asks(tile, ctx.layout), sparkS: seconds }, () => slot.dirty());
  const slot = drawing(ctx, f.el, 200, () => draw(performance.now()));
  return { el: f.el, show: (v) => { watch.setPaused(!v); slot.dirty(); }, close: () => { slot.remove(); watch.close(); } };
}

function drawMany(list: HTMLElement, items: readonly Item[]): void {
  const shown = items.slice(0, most);
  if (list.childElementCount !== shown.length + (items.length > most ? 1 : 0) || list.dataset["of"] !== shown.map((i) => i.topic).join("\n")) {
    const names = shortNames(shown.map((i) => i.topic));
    list.dataset["of"] = shown.map((i) => i.topic).join("\n");
    replace(list, shown.map((i) => h("li", { title: visible(i.topic, 1000) }, name(names.get(i.topic) ?? i.topic, { class: "of" }), h("span", { class: "figure" }), h("span", { class: "at" }))),
      items.length > most && h("li", { class: "more" }, `and ${items.length - most} more: a table shows them`));
  }
  for (const [at, item] of shown.entries()) {
    const row = list.children[at] as HTMLElement;
    setAttr(row, "data-level", item.level);
    setAttr(row, "data-quality", item.quality().quality);
    figure(row.children[1] as HTMLElement, item);
    signOf(row.children[2] as HTMLElement, item);
  }
}

// signOf puts the level's sign beside a value, or takes it away.
export function signOf(el: HTMLElement, item: Item): void {
  const q = item.quality().quality;
  const known = item.value.kind !== "missing";
  const key = q === "stale" ? "stale" : item.level === "warning" || item.level === "alarm" || item.level === "notice" ? item.level : q === "none" && known ? "held" : "";
  if (el.dataset["key"] === key) return;
  el.dataset["key"] = key;
  if (key === "") replace(el);
  else if (key === "stale" || key === "held") replace(el, h("span", { class: "sign", "data-level": key === "stale" ? "stale" : "off", title: item.quality().why }, key));
  else replace(el, levelSign(item.level));
}

const wide = 300, high = 60;

function sparkline(): { el: SVGSVGElement; draw(s: Spark): void } {
  const band = svg("path", { class: "spark-band" }), line = svg("path", { class: "spark-line" });
  const el = svg("svg", { class: "spark", viewBox: `0 0 ${wide} ${high}`, preserveAspectRatio: "none", "aria-hidden": "true" }, band, line);
  return {
    el,
    draw(s) {
      const [b, l] = sparkPaths(s);
      setAttr(band, "d", b);
      setAttr(line, "d", l);
    },
  };
}

// sparkPaths: the band between least and greatest, and the line of the last of each bucket; what is missing is a hole.
export function sparkPaths(s: Spark): [string, string] {
  let least = Infinity, greatest = -Infinity;
  for (let i = 0; i < s.last.length; i++) {
    if ((s.min[i] ?? NaN) < least) least = s.min[i] as number;
    if ((s.max[i] ?? NaN) > greatest) greatest = s.max[i] as number;
  }
  return paths(s, least, greatest);
}

function paths(s: Spark, least: number, greatest: number): [string, string] {
  if (!(greatest >= least)) return ["", ""];
  const span = greatest - least || Math.abs(greatest) || 1, mid = greatest === least ? 0.5 : 0;
  const x = (i: number): string => ((i + 0.5) * wide / s.last.length).toFixed(1);
  const y = (v: number): string => (high - 3 - (high - 6) * ((v - least) / span + mid)).toFixed(1);
  let line = "", band = "", open: number[] = [];
  const close = (): void => {
    if (open.length > 0) band += `M${open.map((i) => `${x(i)} ${y(s.max[i] as number)}`).join("L")}L${open.reverse().map((i) => `${x(i)} ${y(s.min[i] as number)}`).join("L")}Z`;
    open = [];
  };
  for (let i = 0; i < s.last.length; i++) {
    const v = s.last[i] as number;
    if (Number.isNaN(v)) { close(); continue; }
    line += `${open.length === 0 ? "M" : "L"}${x(i)} ${y(v)}`;
    open.push(i);
  }
  close();
  return [band, line];
}
