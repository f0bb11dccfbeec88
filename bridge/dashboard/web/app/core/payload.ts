// From bytes to a value that can be shown. Nothing here throws, whatever the payload is, and nothing of it is ever markup: what
// comes out is text and numbers.

import type { Reading } from "plumbline-client";
import { escapeToken, find, parsePointer } from "./pointer.ts";
import type { Value } from "./types.ts";

/** Most characters of a payload that are kept and shown. */
export const MAX_TEXT = 4096;
/** The number beyond which history keeps no number, and no scale can be drawn; see "History" in the bridge's README. */
export const MAX_ABS = 1e290;
/** Payloads above this are not looked into for a number at a pointer: it would hold the page up. The bridge takes no larger ones by default. */
export const MAX_JSON = 256 * 1024;

// A number is what JSON calls one, as for history: what it keeps as an event must not be drawn as a number.
const numeric = /^-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?$/;
const notFinite = /^[-+]?(nan|inf(inity)?)$/i;
const MISSING: Value = Object.freeze({ kind: "missing", text: "", bytes: 0 });
/** What is at a pointer of a payload of which only the beginning is kept: who watched when it came knows. */
const GONE: Value = Object.freeze({ kind: "missing", text: "too large to be kept whole: with the next message", bytes: 0 });

/** What the core reads of a Reading. */
export type Source = Pick<Reading, "text" | "isText" | "bytes">;

/** Payload is one message's content: its text and, when somebody asks, its JSON. While the message is new each is made once. */
export class Payload {
  private source: Source | null;
  private whole: string | null = null;
  private json: { readonly value: unknown } | null = null;
  private sealed = false;
  /** It was too long to be kept whole. */
  isCut = false;
  private binary = false;
  private size = -1;

  constructor(source: Source) {
    this.source = source;
  }

  /** text is the payload as text, "" for what is no text. */
  get text(): string {
    if (this.whole === null) this.read();
    return this.whole ?? "";
  }

  /** bytes is the payload's size. */
  get bytes(): number {
    if (this.size < 0) this.read();
    return this.size;
  }

  /** isText says whether it is valid UTF-8 without control characters other than white space, so that no display obeys it. */
  get isText(): boolean {
    if (this.whole === null) this.read();
    return !this.binary;
  }

  /**
   * seal is called when all who want the message whole have looked. It gives back the reading, whose bytes may hold a whole
   * frame, and the JSON, which may take many times its text, and keeps of a long text its beginning: thousands of topics are held.
   */
  seal(): void {
    if (this.whole === null) this.read();
    this.source = null;
    this.json = null;
    this.sealed = true;
    if (this.text.length <= MAX_TEXT) return;
    this.isCut = true;
    this.whole = cut(this.text);
  }

  /** document is the parsed JSON, undefined when it is none or is not there any more (isCut). */
  get document(): unknown {
    if (this.json !== null) return this.json.value;
    const value = this.isCut ? undefined : this.parse();
    if (!this.sealed) this.json = { value };
    return value;
  }

  private parse(): unknown {
    const text = this.text;
    if (text.length > MAX_JSON || this.size > MAX_JSON) return undefined;
    try {
      return JSON.parse(text);
    } catch {
      return undefined;
    }
  }

  private read(): void {
    const s = this.source;
    if (s === null) return;
    try {
      this.binary = !s.isText;
      this.whole = this.binary ? "" : s.text();
      this.size = this.binary ? s.bytes.length : utf8Length(this.whole);
      // eslint-disable-next-line no-control-regex
      if (!this.binary && /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/.test(this.whole)) this.binary = true;
    } catch {
      this.binary = true;
      this.whole = "";
      this.size = Math.max(this.size, 0);
    }
  }
}

/** utf8Length is the number of bytes of s in UTF-8. */
function utf8Length(s: string): number {
  let n = s.length;
  for (let i = 0; i < s.length; i++) {
    const c = s.charCodeAt(i);
    if (c < 0x80) continue;
    n += c >= 0xd800 && c <= 0xdfff ? 1 : c < 0x800 ? 1 : 2; // each half of a pair counts 2 of its 4
  }
  return n;
}

/** Extracted is a value with what stands beside it. */
export interface Extracted {
  readonly value: Value;
  readonly unit: string; // of a member `unit` beside the number; ""
  readonly pointer: string; // where it was found, for who gave none
}

/** Extractor takes the value at one pointer out of payloads. */
export class Extractor {
  private readonly tokens: readonly string[] | null;
  private readonly pointer: string;

  /** pointer null: the payload itself or, of an object, its member `value` or its only number. */
  constructor(pointer: string | null) {
    this.pointer = pointer ?? "";
    this.tokens = pointer === null || pointer === "" ? null : parsePointer(pointer);
  }

  extract(p: Payload): Extracted {
    if (!p.isText) return { value: { kind: "binary", text: "", bytes: p.bytes }, unit: "", pointer: "" };
    const text = p.text;
    const trimmed = text.length <= 64 ? text.trim() : text;
    if (this.tokens === null) {
      if (trimmed.length <= 64 && (numeric.test(trimmed) || notFinite.test(trimmed))) return plain(fromNumberText(trimmed));
      if (trimmed === "") return plain({ kind: "empty", text: "", bytes: p.bytes });
      const v = p.document;
      if (v === undefined) return plain(p.isCut && /^\s*[[{]/.test(text) ? { kind: "json", text: cut(text), bytes: p.bytes } : textValue(text, p.bytes));
      if (typeof v !== "object" || v === null) return plain(fromScalar(v, p.text));
      return ownNumber(v) ?? plain({ kind: "json", text: cut(text), bytes: p.bytes });
    }
    if (p.isCut) return { value: GONE, unit: "", pointer: this.pointer };
    const v = p.document;
    const found = find(v, this.tokens);
    if (found === undefined) return { value: MISSING, unit: "", pointer: this.pointer };
    return { value: fromAny(found), unit: unitBeside(find(v, this.tokens.slice(0, -1))), pointer: this.pointer };
  }
}

function plain(value: Value): Extracted {
  return { value, unit: "", pointer: "" };
}

/** ownNumber finds the number that an object obviously is about: its member value, or its only number. */
function ownNumber(v: object): Extracted | null {
  let name: string | null = null;
  const record = v as Record<string, unknown>;
  if (!Array.isArray(v)) {
    if (Object.hasOwn(v, "value") && isNumeric(record["value"])) name = "value";
    else {
      let numbers = 0;
      for (const key of Object.keys(record)) {
        if (typeof record[key] !== "number") continue;
        numbers++;
        name = key;
      }
      if (numbers !== 1) name = null;
    }
  }
  if (name === null) return null;
  return { value: fromAny(record[name]), unit: unitBeside(v), pointer: "/" + escapeToken(name) };
}

function isNumeric(v: unknown): boolean {
  return typeof v === "number" || typeof v === "boolean";
}

/** unitBeside is the member `unit` of the object that holds a number. */
function unitBeside(parent: unknown): string {
  if (typeof parent !== "object" || parent === null || Array.isArray(parent) || !Object.hasOwn(parent, "unit")) return "";
  const unit = (parent as Record<string, unknown>)["unit"];
  return typeof unit === "string" && unit.length <= 32 ? unit : "";
}

function fromScalar(v: unknown, text: string): Value {
  if (typeof v === "number") return fromNumberText(text.trim());
  return fromAny(v);
}

/** fromAny makes a value of what JSON held at a pointer. */
function fromAny(v: unknown): Value {
  switch (typeof v) {
    case "number":
      return Number.isFinite(v) && Math.abs(v) <= MAX_ABS
        ? { kind: "number", number: v, text: String(v), exact: !Number.isInteger(v) || Number.isSafeInteger(v) }
        : { kind: "nan", text: String(v) };
    case "boolean":
      return { kind: "bool", number: v ? 1 : 0, text: String(v) };
    case "string":
      return v.length <= 64 && numeric.test(v.trim()) ? fromNumberText(v.trim()) : textValue(v, utf8Length(v));
    case "object": {
      if (v === null) return { kind: "empty", text: "null", bytes: 4 };
      const text = JSON.stringify(v);
      return { kind: "json", text: cut(text), bytes: utf8Length(text) };
    }
    default:
      return MISSING;
  }
}

/** fromNumberText keeps the digits as they were sent: they say how fine the sensor is. */
function fromNumberText(text: string): Value {
  const n = Number(text);
  if (!Number.isFinite(n) || Math.abs(n) > MAX_ABS) return { kind: "nan", text: cut(text) };
  const exact = !Number.isInteger(n) || Number.isSafeInteger(n);
  return { kind: "number", number: n, text, exact };
}

function textValue(text: string, bytes: number): Value {
  const word = text.length <= 8 ? text.trim().toLowerCase() : "";
  if (word === "true" || word === "false") return { kind: "bool", number: word === "true" ? 1 : 0, text: text.trim() };
  return { kind: "text", text: cut(text), bytes };
}

/** cut keeps text short, and no half of a surrogate pair. */
function cut(text: string): string {
  if (text.length <= MAX_TEXT) return text;
  const last = text.charCodeAt(MAX_TEXT - 1);
  const begin = text.slice(0, last >= 0xd800 && last <= 0xdbff ? MAX_TEXT - 1 : MAX_TEXT);
  return begin.split("").join("") + "…"; // a copy: a slice would hold the whole text
}

/** decimalsOf is the number of digits behind the point in a number's text, the fineness of its source. */
export function decimalsOf(text: string): number {
  const m = /^[-+]?\d*\.?(\d*)(?:[eE]([-+]?\d+))?$/.exec(text);
  if (m === null) return 0;
  return Math.max(0, Math.min(12, (m[1] ?? "").length - Number(m[2] ?? 0)));
}

/** numberOf is what can be drawn or judged: NaN for what is no number. */
export function numberOf(v: Value): number {
  return v.kind === "number" || v.kind === "bool" ? v.number : NaN;
}

/** sentTimeUs reads the time that a sensor states: a number in unit since 1970, or RFC 3339. null: none that could be meant. */
export function sentTimeUs(v: Value, unit: "s" | "ms" | "us" | "ns"): number | null {
  let us = NaN;
  if (v.kind === "number") us = v.number * { s: 1e6, ms: 1e3, us: 1, ns: 1e-3 }[unit];
  else if (v.kind === "text" && /^\d{4}-\d\d-\d\d[Tt ]/.test(v.text)) us = rfc3339Us(v.text);
  return us >= 946684800e6 && us < 253402300800e6 ? Math.round(us) : null; // from 2000 on, as history believes
}

/** rfc3339Us keeps the microseconds that Date.parse would drop. */
function rfc3339Us(text: string): number {
  const m = /^(.{19})(\.\d+)?(.*)$/.exec(text);
  if (m === null) return NaN;
  const whole = Date.parse((m[1] ?? "") + (m[3] ?? ""));
  return whole * 1000 + Math.round(Number("0" + (m[2] ?? "")) * 1e6);
}
