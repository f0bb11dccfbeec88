// The page at work begins with what the address asks for.

import { App } from "./app.ts";
import { readPlace } from "./place.ts";
import type { Me } from "./session.ts";

export async function begin(root: HTMLElement, me: Me): Promise<void> {
  const where = readPlace(location.hash), filter = new URLSearchParams(location.search).get("filter");
  await new App(root, me, where).desk.resolve(where, filter);
}
