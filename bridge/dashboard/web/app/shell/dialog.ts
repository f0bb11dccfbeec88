// Dialogs: the browser's own, with its focus, Escape and backdrop.

import { button, type Child, h, icon, visible } from "./dom.ts";

export interface Opened { readonly el: HTMLDialogElement; readonly body: HTMLElement; close(): void; readonly closed: Promise<void> }

export function open(title: string, children: Child[], o?: { wide?: boolean; fixed?: boolean; class?: string }): Opened {
  const id = `d${Math.random().toString(36).slice(2)}`;
  const body = h("div", { class: "dialog-body" }, children);
  const el = h("dialog", { class: `dialog ${o?.wide === true ? "wide" : ""} ${o?.class ?? ""}`, "aria-labelledby": id },
    h("header", null, h("h2", { id }, title), o?.fixed !== true && h("button", { type: "button", class: "plain", "aria-label": "Close", onclick: () => el.close() }, icon("close"))), body);
  const before = document.activeElement;
  const closed = new Promise<void>((resolve) => el.addEventListener("close", () => {
    el.remove();
    if (before instanceof HTMLElement && before.isConnected) before.focus();
    resolve();
  }));
  if (o?.fixed === true) el.addEventListener("cancel", (e) => e.preventDefault());
  else el.addEventListener("click", (e) => { if (e.target === el) el.close(); });
  document.body.append(el);
  el.showModal();
  return { el, body, close: () => el.close(), closed };
}

// ask asks back; false when it is left in whatever other way. The harmless answer has the focus.
export async function ask(question: string, details: readonly string[], yes: string, danger = false): Promise<boolean> {
  let answer = false;
  const d = open(question, [
    details.map((t) => h("p", { class: "detail" }, h("bdi", null, visible(t, 1200)))),
    h("div", { class: "buttons" }, button("Cancel", () => d.close(), { autofocus: true }),
      button(yes, () => { answer = true; d.close(); }, { class: danger ? "danger" : "primary" })),
  ]);
  await d.closed;
  return answer;
}

export interface Chosen<T> { readonly label: string; readonly value: T; readonly primary?: boolean; readonly danger?: boolean }

// choose offers several ways on; null when it is left.
export async function choose<T>(title: string, text: Child[], ways: readonly Chosen<T>[]): Promise<T | null> {
  let answer: T | null = null;
  const d = open(title, [text, h("div", { class: "buttons" },
    button("Cancel", () => d.close()),
    ways.map((w) => button(w.label, () => { answer = w.value; d.close(); }, { class: w.primary === true ? "primary" : w.danger === true ? "danger" : "" })))]);
  await d.closed;
  return answer;
}
