// The view layer: elements made by function calls. Text reaches the page as text nodes alone, so that what devices
// send can never be markup; styles are set through CSSOM, which the content security policy allows.

import { visible } from "../core/visible.ts";

export { visible };

export type Child = Node | string | number | null | undefined | false | readonly Child[];

// Props: `on…` listeners, `style` custom properties, `class`, `aria-…`, `data-…`; booleans are attributes without a value.
export type Props = { readonly [name: string]: unknown };

export function h<K extends keyof HTMLElementTagNameMap>(tag: K, props?: Props | null, ...children: Child[]): HTMLElementTagNameMap[K] {
  return fill(document.createElement(tag), props, children);
}

export function svg<K extends keyof SVGElementTagNameMap>(tag: K, props?: Props | null, ...children: Child[]): SVGElementTagNameMap[K] {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), props, children);
}

function fill<E extends HTMLElement | SVGElement>(el: E, props: Props | null | undefined, children: readonly Child[]): E {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === "function") el.addEventListener(name.replace(/^on/, ""), value as EventListener);
    else if (name === "style") styles(el, value as Readonly<Record<string, string | number>>);
    else if (name === "value" && "value" in el) el.value = String(value);
    else el.setAttribute(name, value === true ? "" : String(value));
  }
  append(el, children);
  return el;
}

export function styles(el: HTMLElement | SVGElement, values: Readonly<Record<string, string | number>>): void {
  for (const [name, value] of Object.entries(values)) el.style.setProperty(name, String(value));
}

function append(el: Node, children: readonly Child[]): void {
  for (const child of children) {
    if (Array.isArray(child)) append(el, child as readonly Child[]);
    else if (child instanceof Node) el.appendChild(child);
    else if (child !== null && child !== undefined && child !== false) el.appendChild(document.createTextNode(String(child)));
  }
}

export function replace(el: Element, ...children: Child[]): void {
  el.replaceChildren();
  append(el, children);
}

// setText writes only what differs: an unchanged text costs no layout, and a live region stays silent.
export function setText(el: Node, text: string): void {
  if (el.textContent !== text) el.textContent = text;
}

export function setAttr(el: Element, name: string, value: string | null): void {
  if (value === null) el.removeAttribute(name);
  else if (el.getAttribute(name) !== value) el.setAttribute(name, value);
}

// name shows a text of somebody else's: isolated, so that its direction cannot spill into ours.
export function name(text: string, props?: Props): HTMLElement {
  return h("bdi", { title: text.length > 40 ? visible(text, 1000) : undefined, ...props }, visible(text));
}

const paths: Readonly<Record<string, string>> = {
  ok: "M3 8.5l3.2 3.2L13 4.8", notice: "M8 3v.1M8 6.5v6", warning: "M8 2.5L14.5 13.5h-13zM8 6.5v3.2M8 11.5v.1", alarm: "M5.2 2h5.6L14 5.2v5.6L10.8 14H5.2L2 10.8V5.2zM8 5v3.8M8 11v.1",
  off: "M3.5 8h9", stale: "M8 2a6 6 0 1 0 .01 0M8 4.8V8l2.2 1.6", none: "M5 8h.1M8 8h.1M11 8h.1", menu: "M2.5 4h11M2.5 8h11M2.5 12h11", close: "M4 4l8 8M12 4l-8 8",
  live: "M8 4.5a3.5 3.5 0 1 0 .01 0", down: "M4 4l8 8M8 2a6 6 0 1 0 .01 0", waiting: "M8 2a6 6 0 0 1 6 6", edit: "M3 13l.8-3L11 2.8 13.2 5 6 12.2z", drag: "M6 4h.1M10 4h.1M6 8h.1M10 8h.1M6 12h.1M10 12h.1",
  plumb: "M8 1v7M5 8h6L8 15z",
  wall: "M2 3h12v8H2zM6 14h4", lock: "M4 7h8v6.5H4zM5.5 7V5a2.5 2.5 0 0 1 5 0v2", bell: "M4 11V7a4 4 0 0 1 8 0v4l1 1H3zM7 14h2", fallback: "M2 5h9l-2.5-2.5M14 11H5l2.5 2.5",
};

// icon is decoration beside a word: hidden from screen readers.
export function icon(what: string): SVGSVGElement {
  return svg("svg", { class: "icon", viewBox: "0 0 16 16", "aria-hidden": "true", "data-icon": what }, svg("path", { d: paths[what] ?? paths["none"] }));
}

export function button(label: string, onclick: (event: Event) => void, props?: Props): HTMLButtonElement {
  return h("button", { type: "button", onclick, ...props }, label);
}
