// Two hooks: all that a React page needs to use the client.

import { useCallback, useEffect, useState, useSyncExternalStore } from "react";
import type { Client, Proof, State, SubscribeOptions, SubscribeError } from "plumbline-client";

/** The state of the connection. */
export function useConnection(client: Client): State {
  const subscribe = useCallback((changed: () => void) => client.on("state", changed), [client]);
  return useSyncExternalStore(subscribe, () => client.state); // a frozen value, another one after each change: what React asks for
}

/** What is known of the topics of a filter. */
export interface Latest {
  readonly values: ReadonlyMap<string, string>;
  readonly proof: Proof | null;
  readonly error: SubscribeError | null;
}

const nothing: Latest = { values: new Map(), proof: null, error: null };

/** The last values of the topics of a filter, renewed at most once a frame. options should be made once, outside of the component. */
export function useLatest(client: Client, filter: string, options: SubscribeOptions): Latest {
  const [shown, setShown] = useState({ of: [] as readonly unknown[], latest: nothing });
  useEffect(() => {
    const values = new Map<string, string>();
    let error: SubscribeError | null = null;
    let frame = 0;
    const show = () => {
      frame = 0;
      setShown({ of: [client, filter, options], latest: { values: new Map(values), proof: subscription.proof, error } });
    };
    const subscription = client.subscribe(filter, options, (update) => {
      for (const reading of update.readings) {
        values.set(reading.topic, reading.text());
      }
      if (update.kind === "end") {
        error = update.error;
      }
      frame ||= requestAnimationFrame(show);
    });
    return () => {
      cancelAnimationFrame(frame);
      subscription.close();
    };
  }, [client, filter, options]);
  const isOfThis = [client, filter, options].every((one, i) => one === shown.of[i]);
  return isOfThis ? shown.latest : nothing; // not what the filter before has left
}
