// What a chart shows, in words, for who cannot see it.

import type { Summary } from "./columns.ts";
import type { Formats } from "./format.ts";
import type { Mark } from "./types.ts";

export interface Told {
  readonly name: string;
  readonly unit: string;
  readonly digits: { readonly digits?: number; readonly resolution?: number };
  readonly summary: Summary;
  /** "" while it is live, else why not. */
  readonly why: string;
}

/** describe is the text alternative of a chart. */
export function describe(o: { title: string; fromUs: number; toUs: number; following: boolean; lines: readonly Told[]; marks: readonly Mark[]; note: string }, f: Formats): string {
  const span = o.following ? `the last ${f.age(o.toUs - o.fromUs)}` : `${f.time(o.fromUs, { date: true })} to ${f.time(o.toUs)}`;
  const parts = [`${o.title === "" ? "Chart" : o.title}, ${span}.`];
  if (o.lines.length === 0) parts.push("No topic yet.");
  for (const l of o.lines.slice(0, linesMost)) parts.push(sentence(l, f));
  if (o.lines.length > linesMost) parts.push(`And ${o.lines.length - linesMost} more lines.`);
  const gaps = gapWords(o.marks, f);
  if (gaps !== "") parts.push(gaps);
  if (o.note !== "") parts.push(`${o.note[0]?.toUpperCase() ?? ""}${o.note.slice(1)}.`);
  return parts.join(" ");
}

/** More sentences than this nobody listens to. */
const linesMost = 6;

function sentence(l: Told, f: Formats): string {
  const s = l.summary;
  if (s.count === 0) return `${l.name}: no value in this time${l.why === "" ? "" : ` (${l.why})`}.`;
  const value = (n: number): string => {
    const { text, unit } = f.number(n, l.unit, l.digits);
    return unit === "" ? text : `${text} ${unit}`;
  };
  const trend = s.trend === "" ? "" : `, ${s.trend}`;
  const state = l.why === "" ? "" : `; not live: ${l.why}`;
  return `${l.name}: last ${value(s.last)}, lowest ${value(s.min)}, highest ${value(s.max)}${trend}${state}.`;
}

/** gapWords says what is missing. */
export function gapWords(marks: readonly Mark[], f: Formats): string {
  const gaps = marks.filter((m) => m.kind === "gap");
  const conflated = marks.filter((m) => m.kind === "conflated").reduce((sum, m) => sum + (m.count ?? 0), 0);
  const out: string[] = [];
  const one = gaps[0];
  if (gaps.length === 1 && one !== undefined) {
    const missing = one.count === null ? "it is not known how much is missing" : `${f.count(one.count)} entries missing`;
    out.push(`One gap at ${f.time(one.fromUs)} of ${f.age(one.toUs - one.fromUs)}, ${missing}.`);
  } else if (gaps.length > 1) {
    const last = gaps.reduce((a, b) => (a.toUs > b.toUs ? a : b));
    out.push(`${gaps.length} gaps, the last at ${f.time(last.fromUs)} of ${f.age(last.toUs - last.fromUs)}.`);
  }
  if (conflated > 0) out.push(`${f.count(conflated)} readings were left out for newer ones.`);
  return out.join(" ");
}
