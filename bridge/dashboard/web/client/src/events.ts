// The event stream of the HTML standard (section 9.2.6), read as text comes in. EventSource would do that, too, but shows neither
// the status of a refusal nor the comments by which the bridge shows that it is alive, and takes no Authorization header.

import { Broken } from "./errors.ts";

/** The longest event, characters: it holds a batch with one reading of the largest kind. */
const maxEvent = 32 << 20;

/** Told of what an event stream holds. */
export interface EventSink {
  event(name: string, data: string): void;
  retry(ms: number): void;
}

/** Takes an event stream apart. */
export class EventParser {
  #rest: string[] = []; // of the line that has begun, as it came: joined anew with each piece it would cost the square of its length
  #restSize = 0;
  #name = "";
  #data: string[] = [];
  #size = 0;

  constructor(private readonly sink: EventSink) {}

  /** Takes the next piece of the stream. */
  push(piece: string): void {
    let from = 0;
    for (let end = piece.indexOf("\n"); end >= 0; end = piece.indexOf("\n", from)) { // the bridge ends lines so
      this.#rest.push(piece.slice(from, end));
      const line = this.#rest.join("");
      this.#rest = [];
      this.#restSize = 0;
      from = end + 1;
      this.#line(line.endsWith("\r") ? line.slice(0, -1) : line);
    }
    if (from < piece.length) {
      this.#rest.push(piece.slice(from));
      this.#restSize += piece.length - from;
    }
    if (this.#restSize + this.#size > maxEvent) {
      throw new Broken(`an event longer than ${maxEvent} characters`);
    }
  }

  #line(line: string): void {
    if (line === "") {
      this.#dispatch();
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) {
      return; // a comment
    }
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") {
      this.#name = value;
    } else if (field === "data") {
      this.#data.push(value);
      this.#size += value.length;
    } else if (field === "retry" && /^[0-9]+$/.test(value)) {
      this.sink.retry(Number(value));
    }
  }

  #dispatch(): void {
    const name = this.#name;
    const data = this.#data;
    this.#name = "";
    this.#data = [];
    this.#size = 0;
    if (data.length > 0) {
      this.sink.event(name, data.join("\n"));
    }
  }
}
