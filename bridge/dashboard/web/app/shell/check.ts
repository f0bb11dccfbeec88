// Strict check of a layout: every fault with its place, what is wrong and how to mend it. An unknown key is a fault that
// names the nearest.

import { type Field, type Fields, kinds, layoutFields, limitFields, meaningFields, place, seriesFields } from "./fields.ts";
import { bounds, columns, type Kind, type Layout } from "./layout.ts";

export interface Fault { readonly at: string; readonly what: string; readonly mend: string }
export type Checked = { readonly layout: Layout; readonly faults?: never } | { readonly layout?: never; readonly faults: readonly Fault[] };

const mostFaults = 20;

type Out = (at: string, what: string, mend: string) => void;
type Dict = Record<string, unknown>;

export function checkLayout(value: unknown): Checked {
  const faults: Fault[] = [];
  const out: Out = (at, what, mend) => { if (faults.length < mostFaults) faults.push({ at: at === "" ? "/" : at, what, mend }); };
  layout(value, out);
  return faults.length > 0 ? { faults } : { layout: value as Layout };
}

// readLayout checks a text, such as a file.
export function readLayout(text: string): Checked {
  if (new TextEncoder().encode(text).length > bounds.bytes) {
    return { faults: [{ at: "/", what: `has more than ${bounds.bytes / 1024} KiB`, mend: "split it into several layouts" }] };
  }
  try {
    return checkLayout(JSON.parse(text));
  } catch (error) {
    return { faults: [{ at: "/", what: `is not JSON: ${error instanceof Error ? error.message : String(error)}`, mend: "export a layout and start from that" }] };
  }
}

export function sayFaults(faults: readonly Fault[]): string {
  return faults.map((f) => `${f.at} ${f.what}; ${f.mend}`).join("\n");
}

function layout(value: unknown, out: Out): void {
  if (!dict(value)) return out("", `is ${kindOf(value)}, not an object`, "a layout begins with {\"apiVersion\":\"plumbline/v1\",\"kind\":\"Dashboard\"");
  if (value["apiVersion"] !== "plumbline/v1") out("/apiVersion", `is ${show(value["apiVersion"])}`, "write \"plumbline/v1\"");
  if (value["kind"] !== "Dashboard") out("/kind", `is ${show(value["kind"])}`, "write \"Dashboard\"");
  fields(value, layoutFields, ["apiVersion", "kind", "pages"], "", out);
  const locale = value["locale"];
  if (typeof locale === "string" && !knownLocale(locale)) out("/locale", `is ${show(locale)}, no language tag`, "write one such as \"de\" or \"en-GB\"");
  let tiles = 0;
  each(value["pages"], "/pages", bounds.pages, out, (page, at) => {
    if (!object(page, at, out)) return;
    fields(page, { title: { type: "text", label: "", need: true, min: 1, max: 120 } }, ["groups"], at, out);
    each(page["groups"], `${at}/groups`, bounds.groups, out, (group, at) => {
      if (!object(group, at, out)) return;
      fields(group, { title: { type: "text", label: "", max: 120 } }, ["tiles"], at, out);
      each(group["tiles"], `${at}/tiles`, bounds.tiles, out, (tile, at) => { tiles++; checkTile(tile, at, out); }, 0);
    });
  });
  if (tiles > bounds.tiles) out("/pages", `hold ${tiles} tiles`, `at most ${bounds.tiles} are shown: split the layout, or use tables`);
}

function each(value: unknown, at: string, most: number, out: Out, one: (v: unknown, at: string) => void, least = 1): void {
  if (!Array.isArray(value)) return out(at, value === undefined ? "is missing" : `is ${kindOf(value)}`, "write a list");
  if (value.length < least || value.length > most) out(at, `has ${value.length} entries`, `write ${least} to ${most}`);
  value.slice(0, most).forEach((v, i) => one(v, `${at}/${i}`));
}

export function checkTile(tile: unknown, at: string, out: Out): void {
  if (!object(tile, at, out)) return;
  const spec = Object.hasOwn(kinds, String(tile["kind"])) ? kinds[tile["kind"] as Kind] : undefined;
  if (spec === undefined) {
    return out(`${at}/kind`, `is ${show(tile["kind"])}${near(String(tile["kind"]), Object.keys(kinds))}`, `write one of ${Object.keys(kinds).join(", ")}`);
  }
  fields(tile, { ...place, ...spec.fields }, ["kind"], at, out);
  const { x, w, min, max } = tile;
  if (typeof x === "number" && typeof w === "number" && x + w > columns) out(`${at}/w`, `reaches column ${x + w}`, `a row has ${columns}: make x + w at most that`);
  if (typeof min === "number" && typeof max === "number" && min >= max) out(`${at}/max`, `${max} is not above min ${min}`, "make max the greater one");
  if (tile["kind"] === "command" && tile["input"] === "choice" && !Array.isArray(tile["choices"])) out(`${at}/choices`, "is missing", "list what may be chosen");
}

function fields(value: Dict, spec: Fields, also: readonly string[], at: string, out: Out): void {
  for (const key of Object.keys(value)) {
    if (!Object.hasOwn(spec, key) && !also.includes(key)) {
      const known = [...Object.keys(spec), ...also];
      out(`${at}/${key}`, `is unknown${near(key, known)}`, `known here: ${known.join(", ")}`);
    }
  }
  for (const [key, field] of Object.entries(spec)) {
    const v = Object.hasOwn(value, key) ? value[key] : undefined;
    if (v !== undefined) fieldOf(v, field, `${at}/${key}`, out);
    else if (field.need) out(`${at}/${key}`, "is missing", `write ${wanted(field)}`);
  }
}

function fieldOf(v: unknown, f: Field, at: string, out: Out): void {
  switch (f.type) {
    case "number": case "whole": return numeric(v, f, at, out);
    case "flag": if (typeof v !== "boolean") out(at, `is ${show(v)}`, "write true or false"); return;
    case "choice": if (!f.choices?.includes(v as string)) out(at, `is ${show(v)}${near(String(v), f.choices ?? [])}`, `write one of ${f.choices?.join(", ")}`); return;
    case "limits": return limits(v, at, out);
    case "list": return each(v, at, f.max ?? 20, out, (e, at) => fieldOf(e, { type: "text", label: "", max: 200 }, at, out));
    case "series": return each(v, at, f.max ?? 12, out, (s, at) => { if (object(s, at, out)) fields(s, seriesFields, [], at, out); });
    case "states": return states(v, f, at, out);
    default: return textual(v, f, at, out);
  }
}

function numeric(v: unknown, f: Field, at: string, out: Out): void {
  const good = typeof v === "number" && Number.isFinite(v) && (f.type !== "whole" || Number.isInteger(v));
  if (!good || (f.min !== undefined && v < f.min) || (f.max !== undefined && v > f.max)) out(at, `is ${show(v)}`, `write ${wanted(f)}`);
}

function textual(v: unknown, f: Field, at: string, out: Out): void {
  if (typeof v !== "string") return out(at, `is ${kindOf(v)}`, `write ${wanted(f)}`);
  if (v.length < (f.min ?? 0) || v.length > (f.max ?? 1000)) return out(at, `has ${v.length} characters`, `write ${wanted(f)}`);
  const wrong = f.type === "filter" ? filterFault(v) : f.type === "topic" ? topicFault(v) : f.type === "pointer" ? pointerFault(v) : "";
  if (wrong !== "") out(at, `${show(v)}: ${wrong}`, `write ${wanted(f)}`);
}

function limits(v: unknown, at: string, out: Out): void {
  if (!object(v, at, out)) return;
  fields(v, limitFields, [], at, out);
  let before: [string, number] | null = null;
  for (const key of ["alarmLow", "warnLow", "warnHigh", "alarmHigh"]) {
    const n = v[key];
    if (typeof n !== "number") continue;
    if (before !== null && n < before[1]) out(`${at}/${key}`, `${n} is below ${before[0]} ${before[1]}`, "order them alarmLow ≤ warnLow ≤ warnHigh ≤ alarmHigh");
    before = [key, n];
  }
}

function states(v: unknown, f: Field, at: string, out: Out): void {
  if (!object(v, at, out)) return;
  const keys = Object.keys(v);
  if (keys.length > (f.max ?? 24)) out(at, `has ${keys.length} entries`, `at most ${f.max ?? 24}`);
  for (const key of keys) {
    const meaning = v[key];
    if (object(meaning, `${at}/${key}`, out)) fields(meaning, meaningFields, [], `${at}/${key}`, out);
  }
}

// filterFault says what is wrong with a topic filter (MQTT 5, section 4.7), "" when nothing is.
export function filterFault(filter: string): string {
  if (filter === "") return "is empty";
  if (filter.includes("\u0000")) return "has a null character";
  const parts = filter.split("/");
  if (parts.length > 128) return "has more than 128 levels";
  for (const [i, part] of parts.entries()) {
    if (part.includes("#") && (part !== "#" || i !== parts.length - 1)) return "# must be the whole last level";
    if (part.includes("+") && part !== "+") return "+ must be a whole level";
  }
  return "";
}

export function topicFault(topic: string): string {
  if (topic === "") return "is empty";
  if (/[+#\u0000]/.test(topic)) return "a topic has no +, # or null character";
  return topic.startsWith("$") ? "topics of the server take no messages" : "";
}

export function pointerFault(pointer: string): string {
  if (pointer !== "" && !pointer.startsWith("/")) return "a JSON pointer begins with /";
  return /~(?![01])/.test(pointer) ? "~ is written ~0, / within a name ~1" : "";
}

export function knownLocale(tag: string): boolean {
  try { return Intl.NumberFormat.supportedLocalesOf([tag]).length > 0; } catch { return false; }
}

function wanted(f: Field): string {
  const range = f.min !== undefined && f.max !== undefined ? ` from ${f.min} to ${f.max}` : f.min !== undefined ? ` of at least ${f.min}` : f.max !== undefined ? ` of at most ${f.max}` : "";
  switch (f.type) {
    case "number": return `a number${range}`;
    case "whole": return `a whole number${range}`;
    case "filter": return "a topic filter such as \"plant/+/temperature\"";
    case "topic": return "a topic such as \"command/press-7/speed\"";
    case "pointer": return "a JSON pointer such as \"/temperature\"";
    case "list": case "series": return "a list";
    case "choice": return `one of ${f.choices?.join(", ")}`;
    case "limits": case "states": return "an object";
    default: return `a text${range === "" ? "" : `${range} characters`}`;
  }
}

function dict(v: unknown): v is Dict { return typeof v === "object" && v !== null && !Array.isArray(v); }

function object(v: unknown, at: string, out: Out): v is Dict {
  if (dict(v)) return true;
  out(at, `is ${kindOf(v)}`, "write an object");
  return false;
}

function kindOf(v: unknown): string {
  return v === undefined ? "missing" : v === null ? "null" : Array.isArray(v) ? "a list" : typeof v === "object" ? "an object" : `a ${typeof v}`;
}

function show(v: unknown): string {
  if (v === undefined) return "missing";
  const text = JSON.stringify(v);
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

// near names the known word that is at most two letters away.
function near(word: string, known: readonly string[]): string {
  let best = "", least = 3;
  for (const k of known) {
    const d = distance(word.toLowerCase().slice(0, 40), k.toLowerCase());
    if (d < least) [best, least] = [k, d];
  }
  return best === "" ? "" : ` (did you mean ${best}?)`;
}

function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
