// plumbline-client watches readings through a bridge: the other end of bridge/PROTOCOL.md, for browsers and Node.js.

import { Keeper } from "./client.ts";
import type { Client, Options } from "./types.ts";

/** Connects and keeps the connection: it comes back by itself, and every subscription goes on right behind the last update that it
 * handed out. It returns at once; Client.state says how it goes. Options that make no sense throw a TypeError. */
export function connect(options: Options): Client {
  return new Keeper(options);
}

export { formatCursor, parseCursor } from "./cursor.ts";
export type { Cursor } from "./cursor.ts";
export type { Env, Socket, SocketMaker } from "./env.ts";
export { PublishError, SubscribeError } from "./errors.ts";
export type { Reading } from "./reading.ts";
export type * from "./types.ts";
