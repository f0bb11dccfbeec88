// Who is there: devices told apart by a level of their topics, with when they were last heard, how often they speak, and
// whether they said that they are there or their last will that they are gone. Knows no page; times are the bridge's.

export interface RosterOptions {
  readonly level: number; // of the topic, from 0: its name is there
  readonly online: readonly string[];
  readonly offline: readonly string[];
  readonly staleAfterS?: number | undefined;
}

export type Presence = "online" | "offline" | "silent" | "heard";

export interface Device {
  readonly key: string; // the topic up to the level of the name
  readonly name: string;
  topics: number;
  lastUs: number; // NaN: never heard
  dueUs: number; // until then one of its topics should have spoken again, by its rhythm; NaN: no rhythm is known
  said: "online" | "offline" | null; // by its status topic
  saidUs: number;
  saidWord: string;
  count: number; // messages heard live
  sinceUs: number; // since when it is heard live
  readonly slots: Float64Array; // of the last ten seconds
  slot: number; // the second that slots stand at
}

export const defaultOnline = ["online", "1", "true", "connected"];
export const defaultOffline = ["offline", "0", "false", "disconnected"];
const windowS = 10;
const graceUs = 5e6; // who spoke so lately is not silent, whatever its other topics do

// deviceKey is the topic up to the level; null when it has not so many.
export function deviceKey(topic: string, level: number): string | null {
  let end = -1;
  for (let i = 0; i <= level; i++) {
    if (end === topic.length) return null;
    const next = topic.indexOf("/", end + 1);
    end = next < 0 ? topic.length : next;
  }
  return topic.slice(0, end);
}

export class Roster {
  readonly devices = new Map<string, Device>();
  readonly #options: RosterOptions;
  readonly #topics = new Set<string>();
  #byName: Device[] | null = null;

  constructor(options: RosterOptions) { this.#options = options; }

  // heard takes n messages of a topic, the last at timeUs. What is retained says only that there was one. silenceUs is how
  // long the topic may be silent, NaN where nobody knows.
  heard(topic: string, timeUs: number, n: number, live: boolean, silenceUs = NaN): void {
    const d = this.#device(topic);
    if (d === null) return;
    if (!(d.lastUs >= timeUs)) d.lastUs = timeUs;
    if (!(d.dueUs >= timeUs + silenceUs) && silenceUs >= 0) d.dueUs = timeUs + silenceUs;
    if (!this.#topics.has(topic)) { this.#topics.add(topic); d.topics++; }
    if (!live) return;
    d.count += n;
    if (Number.isNaN(d.sinceUs)) d.sinceUs = timeUs;
    turn(d, Math.floor(timeUs / 1e6));
    d.slots[d.slot % windowS] = (d.slots[d.slot % windowS] ?? 0) + n;
  }

  // status takes what a status topic says.
  status(topic: string, word: string, timeUs: number): void {
    const d = this.#device(topic);
    if (d === null) return;
    const w = statusWord(word);
    d.said = this.#options.online.some((o) => o.toLowerCase() === w) ? "online" : this.#options.offline.some((o) => o.toLowerCase() === w) ? "offline" : null;
    d.saidUs = timeUs;
    d.saidWord = word;
  }

  // presence at the bridge's time now. Who is online by its word and silent for too long is silent, never online.
  presence(d: Device, nowUs: number): Presence {
    const stale = this.#options.staleAfterS;
    if (d.said === "offline") return d.lastUs > d.saidUs + 1e6 ? "heard" : "offline";
    if (stale !== undefined ? !(nowUs - d.lastUs <= stale * 1e6) : nowUs > Math.max(d.dueUs, d.lastUs + graceUs)) return "silent";
    return d.said === "online" ? "online" : Number.isNaN(d.lastUs) ? "silent" : "heard";
  }

  // rate in messages a second over the last nine seconds that are over, or as many as it has been heard.
  rate(d: Device, nowUs: number): number {
    turn(d, Math.floor(nowUs / 1e6));
    let sum = 0;
    for (let i = 0; i < windowS; i++) if (i !== d.slot % windowS) sum += d.slots[i] ?? 0;
    const heardS = Math.floor(nowUs / 1e6) - Math.floor(d.sinceUs / 1e6);
    return sum === 0 ? 0 : sum / Math.min(Math.max(heardS, 1), windowS - 1);
  }

  #device(topic: string): Device | null {
    const key = deviceKey(topic, this.#options.level);
    if (key === null) return null;
    let d = this.devices.get(key);
    if (d === undefined) {
      d = { key, name: key.slice(key.lastIndexOf("/") + 1), topics: 0, lastUs: NaN, dueUs: NaN, said: null, saidUs: NaN, saidWord: "", count: 0, sinceUs: NaN, slots: new Float64Array(windowS), slot: 0 };
      this.devices.set(key, d);
      this.#byName = null;
    }
    return d;
  }

  // byName sorts when devices have come, and not at each look: there may be thousands.
  get byName(): readonly Device[] {
    this.#byName ??= [...this.devices.values()].sort((a, b) => collator.compare(a.key, b.key));
    return this.#byName;
  }
}

// statusWord: a bare word, or the member of an object such as {"state":"online"}.
function statusWord(text: string): string {
  const t = text.trim();
  if (t.startsWith("{")) {
    try {
      const v = JSON.parse(t) as Record<string, unknown>;
      const word = v["state"] ?? v["status"] ?? v["online"];
      if (typeof word === "string" || typeof word === "boolean" || typeof word === "number") return String(word).toLowerCase();
    } catch { /* not JSON: the text is the word */ }
  }
  return t.replace(/^"(.*)"$/, "$1").toLowerCase();
}

// turn empties the slots of seconds that have passed without a message.
function turn(d: Device, second: number): void {
  if (second <= d.slot) return;
  for (let s = Math.max(d.slot + 1, second - windowS + 1); s <= second; s++) d.slots[s % windowS] = 0;
  d.slot = second;
}

const collator = new Intl.Collator("en", { numeric: true });

// inOrder: who is gone stands above, then by name.
export function inOrder(roster: Roster, nowUs: number): Device[] {
  const by: Readonly<Record<Presence, Device[]>> = { offline: [], silent: [], heard: [], online: [] };
  for (const d of roster.byName) by[roster.presence(d, nowUs)].push(d);
  return [...by.offline, ...by.silent, ...by.heard, ...by.online];
}
