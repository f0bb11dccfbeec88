// A chart of one or more topics: history joined with the present, zoom, pause, marks, and all of it in words too.

import type uPlot from "uplot";
import { columnsOf, freshItems, historyOf, inOrder, isStepped, makeLine, marksOf, nameLines, noteOf, staleFromUs, toldOf, unitOf, type ChartOptions, type ChartState, type LineState } from "./lines.ts";
import type { Columns } from "./columns.ts";
import { handle } from "./hands.ts";
import { Legend } from "./legend.ts";
import { makePlot, setWindow } from "./plot.ts";
import type { Drawn } from "./scheduler.ts";
import type { Store } from "./store.ts";
import { themeOf, type Theme } from "./theme.ts";
import { visible } from "./visible.ts";
import type { Watch } from "./watch.ts";
import { describe } from "./words.ts";

export interface Chart {
  readonly state: ChartState;
  /** Stands still; the data is kept on. */
  pause(): void;
  /** Follows the present again, in the window that is set. */
  resume(): void;
  zoom(fromUs: number, toUs: number): void;
  /** As the layout says. */
  reset(): void;
  /** Reads the page's colours anew. */
  theme(): void;
  /** The text alternative. */
  describe(): string;
  close(): void;
}

/** The narrowest window, in µs. */
const leastUs = 20_000;
/** The widest. */
const mostUs = 10 * 365.25 * 86400e6;
/** Pixels of a column: finer ones nobody sees. */
const pixels = 1.5;
/** The text alternative is written anew at most so often. */
const tellMs = 10_000;

/** chart draws into el. It throws a RangeError that says how to mend wrong options. */
export function chart(el: HTMLElement, store: Store, o: ChartOptions): Chart {
  return new Plotted(el, store, o);
}

class Plotted implements Chart {
  private readonly el: HTMLElement;
  private readonly store: Store;
  private readonly o: ChartOptions;
  private readonly watches: Watch[];
  private readonly lines: LineState[] = [];
  private readonly frame = document.createElement("div");
  private readonly note = document.createElement("p");
  private readonly text = document.createElement("p");
  private readonly said = document.createElement("p");
  private readonly legend: Legend;
  private readonly drawn: Drawn;
  private readonly resized: ResizeObserver;
  private readonly letGo: () => void;
  private plot: uPlot | null = null;
  private plotKey = "";
  private colours: Theme;
  private held: Columns = { x: [], y: [] };
  private spanUs: number;
  private fixed: { fromUs: number; toUs: number } | null = null;
  private pausedSpan = false;
  private cursor: number | null = null;
  private busy = false;
  private buckets = 400;
  private timer = 0;
  private toldMs = -Infinity;
  private looked = { topics: -1, ms: 0 };
  private drawable = 0;
  private closed = false;
  private current: ChartState;

  constructor(el: HTMLElement, store: Store, o: ChartOptions) {
    if (!(o.windowS >= 1)) throw new RangeError(`chart: windowS is ${o.windowS}: want at least 1 second`);
    this.el = el;
    this.store = store;
    this.o = o;
    this.spanUs = Math.min(o.windowS * 1e6, mostUs);
    this.legend = new Legend((l) => this.toggleLine(l));
    this.furnish();
    this.colours = themeOf(el);
    this.drawn = store.scheduler.add(() => this.draw(), { element: el, everyMs: 100 });
    this.watches = o.series.map((s) =>
      store.watch(s.filter, { every: "message", alarms: false, ...given({ pointer: s.pointer, unit: s.unit, scale: s.scale, offset: s.offset, field: s.field, digits: o.digits, limits: o.limits, staleAfterS: o.staleAfterS }) }, () => this.drawn.dirty()),
    );
    this.current = this.stateNow();
    this.resized = new ResizeObserver(() => this.resize());
    this.resized.observe(this.frame);
    this.letGo = handle(el, () => this.plot?.over ?? this.frame, {
      pan: (by) => this.pan(by),
      magnify: (factor, at) => this.magnify(factor, at),
      toggle: () => (this.current.following ? this.pause() : this.resume()),
      reset: () => this.reset(),
      say: () => this.say(this.describe()),
      busy: (b) => this.setBusy(b),
    });
    this.drawn.dirty();
  }

  get state(): ChartState {
    return this.current;
  }

  pause(): void {
    if (this.fixed !== null) return;
    this.fixed = this.window();
    this.pausedSpan = true;
    for (const l of this.lines) l.view.hold();
    this.say("Paused");
    this.drawn.dirty();
  }

  resume(): void {
    if (this.fixed === null) return;
    if (!this.pausedSpan) this.spanUs = Math.max(leastUs, this.fixed.toUs - this.fixed.fromUs);
    this.fixed = null;
    for (const l of this.lines) l.view.follow(this.spanUs, this.buckets);
    this.say("Following the present");
    this.drawn.dirty();
  }

  zoom(fromUs: number, toUs: number): void {
    const span = Math.min(Math.max(toUs - fromUs, leastUs), mostUs);
    const middle = (fromUs + toUs) / 2;
    this.fixed = { fromUs: middle - span / 2, toUs: middle + span / 2 };
    this.pausedSpan = false;
    for (const l of this.lines) l.view.fix(this.fixed.fromUs, this.fixed.toUs, this.buckets);
    this.drawn.dirty();
  }

  reset(): void {
    this.spanUs = Math.min(this.o.windowS * 1e6, mostUs);
    this.fixed = null;
    for (const l of this.lines) l.view.follow(this.spanUs, this.buckets);
    this.say("Whole window, following the present");
    this.drawn.dirty();
  }

  theme(): void {
    this.colours = themeOf(this.el);
    this.paint();
    this.plotKey = "";
    this.drawn.dirty();
  }

  describe(): string {
    const { fromUs, toUs } = this.window();
    return describe(
      { title: visible(this.o.title), fromUs, toUs, following: this.fixed === null, lines: toldOf(this.lines, this.o.digits, fromUs, toUs), marks: marksOf(this.lines), note: this.current.note },
      this.store.formats,
    );
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.letGo();
    this.resized.disconnect();
    this.drawn.remove();
    this.store.env.cancel(this.timer);
    for (const l of this.lines) l.item.series?.drop(l.view);
    for (const w of this.watches) w.close();
    this.plot?.destroy();
    this.el.replaceChildren();
  }

  // The DOM around the canvas.

  private furnish(): void {
    const id = `chart-text-${Math.random().toString(36).slice(2)}`;
    this.el.classList.add("chart");
    this.el.tabIndex = 0;
    this.el.setAttribute("role", "group");
    this.el.setAttribute("aria-roledescription", "chart");
    this.el.setAttribute("aria-label", this.o.title === "" ? "Chart" : visible(this.o.title));
    this.el.setAttribute("aria-describedby", id);
    this.el.setAttribute("aria-keyshortcuts", "ArrowLeft ArrowRight + - Space Home Enter");
    this.frame.className = "chart-frame";
    this.frame.setAttribute("aria-hidden", "true");
    this.note.className = "chart-note";
    this.text.className = "chart-text";
    this.text.id = id;
    this.said.className = "chart-text";
    this.said.setAttribute("aria-live", "polite");
    this.el.replaceChildren(this.frame, this.legend.element, this.note, this.text, this.said);
  }

  /** say tells a screen reader what a key has done. Data never speaks by itself. */
  private say(text: string): void {
    this.said.textContent = text;
  }

  private setBusy(busy: boolean): void {
    this.busy = busy;
    if (!busy) this.drawn.dirty();
  }

  private toggleLine(l: LineState): void {
    l.hidden = !l.hidden;
    this.drawn.dirty();
  }

  /** paint gives the lines their colours in the order of series and names: which topic spoke first is no matter of theirs. */
  private paint(): void {
    inOrder(this.lines, this.o.series).forEach((l, i) => (l.colour = this.colour(i)));
  }

  private colour(at: number): string {
    const c = this.colours.lines;
    return c[at % c.length] ?? this.colours.ink;
  }

  private resize(): void {
    const { clientWidth: width, clientHeight: height } = this.frame;
    if (width === 0 || height === 0) return;
    const wanted = Math.min(1200, Math.max(60, Math.floor(width / pixels)));
    if (Math.abs(wanted - this.buckets) > this.buckets / 4) {
      this.buckets = wanted;
      for (const l of this.lines) this.place(l);
    }
    if (this.plot !== null && (this.plot.width !== width || this.plot.height !== height)) this.plot.setSize({ width, height });
    this.drawn.dirty();
  }

  private place(l: LineState): void {
    if (this.fixed === null) l.view.follow(this.spanUs, this.buckets);
    else l.view.fix(this.fixed.fromUs, this.fixed.toUs, this.buckets);
  }

  // Where the window is.

  private window(): { fromUs: number; toUs: number } {
    if (this.fixed !== null) return this.fixed;
    const toUs = this.store.nowUs();
    return { fromUs: toUs - this.spanUs, toUs };
  }

  private pan(by: number): void {
    const { fromUs, toUs } = this.window();
    const move = Math.min((toUs - fromUs) * by, Math.max(0, this.store.nowUs() - toUs));
    if (move !== 0) this.zoom(fromUs + move, toUs + move);
  }

  private magnify(factor: number, at: number): void {
    const { fromUs, toUs } = this.window();
    const span = Math.min(Math.max((toUs - fromUs) * factor, leastUs), mostUs);
    const middle = fromUs + (toUs - fromUs) * at;
    const from = middle - span * at;
    const nowUs = this.store.nowUs();
    const over = Math.max(0, from + span - nowUs); // nothing is to be seen in the future
    this.zoom(from - over, from + span - over);
  }

  // Drawing.

  private draw(): void {
    if (this.closed || this.busy) return;
    this.grow();
    this.remake();
    const u = this.plot;
    const { fromUs, toUs } = this.window();
    if (u !== null) {
      this.held = columnsOf(this.lines, fromUs, toUs);
      setWindow(u, this.held, fromUs, toUs);
    }
    this.writeLegend();
    this.tell();
    this.next();
  }

  /** grow takes in topics that have come, at once, and those whose values have become numbers, within a second. */
  private grow(): void {
    let topics = 0;
    for (const w of this.watches) topics += w.items.size;
    const nowMs = this.store.env.now();
    if (topics === this.looked.topics && nowMs - this.looked.ms < 1000) return;
    this.looked = { topics, ms: nowMs };
    const { fresh, drawable } = freshItems(this.watches, this.lines, this.o.maxSeries ?? 12);
    this.drawable = drawable;
    for (const { item, at } of fresh) {
      const spec = this.o.series[at];
      if (spec === undefined) continue;
      const alone = this.watches[at]?.exact === true;
      const l = makeLine(item, spec, alone, this.colour(this.lines.length), () => this.drawn.dirty());
      this.lines.push(l);
      this.place(l);
      this.legend.add(l);
    }
    if (fresh.length > 0) {
      nameLines(this.lines);
      this.paint();
    }
  }

  /** remake builds the plot anew when its lines have changed: units, colours, which are shown. */
  private remake(): void {
    const { clientWidth: width, clientHeight: height } = this.frame;
    if (width === 0 || height === 0) return;
    const lines = this.lines.map((l) => ({ colour: l.colour, unit: unitOf(l), stepped: isStepped(l), show: !l.hidden }));
    const key = JSON.stringify(lines);
    if (this.plot !== null && key === this.plotKey) return;
    this.plot?.destroy();
    this.plotKey = key;
    this.plot = makePlot(this.frame, {
      width,
      height,
      theme: this.colours,
      formats: this.store.formats,
      lines,
      limits: this.o.limits,
      min: this.o.min,
      max: this.o.max,
      marks: () => marksOf(this.lines),
      staleFromUs: () => staleFromUs(this.lines),
      onSelect: (fromUs, toUs) => this.zoom(fromUs, toUs),
      onCursor: (index) => this.setCursor(index),
    });
  }

  private setCursor(index: number | null): void {
    this.cursor = index;
    this.writeLegend();
  }

  private writeLegend(): void {
    const at = this.cursor;
    this.legend.write((l) => {
      if (at === null) return join(l.item.text, l.item.unit);
      const cell = this.held.y[this.lines.indexOf(l)]?.line[at];
      if (cell === null || cell === undefined) return "–";
      const w = this.store.formats.number(cell, unitOf(l), this.o.digits === undefined ? l.item.numberOptions() : { digits: this.o.digits });
      return join(w.text, w.unit);
    });
  }

  private tell(): void {
    const next = this.stateNow();
    const before = this.current;
    this.current = next;
    if (this.note.textContent !== next.note) this.note.textContent = next.note;
    const nowMs = this.store.env.now();
    const news = next.stale !== before.stale || next.following !== before.following || next.history !== before.history || next.note !== before.note;
    if (news || nowMs - this.toldMs >= tellMs) {
      this.toldMs = nowMs;
      this.text.textContent = this.describe();
    }
    if (news || next.zoomed !== before.zoomed || next.stepUs !== before.stepUs || (!next.following && (next.fromUs !== before.fromUs || next.toUs !== before.toUs))) this.o.onState?.(next);
  }

  private stateNow(): ChartState {
    const { fromUs, toUs } = this.window();
    return {
      following: this.fixed === null,
      zoomed: this.spanUs !== this.o.windowS * 1e6 || (this.fixed !== null && !this.pausedSpan),
      fromUs,
      toUs,
      stepUs: this.lines[0]?.view.band.stepUs ?? 0,
      note: noteOf(this.watches, this.lines, this.drawable),
      history: historyOf(this.lines),
      stale: this.lines.length > 0 && staleFromUs(this.lines) === staleFromUs(this.lines),
    };
  }

  /** next plans the following draw: a column's width of time later the picture has moved by a column, whether anything came or not. */
  private next(): void {
    const stepMs = (this.lines[0]?.view.band.stepUs ?? 1e6) / 1000;
    this.drawn.every(Math.min(1000, Math.max(50, stepMs / 2)));
    this.store.env.cancel(this.timer);
    if (this.fixed === null) this.timer = this.store.env.after(Math.min(10_000, Math.max(250, stepMs)), () => this.drawn.dirty());
  }
}

function join(text: string, unit: string): string {
  return unit === "" ? text : `${text} ${unit}`;
}

/** given leaves out what is undefined, as exactOptionalPropertyTypes wants it. */
function given<T extends object>(o: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(o).filter(([, v]) => v !== undefined)) as { [K in keyof T]?: Exclude<T[K], undefined> };
}
