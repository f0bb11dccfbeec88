// A scripted bridge over HTTP: answers, and streams of events that the test feeds.

import type { Asked, World } from "./world.ts";

export const json = (body: object, status = 200, headers: Record<string, string> = {}) => new Response(JSON.stringify(body), { status, headers: { "Content-Type": "application/json", ...headers } });

/** A stream of events that the test feeds. */
export class Stream {
  #controller!: ReadableStreamDefaultController<Uint8Array>;

  constructor(signal: AbortSignal | null | undefined) {
    signal?.addEventListener("abort", () => this.#controller.error(new DOMException("aborted", "AbortError")));
  }

  readonly response = new Response(new ReadableStream<Uint8Array>({ start: (c) => void (this.#controller = c) }), { headers: { "Content-Type": "text/event-stream; charset=utf-8" } });

  say(text: string): this {
    this.#controller.enqueue(new TextEncoder().encode(text));
    return this;
  }

  event(name: string, data: object): this {
    return this.say(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  end(): void {
    this.#controller.close();
  }
}

export const reading = (o: number, topic = "a") => ({ o, t: 1_000 + o, topic, qos: 1, payload: String(o) });
export const subok = (offset: number, recovered = false) => ({ filter: "#", epoch: "E", offset, recovered, reason: recovered ? "" : "no-cursor", heartbeat_ms: 20_000 });
export const batch = (from: number, to: number, ...offsets: number[]) => ({ epoch: "E", from, to, readings: offsets.map((o) => reading(o)) });

/** A bridge behind a proxy that lets no WebSocket through: what it answers by path. */
export function stripped(world: World, by: Record<string, (asked: Asked) => Response | Promise<Response>>): Stream[] {
  const streams: Stream[] = [];
  world.answer = (asked) => {
    const own = by[asked.url.pathname];
    if (own) {
      return own(asked);
    }
    if (asked.url.pathname === "/sse") {
      streams.push(new Stream(asked.init.signal));
      return (streams[streams.length - 1] as Stream).response;
    }
    return json({ time_us: 1e15 + world.now * 1000 });
  };
  return streams;
}
