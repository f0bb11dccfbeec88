// MQTT topic filters: what matches, and which filter covers which.

/** matches says whether a filter takes a topic (MQTT 5, section 4.7): + is one level, # the rest, neither at the first level takes $…. */
export function matches(filter: string, topic: string): boolean {
  if (filter === topic) return true;
  if (topic.startsWith("$") && (filter.startsWith("+") || filter.startsWith("#"))) return false;
  let f = 0;
  let t = 0;
  for (;;) {
    const fEnd = end(filter, f);
    const tEnd = end(topic, t);
    const one = filter.slice(f, fEnd);
    if (one === "#") return true;
    if (one !== "+" && one !== topic.slice(t, tEnd)) return false;
    const fDone = fEnd === filter.length;
    if (tEnd === topic.length) return fDone || filter.slice(fEnd + 1) === "#"; // a/# takes a itself
    if (fDone) return false;
    f = fEnd + 1;
    t = tEnd + 1;
  }
}

function end(s: string, from: number): number {
  const at = s.indexOf("/", from);
  return at < 0 ? s.length : at;
}

/** covers says whether wide takes every topic that narrow takes. */
export function covers(wide: string, narrow: string): boolean {
  if (wide === narrow) return true;
  const w = wide.split("/");
  const n = narrow.split("/");
  if ((w[0] === "#" || w[0] === "+") && narrow.startsWith("$")) return false;
  for (let i = 0; i < w.length; i++) {
    const level = w[i];
    if (level === "#") return i <= n.length; // a/# takes a itself
    if (i >= n.length || n[i] === "#") return false;
    if (level !== "+" && level !== n[i]) return false;
  }
  return n.length === w.length;
}

/** isExact says whether a filter takes one topic alone. */
export function isExact(filter: string): boolean {
  return !/(^|\/)[+#](\/|$)/.test(filter);
}

/** wildPart is what the wildcards of a filter stand for in a topic: 7/oil for plant/+/press/# and plant/7/press/oil. */
export function wildPart(filter: string, topic: string): string {
  const f = filter.split("/");
  const t = topic.split("/");
  const rest = f[f.length - 1] === "#" ? t.slice(f.length - 1) : [];
  return [...t.filter((_, i) => f[i] === "+"), ...rest].join("/") || topic;
}

/** shortNames cuts the levels that all topics share at either end; of one topic it is the last level. */
export function shortNames(topics: readonly string[]): string[] {
  const split = topics.map((t) => t.split("/"));
  const first = split[0] ?? [];
  const least = Math.min(...split.map((l) => l.length));
  let front = 0;
  while (front < least - 1 && split.every((l) => l[front] === first[front])) front++;
  let back = 0;
  while (back < least - 1 - front && split.every((l) => l[l.length - 1 - back] === first[first.length - 1 - back])) back++;
  return split.map((l) => l.slice(front, l.length - back).join("/"));
}

/** minimal leaves out of the filters those that another one covers. */
export function minimal(filters: Iterable<string>): string[] {
  const all = [...new Set(filters)];
  return all.filter((f) => !all.some((g) => g !== f && covers(g, f)));
}

/** Counter counts distinct names without keeping them: hashes of 53 bits, up to a bound. */
export class Counter {
  private readonly seen = new Set<number>();
  private readonly most: number;

  constructor(most: number) {
    this.most = most;
  }

  add(name: string): void {
    if (this.seen.size < this.most) this.seen.add(hash53(name));
  }

  get count(): number {
    return this.seen.size;
  }

  /** isMore says that there may be more than count. */
  get isMore(): boolean {
    return this.seen.size >= this.most;
  }
}

/** hash53 mixes a text into 53 bits (the two halves of a MurmurHash3-like mix). Among 100,000 names two are alike once in a million times. */
function hash53(s: string): number {
  let a = 0xdeadbeef;
  let b = 0x41c6ce57;
  for (let i = 0; i < s.length; i++) {
    const c = s.charCodeAt(i);
    a = Math.imul(a ^ c, 0x85ebca6b);
    b = Math.imul(b ^ c, 0xc2b2ae35);
    a ^= a >>> 13;
    b ^= b >>> 16;
  }
  a = Math.imul(a ^ (b >>> 15), 0x27d4eb2f);
  b = Math.imul(b ^ (a >>> 13), 0x165667b1);
  return 4294967296 * (0x1fffff & b) + (a >>> 0);
}
