// The table of devices, on the roster's account of who is there.

import type { Item } from "../../core/index.ts";
import { h, icon, name, replace, setAttr, setText, visible } from "../dom.ts";
import type { DevicesTile } from "../layout.ts";
import { defaultOffline, defaultOnline, type Device, inOrder, type Presence, Roster } from "../roster.ts";
import { type Context, drawing, emptyText, frame, type Live } from "./common.ts";

const mostRows = 500;

const presenceWords: Readonly<Record<Presence, readonly [string, string]>> = {
  online: ["ok", "Online"], offline: ["alarm", "Offline"], silent: ["stale", "Silent"], heard: ["off", "Heard"],
};

// shownAs is the sign and word of a presence. Without a connection nobody knows: what stands is the last that was known.
export function shownAs(presence: Presence, live: boolean): readonly [string, string] {
  const [level, word] = presenceWords[presence];
  return live ? [level, word] : ["stale", `${word}, last known`];
}

export function devicesTile(tile: DevicesTile, ctx: Context): Live {
  const f = frame(tile);
  const roster = new Roster({
    level: tile.level, online: tile.online ?? defaultOnline, offline: tile.offline ?? defaultOffline, staleAfterS: tile.staleAfterS ?? ctx.layout.staleAfterS,
  });
  const rows = h("tbody");
  const foot = h("p", { class: "note" });
  f.body.append(h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Devices" },
    h("table", null, h("thead", null, h("tr", null, ["Device", "State", "Last heard", "A second", "Topics"].map((t) => h("th", { scope: "col" }, t)))), rows)), foot);
  let knownUs = NaN; // until when the connection stood
  const counted = new Map<string, number>();
  const draw = (): void => {
    const { live, reason } = ctx.store.health, nowUs = ctx.store.nowUs();
    if (live || Number.isNaN(knownUs)) knownUs = nowUs; // a break of the connection makes no device silent
    const all = inOrder(roster, knownUs), shown = all.slice(0, mostRows);
    while (rows.childElementCount > shown.length) rows.lastElementChild?.remove();
    while (rows.childElementCount < shown.length) rows.append(h("tr", null, h("th", { scope: "row" }), h("td"), h("td", { class: "age" }), h("td", { class: "figure" }), h("td", { class: "figure" })));
    for (const [i, d] of shown.entries()) fillRow(rows.children[i] as HTMLElement, d, roster, { live, knownUs, nowUs }, ctx);
    const gone = all.filter((d) => roster.presence(d, knownUs) === "offline").length;
    f.sign(gone > 0 ? "warning" : "off", live ? "live" : "stale", reason);
    setText(foot, all.length === 0 ? emptyText(watch) : `${ctx.format.number(all.length, 0)} ${all.length === 1 ? "device" : "devices"}${gone > 0 ? `, ${ctx.format.number(gone, 0)} offline` : ""}${shown.length < all.length ? `, ${shown.length} shown` : ""}. ${watch.note}`);
  };
  const heard = (items: ReadonlySet<Item>): void => {
    for (const i of items) {
      const before = counted.get(i.topic);
      if (before === i.count) continue; // its quality has changed, nothing came
      counted.set(i.topic, i.count);
      roster.heard(i.topic, i.timeUs, i.count - (before ?? 0), i.count > 0, i.silenceUs);
    }
    slot.dirty();
  };
  const watch = ctx.store.watch(tile.filter, { every: "message", alarms: false }, heard);
  const said = (items: ReadonlySet<Item>): void => {
    for (const i of items) roster.status(i.topic, "text" in i.value ? i.value.text : i.text, i.timeUs);
    slot.dirty();
  };
  const status = tile.status === undefined || tile.status === "" ? null : ctx.store.watch(tile.status, { every: "message", alarms: false }, said);
  const slot = drawing(ctx, f.el, 500, draw);
  return { el: f.el, show: () => slot.dirty(), close: () => { slot.remove(); watch.close(); status?.close(); } };
}

function fillRow(row: HTMLElement, d: Device, roster: Roster, at: { readonly live: boolean; readonly knownUs: number; readonly nowUs: number }, ctx: Context): void {
  const [first, state, age, rate, topics] = row.children as unknown as [HTMLElement, HTMLElement, HTMLElement, HTMLElement, HTMLElement];
  if (row.dataset["key"] !== d.key) {
    row.dataset["key"] = d.key;
    const above = d.key.slice(0, d.key.length - d.name.length);
    replace(first, above !== "" && name(above, { class: "above" }), name(d.name, { title: visible(d.key, 1000) }));
  }
  const presence = roster.presence(d, at.knownUs), [level, word] = shownAs(presence, at.live);
  if (state.dataset["now"] !== word + d.saidWord) {
    state.dataset["now"] = word + d.saidWord;
    replace(state, h("span", { class: "sign", "data-level": level, title: d.saidWord === "" ? "says nothing of itself" : `says: ${visible(d.saidWord, 80)}` }, icon(level), word));
    setAttr(row, "data-quality", !at.live || presence === "offline" || presence === "silent" ? "stale" : "live");
  }
  setText(age, Number.isNaN(d.lastUs) ? "never" : `${ctx.format.age((at.nowUs - d.lastUs) / 1e6)} ago`);
  setText(rate, at.live ? ctx.format.number(roster.rate(d, at.nowUs), 1) : "–");
  setText(topics, ctx.format.number(d.topics, 0));
}
