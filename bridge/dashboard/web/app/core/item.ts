// One topic's value as one tile shows it.

import { AlarmSource, type Alarms } from "./alarms.ts";
import type { CoreEnv } from "./env.ts";
import type { Feed, Sink, Topic } from "./feed.ts";
import { formatAge, type Formats } from "./format.ts";
import type { History } from "./history.ts";
import { Judge } from "./judge.ts";
import { Latencies } from "./latency.ts";
import { decimalsOf, Extractor, MAX_TEXT, numberOf, sentTimeUs } from "./payload.ts";
import { fieldOf } from "./pointer.ts";
import { Ring } from "./ring.ts";
import { Series, sparkPoints } from "./series.ts";
import type { Level, Limits, Quality, Value } from "./types.ts";
import type { View, ViewSource } from "./view.ts";

/** What is shown of the topics of a filter. */
export interface WatchOptions {
  /** RFC 6901. Left out or "": the payload itself or, of an object, its member `value` or its only number. */
  readonly pointer?: string;
  /** Left out: a member `unit` beside the number. */
  readonly unit?: string;
  readonly scale?: number; // shown = raw × scale + offset
  readonly offset?: number;
  readonly digits?: number;
  readonly limits?: Limits;
  readonly states?: Readonly<Record<string, { readonly label?: string; readonly level: Level }>>;
  /** Left out: learned from each topic's own rhythm. */
  readonly staleAfterS?: number;
  /** The time that the sensor states, for the latency from sensor to page. */
  readonly sent?: { readonly pointer: string; readonly unit?: "s" | "ms" | "us" | "ns" };
  /** "tick": the newest, five times a second. "message": each. Default "tick"; limits, states with alarms, sparks and `sent` need each. */
  readonly every?: "message" | "tick";
  readonly sparkS?: number;
  /** false: limits and states give levels only. */
  readonly alarms?: boolean;
  /** Names the alarms; default the topic. */
  readonly title?: string;
  /** The number's name in history, where a rule there gives it another than the pointer's. */
  readonly field?: string;
}

/** What items take of their store. */
export interface ItemHost {
  readonly env: CoreEnv;
  readonly formats: Formats;
  readonly history: History | null;
  readonly alarms: Alarms;
  readonly sensor: Latencies;
  nowUs(): number;
  clockKnown(): boolean;
  boundUs(): number;
  /** "" while values can be live, else why none can. */
  away(): string;
}

/** WatchOptions, checked once for all items of a watch. */
export interface Shared {
  readonly o: WatchOptions;
  readonly extractor: Extractor;
  readonly sent: Extractor | null;
  readonly scale: number;
  readonly offset: number;
  readonly staleUs: number | null;
  /** Each message is to be looked into when it comes. */
  readonly eager: boolean;
  /** Items of one key judge the same number of a topic in the same way. */
  readonly key: string;
  touched(item: Item): void;
}

/** Few buckets of min and max, NaN where nothing is. */
export interface Spark {
  readonly fromUs: number;
  readonly stepUs: number;
  readonly min: Float64Array;
  readonly max: Float64Array;
  readonly last: Float64Array;
}

const missing: Value = Object.freeze({ kind: "missing", text: "", bytes: 0 });
/** Digits beyond which a number's text is arithmetic and not a sensor's fineness. */
const decimalsMost = 6;

/** Item is the last value of one topic, read as its watch says. Reading it never throws. */
export class Item implements Sink {
  readonly topic: string;
  /** Rises with each message taken and each change of quality. */
  changed = 0;
  /** The points, once somebody draws them. */
  series: Series | null = null;
  private source: Topic;
  private readonly shared: Shared;
  private readonly host: ItemHost;
  private readonly judge: Judge | null;
  private readonly alarm: AlarmSource | null;
  private sparkView: View | null = null;
  private unread = true;
  private parsed: Value = missing;
  private besideUnit = "";
  private pointer = "";
  private sentAt: number | null = null;
  private decimals = -1;
  private written: { text: string; unit: string } | null = null;
  private lastQuality: Quality | null = null;
  private lastAge = "";

  constructor(source: Topic, shared: Shared, host: ItemHost, title: string) {
    this.topic = source.name;
    this.source = source;
    this.shared = shared;
    this.host = host;
    const o = shared.o;
    const raises = (o.limits !== undefined || o.states !== undefined) && o.alarms !== false;
    const kept = raises ? host.alarms.reclaim(this.key, host.env.now(), host.nowUs()) : null;
    const quality = (): Quality => this.quality().quality;
    kept?.source.resume(title, quality);
    this.judge = kept?.judge ?? (o.limits === undefined ? null : new Judge(o.limits));
    this.alarm = raises ? (kept?.source ?? new AlarmSource(host.alarms, { topic: source.name, title, latch: o.limits?.latch === true, quality })) : null;
    if (source.payload !== null) this.take(source, false);
  }

  private get key(): string {
    return `${this.shared.key} ${this.topic}`;
  }

  /** track begins to hold points, so many at most: not of all topics of a filter, of those that are drawn. */
  track(points: number): Series {
    if (this.series !== null) return this.series;
    const { host, shared } = this;
    const feed = (): Feed => this.source.feed;
    const field = (): string => {
      this.read();
      return shared.o.field ?? fieldOf(this.pointer);
    };
    const made: ViewSource = {
      topic: this.topic, ring: new Ring(points), field, unit: () => this.besideUnit, scale: shared.scale, offset: shared.offset, nowUs: () => host.nowUs(), clockKnown: () => host.clockKnown(),
      get feed() {
        return feed();
      },
    };
    this.series = new Series(made, host.history, host.env);
    this.begin();
    return this.series;
  }

  /** begin puts the last message into an empty ring: those before it are to be asked of history. */
  private begin(): void {
    const { series, source } = this;
    if (series === null || source.payload === null) return;
    series.ring.lacks(source.timeUs, source.offset - 1, source.chain);
    series.push(source.timeUs, this.number, source.offset, source.chain);
  }

  /** moveTo goes on with the topic as another feed has it. */
  moveTo(t: Topic): void {
    if (t === this.source) return;
    this.leave();
    this.source = t;
    t.sinks.push(this);
    this.series?.restart();
    if (t.payload === null) return;
    this.unread = true;
    this.written = null;
    this.changed++;
    this.begin();
    if (this.shared.eager) this.judgeNow(this.number, t.timeUs);
    this.shared.touched(this);
  }

  private leave(): void {
    const at = this.source.sinks.indexOf(this);
    if (at >= 0) this.source.sinks.splice(at, 1);
  }

  /** take is called for each message of the topic. */
  take(t: Topic, live: boolean): void {
    this.unread = true;
    this.written = null;
    this.changed++;
    if (this.shared.eager || (t.payload?.bytes ?? 0) > MAX_TEXT) {
      this.read();
      const n = this.number;
      if (this.series?.ring.length === 0) this.begin();
      else this.series?.push(t.timeUs, n, t.offset, t.chain);
      this.judgeNow(n, t.timeUs);
      if (live && this.sentAt !== null) this.host.sensor.add(this.host.nowUs() - this.sentAt, this.host.env.now());
    }
    this.shared.touched(this);
  }

  private read(): void {
    if (!this.unread) return;
    this.unread = false;
    const payload = this.source.payload;
    if (payload === null) return;
    const { value, unit, pointer } = this.shared.extractor.extract(payload);
    this.parsed = value;
    this.besideUnit = unit;
    this.pointer = pointer;
    this.sentAt = this.shared.sent === null ? null : sentTimeUs(this.shared.sent.extract(payload).value, this.shared.o.sent?.unit ?? "ms");
    if (value.kind === "number") this.decimals = Math.max(this.decimals, decimalsOf(value.text));
  }

  get value(): Value {
    this.read();
    return this.parsed;
  }

  /** number is the value as it is shown and drawn; NaN when it is none. */
  get number(): number {
    const n = numberOf(this.value);
    return n * this.shared.scale + this.shared.offset;
  }

  get timeUs(): number {
    return this.source.timeUs;
  }

  get sentUs(): number | null {
    this.read();
    return this.sentAt;
  }

  get retained(): boolean {
    return this.source.retained;
  }

  /** count is the messages that came while this page watched. */
  get count(): number {
    return this.source.count;
  }

  get text(): string {
    return this.write().text;
  }

  get unit(): string {
    return this.write().unit;
  }

  private write(): { text: string; unit: string } {
    this.written ??= this.compose();
    return this.written;
  }

  private compose(): { text: string; unit: string } {
    const v = this.value;
    const state = this.stateOf(v);
    if (state?.label !== undefined) return { text: state.label, unit: "" };
    const unit = this.shared.o.unit ?? this.besideUnit;
    switch (v.kind) {
      case "number":
        return this.host.formats.number(this.number, unit, this.numberOptions());
      case "bool":
        return { text: v.number === 1 ? "on" : "off", unit: "" };
      case "nan":
        return { text: v.text.length > 24 ? "beyond all numbers" : v.text, unit: "" };
      case "binary":
        return { text: `${this.host.formats.count(v.bytes)} bytes, binary`, unit: "" };
      case "empty":
        return { text: "empty", unit: "" };
      case "missing":
        return { text: this.source.payload === null ? "" : v.text || `nothing at ${this.shared.o.pointer ?? ""}`, unit: "" };
      default:
        return { text: v.text, unit: "" };
    }
  }

  /** rawUnit is the unit as configured or sent, without a prefix of ours. */
  get rawUnit(): string {
    this.read();
    return this.shared.o.unit ?? this.besideUnit;
  }

  /** silenceUs is how long the topic may be silent before its value is stale; NaN when that is not known. */
  get silenceUs(): number {
    return this.shared.staleUs ?? this.source.rhythm.limitUs;
  }

  /** numberOptions says how many digits the topic's numbers have. */
  numberOptions(): { digits?: number; resolution?: number } {
    const digits = this.shared.o.digits;
    if (digits !== undefined) return { digits };
    if (this.decimals < 0 || this.decimals > decimalsMost) return {};
    return { resolution: Math.pow(10, -this.decimals) * Math.abs(this.shared.scale || 1) };
  }

  private stateOf(v: Value): { readonly label?: string; readonly level: Level } | undefined {
    const states = this.shared.o.states;
    if (states === undefined || v.text.length > 256) return undefined;
    const key = v.text.trim();
    return Object.hasOwn(states, key) ? states[key] : undefined;
  }

  get level(): Level {
    if (!this.shared.eager) return this.stateOf(this.value)?.level ?? "off";
    const v = this.value;
    if (this.judge !== null && (v.kind === "number" || v.kind === "bool")) return this.judge.now.level;
    return this.stateOf(v)?.level ?? "off";
  }

  private judgeNow(n: number, timeUs: number): void {
    if (this.judge !== null) this.judge.take(n, timeUs);
    if (this.alarm === null) return;
    const level = this.level;
    if (level === "off") return;
    const severity = this.judge === null ? 0 : this.severity(n);
    this.alarm.signal({ level, text: level === "ok" ? "" : this.sentence(), timeUs, severity });
  }

  private severity(n: number): number {
    const { limit, high } = this.judge?.now ?? { limit: NaN, high: true };
    return limit === limit ? (high ? n - limit : limit - n) : 0;
  }

  /** sentence is what an alarm says: "82.1 °C, above 80". */
  private sentence(): string {
    const shown = this.unit === "" ? this.text : `${this.text} ${this.unit}`;
    const j = this.judge?.now;
    if (j === undefined || !(j.limit === j.limit)) return shown;
    const limit = this.host.formats.number(j.limit, this.shared.o.unit ?? this.besideUnit);
    const unit = limit.unit === "" || limit.unit === this.unit ? "" : ` ${limit.unit}`;
    return `${shown}, ${j.high ? "above" : "below"} ${limit.text}${unit}`;
  }

  /** quality says whether the value may be taken for the present one at this moment. */
  quality(): { quality: Quality; why: string; ageUs: number } {
    const t = this.source;
    if (t.payload === null) return { quality: "none", why: this.host.away() || t.feed.note || "no value yet", ageUs: NaN };
    const ageUs = Math.max(0, this.host.nowUs() - t.timeUs);
    const away = this.host.away() || t.feed.note || (t.feed.live ? "" : "the subscription is being resumed");
    if (away !== "") return { quality: "stale", why: away, ageUs };
    const f = this.host.formats;
    const afterUs = this.shared.staleUs;
    const quality = t.rhythm.judge(ageUs, afterUs);
    if (quality === "live") return { quality, why: "", ageUs };
    if (afterUs !== null) return { quality, why: `no message for ${f.age(ageUs)}; ${f.age(afterUs)} are allowed`, ageUs };
    if (quality === "stale") return { quality, why: `no message for ${f.age(ageUs)}; one every ${f.age(t.rhythm.usualUs)} is usual`, ageUs };
    return { quality, why: `${t.held ? "held" : "last sent"} ${f.age(ageUs)} ago; how often it comes is not known yet`, ageUs };
  }

  /** tick is called about once a second: says whether what quality() shows has changed. */
  tick(nowUs: number): boolean {
    if (this.judge !== null && this.judge.now !== this.judge.tick(nowUs)) this.judgeNow(this.number, nowUs);
    const q = this.quality();
    const age = q.quality === "live" ? "" : formatAge(q.ageUs);
    if (q.quality === this.lastQuality && age === this.lastAge) return false;
    if (q.quality !== this.lastQuality) this.alarm?.refresh();
    this.lastQuality = q.quality;
    this.lastAge = age;
    return true;
  }

  /** spark gives the last seconds in so many buckets, from WatchOptions.sparkS at most. */
  spark(seconds: number, buckets: number): Spark {
    const n = Math.min(Math.max(1, Math.floor(buckets)), 1000);
    const nowUs = this.host.nowUs();
    const out: Spark = { fromUs: nowUs - seconds * 1e6, stepUs: (seconds * 1e6) / n, min: new Float64Array(n).fill(NaN), max: new Float64Array(n).fill(NaN), last: new Float64Array(n).fill(NaN) };
    const keptS = this.shared.o.sparkS;
    if (keptS === undefined) return out;
    if (this.sparkView === null) {
      this.sparkView = this.track(sparkPoints).view(() => this.shared.touched(this));
      this.sparkView.follow(keptS * 1e6, 240);
    }
    const band = this.sparkView.band;
    band.each(out.fromUs, nowUs + band.stepUs, (b) => {
      if (b.count === 0) return;
      const at = Math.min(n - 1, Math.max(0, Math.floor((b.index * band.stepUs - out.fromUs) / out.stepUs)));
      if (!(b.min >= (out.min[at] as number))) out.min[at] = b.min;
      if (!(b.max <= (out.max[at] as number))) out.max[at] = b.max;
      out.last[at] = b.last;
    });
    return out;
  }

  /** close lets go of the topic; what it has judged waits for a while for the next item of its key. */
  close(): void {
    this.leave();
    this.series?.close();
    if (this.alarm !== null) this.host.alarms.keep(this.key, { source: this.alarm, judge: this.judge }, this.host.env.now());
  }
}
