const encoder = new TextEncoder();
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const lenient = new TextDecoder("utf-8", { ignoreBOM: true });

/** One message of the journal. */
export class Reading {
  readonly #payload: string | Uint8Array;

  constructor(
    /** In the journal. */
    readonly offset: number,
    /** When the bridge took it: microseconds since 1970 by its clock. */
    readonly time: number,
    readonly topic: string,
    /** As published. */
    readonly qos: 0 | 1 | 2,
    readonly retain: boolean,
    payload: string | Uint8Array,
  ) {
    this.#payload = payload;
  }

  /** The payload is valid UTF-8. */
  get isText(): boolean {
    if (typeof this.#payload === "string") {
      return true;
    }
    try {
      strict.decode(this.#payload);
      return true;
    } catch {
      return false;
    }
  }

  /** The payload as text, with U+FFFD for what is not UTF-8. */
  text(): string {
    return typeof this.#payload === "string" ? this.#payload : lenient.decode(this.#payload);
  }

  /** The payload as published; made anew each time when it came as text. */
  get bytes(): Uint8Array {
    return typeof this.#payload === "string" ? encoder.encode(this.#payload) : this.#payload;
  }
}
