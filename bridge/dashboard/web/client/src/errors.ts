/** Ends one Subscription; the Client goes on. */
export class SubscribeError extends Error {
  override readonly name = "SubscribeError";
  /** reason as in PROTOCOL.md section 2.3: forbidden, filter, limit, mode. */
  constructor(
    readonly filter: string,
    readonly reason: string,
    readonly detail: string,
  ) {
    super(`plumbline-client: the bridge ended the subscription ${JSON.stringify(filter)}: ${reason}${detail && `: ${detail}`}`);
  }
}

/** A command that was not taken, or of which that is not known. */
export class PublishError extends Error {
  override readonly name = "PublishError";
  /** reason as in PROTOCOL.md section 2.9, or "offline" (there is no connection), "lost" (it broke before the answer), "timeout",
   * "busy" (too many wait for answers). sent "perhaps": the device may get it all the same. */
  constructor(
    readonly topic: string,
    readonly reason: string,
    readonly detail: string,
    readonly sent: "no" | "perhaps",
  ) {
    super(`plumbline-client: command to ${JSON.stringify(topic)}: ${reason}${detail && `: ${detail}`}`);
  }
}

/** The bridge's account does not add up: the session is of no use any more. Thrown inside the client only. */
export class Broken extends Error {
  override readonly name = "Broken";
}
