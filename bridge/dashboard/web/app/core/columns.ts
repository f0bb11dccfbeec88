// From views to the columns that a chart draws: one for each step of time, the same for all its lines.

import type { Band } from "./band.ts";
import type { Mark } from "./types.ts";

/** undefined: nothing there, the line goes on; null: the line is broken. */
export type Cell = number | null | undefined;

/** What is drawn of one line. */
export interface Line {
  readonly band: Band;
  readonly marks: readonly Mark[];
  /** Silence longer than this is not bridged by a line; Infinity: any is. */
  readonly breakUs: number;
  /** Before this time values may be of longer steps, so that their distance says nothing. */
  readonly breakFromUs: number;
  /** The value holds until the next one: the last of each step is drawn, not the mean. */
  readonly stepped: boolean;
}

export interface Columns {
  /** Seconds since 1970, rising. */
  readonly x: number[];
  /** mean (or last), min and max of each line. */
  readonly y: { readonly line: Cell[]; readonly min: Cell[]; readonly max: Cell[] }[];
}

/** columns lays the lines over [fromUs, toUs). All their bands must have the same step. */
export function columns(lines: readonly Line[], fromUs: number, toUs: number): Columns {
  const stepUs = lines[0]?.band.stepUs ?? 1e6;
  const first = Math.floor(fromUs / stepUs) - 1; // one more, so that lines reach the edge
  const n = Math.max(0, Math.ceil(toUs / stepUs) - first);
  const x = new Array<number>(n);
  for (let i = 0; i < n; i++) x[i] = ((first + i + 0.5) * stepUs) / 1e6;
  if (n > 0) x[n - 1] = Math.max(x[n - 2] ?? -Infinity, Math.min(x[n - 1] as number, toUs / 1e6)); // what came just now is not of the future
  return { x, y: lines.map((l) => column(l, first, n)) };
}

function column(l: Line, first: number, n: number): { line: Cell[]; min: Cell[]; max: Cell[] } {
  const line = new Array<Cell>(n).fill(undefined);
  const min = new Array<Cell>(n).fill(undefined);
  const max = new Array<Cell>(n).fill(undefined);
  const stepUs = l.band.stepUs;
  const breakAt = (at: number): void => {
    if (at < 0 || at >= n || line[at] !== undefined) return;
    line[at] = min[at] = max[at] = null;
  };
  let before = -1;
  l.band.each(first * stepUs, (first + n) * stepUs, (b) => {
    const at = b.index - first;
    if (b.count === 0) return;
    line[at] = l.stepped ? b.last : b.sum / b.count;
    min[at] = b.min;
    max[at] = b.max;
    if (before >= 0 && (at - before) * stepUs > l.breakUs && (first + before) * stepUs >= l.breakFromUs) breakAt(before + 1);
    before = at;
  });
  l.band.each(first * stepUs, (first + n) * stepUs, (b) => {
    if (b.broken) breakAt(b.count === 0 ? b.index - first : b.index - first + 1);
  });
  for (const m of l.marks) {
    if (m.kind !== "gap") continue;
    // A gap within one step leaves the line whole: its mark alone shows it.
    for (let i = Math.max(0, Math.ceil(m.fromUs / stepUs) - first); i <= Math.min(n - 1, Math.floor(m.toUs / stepUs) - first); i++) breakAt(i);
  }
  widen(line, min, max);
  return { line, min, max };
}

/** widen breaks the whole stretch between two values where it is broken at all: a line that came out of a break would be nobody's. */
function widen(line: Cell[], min: Cell[], max: Cell[]): void {
  let before = -1; // the last value
  let broken = false;
  for (let i = 0; i < line.length; i++) {
    const cell = line[i];
    if (cell === null) broken = true;
    if (typeof cell !== "number") continue;
    if (broken && before >= 0) for (let k = before + 1; k < i; k++) line[k] = min[k] = max[k] = null;
    before = i;
    broken = false;
  }
}

/** Summary is what there is to say of one line. */
export interface Summary {
  readonly count: number;
  readonly min: number;
  readonly max: number;
  readonly last: number; // NaN with the others when there is nothing
  readonly lastUs: number;
  /** "rising", "falling" or "steady": the last quarter against the first, by a twentieth of the range and more. */
  readonly trend: "rising" | "falling" | "steady" | "";
}

/** summary looks at what a band holds of [fromUs, toUs). */
export function summary(band: Band, fromUs: number, toUs: number): Summary {
  let count = 0;
  let min = Infinity;
  let max = -Infinity;
  let last = NaN;
  let lastUs = NaN;
  const quarter = (toUs - fromUs) / 4;
  const early = { n: 0, sum: 0 };
  const late = { n: 0, sum: 0 };
  band.each(fromUs, toUs, (b) => {
    if (b.count === 0) return;
    count += b.count;
    min = Math.min(min, b.min);
    max = Math.max(max, b.max);
    last = b.last;
    lastUs = (b.index + 0.5) * band.stepUs;
    const part = lastUs < fromUs + quarter ? early : lastUs >= toUs - quarter ? late : null;
    if (part === null) return;
    part.n++;
    part.sum += b.sum / b.count;
  });
  if (count === 0) return { count, min: NaN, max: NaN, last: NaN, lastUs: NaN, trend: "" };
  const change = early.n > 0 && late.n > 0 ? late.sum / late.n - early.sum / early.n : NaN;
  const trend = Number.isNaN(change) ? "" : Math.abs(change) < (max - min) / 20 || max === min ? "steady" : change > 0 ? "rising" : "falling";
  return { count, min, max, last, lastUs, trend };
}
