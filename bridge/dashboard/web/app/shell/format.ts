// Numbers, times and ages of the page around the readings: written as the readings are, by the core, in the reader's language.

import { Formats } from "../core/format.ts";

export interface Format {
  readonly locale: string;
  number(value: number, digits?: number): string;
  age(seconds: number): string; // in whole numbers: it is read while it counts
  clock(time_us: number): string;
  instant(time_us: number): string; // with the date unless it is today's
}

// digitsFor keeps about four digits that count, and never jumps with each value: only with its magnitude.
export function digitsFor(value: number): number {
  const a = Math.abs(value);
  return a >= 1000 ? 0 : a >= 100 ? 1 : a >= 1 || a === 0 ? 2 : a >= 0.01 ? 3 : 4;
}

export function makeFormat(wanted: string | undefined): Format {
  const locale = pick(wanted), core = new Formats(locale);
  const clock = (us: number): string => whole(us) ? core.time(us) : "–";
  return {
    locale,
    number: (value, digits) => Number.isFinite(value) ? core.fixed(value, digits ?? digitsFor(value)) : core.number(value, "").text,
    age(seconds) {
      if (!Number.isFinite(seconds)) return "–";
      const s = Math.max(seconds, 0);
      const [n, unit] = s < 90 ? [s, "s"] : s < 5400 ? [s / 60, "min"] : s < 129_600 ? [s / 3600, "h"] : [s / 86_400, "d"];
      return `${core.count(Math.floor(n))}\u00a0${unit}`;
    },
    clock,
    instant(us) {
      if (!whole(us)) return "–";
      return new Date(us / 1000).toDateString() === new Date().toDateString() ? clock(us) : core.time(us, { date: true });
    },
  };
}

function whole(us: number): boolean { return Number.isFinite(us) && Math.abs(us) < 8.64e18; }

function pick(wanted: string | undefined): string {
  const list = [wanted, ...(typeof navigator === "undefined" ? [] : navigator.languages), "en-GB"];
  for (const tag of list) {
    try {
      if (tag !== undefined && tag !== "" && Intl.NumberFormat.supportedLocalesOf([tag]).length > 0) return tag;
    } catch { /* no language tag: the next one */ }
  }
  return "en-GB";
}
