// A word for a state, with its sign; of many topics a chip for each. And plain text.

import type { Item, WatchOptions } from "../../core/index.ts";
import { h, icon, name, replace, setAttr, setText, visible } from "../dom.ts";
import type { StateTile, TextTile } from "../layout.ts";
import { ageText, asks, type Context, drawing, emptyText, frame, itemsOf, type Live, put, shortNames, stateOf, watchIn } from "./common.ts";

const most = 60;

export function stateTile(tile: StateTile, ctx: Context): Live {
  const f = frame(tile);
  const list = h("ul", { class: "states" });
  const empty = h("p", { class: "empty" });
  const draw = (): void => {
    const items = itemsOf(watch);
    const state = stateOf(items);
    f.sign(state.level === "ok" || state.level === "notice" ? "off" : state.level, state.quality, state.why);
    const content = items.length === 0 ? empty : list;
    if (content.parentNode !== f.body) replace(f.body, content);
    if (content === empty) setText(empty, emptyText(watch));
    else chips(list, items);
  };
  const grave = Object.values(tile.states ?? {}).some((m) => m.level === "warning" || m.level === "alarm"); // a mere notice is no alarm
  const options = put<WatchOptions>({ ...asks(tile, ctx.layout), states: tile.states, alarms: grave });
  const watch = watchIn(ctx, tile.filter, options, () => slot.dirty());
  const slot = drawing(ctx, f.el, 200, draw);
  return { el: f.el, show: (v) => { watch.setPaused(!v); slot.dirty(); }, close: () => { slot.remove(); watch.close(); } };
}

function chips(list: HTMLElement, items: readonly Item[]): void {
  const shown = items.slice(0, most), key = shown.map((i) => i.topic).join("\n");
  if (list.dataset["of"] !== key) {
    list.dataset["of"] = key;
    const names = shortNames(shown.map((i) => i.topic));
    replace(list, shown.map((i) => h("li", { title: visible(i.topic, 1000) }, h("span", { class: "word" }),
      items.length > 1 && name(names.get(i.topic) ?? i.topic, { class: "of" }))), items.length > most && h("li", { class: "more" }, `and ${items.length - most} more`));
  }
  setAttr(list, "data-one", items.length === 1 ? "" : null);
  setAttr(list, "data-few", items.length > 1 && items.length <= 4 ? "" : null);
  for (const [i, item] of shown.entries()) {
    const row = list.children[i] as HTMLElement, word = row.children[0] as HTMLElement;
    const q = item.quality().quality, text = visible(item.text === "" ? "(empty)" : item.text, 60), now = `${item.level} ${q} ${text}`;
    if (row.dataset["now"] === now) continue;
    row.dataset["now"] = now;
    setAttr(row, "data-level", item.level);
    setAttr(row, "data-quality", q);
    replace(word, icon(q === "stale" ? "stale" : item.level), h("bdi", null, text), q !== "live" && h("span", { class: q === "stale" ? "hidden" : "held" }, q === "stale" ? " (stale)" : "held"));
  }
}

export function textTile(tile: TextTile, ctx: Context): Live {
  const f = frame(tile);
  const empty = h("p", { class: "empty" });
  const list = h("ul", { class: "texts" });
  const draw = (): void => {
    const items = itemsOf(watch).slice(0, most);
    const state = stateOf(items);
    f.sign(state.level, state.quality, state.why);
    const content = items.length === 0 ? empty : list;
    if (content.parentNode !== f.body) replace(f.body, content);
    if (content === empty) return setText(empty, emptyText(watch));
    while (list.childElementCount < items.length) list.append(h("li", null, h("p", { dir: "auto" }), h("p", { class: "age" })));
    for (const [i, item] of items.entries()) {
      const row = list.children[i] as HTMLElement;
      setText(row.children[0] as HTMLElement, visible(item.text, 2000));
      setText(row.children[1] as HTMLElement, `${items.length > 1 ? `${visible(item.topic, 60)} · ` : ""}${ageText(item, ctx.format)} ago`);
    }
  };
  const watch = watchIn(ctx, tile.filter, asks(tile, ctx.layout), () => slot.dirty());
  const slot = drawing(ctx, f.el, 200, draw);
  return { el: f.el, show: (v) => { watch.setPaused(!v); slot.dirty(); }, close: () => { slot.remove(); watch.close(); } };
}
