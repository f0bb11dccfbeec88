// The head of the page: where one is, whether what is seen is live and complete, and the ways to everything else.

import type { Health, Store } from "../core/index.ts";
import { latencyShort, proofShort, sayLatency, sayState, saySpan, wayOf } from "./connection.ts";
import { open } from "./dialog.ts";
import { button, h, icon, name, replace, setAttr, setText } from "./dom.ts";
import type { Format } from "./format.ts";
import type { Layout } from "./layout.ts";

export interface HeadOptions {
  readonly store: Store;
  readonly format: Format;
  readonly layout: Layout;
  goTo(page: number): void;
  menu(): void;
  announce(text: string): void;
  everySecond(f: () => void): () => void;
}

const icons = { live: "live", fallback: "fallback", waiting: "waiting", down: "down" } as const;

// A fallback is told at length for so long; then the word in the pill is enough.
const bandMs = 20_000;

export class Head {
  readonly el: HTMLElement;
  readonly #o: HeadOptions;
  readonly #state = h("button", { type: "button", class: "pill state", "aria-haspopup": "dialog", onclick: () => this.details() });
  readonly #latency = h("span", { class: "latency", title: "from the bridge to this page, in the last minute" });
  readonly #proof = h("span", { class: "proof" });
  readonly #bell = h("span", { class: "bell", role: "status" });
  readonly #clock = h("time", { class: "clock" });
  readonly #said = h("span");
  readonly #again = button("Try now", () => this.#o.store.client.retry(), { class: "small", hidden: true });
  readonly #why = h("p", { class: "band", hidden: true }, this.#said, this.#again);
  readonly #tabs: HTMLElement;
  readonly #offs: (() => void)[] = [];
  #was = "";

  constructor(o: HeadOptions) {
    this.#o = o;
    this.#tabs = h("nav", { class: "tabs", "aria-label": "Pages", hidden: o.layout.pages.length < 2 }, o.layout.pages.length > 1 && o.layout.pages.map((p, i) =>
      h("button", { type: "button", onclick: () => o.goTo(i) }, name(p.title))));
    this.el = h("header", { class: "head" },
      h("div", { class: "bar" }, h("h1", null, name(o.layout.title)), this.#tabs, h("div", { class: "signs" }, this.#bell, this.#proof, this.#latency, this.#state, this.#clock,
        h("button", { type: "button", class: "plain menu", "aria-label": "Menu", "aria-haspopup": "dialog", onclick: () => o.menu() }, icon("menu")))),
      this.#why);
    this.#offs.push(o.store.on("health", () => this.draw()), o.everySecond(() => this.draw()), o.store.alarms.on(() => this.#alarms()));
    this.draw();
    this.#alarms();
  }

  page(at: number): void {
    for (const [i, tab] of [...this.#tabs.children].entries()) setAttr(tab, "aria-current", i === at ? "page" : null);
    this.#tabs.children[at]?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  draw(): void {
    const { store, format } = this.#o, health = store.health;
    const said = sayState(health.state, performance.now());
    if (this.#was !== said.word) {
      replace(this.#state, icon(icons[said.mood]), h("span", { class: "word" }, said.word));
      setAttr(this.#state, "data-mood", said.mood);
      setAttr(document.documentElement, "data-live", said.mood === "live" || said.mood === "fallback" ? "yes" : "no");
      if (this.#was !== "") this.#o.announce(`${said.word}. ${said.why}`);
      this.#was = said.word;
    }
    setAttr(this.#state, "title", said.why);
    const note = health.clock.note;
    const fellBackMs = health.state.fallback === null ? Infinity : performance.now() - health.state.fallback.sinceMs;
    this.#why.hidden = said.mood === "live" ? note === "" : said.mood === "fallback" && fellBackMs > bandMs;
    setAttr(this.#why, "data-mood", said.mood);
    this.#again.hidden = !(health.state.phase === "waiting" || (health.state.phase === "refused" && health.state.cause?.kind !== "token"));
    if (!this.#why.hidden) setText(this.#said, said.mood === "live" ? note : said.mood === "fallback" || health.delivered === 0 ? `${said.why}.` : `${said.why}. What is shown is the last that came.`);
    setText(this.#latency, health.live ? latencyShort(health.latency, format) : "");
    this.#drawProof(health);
    setText(this.#clock, format.clock(store.nowUs()));
  }

  #drawProof(health: Health): void {
    const p = proofShort(health);
    if (this.#proof.textContent !== p.text) replace(this.#proof, h("span", { class: "sign", "data-level": p.ok ? "ok" : "warning" }, icon(p.ok ? "ok" : "warning"), h("span", { class: "word" }, p.text)));
    setAttr(this.#proof, "title", health.completeness);
  }

  #alarms(): void {
    const open = this.#o.store.alarms.active.filter((a) => !a.acknowledged);
    const bad = open.filter((a) => a.level === "alarm").length, other = open.length - bad;
    const left = this.#o.store.alarms.left; // for which the list has no room
    const counted = [[bad, "alarm"], [other, "warning"]].filter(([n]) => n !== 0).map(([n, what]) => `${n} ${what}${n === 1 ? "" : "s"}`);
    const text = [...counted, ...(left > 0 ? [`${left} not listed`] : [])].join(", ");
    if (this.#bell.title === text) return;
    this.#bell.title = text;
    replace(this.#bell, text !== "" && h("span", { class: "sign pill", "data-level": bad > 0 ? "alarm" : "warning" }, icon("bell"), h("span", { class: "word" }, text), h("span", { class: "count", "aria-hidden": "true" }, open.length + left)));
  }

  // details: the whole account of the connection.
  details(): void {
    const list = h("dl", { class: "facts" });
    const off = this.#o.everySecond(() => this.#facts(list));
    this.#facts(list);
    const d = open("Connection and proof", [list, h("div", { class: "buttons" }, button("Close", () => d.close(), { class: "primary" }))], { wide: true });
    void d.closed.then(off);
  }

  #facts(list: HTMLElement): void {
    const { store, format } = this.#o, x = store.health, s = x.state;
    const said = sayState(s, performance.now());
    const rows: [string, string][] = [
      ["State", `${said.word}. ${said.why}.`],
      ["Way", wayOf(s) === "" ? "none" : `${wayOf(s)}${s.session === null ? "" : `, to ${s.session.node}`}`],
      ["Latency", `from the bridge to this page: ${sayLatency(x.latency, format)} ${x.latency.note}`.trim()],
      ...(x.sensor === null ? [] : [["Sensor", `from the sensor to this page: ${sayLatency(x.sensor, format)}`] as [string, string]]),
      ["Completeness", x.completeness],
      ["Readings", `${format.number(x.delivered, 0)} delivered, ${format.number(x.conflated, 0)} left out on purpose because a newer one took their place, ${format.number(x.missing, 0)} declared missing in ${format.number(x.gaps, 0)} gaps; ${format.number(x.resumes, 0)} times gone on without a hole after a break`],
      ["Load", `${format.number(x.perSecond, 0)} readings a second of ${format.number(x.topics, 0)} topics by ${format.number(x.feeds, 0)} subscriptions; drawing takes ${format.number(x.drawing.share * 100, 0)} % of a processor`],
      ["Clock", x.clock.known ? `known to ± ${saySpan(x.clock.errorUs, format)}${x.clock.note === "" ? "" : `; ${x.clock.note}`}` : "not compared with the bridge's yet"],
    ];
    if (list.childElementCount !== rows.length * 2) replace(list, rows.map(([t]) => [h("dt", null, t), h("dd")]));
    const cells = list.querySelectorAll("dd");
    for (const [i, [, text]] of rows.entries()) setText(cells[i] as HTMLElement, text);
  }

  close(): void {
    for (const off of this.#offs) off();
    this.el.remove();
  }
}
