// Last values of topics in a table, by React.

import { StrictMode, useState } from "react";
import type { FormEvent } from "react";
import { createRoot } from "react-dom/client";
import type { Client, SubscribeOptions } from "plumbline-client";
import { describe, open } from "../sign.ts";
import { useConnection, useLatest } from "./use.ts";

const options: SubscribeOptions = { mode: "latest", snapshot: true };

function Watch({ client, filter }: { client: Client; filter: string }) {
  const state = useConnection(client);
  const { values, proof, error } = useLatest(client, filter, options);
  return (
    <>
      <p id="state">{error ? error.message : describe(state)}</p>
      <p id="proof">{proof && `${proof.complete ? "complete" : "gaps"}: ${proof.delivered} readings, ${proof.conflated} replaced by newer ones`}</p>
      <table>
        <tbody>
          {[...values].map(([topic, value]) => (
            <tr key={topic}>
              <th>{topic}</th>
              <td>{value}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}

function App() {
  const [watched, setWatched] = useState<{ client: Client; filter: string } | null>(null);
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const given = new FormData(event.currentTarget);
    const text = (name: string) => String(given.get(name));
    setWatched({ client: open({ bridge: text("bridge"), filter: text("filter"), token: text("token") }), filter: text("filter") });
  };
  if (watched) {
    return <Watch {...watched} />;
  }
  return (
    <form onSubmit={submit}>
      <input name="bridge" placeholder="bridge" required />
      <input name="filter" placeholder="filter" required />
      <input name="token" type="password" placeholder="token" required />
      <button>Watch</button>
    </form>
  );
}

createRoot(document.querySelector("#app") as HTMLElement).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
