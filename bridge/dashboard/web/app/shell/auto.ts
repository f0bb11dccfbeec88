// A layout made of the topics that were seen, for somebody who has none yet.

import { firstFree } from "./geometry.ts";
import type { Group, Layout, Page, Series, Tile } from "./layout.ts";
import { isUnit, unitBeside, unitByName } from "./units.ts";

export interface Seen { readonly topic: string; readonly kind: string; readonly text: string }

interface Part { readonly pointer: string; readonly what: "number" | "text"; readonly unit?: string }

const mostTiles = 36, mostGroups = 8, mostParts = 4, mostLooked = 200;
const statusWords = /^(online|offline|connected|disconnected)$/i;
const statusLevels = /^(status|availability|lwt|online|state|connection)$/i;

type Sized = Tile extends infer T ? (T extends Tile ? Omit<T, "x" | "y"> : never) : never;

export function autoLayout(seen: readonly Seen[], grants: readonly string[]): Layout {
  const filters = grants.length > 0 ? grants : ["#"];
  const topics = [...seen].filter((s) => !/(^|\/)config$/.test(s.topic)).sort((a, b) => a.topic < b.topic ? -1 : 1);
  const status = statusOf(topics);
  const pages: Page[] = [];
  const groups = overview(topics.filter((t) => !status.topics.has(t.topic)));
  if (groups.length > 0) pages.push({ title: "Overview", groups });
  pages.push({ title: "Everything", groups: filters.slice(0, 8).map((filter) => ({ title: filters.length > 1 ? filter : "", tiles: [{ kind: "table", x: 0, y: 0, w: 12, h: 9, title: "Topics", filter, rows: 100 }] })) });
  const deep = depth(topics);
  const one = filters[0] as string;
  pages.push({ title: "Devices", groups: [{ tiles: [
    { kind: "devices", x: 0, y: 0, w: 8, h: 10, title: "Devices", filter: one, level: Math.max(deep - 2, 0), ...(status.filter === "" ? {} : { status: status.filter }) },
    { kind: "alarms", x: 8, y: 0, w: 4, h: 10, title: "Alarms" },
  ] }] });
  return { apiVersion: "plumbline/v1", kind: "Dashboard", title: "What is here", pages };
}

// filterLayout shows everything under one filter, each message of it.
export function filterLayout(filter: string): Layout {
  const short = filter.length > 100 ? `${filter.slice(0, 99)}…` : filter;
  return { apiVersion: "plumbline/v1", kind: "Dashboard", title: short, pages: [{ title: "Filter", groups: [{ tiles: [
    { kind: "table", x: 0, y: 0, w: 12, h: 8, title: "Topics", filter, rows: 200, every: "message" },
    { kind: "chart", x: 0, y: 8, w: 12, h: 5, title: "Lines", series: [{ filter }], windowS: 120 },
  ] }] }] };
}

// depth is how many levels most topics have.
function depth(topics: readonly Seen[]): number {
  const count = new Map<number, number>();
  for (const t of topics) {
    const n = t.topic.split("/").length;
    count.set(n, (count.get(n) ?? 0) + 1);
  }
  return [...count].sort((a, b) => b[1] - a[1])[0]?.[0] ?? 1;
}

// statusOf finds by which topics devices say that they are there.
function statusOf(topics: readonly Seen[]): { topics: Set<string>; filter: string } {
  const found = topics.filter((t) => statusWords.test(t.text.trim()) && statusLevels.test(t.topic.slice(t.topic.lastIndexOf("/") + 1)));
  const shapes = new Map<string, number>();
  for (const t of found) {
    const levels = t.topic.split("/");
    const shape = [levels[0], ...levels.slice(1, -1).map(() => "+"), levels[levels.length - 1]].join("/");
    shapes.set(shape, (shapes.get(shape) ?? 0) + 1);
  }
  return { topics: new Set(found.map((t) => t.topic)), filter: [...shapes].sort((a, b) => b[1] - a[1])[0]?.[0] ?? "" };
}

function overview(topics: readonly Seen[]): Group[] {
  const byArea = new Map<string, Seen[]>();
  for (const t of topics) {
    const levels = t.topic.split("/");
    const area = levels.slice(0, Math.min(Math.max(levels.length - 2, 1), 2)).join("/");
    const list = byArea.get(area);
    if (list === undefined) byArea.set(area, [t]);
    else list.push(t);
  }
  const groups: Group[] = [];
  let left = mostTiles;
  for (const [area, list] of [...byArea].slice(0, mostGroups)) {
    const tiles = areaTiles(area, list, Math.min(left, Math.ceil(mostTiles / Math.min(byArea.size, mostGroups))));
    left -= tiles.length;
    if (tiles.length > 0) groups.push({ title: area.slice(0, 120), tiles });
  }
  return groups;
}

function areaTiles(area: string, list: readonly Seen[], most: number): Tile[] {
  const tiles: Tile[] = [];
  const add = (tile: Sized): void => { tiles.push({ ...tile, ...firstFree(tiles, tile.w, tile.h) } as Tile); };
  const w = widthOf(Math.min(list.slice(0, most).reduce((n, t) => n + partsOf(t).length, 0), most));
  for (const t of list) {
    for (const part of partsOf(t)) {
      if (tiles.length >= most) return tiles;
      const pointer = part.pointer === "" ? {} : { pointer: part.pointer }, unit = part.unit === undefined ? {} : { unit: part.unit };
      const short = (t.topic.slice(area.length + 1) || t.topic).replace(/\/(state|data|value)$/, "");
      const title = `${short}${part.pointer.replaceAll("/", " ")}`.slice(0, 120);
      if (part.what === "number") add({ kind: "value", w, h: 3, title, filter: t.topic, ...pointer, ...unit });
      else add({ kind: t.text.length > 60 ? "text" : "state", w, h: 3, title, filter: t.topic, ...pointer });
    }
  }
  const lines = tiles.length < most && tiles.length >= 4 ? likeLines(list) : [];
  if (lines.length > 0) add({ kind: "chart", w: 12, h: 4, title: area, series: lines.slice(0, 6), windowS: 300 });
  return tiles;
}

// widthOf fills rows: so many columns for each of n tiles.
function widthOf(n: number): number { return n === 5 || n === 6 ? 2 : n % 4 !== 0 && n % 3 === 0 ? 4 : 3; }

// likeLines are the numbers of which there are most of one name: what has nothing in common is not drawn over one another.
function likeLines(list: readonly Seen[]): Series[] {
  const byName = new Map<string, Series[]>();
  for (const t of list.slice(0, mostLooked)) {
    for (const { pointer, what, unit } of partsOf(t)) {
      if (what !== "number") continue;
      const path = pointer === "" ? t.topic : pointer, name = path.slice(path.lastIndexOf("/") + 1);
      byName.set(name, [...byName.get(name) ?? [], { filter: t.topic, ...(pointer === "" ? {} : { pointer }), ...(unit === undefined ? {} : { unit }) }]);
    }
  }
  return [...byName.values()].sort((a, b) => b.length - a.length)[0] ?? [];
}

// partsOf finds what of a payload can be shown: numbers and short texts, of an object its members, two levels deep.
export function partsOf(t: Seen): Part[] {
  if (t.kind === "number" || t.kind === "bool" || t.kind === "nan") return [numberPart("", unitByName(t.topic.slice(t.topic.lastIndexOf("/") + 1)))];
  if (t.kind === "text") return [{ pointer: "", what: "text" }];
  if (t.kind !== "json") return [];
  let value: unknown;
  try { value = JSON.parse(t.text); } catch { return []; }
  const parts: Part[] = [];
  walk(value, "", 0, parts);
  return parts.slice(0, mostParts);
}

function numberPart(pointer: string, unit: string): Part { return unit === "" ? { pointer, what: "number" } : { pointer, what: "number", unit }; }

function walk(value: unknown, pointer: string, deep: number, parts: Part[], unit = ""): void {
  if (parts.length >= mostParts) return;
  if (typeof value === "number") parts.push(numberPart(pointer, unit));
  else if (typeof value === "boolean") parts.push({ pointer, what: "number" });
  else if (typeof value === "string" && value.length <= 200 && deep === 1) parts.push({ pointer, what: "text" });
  else if (typeof value === "object" && value !== null && !Array.isArray(value) && deep < 2) {
    for (const [key, v] of Object.entries(value)) {
      if (!(isUnit(key) && typeof v === "string")) walk(v, `${pointer}/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`, deep + 1, parts, unitBeside(value as Record<string, unknown>, key) || unitByName(key));
    }
  }
}
