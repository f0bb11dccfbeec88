// What stands above or below its limits, what was acknowledged, and what is over.

import type { Alarm, Item, WatchOptions } from "../../core/index.ts";
import { matches } from "../../core/topics.ts";
import { acknowledge } from "../acknowledge.ts";
import { button, h, icon, name, replace, setAttr, setText, visible } from "../dom.ts";
import type { AlarmsTile } from "../layout.ts";
import { type Context, frame, itemsOf, levelSign, type Live } from "./common.ts";

const mostShown = 100;

// calmOf says what an empty list means: that all is well only where every value that can raise an alarm is sure, see isSure.
export function calmOf(connected: boolean, judged: readonly boolean[]): { readonly ok: boolean; readonly text: string } {
  if (!connected) return { ok: false, text: "Nothing was out of its limits; how it is now is not known" };
  if (judged.length === 0) return { ok: false, text: "There is no value with limits to judge yet" };
  const unsure = judged.filter((sure) => !sure).length;
  if (unsure === 0) return { ok: true, text: "Nothing is out of its limits" };
  return { ok: false, text: `Nothing is known to be out of its limits; ${unsure} of ${judged.length} ${judged.length === 1 ? "value" : "values"} cannot be judged now: stale, only held, not there, or nothing that has a meaning here` };
}

// isSure: whether an item is judged now. A level "off" is none, as of a sensor that sends NaN, but where the layout gives it to a word.
export function isSure(item: Pick<Item, "quality" | "level" | "value">, options: Pick<WatchOptions, "states">): boolean {
  const { states } = options, word = item.value.text.trim();
  return item.quality().quality === "live" && (item.level !== "off" || (states !== undefined && Object.hasOwn(states, word)));
}

export function alarmsTile(tile: AlarmsTile, ctx: Context): Live {
  const f = frame(tile);
  const list = h("ul", { class: "alarms" });
  const past = h("details", { class: "past" });
  const matching = (topic: string): boolean => tile.filter === undefined || tile.filter === "" || matches(tile.filter, topic);
  const wanted = (a: Alarm): boolean => matching(a.topic);
  const all = button("Acknowledge all", () => acknowledge(ctx.store.alarms, ctx.store.alarms.active.filter(wanted), ctx.announce), { class: "small", hidden: true });
  f.tools.append(all);
  setAttr(f.el, "tabindex", "-1"); // takes the focus when the last button is gone
  const sure = (): boolean[] => [...ctx.judged].flatMap(([w, options]) => itemsOf(w).filter((i) => matching(i.topic)).map((i) => isSure(i, options)));
  let was = "";
  const draw = (): void => {
    const active = ctx.store.alarms.active.filter(wanted), history = tile.history === false ? [] : ctx.store.alarms.history.filter(wanted);
    const none = active.length > 0 ? null : calmOf(ctx.store.health.live, sure());
    const left = ctx.store.alarms.left; // of whatever topics
    const now = JSON.stringify([none, active.slice(0, mostShown), active.length, left, history.length, history[0]?.id]);
    if (now === was) return;
    was = now;
    all.hidden = active.filter((a) => !a.acknowledged).length < 2;
    f.sign(active.some((a) => a.level === "alarm" && !a.acknowledged) ? "alarm" : active.some((a) => !a.acknowledged) ? "warning" : "off", "live", "");
    const at = document.activeElement, focused = at === all || list.contains(at) ? at?.closest("[data-alarm]")?.getAttribute("data-alarm") ?? "" : null;
    replace(f.body, none === null ? list : h("p", { class: "calm", "data-ok": String(none.ok) }, icon(none.ok ? "ok" : "stale"), none.text), history.length > 0 && past);
    replace(list, active.slice(0, mostShown).map((a) => row(a, ctx)));
    if (active.length > mostShown) list.append(h("li", { class: "more" }, `and ${ctx.format.number(active.length - mostShown, 0)} more${left > 0 ? `; beside them ${ctx.format.number(left, 0)} stand, on whatever topics, for which the list has no room` : ""}`));
    replace(past, h("summary", null, `History of this tab: ${history.length}`), h("ul", { class: "alarms over" }, history.slice(0, mostShown).map((a) => row(a, ctx))));
    if (focused !== null && !(at === all && !all.hidden)) (list.querySelector<HTMLElement>(`[data-alarm="${CSS.escape(focused)}"] button`) ?? list.querySelector("button") ?? f.el).focus();
  };
  const offs = [ctx.store.alarms.on(draw), ctx.store.on("health", draw)];
  draw();
  return { el: f.el, show: draw, close: () => { for (const off of offs) off(); } };
}

function row(a: Alarm, ctx: Context): HTMLElement {
  const when = h("time", null);
  setText(when, a.endUs === null ? `since ${ctx.format.instant(a.sinceUs)}` : `${ctx.format.instant(a.sinceUs)} – ${ctx.format.clock(a.endUs)}`);
  const stale = a.standing && a.quality === "stale"; // the sensor is silent: how it stands now is not known
  const word = a.endUs !== null ? "is over" : a.acknowledged ? "acknowledged" : a.standing ? "" : "came back; waits to be seen";
  return h("li", { "data-level": a.level, "data-acknowledged": String(a.acknowledged), "data-alarm": a.id, "data-quality": stale ? "stale" : undefined },
    levelSign(a.level),
    h("div", { class: "what" }, name(a.title), a.title !== a.topic && name(a.topic, { class: "of" }), h("span", { class: "value" }, visible(a.text, 120)), h("span", { class: "when" }, when, word !== "" && ` · ${word}`, stale && " · stale: how it is now is not known")),
    a.endUs === null && !a.acknowledged && button("Acknowledge", () => acknowledge(ctx.store.alarms, [a], ctx.announce), { class: "small", "aria-label": `Acknowledge ${visible(a.title, 80)}` }));
}
