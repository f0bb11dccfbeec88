// Units that a payload or a name states, for a layout made of what is there. What nobody has stated is not guessed: a wrong unit is
// worse than none.

// By the end of a name, whatever stands before it: power_kw, load-pct.
const ends: Readonly<Record<string, string>> = {
  celsius: "°C", degc: "°C", fahrenheit: "°F", degf: "°F", pct: "%", percent: "%", kw: "kW", mw: "MW", wh: "Wh", kwh: "kWh", mwh: "MWh", mv: "mV", kv: "kV", ma: "mA", hz: "Hz", khz: "kHz", rpm: "1/min",
  pa: "Pa", hpa: "hPa", kpa: "kPa", mbar: "mbar", bar: "bar", lx: "lx", lux: "lx", ppm: "ppm", ppb: "ppb", db: "dB", dbm: "dBm", mm: "mm", cm: "cm", km: "km", kg: "kg", kmh: "km/h", ms: "ms", us: "µs", min: "min", seconds: "s", sec: "s", minutes: "min", hours: "h", watts: "W", volts: "V", amps: "A", metres: "m", meters: "m",
};

// A single letter says something behind a quantity only: channel_a is no current.
const letters: readonly (readonly [RegExp, Readonly<Record<string, string>>])[] = [
  [/(temp|temperature)$/, { c: "°C", f: "°F", k: "K" }], [/power$/, { w: "W" }], [/(voltage|volt)$/, { v: "V" }], [/current$/, { a: "A" }], [/energy$/, { j: "J" }],
  [/(length|distance|altitude|height|depth|level)$/, { m: "m" }], [/(time|duration|age|uptime|period)$/, { s: "s" }], [/(mass|weight)$/, { g: "g" }], [/volume$/, { l: "l" }],
];

// unitByName is the unit that a name states by its end; "" when it states none.
export function unitByName(name: string): string {
  const [, stem, end] = /^(.*)[_-]([a-z]+)$/.exec(name.toLowerCase()) ?? [];
  if (stem === undefined || end === undefined) return "";
  if (Object.hasOwn(ends, end)) return ends[end] as string;
  const known = letters.find(([quantity]) => quantity.test(stem))?.[1];
  return known !== undefined && Object.hasOwn(known, end) ? known[end] as string : "";
}

// unitBeside is what a member temperature_unit states of temperature; "" when there is none. A plain member unit is the core's.
export function unitBeside(object: Readonly<Record<string, unknown>>, key: string): string {
  for (const name of [`${key}_unit`, `${key}_units`, `${key}Unit`]) {
    const unit = Object.hasOwn(object, name) ? object[name] : undefined;
    if (typeof unit === "string" && unit !== "" && unit.length <= 20) return unit;
  }
  return "";
}

// isUnit: whether a member says a unit, and is no value by itself.
export function isUnit(key: string): boolean { return /^units?$|_units?$|[a-z]Unit$/.test(key); }
