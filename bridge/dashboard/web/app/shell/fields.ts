// One table of what each kind of tile has: the check of a layout, its JSON schema and the editor's form are made from it.

import type { Kind } from "./layout.ts";

export interface Field {
  readonly type: "text" | "prose" | "filter" | "topic" | "pointer" | "number" | "whole" | "flag" | "choice" | "limits" | "states" | "series" | "list";
  readonly label: string;
  readonly need?: true;
  readonly min?: number; // of numbers; of texts and lists their length
  readonly max?: number;
  readonly choices?: readonly string[];
  readonly help?: string;
}

export type Fields = Readonly<Record<string, Field>>;

export const levels = ["ok", "notice", "warning", "alarm", "off"] as const;

const title: Field = { type: "text", label: "Title", max: 120 };
const filter: Field = { type: "filter", label: "Topic filter", need: true, help: "+ is one level, # the rest" };
const pointer: Field = { type: "pointer", label: "JSON pointer", help: "such as /temperature; empty: the payload itself" };
const scale: Field = { type: "number", label: "Times" };
const offset: Field = { type: "number", label: "Plus" };
const unit: Field = { type: "text", label: "Unit", max: 20 };
const digits: Field = { type: "whole", label: "Decimals", min: 0, max: 9 };
const stale: Field = { type: "number", label: "Stale after, s", min: 0.1, max: 31_536_000 };
const limits: Field = { type: "limits", label: "Limits" };
const low: Field = { type: "number", label: "From" };
const high: Field = { type: "number", label: "To" };
const source = { filter, pointer, scale, offset, staleAfterS: stale };
const figure = { ...source, unit, digits, limits };
const gauge: Fields = { title, ...figure, min: { ...low, need: true }, max: { ...high, need: true } };

export const place: Fields = {
  x: { type: "whole", label: "Column", need: true, min: 0, max: 11 },
  y: { type: "whole", label: "Row", need: true, min: 0, max: 199 },
  w: { type: "whole", label: "Width", need: true, min: 1, max: 12 },
  h: { type: "whole", label: "Height", need: true, min: 1, max: 40 },
};

export const seriesFields: Fields = { filter, pointer, label: { type: "text", label: "Name", max: 120 }, unit, scale, offset };

export const limitFields: Fields = {
  alarmLow: { type: "number", label: "Alarm below" }, warnLow: { type: "number", label: "Warning below" },
  warnHigh: { type: "number", label: "Warning above" }, alarmHigh: { type: "number", label: "Alarm above" },
  hysteresis: { type: "number", label: "Hysteresis", min: 0 },
  delayS: { type: "number", label: "Only after, s", min: 0, max: 86_400 },
  latch: { type: "flag", label: "Stays until acknowledged" },
};

export const meaningFields: Fields = {
  label: { type: "text", label: "Shown as", max: 60 },
  level: { type: "choice", label: "Level", need: true, choices: levels },
};

export const kinds: Readonly<Record<Kind, { readonly label: string; readonly w: number; readonly h: number; readonly fields: Fields }>> = {
  value: { label: "Number with sparkline", w: 3, h: 3, fields: { title, ...figure, sparkS: { type: "number", label: "Sparkline, s", min: 30, max: 3600 } } },
  chart: {
    label: "Chart", w: 6, h: 5, fields: {
      title, series: { type: "series", label: "Lines", need: true, min: 1, max: 12 },
      windowS: { type: "number", label: "Window, s", need: true, min: 10, max: 604_800 }, min: low, max: high, digits, limits,
    },
  },
  gauge: { label: "Gauge", w: 3, h: 3, fields: gauge },
  bar: { label: "Bars", w: 4, h: 4, fields: gauge },
  state: { label: "State", w: 3, h: 2, fields: { title, filter, pointer, staleAfterS: stale, states: { type: "states", label: "Meanings", max: 24 } } },
  text: { label: "Text", w: 3, h: 2, fields: { title, filter, pointer, staleAfterS: stale } },
  table: {
    label: "Table", w: 6, h: 6, fields: {
      title, ...figure, rows: { type: "whole", label: "Rows", min: 1, max: 500 },
      every: { type: "choice", label: "Follows", choices: ["tick", "message"], help: "tick: the newest, five times a second" },
      sort: { type: "choice", label: "Sorted by", choices: ["topic", "value", "age"] },
    },
  },
  devices: {
    label: "Devices", w: 6, h: 6, fields: {
      title, filter, level: { type: "whole", label: "Level of the name, from 0", need: true, min: 0, max: 127 },
      status: { type: "filter", label: "Status topics", help: "where devices say that they are there, and by last will that they are gone" },
      online: { type: "list", label: "Online words", max: 8 }, offline: { type: "list", label: "Offline words", max: 8 }, staleAfterS: stale,
    },
  },
  alarms: { label: "Alarms", w: 6, h: 6, fields: { title, filter: { type: "filter", label: "Topic filter", help: "empty: alarms of all tiles" }, history: { type: "flag", label: "With history" } } },
  command: {
    label: "Command", w: 3, h: 2, fields: {
      title, topic: { type: "topic", label: "Topic", need: true }, input: { type: "choice", label: "Input", choices: ["button", "text", "number", "switch", "choice"] },
      label: { type: "text", label: "On the button", max: 60 }, payload: { type: "text", label: "Payload of the button", max: 1000 },
      min: low, max: high, step: { type: "number", label: "Step", min: 0 }, unit, choices: { type: "list", label: "Choices", max: 20 },
      on: { type: "text", label: "Payload on", max: 200 }, off: { type: "text", label: "Payload off", max: 200 },
      qos: { type: "whole", label: "QoS", min: 0, max: 1 }, confirm: { type: "text", label: "Ask before", max: 200, help: "for a dangerous command: the question" },
    },
  },
  note: { label: "Note", w: 4, h: 2, fields: { title, text: { type: "prose", label: "Text", need: true, max: 2000 } } },
};

export const layoutFields: Fields = {
  title: { type: "text", label: "Title", need: true, min: 1, max: 120 },
  theme: { type: "choice", label: "Colours", choices: ["auto", "light", "dark"] },
  locale: { type: "text", label: "Numbers and times as in", min: 2, max: 35, help: "such as de or en-GB; empty: as the browser" },
  rotateS: { type: "number", label: "Wall: seconds a page", min: 5, max: 3600 },
  staleAfterS: stale,
};
