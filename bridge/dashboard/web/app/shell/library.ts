// Layouts that are saved on the server: reading, and writing without overwriting what somebody else has changed.

import { checkLayout, type Checked, sayFaults } from "./check.ts";
import type { Layout } from "./layout.ts";
import { call, Refused } from "./session.ts";

export interface Entry { readonly id: string; readonly title: string; readonly owner: string; readonly mine: boolean; readonly shared: boolean; readonly modified_us: number; readonly etag: string }

export interface Loaded { readonly id: string; readonly checked: Checked; readonly tag: string; readonly shared: boolean }

const base = "/api/v1/layouts";

function address(id: string, query: Readonly<Record<string, string>> = {}): string {
  const q = new URLSearchParams(query).toString();
  return `${base}/${encodeURIComponent(id)}${q === "" ? "" : `?${q}`}`;
}

// Conflict: somebody else has saved that layout since it was read, or one of that name is there already.
export class Conflict extends Error {}

export async function listLayouts(): Promise<readonly Entry[]> {
  return (await (await call(base)).json() as { layouts: readonly Entry[] }).layouts;
}

export async function loadLayout(id: string, owner?: string): Promise<Loaded> {
  const answer = await call(address(id, owner === undefined ? {} : { owner }));
  return { id, tag: answer.headers.get("ETag") ?? "", shared: answer.headers.get("Plumbline-Shared") === "true", checked: checkLayout(await answer.json()) };
}

// saveLayout writes over the version that tag names; without a tag it makes a new one and touches no other.
export async function saveLayout(id: string, layout: Layout, o: { readonly tag: string | null; readonly shared: boolean }): Promise<string> {
  const checked = checkLayout(layout);
  if (checked.faults !== undefined) throw new Error(sayFaults(checked.faults));
  const headers = { "Content-Type": "application/json", ...(o.tag === null ? { "If-None-Match": "*" } : { "If-Match": o.tag }) };
  try {
    const answer = await call(address(id, { shared: String(o.shared) }), { method: "PUT", headers, body: JSON.stringify(layout) });
    return answer.headers.get("ETag") ?? "";
  } catch (error) {
    if (error instanceof Refused && (error.status === 412 || error.status === 428)) throw new Conflict(error.message);
    throw error;
  }
}

export async function removeLayout(id: string, tag: string): Promise<void> {
  await call(address(id), { method: "DELETE", headers: { "If-Match": tag } });
}

// download gives a text to the browser as a file.
export function download(name: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  const a = document.createElement("a");
  a.href = url;
  a.download = name;
  document.body.append(a);
  a.click();
  a.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
