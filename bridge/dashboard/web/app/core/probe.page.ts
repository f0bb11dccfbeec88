// A store, a chart and tiles as a test in a real browser wants them, put into the bridge's own page: globalThis.probe.

import { connect, type Client } from "plumbline-client";
import uplotCSS from "uplot/dist/uPlot.min.css";
import coreCSS from "./core.css";
import { chart, createStore, type Chart, type ChartOptions, type Store, type Watch, type WatchOptions } from "./index.ts";

let client: Client;
let store: Store;
const charts: Chart[] = [];
const watches: Watch[] = [];
const errors: string[] = [];

addEventListener("error", (e) => errors.push(e.message));
addEventListener("unhandledrejection", (e) => errors.push(String(e.reason)));

function start(): void {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(uplotCSS + coreCSS.replace(/@import[^;]*;/, ""));
  document.adoptedStyleSheets = [sheet];
  document.body.replaceChildren();
  Object.assign(document.body.style, { display: "flex", flexWrap: "wrap", margin: "0" });
  client = connect({ url: "/ws", minBackoffMs: 50, maxBackoffMs: 300 });
  store = createStore({ client, history: { base: "/api/v1/history" }, locale: "en-GB" });
}

function place(width: number, height: number): HTMLElement {
  const el = document.createElement("div");
  el.style.width = `${width}px`;
  el.style.height = `${height}px`;
  document.body.append(el);
  return el;
}

/** show adds a chart and returns its number. */
function show(o: ChartOptions, width = 600, height = 300): number {
  return charts.push(chart(place(width, height), store, o)) - 1;
}

/** tile adds a tile that writes its items' texts, as the shell's do. */
function tile(filter: string, o: WatchOptions): void {
  const el = place(120, 40);
  watches.push(
    store.watch(filter, o, (_changed, w) => {
      let text = "";
      for (const item of w.items.values()) text += `${item.text} ${item.unit} ${item.quality().quality} `;
      el.textContent = text;
    }),
  );
}

/** inked counts the pixels of a chart that have nearly this colour. */
function inked(n: number, red: number, green: number, blue: number): number {
  const canvas = document.querySelectorAll("canvas")[n];
  const pixels = canvas?.getContext("2d")?.getImageData(0, 0, canvas.width, canvas.height).data;
  if (pixels === undefined) return -1;
  let count = 0;
  for (let i = 0; i < pixels.length; i += 4) {
    const far = Math.abs((pixels[i] as number) - red) + Math.abs((pixels[i + 1] as number) - green) + Math.abs((pixels[i + 2] as number) - blue);
    if ((pixels[i + 3] as number) > 200 && far < 40) count++;
  }
  return count;
}

/** over is where a chart's plotting area lies. */
function over(n: number): { x: number; y: number; width: number; height: number } {
  const r = document.querySelectorAll(".u-over")[n]?.getBoundingClientRect();
  return { x: r?.x ?? 0, y: r?.y ?? 0, width: r?.width ?? 0, height: r?.height ?? 0 };
}

Object.assign(globalThis, { probe: { start, show, tile, inked, over, charts, watches, errors, store: () => store, client: () => client } });
