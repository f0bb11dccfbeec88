// CBOR (RFC 8949), as far as plumbline.v1.cbor needs it: PROTOCOL.md section 7.

import { Broken } from "./errors.ts";

/** The deepest nesting that is read. The bridge sends no more than six levels. */
const maxDepth = 8;

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/** Returns the one item that the bytes hold; anything else throws Broken. Byte strings are copies. */
export function decode(bytes: Uint8Array): unknown {
  const reader = new Reader(bytes);
  const value = reader.item(0);
  if (reader.at !== bytes.length) {
    throw new Broken(`CBOR: ${bytes.length - reader.at} bytes after the item`);
  }
  return value;
}

class Reader {
  at = 0;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  item(depth: number): unknown {
    if (depth > maxDepth) {
      throw new Broken(`CBOR: nested deeper than ${maxDepth} levels`);
    }
    const head = this.#bytes[this.#take(1)] as number;
    const major = head >> 5;
    if (major === 7) {
      return simple(head);
    }
    const n = this.#argument(head & 31);
    switch (major) {
      case 0:
        return n;
      case 1:
        return -1 - n;
      case 2:
        return this.#slice(n).slice();
      case 3:
        return this.#text(n);
      case 4:
        return this.#array(n, depth);
      case 5:
        return this.#map(n, depth);
    }
    throw new Broken("CBOR: a tag");
  }

  /** Moves on by n bytes and returns where they begin. */
  #take(n: number): number {
    const begin = this.at;
    if (n > this.#bytes.length - begin) {
      throw new Broken(`CBOR: ends in the middle, at byte ${begin}`);
    }
    this.at = begin + n;
    return begin;
  }

  #slice(n: number): Uint8Array {
    const begin = this.#take(n);
    return this.#bytes.subarray(begin, begin + n);
  }

  #argument(short: number): number {
    switch (short) {
      case 24:
        return this.#view.getUint8(this.#take(1));
      case 25:
        return this.#view.getUint16(this.#take(2));
      case 26:
        return this.#view.getUint32(this.#take(4));
      case 27: {
        const begin = this.#take(8);
        const n = this.#view.getUint32(begin) * 2 ** 32 + this.#view.getUint32(begin + 4);
        if (!Number.isSafeInteger(n)) {
          throw new Broken("CBOR: a number beyond 2^53");
        }
        return n;
      }
    }
    if (short > 23) {
      throw new Broken("CBOR: an indefinite length");
    }
    return short;
  }

  #text(n: number): string {
    const raw = this.#slice(n);
    try {
      return utf8.decode(raw);
    } catch {
      throw new Broken("CBOR: a text that is not UTF-8");
    }
  }

  #array(n: number, depth: number): unknown[] {
    const out: unknown[] = [];
    for (let i = 0; i < n; i++) { // an array that claims more than there is ends with its first missing item
      out.push(this.item(depth + 1));
    }
    return out;
  }

  #map(n: number, depth: number): Record<string, unknown> {
    const out = Object.create(null) as Record<string, unknown>;
    for (let i = 0; i < n; i++) {
      const key = this.item(depth + 1);
      if (typeof key !== "string" || key in out) {
        throw new Broken("CBOR: a map whose key is no text, or comes twice");
      }
      out[key] = this.item(depth + 1);
    }
    return out;
  }
}

function simple(head: number): unknown {
  switch (head) {
    case 0xf4:
      return false;
    case 0xf5:
      return true;
    case 0xf6:
      return null;
  }
  throw new Broken(`CBOR: the simple value or float 0x${head.toString(16)}`);
}

/** What can be sent. Members that are undefined are left out. */
export type Sendable = string | number | boolean | Uint8Array | { readonly [name: string]: Sendable | undefined };

/** Returns the bytes of a message. Numbers are whole. */
export function encode(value: Sendable): Uint8Array<ArrayBuffer> {
  const out: number[] = [];
  write(out, value);
  return Uint8Array.from(out);
}

function write(out: number[], value: Sendable): void {
  if (typeof value === "boolean") {
    out.push(value ? 0xf5 : 0xf4);
  } else if (typeof value === "number") {
    head(out, value < 0 ? 1 : 0, value < 0 ? -1 - value : value);
  } else if (typeof value === "string") {
    const raw = encoder.encode(value);
    head(out, 3, raw.length);
    append(out, raw);
  } else if (value instanceof Uint8Array) {
    head(out, 2, value.length);
    append(out, value);
  } else {
    const members = Object.entries(value).filter((m): m is [string, Sendable] => m[1] !== undefined);
    head(out, 5, members.length);
    for (const [name, member] of members) {
      write(out, name);
      write(out, member);
    }
  }
}

function append(out: number[], raw: Uint8Array): void {
  for (const byte of raw) {
    out.push(byte);
  }
}

function head(out: number[], major: number, n: number): void {
  const top = major << 5;
  if (n < 24) {
    out.push(top | n);
    return;
  }
  const width = n < 2 ** 8 ? 1 : n < 2 ** 16 ? 2 : n < 2 ** 32 ? 4 : 8;
  out.push(top | (24 + Math.log2(width)));
  for (let i = width - 1; i >= 0; i--) {
    out.push(Math.floor(n / 2 ** (8 * i)) % 256);
  }
}
