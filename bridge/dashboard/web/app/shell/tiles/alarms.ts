// What stands above or below its limits, what was acknowledged, and what is over.

import type { Alarm } from "../../core/index.ts";
import { filterMatches } from "../topic.ts";
import { button, h, icon, name, replace, setText, visible } from "../dom.ts";
import type { AlarmsTile } from "../layout.ts";
import { type Context, frame, levelSign, type Live } from "./common.ts";

const mostShown = 100;

export function alarmsTile(tile: AlarmsTile, ctx: Context): Live {
  const f = frame(tile);
  const list = h("ul", { class: "alarms" });
  const past = h("details", { class: "past" });
  const calm = h("p", { class: "calm" }, icon("ok"), "Nothing is out of its limits"), unknown = h("p", { class: "calm" }, icon("stale"), "Nothing was out of its limits; how it is now is not known");
  const all = button("Acknowledge all", () => ctx.store.alarms.acknowledgeAll(), { class: "small", hidden: true });
  if (tile.filter === undefined) f.tools.append(all);
  const wanted = (a: Alarm): boolean => tile.filter === undefined || tile.filter === "" || filterMatches(tile.filter, a.topic);
  let was = "";
  const draw = (): void => {
    const active = ctx.store.alarms.active.filter(wanted), history = tile.history === false ? [] : ctx.store.alarms.history.filter(wanted);
    const live = ctx.store.health.live, none = live ? calm : unknown;
    const now = JSON.stringify([live, active.slice(0, mostShown), history.length, history[0]?.id]);
    if (now === was) return;
    was = now;
    all.hidden = !active.some((a) => !a.acknowledged);
    f.sign(active.some((a) => a.level === "alarm" && !a.acknowledged) ? "alarm" : active.some((a) => !a.acknowledged) ? "warning" : "off", "live", "");
    const focused = document.activeElement?.closest("[data-alarm]")?.getAttribute("data-alarm");
    replace(f.body, active.length === 0 ? none : list, history.length > 0 && past);
    replace(list, active.slice(0, mostShown).map((a) => row(a, ctx)));
    if (active.length > mostShown) list.append(h("li", { class: "more" }, `and ${active.length - mostShown} more`));
    replace(past, h("summary", null, `History of this tab: ${history.length}`), h("ul", { class: "alarms over" }, history.slice(0, mostShown).map((a) => row(a, ctx))));
    if (focused !== undefined) list.querySelector<HTMLElement>(`[data-alarm="${CSS.escape(focused ?? "")}"] button`)?.focus();
  };
  const offs = [ctx.store.alarms.on(draw), ctx.store.on("health", draw)];
  draw();
  return { el: f.el, show: draw, close: () => { for (const off of offs) off(); } };
}

function row(a: Alarm, ctx: Context): HTMLElement {
  const when = h("time", null);
  setText(when, a.endUs === null ? `since ${ctx.format.instant(a.sinceUs)}` : `${ctx.format.instant(a.sinceUs)} – ${ctx.format.clock(a.endUs)}`);
  const word = a.endUs !== null ? "is over" : a.acknowledged ? "acknowledged" : a.standing ? "" : "came back; waits to be seen";
  return h("li", { "data-level": a.level, "data-acknowledged": String(a.acknowledged), "data-alarm": a.id },
    levelSign(a.level),
    h("div", { class: "what" }, name(a.title), a.title !== a.topic && name(a.topic, { class: "of" }), h("span", { class: "value" }, visible(a.text, 120)), h("span", { class: "when" }, when, word !== "" && ` · ${word}`)),
    a.endUs === null && !a.acknowledged && button("Acknowledge", () => ctx.store.alarms.acknowledge(a.id), { class: "small", "aria-label": `Acknowledge ${visible(a.title, 80)}` }));
}
