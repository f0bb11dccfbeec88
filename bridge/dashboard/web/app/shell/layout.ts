// What a dashboard shows, and where: the document that is saved on the server, put into a file or into the URL.

export type Level = "ok" | "notice" | "warning" | "alarm" | "off";

// Limits: below low or above high. A state ends when the value has come back by hysteresis.
export interface Limits {
  readonly alarmLow?: number;
  readonly warnLow?: number;
  readonly warnHigh?: number;
  readonly alarmHigh?: number;
  readonly hysteresis?: number;
  readonly latch?: boolean; // the alarm stays until somebody acknowledges it
  readonly delayS?: number; // only what lasts so long counts
}

export interface Place {
  readonly x: number; // column from 0
  readonly y: number; // row from 0
  readonly w: number; // columns
  readonly h: number; // rows
}

// Source: where values come from. A pointer is RFC 6901 into a payload of JSON; left out, the payload is the value.
// What is shown is value × scale + offset.
export interface Source {
  readonly filter: string;
  readonly pointer?: string;
  readonly scale?: number;
  readonly offset?: number;
  readonly staleAfterS?: number;
}

export interface Figure extends Source {
  readonly unit?: string;
  readonly digits?: number;
  readonly limits?: Limits;
}

interface Common extends Place {
  readonly title?: string;
}

export interface ValueTile extends Common, Figure { readonly kind: "value"; readonly sparkS?: number }
export interface GaugeTile extends Common, Figure { readonly kind: "gauge" | "bar"; readonly min: number; readonly max: number }
export interface TextTile extends Common, Source { readonly kind: "text" }
export interface TableTile extends Common, Figure { readonly kind: "table"; readonly rows?: number; readonly every?: "message" | "tick"; readonly sort?: "topic" | "value" | "age" }
export interface NoteTile extends Common { readonly kind: "note"; readonly text: string }
export interface AlarmsTile extends Common { readonly kind: "alarms"; readonly filter?: string; readonly history?: boolean }

export interface Meaning { readonly label?: string; readonly level: Level }
export interface StateTile extends Common, Source { readonly kind: "state"; readonly states?: Readonly<Record<string, Meaning>> }

export interface Series {
  readonly filter: string;
  readonly pointer?: string;
  readonly label?: string;
  readonly unit?: string;
  readonly scale?: number;
  readonly offset?: number;
}

export interface ChartTile extends Common {
  readonly kind: "chart";
  readonly series: readonly Series[];
  readonly windowS: number;
  readonly min?: number;
  readonly max?: number;
  readonly digits?: number;
  readonly limits?: Limits;
}

export interface DevicesTile extends Common {
  readonly kind: "devices";
  readonly filter: string;
  readonly level: number; // the topic level that names the device, from 0
  readonly status?: string; // filter of the topics by which devices say that they are there
  readonly online?: readonly string[];
  readonly offline?: readonly string[];
  readonly staleAfterS?: number;
}

export interface CommandTile extends Common {
  readonly kind: "command";
  readonly topic: string;
  readonly input?: "button" | "text" | "number" | "switch" | "choice";
  readonly label?: string;
  readonly payload?: string; // of a button
  readonly min?: number;
  readonly max?: number;
  readonly step?: number;
  readonly unit?: string;
  readonly choices?: readonly string[];
  readonly on?: string;
  readonly off?: string;
  readonly qos?: number;
  readonly confirm?: string; // a dangerous command: this is asked before
}

export type Tile = ValueTile | ChartTile | GaugeTile | StateTile | TextTile | TableTile | DevicesTile | AlarmsTile | CommandTile | NoteTile;
export type Kind = Tile["kind"];

export interface Group { readonly title?: string; readonly tiles: readonly Tile[] }
export interface Page { readonly title: string; readonly groups: readonly Group[] }

export interface Layout {
  readonly apiVersion: "plumbline/v1";
  readonly kind: "Dashboard";
  readonly title: string;
  readonly theme?: "auto" | "light" | "dark";
  readonly locale?: string; // BCP 47, for numbers and times; left out: the browser's
  readonly rotateS?: number; // seconds a page stays in wall mode
  readonly staleAfterS?: number; // for tiles that say nothing else
  readonly pages: readonly Page[];
}

export const columns = 12;
export const bounds = { bytes: 64 * 1024, pages: 20, groups: 30, tiles: 200, rows: 200 } as const;

export function tilesOf(layout: Layout): Tile[] {
  return layout.pages.flatMap((p) => p.groups.flatMap((g) => [...g.tiles]));
}
