// Which topics a chart draws, and how each is named and coloured.

import type { Columns, Line } from "./columns.ts";
import { columns, summary } from "./columns.ts";
import type { Item } from "./item.ts";
import { chartPoints } from "./series.ts";
import { shortNames } from "./topics.ts";
import type { Limits, Mark } from "./types.ts";
import type { View } from "./view.ts";
import { visible } from "./visible.ts";
import type { Watch } from "./watch.ts";
import type { Told } from "./words.ts";

/** One line's source: all topics of a filter. */
export interface SeriesSpec {
  readonly filter: string;
  readonly pointer?: string;
  readonly unit?: string;
  readonly label?: string;
  readonly scale?: number;
  readonly offset?: number;
  readonly field?: string;
}

export interface ChartOptions {
  readonly title: string;
  readonly series: readonly SeriesSpec[];
  readonly windowS: number;
  readonly min?: number;
  readonly max?: number;
  readonly limits?: Limits;
  readonly digits?: number;
  readonly staleAfterS?: number;
  /** Default 12. */
  readonly maxSeries?: number;
  readonly onState?: (s: ChartState) => void;
}

export interface ChartState {
  /** The window's end is the present. */
  readonly following: boolean;
  /** The window is another one than the layout says. */
  readonly zoomed: boolean;
  readonly fromUs: number;
  readonly toUs: number;
  readonly stepUs: number;
  /** "" or what is not drawn, or not known, in words. */
  readonly note: string;
  readonly history: "none" | "loading" | "joined" | "failed";
  /** No line is live. */
  readonly stale: boolean;
}

/** LineState is one topic on the chart. */
export interface LineState {
  readonly item: Item;
  readonly view: View;
  readonly spec: SeriesSpec;
  /** Its series can have no other topic. */
  readonly alone: boolean;
  name: string;
  colour: string;
  hidden: boolean;
}

/** Whether what is drawn is switched on and off, and holds until the next value. */
export function isStepped(line: LineState): boolean {
  return line.item.value.kind === "bool";
}

/** unitOf is the unit that the line is drawn in: as sent or configured, without a prefix of ours. */
export function unitOf(line: LineState): string {
  return visible(line.spec.unit ?? line.item.rawUnit);
}

/** What freshItems finds. */
export interface Found {
  readonly fresh: readonly { readonly item: Item; readonly at: number }[];
  /** Topics that could be drawn, with those that are. */
  readonly drawable: number;
}

/** freshItems finds topics that are not drawn yet, in the order of the series, as many as there is room for. */
export function freshItems(watches: readonly Watch[], drawn: readonly LineState[], most: number): Found {
  const known = new Set(drawn.map((l) => l.item));
  const fresh: { item: Item; at: number }[] = [];
  let drawable = drawn.length;
  watches.forEach((w, at) => {
    drawable += w.total - w.items.size; // nobody knows what these are
    for (const item of w.items.values()) {
      if (known.has(item) || !isDrawable(item)) continue;
      drawable++;
      if (drawn.length + fresh.length < most) fresh.push({ item, at });
    }
  });
  return { fresh, drawable };
}

/** isDrawable leaves out texts, and topics in which the pointer finds nothing: a filter may be wider than is meant. */
function isDrawable(item: Item): boolean {
  const kind = item.value.kind;
  return kind === "number" || kind === "bool" || kind === "nan";
}

/** makeLine begins to hold the points of a topic. */
export function makeLine(item: Item, spec: SeriesSpec, alone: boolean, colour: string, onChange: () => void): LineState {
  return { item, view: item.track(chartPoints).view(onChange), spec, alone, name: visible(item.topic), colour, hidden: false };
}

/** inOrder sorts lines by their series and the names of their topics. */
export function inOrder<L extends Pick<LineState, "spec"> & { readonly item: { readonly topic: string } }>(lines: readonly L[], series: readonly SeriesSpec[]): L[] {
  const at = (l: L): number => series.indexOf(l.spec);
  return [...lines].sort((a, b) => at(a) - at(b) || (a.item.topic < b.item.topic ? -1 : 1));
}

/** nameLines names the lines by their labels and, of several topics of one series, by the levels that tell them apart, as they may be shown. */
export function nameLines(lines: readonly LineState[]): void {
  for (const spec of new Set(lines.map((l) => l.spec))) {
    const of = lines.filter((l) => l.spec === spec);
    const short = shortNames(of.map((l) => l.item.topic));
    of.forEach((l, i) => {
      const topic = of.length > 1 ? (short[i] as string) : l.item.topic;
      if (spec.label === undefined || spec.label === "") l.name = visible(topic);
      else l.name = visible(l.alone || of.length === 1 ? spec.label : `${spec.label} · ${topic}`);
    });
  }
}

/** columnsOf lays all lines over the window. */
export function columnsOf(lines: readonly LineState[], fromUs: number, toUs: number): Columns {
  return columns(lines.map(lineOf), fromUs, toUs);
}

function lineOf(l: LineState): Line {
  const band = l.view.band;
  const limitUs = l.item.silenceUs;
  return {
    band,
    marks: l.view.marks(),
    breakUs: limitUs === limitUs ? Math.max(limitUs, 3 * band.stepUs) : Infinity,
    breakFromUs: l.view.fineFromUs,
    stepped: isStepped(l),
  };
}

/** marksOf joins the marks of all lines; those of one feed are the same and count once. */
export function marksOf(lines: readonly LineState[]): Mark[] {
  const seen = new Map<string, Mark>();
  for (const l of lines) for (const m of l.view.marks()) seen.set(`${m.kind} ${m.fromUs} ${m.toUs}`, m);
  return [...seen.values()];
}

/** toldOf is what the text alternative says of the lines that are shown. */
export function toldOf(lines: readonly LineState[], digits: number | undefined, fromUs: number, toUs: number): Told[] {
  return lines
    .filter((l) => !l.hidden)
    .map((l) => ({
      name: l.name,
      unit: unitOf(l),
      digits: digits === undefined ? l.item.numberOptions() : { digits },
      summary: summary(l.view.band, fromUs, toUs),
      why: l.item.quality().why,
    }));
}

/** staleFromUs is when the last line fell silent; NaN while one of them is live. */
export function staleFromUs(lines: readonly LineState[]): number {
  let at = NaN;
  for (const l of lines) {
    if (l.item.quality().quality === "live") return NaN;
    if (!(l.item.timeUs <= at)) at = l.item.timeUs;
  }
  return at;
}

/** historyOf is the least that holds for all lines. */
export function historyOf(lines: readonly LineState[]): ChartState["history"] {
  for (const s of ["failed", "loading", "joined"] as const) if (lines.some((l) => l.view.joined === s)) return s;
  return "none";
}

/** noteOf says what a reader should know that the picture does not show. */
export function noteOf(watches: readonly Watch[], lines: readonly LineState[], drawable: number): string {
  const refused = watches.find((w) => w.note !== "" && w.items.size === 0);
  if (refused !== undefined) return refused.note;
  if (drawable > lines.length) return `${lines.length} of ${drawable} topics drawn`;
  return lines.find((l) => l.view.note !== "")?.view.note ?? "";
}
