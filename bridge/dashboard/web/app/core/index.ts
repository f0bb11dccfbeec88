// The core of the dashboard: data and charts. The shell builds everything around on this.

export { createStore, Store, type StoreOptions, type OnHealth } from "./store.ts";
export { Watch, type OnChange } from "./watch.ts";
export { Item, type Spark, type WatchOptions } from "./item.ts";
export type { Alarm, Alarms } from "./alarms.ts";
export type { Health } from "./health.ts";
export type { HistoryOptions } from "./history.ts";
export type { DrawOptions, Drawn, Scheduler } from "./scheduler.ts";
export { chart, type Chart } from "./chart.ts";
export type { ChartOptions, ChartState, SeriesSpec } from "./lines.ts";
export { Formats, formatAge, type NumberOptions } from "./format.ts";
export { checkLimits } from "./judge.ts";
export { parsePointer } from "./pointer.ts";
export { covers, isExact, matches } from "./topics.ts";
export type { Latency, Level, Limits, Mark, Quality, Value } from "./types.ts";
