// Numbers, units, spans and times as people read them. Words are English; separators are the locale's.

/** The prefixes that SI units take, by power of 1000. */
const prefixes = ["q", "r", "y", "z", "a", "f", "p", "n", "µ", "m", "", "k", "M", "G", "T", "P", "E", "Z", "Y", "R", "Q"];
const plainPrefix = prefixes.indexOf("");
/** Units that take them. Others, such as °C, %, bar, rpm and kg, stay as they are. */
const scalable = new Set(["W", "V", "A", "Hz", "Pa", "N", "J", "m", "B", "bit/s", "B/s", "Wh", "VA", "VAh", "var", "varh", "Ω", "F", "H", "T", "Wb", "S", "lm", "lx", "Bq", "Gy", "Sv", "cd", "eV", "Ah"]);
const MINUS = "\u2212";
const superscript = ["⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"];

export interface NumberOptions {
  readonly digits?: number; // behind the point
  readonly resolution?: number; // of the source, in the given unit: 0.01 shows two digits
}

/** Formats writes for one locale (BCP 47; left out: the browser's). It throws a RangeError for a malformed one. */
export class Formats {
  readonly locale: string | undefined;
  private readonly point: string;
  private readonly group: string;
  private readonly clock: Intl.DateTimeFormat;
  private readonly clockShort: Intl.DateTimeFormat;
  private readonly date: Intl.DateTimeFormat;

  constructor(locale?: string) {
    this.locale = locale;
    const parts = new Intl.NumberFormat(locale).formatToParts(-1234567.5);
    this.point = parts.find((p) => p.type === "decimal")?.value ?? ".";
    this.group = parts.find((p) => p.type === "group")?.value ?? "\u202f";
    this.clock = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
    this.clockShort = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
    this.date = new Intl.DateTimeFormat(locale, { year: "numeric", month: "2-digit", day: "2-digit" });
  }

  /** number writes n with its unit's best prefix: 1234.5 and "W" give "1.2345" and "kW". */
  number(n: number, unit: string, o: NumberOptions = {}): { text: string; unit: string } {
    if (!Number.isFinite(n)) return { text: Number.isNaN(n) ? "not a number" : n > 0 ? "∞" : MINUS + "∞", unit };
    const { shift, unit: shown } = prefix(n, unit);
    const by = Math.pow(1000, shift);
    const digits = o.digits ?? digitsFor(n / by, o.resolution === undefined ? undefined : o.resolution / by);
    return { text: this.fixed(n / by, digits), unit: shown };
  }

  /** fixed writes n with so many digits, a real minus and thousands apart from 10,000 on. Very large and small ones get a power of ten. */
  fixed(n: number, digits: number): string {
    const abs = Math.abs(n);
    if (abs >= 1e15 || (abs > 0 && abs < 1e-9)) return this.power(n, Math.min(Math.max(digits, 2), 4));
    const text = abs.toFixed(Math.min(Math.max(digits, 0), 12));
    const [whole = "", part] = text.split(".");
    const grouped = whole.length > 4 ? whole.replace(/\B(?=(\d{3})+$)/g, this.group) : whole;
    const zero = /^[0.]*$/.test(text);
    return (n < 0 && !zero ? MINUS : "") + grouped + (part === undefined ? "" : this.point + part);
  }

  private power(n: number, digits: number): string {
    const [mantissa = "", exponent = "0"] = n.toExponential(digits).split("e");
    const raised = String(Number(exponent)).replace(/[-0-9]/g, (c) => (c === "-" ? "⁻" : (superscript[Number(c)] ?? "")));
    return mantissa.replace("-", MINUS).replace(".", this.point) + "·10" + raised;
  }

  /** count writes a whole number, thousands apart from 1,000 on. */
  count(n: number): string {
    return String(Math.round(n)).replace(/\B(?=(\d{3})+$)/g, this.group);
  }

  /** time writes a time of the bridge's clock in this screen's time zone. */
  time(us: number, o: { date?: boolean; seconds?: boolean } = {}): string {
    const d = new Date(us / 1000);
    if (Number.isNaN(d.getTime())) return "no time";
    const clock = (o.seconds === false ? this.clockShort : this.clock).format(d);
    return o.date === true ? `${this.date.format(d)} ${clock}` : clock;
  }

  /** age writes a span: "0.2 s", "3 s", "2 min", "5 h 10 min", "3 d". */
  age(us: number): string {
    return formatAge(us).replace(".", this.point);
  }
}

/** prefix finds the power of 1000 that n is to be divided by, and the unit that it then has. */
function prefix(n: number, unit: string): { shift: number; unit: string } {
  const abs = Math.abs(n);
  const [base, own] = splitUnit(unit);
  if (base === null || abs === 0 || (abs < 1000 && abs >= 0.1)) return { shift: 0, unit };
  const power = Math.floor(Math.log10(abs) + 1e-9);
  const at = Math.min(Math.max(plainPrefix + own + Math.floor(power / 3), 0), prefixes.length - 1);
  return { shift: at - plainPrefix - own, unit: (prefixes[at] ?? "") + base };
}

/** splitUnit takes a unit apart into what takes prefixes and the power of 1000 that it has; null: it takes none. */
function splitUnit(unit: string): [base: string | null, power: number] {
  if (scalable.has(unit)) return [unit, 0];
  const first = unit[0] === "u" || unit[0] === "μ" ? "µ" : (unit[0] ?? "");
  const at = first === "" ? -1 : prefixes.indexOf(first);
  const rest = unit.slice(1);
  return at >= 0 && scalable.has(rest) ? [rest, at - plainPrefix] : [null, 0];
}

/** digitsFor is as many digits as the source has, or four that count when that is not known. */
function digitsFor(n: number, resolution: number | undefined): number {
  if (resolution !== undefined && resolution > 0) return Math.min(Math.max(0, Math.ceil(-Math.log10(resolution) - 1e-9)), 9);
  if (n === 0 || Number.isInteger(n)) return 0;
  return Math.min(Math.max(0, 3 - Math.floor(Math.log10(Math.abs(n)))), 9);
}

/** formatAge writes a span in the plain locale. */
export function formatAge(us: number): string {
  if (!Number.isFinite(us)) return "an unknown time";
  const s = Math.max(0, us) / 1e6;
  if (s < 0.001) return `${Math.round(s * 1e6)} µs`;
  if (s < 0.0995) return `${(s * 1000).toFixed(s < 0.00995 ? 1 : 0)} ms`;
  if (s < 9.95) return `${s.toFixed(1)} s`;
  if (s < 119.5) return `${Math.round(s)} s`;
  const min = Math.floor(s / 60);
  if (min < 60) return `${min} min`;
  const h = Math.floor(min / 60);
  if (h < 48) return min % 60 === 0 ? `${h} h` : `${h} h ${min % 60} min`;
  return `${Math.floor(h / 24)} d`;
}
