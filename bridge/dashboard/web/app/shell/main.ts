// The page: sign in, see who you are, sign out.
import type { Me } from "plumbline-client";

/** Makes an element with attributes, text and children; text is never read as markup. */
function element<K extends keyof HTMLElementTagNameMap>(
  name: K,
  attributes: Record<string, string>,
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const app = document.getElementById("app") ?? document.body;

async function start(said = ""): Promise<void> {
  const answer = await fetch("/api/v1/me", { cache: "no-store" });
  app.replaceChildren(answer.ok ? signedIn((await answer.json()) as Me) : signIn(said));
}

function signIn(said: string): HTMLElement {
  const secret = element("textarea", { id: "token", rows: "4", autocomplete: "off", spellcheck: "false", required: "" });
  const alert = element("p", { role: "alert" }, said);
  const form = element("form", {}, element("label", { for: "token" }, "Code or token"), secret, element("button", {}, "Sign in"), alert);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void logIn(secret.value.trim(), alert);
  });
  return element("main", {}, element("h1", {}, "Plumbline"), element("p", {}, "Sign in with a code or a token. The bridge prints them: bridged dashboard --sub NAME --grants '#'"), form);
}

async function logIn(secret: string, alert: HTMLElement): Promise<void> {
  const answer = await fetch("/session", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(/^[0-9a-z]{5}[\s-]?[0-9a-z]{5}$/i.test(secret) ? { code: secret } : { token: secret }),
  });
  if (answer.ok) return start("The browser did not keep the session. Over plain HTTP some browsers do not: use https.");
  const { error } = (await answer.json()) as { error: string };
  alert.textContent = `The bridge refuses it: ${error}`;
}

function signedIn(me: Me): HTMLElement {
  const leave = element("button", {}, "Sign out");
  leave.addEventListener("click", () => void fetch("/session", { method: "DELETE" }).then(() => start()));
  return element(
    "main",
    {},
    element("h1", {}, `Plumbline on ${me.node}`),
    element("p", {}, `You are ${me.subject}, until ${new Date(me.expires).toLocaleString()}. You may see ${me.grants.live.join(", ") || "nothing"}.`),
    leave,
  );
}

/** Signs in with the code of a link, which leaves the address bar before anything else is done. */
async function arrive(): Promise<void> {
  const code = new URLSearchParams(location.hash.slice(1)).get("code");
  if (code === null) return start();
  history.replaceState(null, "", location.pathname + location.search);
  const answer = await fetch("/session", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ code }) });
  return start(answer.ok ? "" : "The code of this link is used or too old: have bridged dashboard print another.");
}

void arrive();
