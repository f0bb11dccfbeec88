// Two composables: all that a Vue page needs to use the client.

import { onScopeDispose, shallowReactive, shallowRef } from "vue";
import type { ShallowRef } from "vue";
import type { Client, Proof, State, SubscribeError, SubscribeOptions } from "plumbline-client";

/** The state of the connection. */
export function useConnection(client: Client): Readonly<ShallowRef<State>> {
  const state = shallowRef(client.state); // shallow: the state is a frozen value
  onScopeDispose(client.on("state", (s) => (state.value = s)));
  return state;
}

/** What is known of the topics of a filter. */
export interface Latest {
  readonly values: ReadonlyMap<string, string>;
  readonly proof: Readonly<ShallowRef<Proof | null>>;
  readonly error: Readonly<ShallowRef<SubscribeError | null>>;
}

/** The last values of the topics of a filter; Vue draws what changed, once a tick. */
export function useLatest(client: Client, filter: string, options: SubscribeOptions): Latest {
  const values = shallowReactive(new Map<string, string>());
  const proof = shallowRef<Proof | null>(null);
  const error = shallowRef<SubscribeError | null>(null);
  const subscription = client.subscribe(filter, options, (update) => {
    for (const reading of update.readings) {
      values.set(reading.topic, reading.text());
    }
    if (update.kind === "end") {
      error.value = update.error;
    }
    proof.value = subscription.proof;
  });
  onScopeDispose(() => subscription.close());
  return { values, proof, error };
}
