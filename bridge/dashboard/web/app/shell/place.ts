// The page's address: which layout, which page, or a whole layout packed into the fragment. What is behind # never
// reaches a server's log.

import { checkLayout, type Checked } from "./check.ts";
import { bounds, type Layout } from "./layout.ts";

// Place is where one is: a layout by name (saved or preset), or packed; neither: the start.
export interface Where {
  readonly saved?: string;
  readonly owner?: string; // whose: left out, one's own
  readonly preset?: string;
  readonly packed?: string;
  readonly page: number; // from 0
  readonly wall: boolean;
}

export function readPlace(fragment: string): Where {
  const p = new URLSearchParams(fragment.replace(/^#/, ""));
  const page = Number(p.get("page") ?? "1");
  const where = { page: Number.isInteger(page) && page >= 1 && page <= bounds.pages ? page - 1 : 0, wall: p.get("wall") === "1" };
  const saved = p.get("layout"), preset = p.get("preset"), packed = p.get("packed");
  if (packed !== null) return { ...where, packed };
  const owner = p.get("owner");
  if (saved !== null && idFault(saved) === "") return owner === null ? { ...where, saved } : { ...where, saved, owner };
  if (preset !== null) return { ...where, preset };
  return where;
}

export function writePlace(w: Where): string {
  const p = new URLSearchParams();
  if (w.packed !== undefined) p.set("packed", w.packed);
  else if (w.saved !== undefined) {
    p.set("layout", w.saved);
    if (w.owner !== undefined) p.set("owner", w.owner);
  }
  else if (w.preset !== undefined) p.set("preset", w.preset);
  if (w.page > 0) p.set("page", String(w.page + 1));
  if (w.wall) p.set("wall", "1");
  const text = p.toString();
  return text === "" ? "" : `#${text}`;
}

// idFault says what is wrong with the name of a saved layout.
export function idFault(id: string): string {
  return /^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$/.test(id) ? "" : "a name has 1 to 64 small letters, digits and hyphens, and neither begins nor ends with a hyphen";
}

export function idFrom(title: string): string {
  const id = title.normalize("NFKD").toLowerCase().replace(/[\u0300-\u036f]/g, "").replace(/ß/g, "ss").replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 64).replace(/-+$/, "");
  return id === "" ? "dashboard" : id;
}

// pack makes a layout fit for an address: raw DEFLATE (RFC 1951), base64url (RFC 4648 section 5).
export async function pack(layout: Layout): Promise<string> {
  const bytes = await through(new TextEncoder().encode(JSON.stringify(layout)), new CompressionStream("deflate-raw"), Infinity);
  let text = "";
  for (const b of bytes) text += String.fromCharCode(b);
  return btoa(text).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

// unpack reads what pack made. It never makes more of a hostile address than a layout may have.
export async function unpack(packed: string): Promise<Checked> {
  const mend = "copy the whole address again, or import the file";
  try {
    const text = atob(packed.replace(/-/g, "+").replace(/_/g, "/"));
    const bytes = await through(Uint8Array.from(text, (c) => c.charCodeAt(0)), new DecompressionStream("deflate-raw"), bounds.bytes);
    return checkLayout(JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)));
  } catch (error) {
    const what = error instanceof RangeError ? error.message : "holds no whole layout";
    return { faults: [{ at: "the address", what, mend }] };
  }
}

async function through(bytes: Uint8Array<ArrayBuffer>, stream: CompressionStream | DecompressionStream, most: number): Promise<Uint8Array> {
  const reader = new Blob([bytes]).stream().pipeThrough<Uint8Array>(stream as unknown as ReadableWritablePair<Uint8Array, Uint8Array>).getReader();
  const parts: Uint8Array[] = [];
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    size += value.length;
    if (size > most) {
      await reader.cancel();
      throw new RangeError(`unpacks to more than ${most / 1024} KiB`);
    }
    parts.push(value);
  }
  const all = new Uint8Array(size);
  let at = 0;
  for (const part of parts) { all.set(part, at); at += part.length; }
  return all;
}
