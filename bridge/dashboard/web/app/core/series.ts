// The points of one item, held for those who draw them.

import type { CoreEnv } from "./env.ts";
import type { History } from "./history.ts";
import type { Ring } from "./ring.ts";
import { View, type ViewSource } from "./view.ts";

/** Points that a chart's series holds: ten minutes of ten a second, and more. What is older is asked of history. */
export const chartPoints = 8192;
/** Points that a spark holds: only what history's answer may not have yet. */
export const sparkPoints = 512;

/** Series is a ring of the newest points, and the views of it. */
export class Series {
  readonly ring: Ring;
  private readonly views = new Set<View>();
  private readonly source: ViewSource;
  private readonly history: History | null;
  private readonly env: CoreEnv;

  constructor(source: ViewSource, history: History | null, env: CoreEnv) {
    this.ring = source.ring;
    this.source = source;
    this.history = history;
    this.env = env;
  }

  push(timeUs: number, value: number, offset: number, chain: number): void {
    this.ring.push(timeUs, value, offset, chain);
    for (const v of this.views) v.push(timeUs, value, offset, chain);
  }

  view(onChange: () => void): View {
    const v = new View(this.source, this.history, this.env, onChange);
    this.views.add(v);
    return v;
  }

  drop(v: View): void {
    this.views.delete(v);
    v.close();
  }

  /** restart forgets the points, which are of a chain that has ended; the views show what they have until history has been asked. */
  restart(): void {
    this.ring.clear();
    this.rejoin();
  }

  rejoin(): void {
    for (const v of this.views) v.rejoin();
  }

  resumed(): void {
    for (const v of this.views) v.resumed();
  }

  close(): void {
    for (const v of this.views) v.close();
    this.views.clear();
  }
}
