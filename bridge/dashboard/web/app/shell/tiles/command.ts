// Sends a command to a device where the session's grants allow it, asks back for dangerous ones, and says what became of it.
// That the bridge has it does not mean that the device has.

import type { PublishError } from "plumbline-client";
import { ask } from "../dialog.ts";
import { button, h, icon, name, replace, setAttr, visible } from "../dom.ts";
import type { CommandTile } from "../layout.ts";
import { allowed } from "../topic.ts";
import { type Context, frame, type Live } from "./common.ts";

export function commandTile(tile: CommandTile, ctx: Context): Live {
  const f = frame(tile);
  const said = h("p", { class: "said", role: "status" });
  if (!ctx.me.commands || !allowed(ctx.me.grants.publish, tile.topic)) {
    f.body.append(h("p", { class: "sign", "data-level": "off" }, icon("lock"), ctx.me.commands ? "your token does not grant it" : "this bridge takes no commands"), h("p", { class: "to" }, "to ", name(tile.topic)));
    return { el: f.el, show: () => undefined, close: () => undefined };
  }
  let busy = false;
  const agreed = new Set<string>(); // what a stranger's tile was allowed to send
  const agree = async (payload: string): Promise<boolean> => {
    const q = question(tile, payload, ctx.foreign() && !agreed.has(unseen(tile, payload)));
    if (q !== null && !await ask(q.title, q.details, "Send", true)) return false;
    agreed.add(unseen(tile, payload));
    return true;
  };
  const send = async (payload: string): Promise<void> => {
    if (busy) return;
    if (!await agree(payload)) return;
    busy = true;
    setAttr(f.el, "data-busy", "");
    replace(said, "is sent…");
    try {
      await ctx.client.publish(tile.topic, payload, { qos: tile.qos === 0 ? 0 : 1 });
      tell(said, "ok", `${tile.qos === 0 ? "sent" : "the bridge has it"}: ${visible(payload, 40)}, ${ctx.format.clock(ctx.store.nowUs())}`);
    } catch (error) {
      tell(said, "alarm", failure(error as PublishError));
    } finally {
      busy = false;
      setAttr(f.el, "data-busy", null);
    }
  };
  f.body.append(input(tile, (p) => void send(p)), h("p", { class: "to" }, "to ", name(tile.topic)), said);
  return { el: f.el, show: () => undefined, close: () => undefined };
}

// question is what is asked before a payload goes out; null when nothing is. Of a stranger's layout every word but topic and payload may be a lie.
export function question(tile: CommandTile, payload: string, stranger: boolean): { readonly title: string; readonly details: readonly string[] } | null {
  const own = tile.confirm ?? "";
  if (!stranger) return own === "" ? null : { title: own, details: [`${visible(payload, 100)} → ${visible(tile.topic, 200)}`] };
  return {
    title: "Send a command of a layout that is not your own?",
    details: [`Topic: ${visible(tile.topic, 500)}`, payload === "" ? "Payload: empty" : `Payload: ${visible(payload, 1000)}`, ...(own === "" ? [] : [`The layout asks: ${visible(own, 200)}`]), "It is sent with what your token grants."],
  };
}

// unseen is the payload where the tile does not show it: of a button or switch each is asked about by itself.
function unseen(tile: CommandTile, payload: string): string {
  return tile.input === "choice" || tile.input === "number" || tile.input === "text" ? "" : payload;
}

function tell(el: HTMLElement, level: string, text: string): void {
  setAttr(el, "data-level", level);
  replace(el, text);
}

const reasons: Readonly<Record<string, string>> = {
  forbidden: "your token does not allow it", topic: "that is no topic to send to", qos: "QoS must be 0 or 1", rate: "too many commands at once: wait a second",
  offline: "there is no connection", lost: "the connection broke", timeout: "no answer came",
};

// failure says why, and whether the device may have got it all the same.
export function failure(e: { reason?: string; detail?: string; sent?: "no" | "perhaps"; message?: string }): string {
  const why = reasons[e.reason ?? ""] ?? visible(e.detail ?? e.message ?? "unknown", 200);
  return `not confirmed: ${why}${e.sent === "perhaps" ? ". It may have been sent: look at the device before you send it again" : ". It was not sent"}`;
}

function input(tile: CommandTile, send: (payload: string) => void): HTMLElement {
  const label = tile.label ?? "Send", kind = tile.confirm === undefined ? "" : "danger";
  const called = tile.title ?? tile.label ?? tile.topic;
  switch (tile.input ?? "button") {
    case "button": return h("div", { class: "command" }, button(label, () => send(tile.payload ?? ""), { class: `wide ${kind}` }));
    case "switch": return h("div", { class: "command pair" }, button("On", () => send(tile.on ?? "on"), { class: kind, "aria-label": `${called}: on` }), button("Off", () => send(tile.off ?? "off"), { class: kind, "aria-label": `${called}: off` }));
    case "choice": {
      const select = h("select", { "aria-label": called }, (tile.choices ?? []).map((c) => h("option", { value: c }, visible(c, 60))));
      return form(send, label, kind, select, () => select.value);
    }
    default: {
      const number = tile.input === "number";
      const field = h("input", { type: number ? "number" : "text", required: number, min: tile.min, max: tile.max, step: tile.step ?? (number ? "any" : undefined), maxlength: 1000, "aria-label": called });
      return form(send, label, kind, field, () => number ? String(field.valueAsNumber) : field.value, tile.unit);
    }
  }
}

function form(send: (payload: string) => void, label: string, kind: string, field: HTMLElement, value: () => string, unit?: string): HTMLElement {
  return h("form", { class: "command", onsubmit: (e: Event) => { e.preventDefault(); send(value()); } }, field, unit !== undefined && h("span", { class: "unit" }, unit), h("button", { type: "submit", class: kind }, label));
}
