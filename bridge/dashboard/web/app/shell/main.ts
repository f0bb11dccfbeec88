// The entry: who is there, and then the page at work. What is loaded before that is small, so that who has to sign in sees the form
// at once; what draws dashboards is a file of its own, begin.ts.

import { ask } from "./dialog.ts";
import { button, h, name } from "./dom.ts";
import { type Me, Refused, signIn, whoAmI } from "./session.ts";
import { plain, signInPage } from "./signin.ts";
import { applyTheme, storedTheme } from "./theme.ts";

const root = document.getElementById("app") ?? document.body;

async function start(): Promise<void> {
  applyTheme(storedTheme() ?? "auto");
  const me = await arrive() ?? await identify();
  plain(root, h("p", { class: "help", role: "status" }, "Looking at what there is…"));
  await (await load())(root, me);
}

// load fetches the page at work. A browser does not ask twice for a script that has not come, so the whole page is loaded anew, once
// the bridge answers: it may be away, or another version by now, whose scripts have other names.
async function load(): Promise<typeof import("./begin.ts").begin> {
  try {
    return (await import("./begin.ts")).begin;
  } catch {
    do await pause("The page did not come whole", "The bridge may be restarting, or another version by now.");
    while (!await fetch("/", { method: "HEAD", cache: "no-store" }).then((a) => a.ok, () => false));
    location.reload();
    return new Promise(() => undefined);
  }
}

// arrive signs in with the code of a link, which leaves the address before anything else is done; null when there is none.
async function arrive(): Promise<Me | null> {
  const fragment = new URLSearchParams(location.hash.slice(1)), code = fragment.get("code");
  if (code === null) return null;
  fragment.delete("code");
  history.replaceState(null, "", `${location.pathname}${location.search}${fragment.toString() === "" ? "" : `#${fragment.toString()}`}`);
  const before = await whoIsThere();
  if (before !== "nobody" && !await ask("Sign in by this link?", [before === null ? "Whether somebody is signed in here is not known." : `This browser is signed in as ${before.subject}.`,
    "The link signs all its tabs in as whoever made it: what you see, save and send is then of that account. Go on only if you expected this link."], "Sign in by the link", true)) return before;
  try {
    const me = await signIn(code);
    saySignedIn(me);
    return me;
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    return await whoAmI().catch(() => signInPage(root, said)); // somebody may be signed in all the same
  }
}

// whoIsThere is null when the bridge does not say.
async function whoIsThere(): Promise<Me | "nobody" | null> {
  try {
    return await whoAmI();
  } catch (error) {
    return error instanceof Refused && error.nobody ? "nobody" : null;
  }
}

// saySignedIn: nobody has typed anything, so the page says as whom it goes on.
function saySignedIn(me: Me): void {
  const band = h("div", { class: "session-band", role: "alert" }, h("span", null, "Signed in by the link as ", name(me.subject), "."), button("OK", () => band.remove(), { class: "small" }));
  document.body.append(band);
  setTimeout(() => band.remove(), 60_000); // a wall has nobody to press it
}

// identify asks until somebody is signed in. A bridge that does not answer is asked again.
async function identify(): Promise<Me> {
  for (;;) {
    try {
      return await whoAmI();
    } catch (error) {
      if (error instanceof Refused && error.nobody) return await signInPage(root, error.reason === "missing" ? "" : error.message);
      await pause("No answer", error instanceof Error ? error.message : String(error));
    }
  }
}

// pause says what is wrong, and returns after five seconds or when it is told to.
function pause(title: string, why: string): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, 5000);
    plain(root, h("h1", null, title), h("p", { role: "alert" }, why), h("p", { class: "help" }, "This page tries again every five seconds."),
      button("Try now", () => { clearTimeout(timer); resolve(); }, { class: "primary" }));
  });
}

void start();
