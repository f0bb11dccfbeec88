// Acknowledging alarms: what was done is said to a screen reader, and a key alone does it only after a question.

import type { Alarm, Alarms } from "../core/index.ts";
import { ask } from "./dialog.ts";

type List = Pick<Alarms, "active" | "acknowledge">;

const mostNamed = 6; // in the question

// acknowledge does so with those of the alarms that wait for it, and no others: one that has come since was seen by nobody.
export function acknowledge(list: List, which: readonly Alarm[], announce: (text: string) => void): void {
  const waiting = which.filter((a) => !a.acknowledged);
  for (const a of waiting) list.acknowledge(a.id);
  const one = waiting.length === 1 ? waiting[0] : undefined;
  announce(one !== undefined ? `Acknowledged: ${one.title}.` : waiting.length === 0 ? "No alarm waits to be acknowledged." : `${waiting.length} alarms acknowledged.`);
}

// askToAcknowledge asks about all that wait, on whatever page.
export async function askToAcknowledge(list: List, announce: (text: string) => void, sure: typeof ask = ask): Promise<void> {
  const waiting = list.active.filter((a) => !a.acknowledged), n = waiting.length;
  const named = waiting.slice(0, mostNamed).map((a) => `${a.title}: ${a.text}`);
  if (n > 0 && !await sure(n === 1 ? "Acknowledge this alarm?" : `Acknowledge ${n} alarms?`, n > mostNamed ? [...named, `and ${n - mostNamed} more`] : named, "Acknowledge")) return announce("Nothing is acknowledged.");
  acknowledge(list, waiting, announce);
}
