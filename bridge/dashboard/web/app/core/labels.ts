// The labels of a chart's axes.

import type { Formats } from "./format.ts";

/** timeLabels writes times in the viewer's zone, with the date where the day changes, the date alone at midnight, which it begins with, and fractions where they matter. */
export function timeLabels(splits: readonly number[], f: Formats): string[] {
  const step = splits.length > 1 ? (splits[1] as number) - (splits[0] as number) : 1;
  let day = "";
  return splits.map((s) => {
    const us = s * 1e6;
    if (step < 1) return f.time(us) + (s - Math.floor(s)).toFixed(3).slice(1).replace(/\.?0+$/, "");
    const whole = f.time(us, { date: true, seconds: false });
    const today = whole.slice(0, whole.lastIndexOf(" "));
    const shown = step >= 86400 || (today !== day && isMidnight(us)) ? today : today !== day && day !== "" ? whole : f.time(us, { seconds: step < 60 });
    day = today;
    return shown;
  });
}

function isMidnight(us: number): boolean {
  const at = new Date(us / 1000);
  return at.getHours() + at.getMinutes() + at.getSeconds() === 0;
}

/** valueLabels writes all labels of an axis with one prefix and as many digits as tell them apart. */
export function valueLabels(splits: readonly number[], unit: string, f: Formats): string[] {
  const resolution = lastDigit(splits.length > 1 ? Math.abs((splits[1] as number) - (splits[0] as number)) : 1);
  const greatest = splits.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  const one = f.number(greatest, unit, { resolution });
  return splits.map((s, i) => {
    const w = f.number(s, unit, { resolution });
    const text = w.unit === one.unit || s === 0 ? w.text : `${w.text} ${w.unit}`;
    return i === splits.length - 1 && one.unit !== "" ? `${text} ${w.unit === one.unit || s === 0 ? one.unit : ""}`.trim() : text;
  });
}

/** lastDigit is the power of ten of the last digit that a step needs: 0.01 for 0.25, 1 for 5. */
function lastDigit(step: number): number {
  let power = Math.pow(10, Math.floor(Math.log10(step) + 1e-9));
  for (let i = 0; i < 2 && Math.abs(step / power - Math.round(step / power)) > 1e-6; i++) power /= 10;
  return power;
}
