// Colours of a chart, from the page's custom properties.

export interface Theme {
  readonly lines: readonly string[];
  readonly ink: string;
  readonly muted: string;
  readonly grid: string;
  readonly warn: string;
  readonly alarm: string;
  readonly stale: string;
  readonly font: string;
}

/** Told apart by people who see few colours (Okabe and Ito 2008), where the page gives none. */
const fallback = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a6d00", "#666666"];

/** themeOf reads what holds for an element. */
export function themeOf(el: Element): Theme {
  const style = getComputedStyle(el);
  const get = (name: string, other: string): string => style.getPropertyValue(name).trim() || other;
  const lines: string[] = [];
  for (let i = 1; i <= 12; i++) {
    const c = get(`--c${i}`, "");
    if (c !== "") lines.push(c);
  }
  return {
    lines: lines.length > 0 ? lines : fallback,
    ink: get("--ink", "#111"),
    muted: get("--muted", "#666"),
    grid: get("--grid", "#ccc"),
    warn: get("--warn", "#b36b00"),
    alarm: get("--alarm", "#c00"),
    stale: get("--stale", "#888"),
    font: `${style.fontSize || "12px"} ${style.fontFamily || "system-ui, sans-serif"}`,
  };
}

/** shade gives a colour an opacity; canvases know color-mix as style sheets do, but not everywhere yet. */
export function shade(colour: string, alpha: number): string {
  const hex = /^#([0-9a-f]{3}|[0-9a-f]{6})$/i.exec(colour)?.[1];
  if (hex !== undefined) {
    const full = hex.length === 3 ? [...hex].map((c) => c + c).join("") : hex;
    const n = parseInt(full, 16);
    return `rgba(${n >> 16}, ${(n >> 8) & 255}, ${n & 255}, ${alpha})`;
  }
  const rgb = /^rgba?\(\s*([\d.]+)[\s,]+([\d.]+)[\s,]+([\d.]+)/i.exec(colour);
  return rgb === null ? colour : `rgba(${rgb[1]}, ${rgb[2]}, ${rgb[3]}, ${alpha})`;
}
