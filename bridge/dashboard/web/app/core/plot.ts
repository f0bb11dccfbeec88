// The uPlot side of a chart: axes, lines with their band, limits, marks.

import uPlot from "uplot";
import type { Cell, Columns } from "./columns.ts";
import type { Formats } from "./format.ts";
import { timeLabels, valueLabels } from "./labels.ts";
import { shade, type Theme } from "./theme.ts";
import type { Limits, Mark } from "./types.ts";

/** A line as it is drawn. */
export interface Drawing {
  readonly colour: string;
  readonly unit: string;
  readonly stepped: boolean;
  readonly show: boolean;
}

export interface PlotOptions {
  readonly width: number;
  readonly height: number;
  readonly theme: Theme;
  readonly formats: Formats;
  readonly lines: readonly Drawing[];
  readonly limits: Limits | undefined;
  readonly min: number | undefined;
  readonly max: number | undefined;
  /** What the hooks draw, asked at each draw. */
  readonly marks: () => readonly Mark[];
  readonly staleFromUs: () => number; // NaN: nothing is stale
  readonly onSelect: (fromUs: number, toUs: number) => void;
  readonly onCursor: (index: number | null) => void;
}

/** Two axes are room enough; further units share the second one's side without an axis. */
const axesMost = 2;

/** makePlot makes the chart in el, which must be empty. */
export function makePlot(el: HTMLElement, o: PlotOptions): uPlot {
  const units = [...new Set(o.lines.map((l) => l.unit))];
  const series: uPlot.Series[] = [{}];
  const bands: uPlot.Band[] = [];
  for (const l of o.lines) {
    const scale = scaleOf(units, l.unit);
    const at = series.length;
    const paths = l.stepped ? uPlot.paths.stepped?.({ align: 1 }) : undefined;
    series.push({ scale, show: l.show, stroke: l.colour, width: 1.5, points: { show: showPoints, size: 4 }, ...(paths === undefined ? {} : { paths }) });
    series.push({ scale, show: l.show, width: 0, points: { show: false } }, { scale, show: l.show, width: 0, points: { show: false } });
    bands.push({ series: [at + 2, at + 1], fill: shade(l.colour, 0.22) });
  }
  const opts: uPlot.Options = {
    width: o.width,
    height: o.height,
    pxAlign: 0,
    padding: [8, units.length > 1 ? 0 : 2.2 * emOf(o.theme), 0, 0], // half of a time beyond the last grid line
    legend: { show: false },
    cursor: { bind: { dblclick: () => null }, drag: { x: true, y: false, setScale: false, dist: 6 }, y: false, points: { size: 5 } },
    scales: scales(units, o),
    axes: axes(units, o),
    series,
    bands,
    hooks: {
      setSelect: [(u) => selected(u, o.onSelect)],
      setCursor: [(u) => o.onCursor(u.cursor.idx ?? null)],
      drawAxes: [(u) => drawLimits(u, o)],
      draw: [(u) => drawMarks(u, o)],
    },
  };
  return new uPlot(opts, toData({ x: [], y: o.lines.map(() => ({ line: [], min: [], max: [] })) }), el);
}

/** toData orders columns as makePlot ordered its series. */
export function toData(c: Columns): uPlot.AlignedData {
  const out: Cell[][] = [c.x];
  for (const y of c.y) out.push(y.line, y.min, y.max);
  return out as uPlot.AlignedData;
}

/** setWindow shows new columns over a stretch of time, in one draw. */
export function setWindow(u: uPlot, c: Columns, fromUs: number, toUs: number): void {
  u.batch(() => {
    u.setData(toData(c), false);
    u.setScale("x", { min: fromUs / 1e6, max: toUs / 1e6 });
  });
}

/** showPoints draws single points where lines would not be seen: few values in the view. */
function showPoints(u: uPlot, at: number, first: number, last: number): boolean {
  const cells = u.data[at] as readonly Cell[];
  let n = 0;
  for (let i = first; i <= last; i++) if (cells[i] !== null && cells[i] !== undefined) n++;
  return n > 0 && n * 12 < u.bbox.width / devicePixelRatio;
}

function scaleOf(units: readonly string[], unit: string): string {
  return `y${units.indexOf(unit)}`;
}

function scales(units: readonly string[], o: PlotOptions): uPlot.Scales {
  const out: uPlot.Scales = { x: { time: true } };
  for (const unit of units.length === 0 ? [""] : units) {
    out[scaleOf(units, unit).replace("-1", "0")] = {
      auto: true,
      range: (_u: uPlot, low: number | null, high: number | null): uPlot.Range.MinMax => yRange(low, high, o),
    };
  }
  return out;
}

/** yRange leaves some air, keeps a flat line in the middle and never ends in the same number. */
export function yRange(low: number | null, high: number | null, o: Pick<PlotOptions, "min" | "max">): [number, number] {
  let from = low ?? 0;
  let to = high ?? 1;
  if (from === to) {
    const by = Math.abs(from) * 0.05 || 1;
    from -= by;
    to += by;
  }
  const air = (to - from) * 0.06;
  from = o.min ?? from - air;
  to = o.max ?? to + air;
  return from < to ? [from, to] : [from, from + 1];
}

function emOf(theme: Theme): number {
  return parseFloat(theme.font) || 12;
}

function axes(units: readonly string[], o: PlotOptions): uPlot.Axis[] {
  const { theme } = o;
  const em = emOf(theme);
  const common = { stroke: theme.muted, font: theme.font, grid: { stroke: theme.grid, width: 1 }, ticks: { stroke: theme.grid, width: 1, size: 4 } };
  const list: uPlot.Axis[] = [{ ...common, size: 2.3 * em, space: 6 * em, values: (_u, splits) => timeLabels(splits, o.formats) }];
  (units.length === 0 ? [""] : units).slice(0, axesMost).forEach((unit, i) => {
    list.push({
      ...common,
      scale: `y${i}`,
      side: i === 0 ? 3 : 1,
      size: (_u, values) => em * (1.2 + 0.56 * Math.max(3, ...(values ?? []).map((v) => String(v).length))),
      grid: { ...common.grid, show: i === 0 },
      values: (_u, splits) => valueLabels(splits, unit, o.formats),
    });
  });
  return list;
}

function selected(u: uPlot, onSelect: PlotOptions["onSelect"]): void {
  const { left, width } = u.select;
  if (width < 6) return;
  const from = u.posToVal(left, "x");
  const to = u.posToVal(left + width, "x");
  u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  if (to > from) onSelect(from * 1e6, to * 1e6);
}

function drawLimits(u: uPlot, o: PlotOptions): void {
  const l = o.limits;
  if (l === undefined) return;
  const { ctx, bbox } = u;
  const lines: readonly (readonly [number | undefined, string])[] = [[l.alarmLow, o.theme.alarm], [l.warnLow, o.theme.warn], [l.warnHigh, o.theme.warn], [l.alarmHigh, o.theme.alarm]];
  ctx.save();
  ctx.lineWidth = devicePixelRatio;
  ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
  for (const [at, colour] of lines) {
    if (at === undefined) continue;
    const y = Math.round(u.valToPos(at, "y0", true));
    if (!(y >= bbox.top && y <= bbox.top + bbox.height)) continue;
    ctx.strokeStyle = colour;
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
  }
  ctx.restore();
}

/** drawMarks hatches gaps, underlines what was conflated, and greys what follows the last value of a dead chart. */
function drawMarks(u: uPlot, o: PlotOptions): void {
  const { ctx, bbox } = u;
  const x = (us: number): number => Math.min(Math.max(u.valToPos(us / 1e6, "x", true), bbox.left), bbox.left + bbox.width);
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  const staleFromUs = o.staleFromUs();
  if (staleFromUs === staleFromUs) {
    ctx.fillStyle = shade(o.theme.stale, 0.16);
    const from = x(staleFromUs);
    ctx.fillRect(from, bbox.top, bbox.left + bbox.width - from, bbox.height);
  }
  for (const m of o.marks()) {
    const from = x(m.fromUs);
    const to = Math.max(x(m.toUs), from + 2 * devicePixelRatio);
    if (m.kind === "gap") hatch(ctx, from, to, bbox, o.theme.alarm);
    else {
      ctx.fillStyle = shade(o.theme.warn, 0.6);
      ctx.fillRect(from, bbox.top + bbox.height - 3 * devicePixelRatio, to - from, 3 * devicePixelRatio);
    }
  }
  ctx.restore();
}

function hatch(ctx: CanvasRenderingContext2D, from: number, to: number, bbox: uPlot.BBox, colour: string): void {
  ctx.fillStyle = shade(colour, 0.08);
  ctx.fillRect(from, bbox.top, to - from, bbox.height);
  ctx.save();
  ctx.beginPath();
  ctx.rect(from, bbox.top, to - from, bbox.height);
  ctx.clip();
  ctx.strokeStyle = shade(colour, 0.5);
  ctx.lineWidth = devicePixelRatio;
  ctx.beginPath();
  const every = 7 * devicePixelRatio;
  for (let x = from - bbox.height - (from % every); x < to; x += every) {
    ctx.moveTo(x, bbox.top + bbox.height);
    ctx.lineTo(x + bbox.height, bbox.top);
  }
  ctx.stroke();
  ctx.restore();
}
