// What comes from the bridge, taken apart. Everything is checked: what is not as PROTOCOL.md says throws Broken.

import { isWhole } from "./cursor.ts";
import type { Cursor } from "./cursor.ts";
import { Broken } from "./errors.ts";
import { Reading } from "./reading.ts";

/** One message, or the data of one event. */
export type Message = { readonly [name: string]: unknown };

/** Returns the object that a text holds. */
export function parse(text: string): Message {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Broken("a message that is no JSON");
  }
  return object(value);
}

/** Returns value as a message. */
export function object(value: unknown): Message {
  if (typeof value !== "object" || value === null || Array.isArray(value) || value instanceof Uint8Array) {
    throw new Broken("a message that is no object");
  }
  return value as Message;
}

/** Returns a member that is text; else, and when it is missing, "". */
export function text(m: Message, name: string): string {
  const value = m[name];
  return typeof value === "string" ? value : "";
}

/** Returns a member that is a whole number, else null. */
export function whole(m: Message, name: string): number | null {
  const value = m[name];
  return isWhole(value) ? value : null;
}

/** Returns a member that is a whole number. */
export function need(m: Message, name: string): number {
  const value = whole(m, name);
  if (value === null) {
    throw new Broken(`${text(m, "type") || "a message"} whose ${name} is missing or no whole number`);
  }
  return value;
}

/** Returns a boolean member; missing is false. */
export function flag(m: Message, name: string): boolean {
  const value = m[name];
  if (value !== undefined && typeof value !== "boolean") {
    throw new Broken(`${text(m, "type") || "a message"} whose ${name} is neither true nor false`);
  }
  return value === true;
}

/** Returns the place that epoch and the offset of the given name say. */
export function place(m: Message, offset: string): Cursor {
  const epoch = text(m, "epoch");
  if (epoch === "") {
    throw new Broken(`${text(m, "type") || "a message"} without epoch`);
  }
  return { epoch, offset: need(m, offset) };
}

/** Returns the number that a heartbeat says of a subscription, null when it says none. */
export function said(m: Message, name: string, id: number): number | null {
  const all = m[name];
  return typeof all === "object" && all !== null ? whole(all as Message, String(id)) : null;
}

/** Topics by number, of one session (PROTOCOL.md section 2.8). */
export class Names {
  readonly #names = new Map<number, string>();

  /** Takes a message topics. */
  add(m: Message): void {
    const list = m["topics"];
    if (!Array.isArray(list)) {
      throw new Broken("topics without its list");
    }
    for (const pair of list) {
      const [number, name] = Array.isArray(pair) ? (pair as unknown[]) : [];
      if (!isWhole(number) || typeof name !== "string" || name === "" || this.#names.has(number)) {
        throw new Broken("topics with what is no pair of a new number and a name");
      }
      this.#names.set(number, name);
    }
  }

  /** Returns the topic that a number or a name stands for. */
  topic(value: unknown): string {
    const name = typeof value === "number" ? this.#names.get(value) : value;
    if (typeof name !== "string" || name === "") {
      throw new Broken("a reading without topic, or with a number that was not announced");
    }
    return name;
  }
}

/** Returns the readings of a message. With names they are compact, offsets counted from base; else they are objects. */
export function readings(m: Message, names: Names | null, base: number): Reading[] {
  const list = m["readings"];
  if (!Array.isArray(list)) {
    throw new Broken("readings is missing or no list");
  }
  if (names === null) {
    return list.map((one) => plain(object(one)));
  }
  let offset = base;
  let time = list.length > 0 ? need(m, "t") : 0;
  return list.map((one) => {
    if (!Array.isArray(one) || one.length < 5 || !isWhole(one[0]) || !Number.isSafeInteger(one[1]) || !isWhole(one[3])) {
      throw new Broken("a reading that is not [offset, time, topic, flags, payload]");
    }
    offset += one[0];
    time += one[1] as number;
    const flags = one[3];
    return new Reading(offset, time, names.topic(one[2]), qos(flags & 3), (flags & 4) !== 0, payload(one[4], (flags & 8) !== 0));
  });
}

function plain(m: Message): Reading {
  const time = m["t"];
  if (!Number.isSafeInteger(time)) {
    throw new Broken("a reading whose t is missing or no number");
  }
  const topic = text(m, "topic");
  if (topic === "") {
    throw new Broken("a reading without topic");
  }
  const coded = m["base64"] !== undefined;
  return new Reading(need(m, "o"), time as number, topic, qos(m["qos"]), flag(m, "retain"), payload(coded ? m["base64"] : m["payload"], coded));
}

function qos(value: unknown): 0 | 1 | 2 {
  if (value !== 0 && value !== 1 && value !== 2) {
    throw new Broken("a reading whose qos is not 0, 1 or 2");
  }
  return value;
}

function payload(value: unknown, coded: boolean): string | Uint8Array {
  if (coded && typeof value === "string") {
    return fromBase64(value);
  }
  if (typeof value === "string" || value instanceof Uint8Array) {
    return value;
  }
  throw new Broken("a reading without payload");
}

/** Reads base64 of RFC 4648 section 4, padded. */
export function fromBase64(coded: string): Uint8Array {
  if (coded.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(coded)) {
    throw new Broken("a reading whose base64 is none");
  }
  const raw = atob(coded);
  const out = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) {
    out[i] = raw.charCodeAt(i);
  }
  return out;
}

/** Spells bytes as base64 of RFC 4648 section 4, padded. */
export function toBase64(bytes: Uint8Array): string {
  let raw = "";
  for (const byte of bytes) {
    raw += String.fromCharCode(byte);
  }
  return btoa(raw);
}
