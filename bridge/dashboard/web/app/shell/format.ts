// Numbers, times and ages as the reader's language writes them.

export interface Format {
  readonly locale: string;
  number(value: number, digits?: number): string;
  age(seconds: number): string;
  clock(time_us: number): string;
  instant(time_us: number): string; // with the date unless it is today's
}

// digitsFor keeps about four digits that count, and never jumps with each value: only with its magnitude.
export function digitsFor(value: number): number {
  const a = Math.abs(value);
  return a >= 1000 ? 0 : a >= 100 ? 1 : a >= 1 || a === 0 ? 2 : a >= 0.01 ? 3 : 4;
}

export function makeFormat(wanted: string | undefined): Format {
  const locale = pick(wanted);
  const numbers = new Map<number, Intl.NumberFormat>();
  const huge = new Intl.NumberFormat(locale, { notation: "scientific", maximumSignificantDigits: 4 });
  const plain = (digits: number): Intl.NumberFormat => {
    let n = numbers.get(digits);
    if (n === undefined) numbers.set(digits, n = new Intl.NumberFormat(locale, { minimumFractionDigits: digits, maximumFractionDigits: digits }));
    return n;
  };
  const time = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  const date = new Intl.DateTimeFormat(locale, { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  const clock = (us: number): string => whole(us) ? time.format(us / 1000) : "–";
  return {
    locale,
    number(value, digits) {
      if (Number.isNaN(value)) return "not a number";
      if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
      const a = Math.abs(value);
      if (a >= 1e9 || (a > 0 && a < 1e-4 && digits === undefined)) return minus(huge.format(value));
      return minus(plain(digits ?? digitsFor(value)).format(value));
    },
    age(seconds) {
      if (!Number.isFinite(seconds)) return "–";
      const s = Math.max(seconds, 0);
      const [n, unit] = s < 90 ? [s, "s"] : s < 5400 ? [s / 60, "min"] : s < 129_600 ? [s / 3600, "h"] : [s / 86_400, "d"];
      return `${plain(0).format(Math.floor(n))}\u00a0${unit}`;
    },
    clock,
    instant(us) {
      if (!whole(us)) return "–";
      return new Date(us / 1000).toDateString() === new Date().toDateString() ? clock(us) : date.format(us / 1000);
    },
  };
}

function whole(us: number): boolean { return Number.isFinite(us) && Math.abs(us) < 8.64e18; }

// minus: the sign of the typographer, as wide as a plus.
function minus(text: string): string { return text.replace(/^-/, "−"); }

function pick(wanted: string | undefined): string {
  const list = [wanted, ...(typeof navigator === "undefined" ? [] : navigator.languages), "en-GB"];
  for (const tag of list) {
    try {
      if (tag !== undefined && tag !== "" && Intl.NumberFormat.supportedLocalesOf([tag]).length > 0) return tag;
    } catch { /* no language tag: the next one */ }
  }
  return "en-GB";
}
