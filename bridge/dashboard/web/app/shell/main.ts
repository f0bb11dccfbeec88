// The entry: who is there, which layout, and then the page at work.

import { App } from "./app.ts";
import { button, h, replace } from "./dom.ts";
import { readPlace } from "./place.ts";
import { type Me, Refused, signIn, whoAmI } from "./session.ts";
import { signInPage } from "./signin.ts";
import { applyTheme, storedTheme } from "./theme.ts";

const root = document.getElementById("app") ?? document.body;

async function start(): Promise<void> {
  applyTheme(storedTheme() ?? "auto");
  const me = await arrive() ?? await identify();
  const where = readPlace(location.hash), filter = new URLSearchParams(location.search).get("filter");
  const app = new App(root, me, where);
  replace(root, h("p", { class: "boot", role: "status" }, "Looking at what there is…"));
  await app.desk.resolve(where, filter);
}

// arrive signs in with the code of a link, which leaves the address before anything else is done; null when there is none.
async function arrive(): Promise<Me | null> {
  const fragment = new URLSearchParams(location.hash.slice(1)), code = fragment.get("code");
  if (code === null) return null;
  fragment.delete("code");
  history.replaceState(null, "", `${location.pathname}${location.search}${fragment.toString() === "" ? "" : `#${fragment.toString()}`}`);
  try {
    return await signIn(code);
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    return await whoAmI().catch(() => signInPage(root, said)); // somebody may be signed in all the same
  }
}

// identify asks until somebody is signed in. A bridge that does not answer is asked again.
async function identify(): Promise<Me> {
  for (;;) {
    try {
      return await whoAmI();
    } catch (error) {
      if (error instanceof Refused && (error.status === 401 || error.status === 403)) return await signInPage(root, error.reason === "missing" ? "" : error.message);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 5000);
        replace(root, h("main", { class: "signin" }, h("div", { class: "signin-box" }, h("h1", null, "No answer"), h("p", { role: "alert" }, error instanceof Error ? error.message : String(error)),
          h("p", { class: "help" }, "This page tries again every five seconds."), button("Try now", () => { clearTimeout(timer); resolve(); }, { class: "primary" }))));
      });
    }
  }
}

void start();
