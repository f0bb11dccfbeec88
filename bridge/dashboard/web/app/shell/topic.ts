// Whether a topic is granted.

import { matches } from "../core/topics.ts";

// allowed: whether one of the grants covers the topic.
export function allowed(grants: readonly string[] | undefined, topic: string): boolean {
  return grants?.some((g) => matches(g, topic)) ?? false;
}
