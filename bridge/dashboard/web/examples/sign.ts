// What the three examples have in common: where the bridge is, and the credential. Here it is pasted into a field and kept in memory;
// a page of your own gets it from wherever it signs people in. On the bridge's own page the session cookie does, and token is left out.

import { connect } from "plumbline-client";
import type { Client, State } from "plumbline-client";

/** What a visitor has to say. */
export interface SignIn {
  readonly bridge: string;
  readonly filter: string;
  readonly token: string;
}

/** Connects; throws a TypeError that says what is wrong with the bridge's address. */
export function open(s: SignIn): Client {
  return connect({ url: s.bridge, token: () => s.token, name: "example" });
}

/** Says in one line how the connection stands. */
export function describe(s: State): string {
  if (s.phase === "open") {
    return `live by ${s.transport}${s.fallback ? ` (${s.fallback.because})` : ""}`;
  }
  return `not live: ${s.reason}`;
}
