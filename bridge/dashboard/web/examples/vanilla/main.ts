// Last values of topics in a table, with nothing but the client and the DOM.

import type { Client } from "plumbline-client";
import { describe, open } from "../sign.ts";

const app = document.querySelector("#app") as HTMLElement;

function element<K extends keyof HTMLElementTagNameMap>(name: K, properties: Partial<HTMLElementTagNameMap[K]> = {}, ...children: Node[]): HTMLElementTagNameMap[K] {
  const el = Object.assign(document.createElement(name), properties);
  el.append(...children);
  return el;
}

const field = (name: string, type = "text") => element("input", { name, type, required: true, placeholder: name });
const form = element("form", {}, field("bridge"), field("filter"), field("token", "password"), element("button", { textContent: "Watch" }));
app.append(form);

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const given = new FormData(form);
  const text = (name: string) => String(given.get(name));
  watch(open({ bridge: text("bridge"), filter: text("filter"), token: text("token") }), text("filter"));
  form.remove();
});

function watch(client: Client, filter: string): void {
  const state = element("p", { id: "state" });
  const proof = element("p", { id: "proof" });
  const body = element("tbody");
  const cells = new Map<string, HTMLTableCellElement>();
  app.append(state, proof, element("table", {}, body));

  let refused = "";
  client.on("state", (s) => (state.textContent = refused || describe(s)));
  const subscription = client.subscribe(filter, { mode: "latest", snapshot: true }, (update) => {
    for (const reading of update.readings) {
      let cell = cells.get(reading.topic);
      if (!cell) {
        cell = element("td");
        cells.set(reading.topic, cell);
        body.append(element("tr", {}, element("th", { textContent: reading.topic }), cell)); // text, never markup: topics and payloads are of strangers
      }
      cell.textContent = reading.text();
    }
    if (update.kind === "end") {
      state.textContent = refused = update.error.message;
    }
    const { delivered, conflated, complete } = subscription.proof;
    proof.textContent = `${complete ? "complete" : "gaps"}: ${delivered} readings, ${conflated} replaced by newer ones`;
  });
}
