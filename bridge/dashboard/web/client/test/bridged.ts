// For tests against the real thing: a bridged process, an MQTT publisher, a proxy that does harm, tokens.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { createHmac } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { connect as dial, createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { WebSocket } from "ws";
import { connect } from "../src/index.ts";
import type { Client, Env, Options, Reading, SocketMaker, Subscription, SubscribeOptions, Update } from "../src/index.ts";

/** Where the program is; the Go test that runs these names it. */
export const binary = process.env["PLUMBLINE_BRIDGED"] ?? "";

/** Why the tests of this file cannot run, false when they can. */
export const skip = binary === "" && "PLUMBLINE_BRIDGED names no bridged: run these by go test ./bridge/dashboard";

const patienceMs = 60_000;

/** Waits for a condition, a minute at most, for a loaded machine. */
export async function until(what: string, ok: () => boolean | Promise<boolean>): Promise<void> {
  const end = Date.now() + patienceMs;
  while (!(await ok())) {
    assert.ok(Date.now() < end, `waited ${patienceMs} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Does what needs something to happen within a time that it is given: a session to stand before its token ends, an answer to come before a
 * client gives up. When a loaded machine was too slow for that, act reports false, and it is done again with three times as long. */
export async function withTime(firstMs: number, act: (timeMs: number) => Promise<boolean>): Promise<void> {
  for (let timeMs = firstMs; !(await act(timeMs)); timeMs *= 3) {
    assert.ok(timeMs < patienceMs, `even ${timeMs} ms were not enough`);
  }
}

/** Returns a free port of the loopback that stays free: one below those that systems give away by themselves (Linux: from 32768 on). While
 * a bridge with one of those is down, another listener may get its port, or a client that dials it may be given it as its own and
 * be connected to itself. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 22_000);
    const probe = createServer();
    const free = await new Promise<boolean>((resolve) => {
      probe.once("error", () => resolve(false));
      probe.listen(port, "127.0.0.1", () => resolve(true));
    });
    if (free) {
      await new Promise((resolve) => probe.close(resolve));
      return port;
    }
  }
}

const opened: (() => unknown)[] = [];

/** Ends what the tests of a file have left open: a test that fails says so, and does not hang. */
export async function closeAll(): Promise<void> {
  for (const close of opened.splice(0)) {
    await close();
  }
}

/** A real bridged on free ports of the loopback. */
export class Bridged {
  #process: ChildProcess | null = null;
  #log = "";
  mqtt = "";
  viewers = "";

  private constructor(
    readonly folder: string,
    private readonly settings: readonly string[],
  ) {}

  static async start(...settings: string[]): Promise<Bridged> {
    const bridged = new Bridged(await mkdtemp(join(tmpdir(), "plumbline-client-")), settings);
    opened.push(() => bridged.close());
    for (let attempt = 1; ; attempt++) {
      bridged.mqtt = `127.0.0.1:${await freePort()}`;
      bridged.viewers = `127.0.0.1:${await freePort()}`;
      try {
        await bridged.start();
        return bridged;
      } catch (error) { // another test may have been quicker
        if (attempt === 5 || !/address already in use/.test(String(error))) {
          throw error;
        }
      }
    }
  }

  /** Starts it on its ports, again and again. */
  async start(): Promise<void> {
    const settings = [`data=${this.folder}`, `mqtt.listen=${this.mqtt}`, `viewers.listen=${this.viewers}`, "ops.listen=", "viewers.plaintext=true", "auth.cookie=__Host-session", "viewers.origins=http://page.example", "drain.spread=100ms", ...this.settings];
    const child = spawn(binary, settings.flatMap((s) => ["--set", s]), { stdio: ["ignore", "ignore", "pipe"] });
    child.stderr.on("data", (text: Buffer) => (this.#log = (this.#log + text.toString()).slice(-20_000)));
    this.#process = child;
    await until("bridged to serve", async () => {
      assert.equal(child.exitCode, null, `bridged ended:\n${this.#log}`);
      const text = await readFile(join(this.folder, "addresses.json"), "utf8").catch(() => "{}");
      return (JSON.parse(text) as { pid?: number }).pid === child.pid; // it is there whole or not at all
    });
  }

  /** Ends it without mercy, or in order. */
  async end(signal: "SIGKILL" | "SIGTERM" = "SIGKILL"): Promise<void> {
    const child = this.#process;
    this.#process = null;
    if (child !== null && child.exitCode === null && child.signalCode === null) {
      const gone = new Promise((resolve) => child.once("exit", resolve));
      child.kill(signal);
      await gone;
    }
  }

  async close(): Promise<void> {
    await this.end();
    await rm(this.folder, { recursive: true, force: true });
  }

  /** Signs a token; ttlS may be negative. */
  async token(ttlS = 3_600, grants: object = { live: ["#"], snapshot: ["#"], history: ["#"], publish: ["#"] }): Promise<string> {
    const secret = (await readFile(join(this.folder, "jwt.key"), "utf8")).trim();
    const part = (o: object) => Buffer.from(JSON.stringify(o)).toString("base64url");
    const claims = { sub: "anna", iss: "plumbline", aud: "bridge", exp: Math.floor(Date.now() / 1000) + ttlS, jti: Math.random().toString(36), grants };
    const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
    return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
  }
}

/** What the client needs of Node.js: it has no WebSocket before version 22. */
export function surroundings(headers: Record<string, string> = {}): Partial<Env> {
  class Maker extends WebSocket {
    constructor(url: string, protocols: string[]) {
      super(url, protocols, { headers });
    }
  }
  const own = Object.keys(headers).length === 0 ? undefined : ((input: string, init: RequestInit) => fetch(input, { ...init, headers: { ...(init.headers as object), ...headers } })) as typeof fetch;
  return { WebSocket: Maker as unknown as SocketMaker, ...(own ? { fetch: own } : {}) };
}

/** Connects quickly come what may. */
export function client(address: string, options: Partial<Options>): Client {
  const made = connect({ url: `ws://${address}/ws`, minBackoffMs: 50, maxBackoffMs: 500, timeoutMs: 20_000, env: surroundings(), ...options });
  opened.push(() => made.close());
  return made;
}

/** A subscription with all that came. */
export interface Followed {
  readonly sub: Subscription;
  readonly updates: Update[];
  readonly readings: Reading[];
}

export function follow(c: Client, filter: string, options: SubscribeOptions = {}): Followed {
  const updates: Update[] = [];
  const readings: Reading[] = [];
  const sub = c.subscribe(filter, options, (u) => {
    updates.push(u);
    if (u.kind === "data") {
      readings.push(...u.readings);
    }
  });
  return { sub, updates, readings };
}

/** Fails unless readings are the payloads 0 to n-1, each once and in order, and the chain is whole. */
export function assertWhole(f: Followed, n: number): void {
  assert.deepEqual(f.readings.map((r) => r.text()), Array.from({ length: n }, (_, i) => String(i)));
  const { delivered, gaps, broken, complete, unknown } = f.sub.proof;
  assert.deepEqual({ delivered, gaps, broken, complete, unknown }, { delivered: n, gaps: 0, broken: 0, complete: true, unknown: false });
}

const text = (s: string) => Buffer.concat([Buffer.from([s.length >> 8, s.length & 255]), Buffer.from(s)]);

function packet(head: number, ...parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  const length: number[] = [];
  for (let n = body.length; length.length === 0 || n > 0; n >>= 7) {
    length.push((n & 127) | (n > 127 ? 128 : 0));
  }
  return Buffer.concat([Buffer.from([head, ...length]), body]);
}

/** Publishes by MQTT 3.1.1 with QoS 1, one after the other: what was not acknowledged before a connection broke is sent again,
 * which may make it come twice, so a publisher of tests that kill asks for nothing under way first. */
export class Publisher {
  #socket: Socket | null = null;
  #acked: (() => void) | null = null;

  constructor(private readonly address: () => string) {
    opened.push(() => this.close());
  }

  async #open(): Promise<Socket> {
    const [host, port] = this.address().split(":");
    const socket = dial(Number(port), host);
    socket.on("error", () => {});
    await new Promise<void>((resolve, reject) => {
      socket.once("close", () => reject(new Error("the MQTT connection was refused")));
      socket.once("data", () => resolve());
      socket.write(packet(0x10, text("MQTT"), Buffer.from([4, 2, 0, 0]), text(`test-${process.pid}`)));
    });
    socket.on("data", (raw: Buffer) => raw[0] === 0x40 && this.#acked?.());
    return socket;
  }

  /** Publishes and returns when the bridge has acknowledged. */
  async publish(topic: string, payload: string | Uint8Array, retain = false): Promise<void> {
    if (this.#socket === null || this.#socket.destroyed) {
      this.#socket = await this.#open();
    }
    const socket = this.#socket;
    await new Promise<void>((resolve, reject) => {
      const lost = () => reject(new Error("the MQTT connection broke"));
      socket.once("close", lost);
      this.#acked = () => {
        socket.off("close", lost);
        resolve();
      };
      socket.write(packet(0x32 | (retain ? 1 : 0), text(topic), Buffer.from([0, 1]), Buffer.from(payload)));
    });
  }

  close(): void {
    this.#socket?.destroy();
  }
}

/** What a Proxy does with what goes through it.
 * - strip: takes away what asks for a WebSocket, as old proxies do
 * - hold: the same, and keeps back the answers of /sse until they end, which they never do
 * - deaf: new connections work, those that are there carry nothing any more, and do not end */
export type Harm = "none" | "strip" | "hold" | "deaf";

/** A proxy between viewer and bridge. */
export class Proxy {
  harm: Harm = "none";
  #server: Server;
  #pairs = new Set<{ from: Socket; to: Socket; deaf: boolean }>();

  private constructor(private readonly target: () => string) {
    this.#server = createServer((from) => this.#accept(from));
  }

  static async start(target: () => string): Promise<Proxy> {
    const proxy = new Proxy(target);
    opened.push(() => proxy.close());
    await new Promise<void>((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  #accept(from: Socket): void {
    const [host, port] = this.target().split(":");
    const to = dial(Number(port), host);
    const pair = { from, to, deaf: false };
    this.#pairs.add(pair);
    let held = false;
    from.on("data", (raw: Buffer) => {
      const head = raw.toString("latin1");
      if (this.harm === "strip" || this.harm === "hold") {
        held ||= this.harm === "hold" && head.startsWith("GET /sse");
        raw = Buffer.from(head.replace(/^(Upgrade|Connection): .*\r\n/gim, ""), "latin1");
      }
      if (!pair.deaf) {
        to.write(raw);
      }
    });
    to.on("data", (raw) => pair.deaf || held || from.write(raw));
    const end = () => {
      this.#pairs.delete(pair);
      from.destroy();
      to.destroy();
    };
    for (const socket of [from, to]) {
      socket.on("error", () => {});
      socket.on("close", () => (pair.deaf ? undefined : end()));
    }
  }

  /** Cuts every connection. */
  cut(): void {
    for (const { from, to } of [...this.#pairs]) {
      from.resetAndDestroy();
      to.destroy();
    }
  }

  /** Lets the connections that are there carry nothing any more. */
  deafen(): void {
    for (const pair of this.#pairs) {
      pair.deaf = true;
    }
  }

  async close(): Promise<void> {
    for (const { from, to } of [...this.#pairs]) {
      from.destroy();
      to.destroy();
    }
    if (this.#server.listening) {
      await new Promise((resolve) => this.#server.close(resolve));
    }
  }
}
