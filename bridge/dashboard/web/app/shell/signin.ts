// Sign-in: a page of its own at the start, a dialog over the view when a session ends in its middle.

import { type Child, h, icon, replace, setAttr } from "./dom.ts";
import { type Me, Refused, signIn, tokenFault } from "./session.ts";
import { open } from "./dialog.ts";

// form calls done with who it is. The token's field is emptied whatever comes of it.
function form(done: (me: Me) => void, first: string): HTMLElement {
  const said = h("p", { role: "alert", class: "fault" }, first);
  const token = h("textarea", { id: "token", name: "token", rows: "3", autocomplete: "off", autocapitalize: "none", spellcheck: "false", autofocus: true, "aria-describedby": "token-help" });
  const go = h("button", { type: "submit", class: "primary" }, "Sign in");
  const submit = async (): Promise<void> => {
    const text = token.value, fault = tokenFault(text);
    setAttr(token, "aria-invalid", fault === "" ? null : "true");
    if (fault !== "") return replace(said, fault);
    go.disabled = true;
    replace(said);
    try {
      const me = await signIn(text.trim());
      token.value = "";
      done(me);
    } catch (error) {
      if (!(error instanceof Refused) || error.status !== 0) token.value = "";
      replace(said, error instanceof Error ? error.message : String(error));
      token.focus();
    } finally {
      go.disabled = false;
    }
  };
  token.addEventListener("keydown", (e) => { if (e.key === "Enter" && !e.shiftKey) { e.preventDefault(); void submit(); } });
  return h("form", { class: "signin-form", onsubmit: (e: Event) => { e.preventDefault(); void submit(); } },
    h("label", { for: "token" }, "Code or token"), token,
    h("p", { id: "token-help", class: "help" }, "Whoever runs the bridge prints both: ", h("code", null, "bridged dashboard --sub NAME --grants '#'")),
    said, go);
}

// plain is the page while it shows no dashboard: the name, which stands there from the first paint on, and what there is to say.
export function plain(root: HTMLElement, ...children: Child[]): void {
  replace(root, h("main", { class: "signin" }, h("div", { class: "signin-box" }, h("p", { class: "brand" }, icon("plumb"), "Plumbline"), children)));
}

export function signInPage(root: HTMLElement, why: string): Promise<Me> {
  return new Promise((resolve) => {
    plain(root, h("h1", null, "Sign in"), h("p", null, "Live readings, and the proof that none is missing."), form(resolve, why));
    document.title = "Sign in – Plumbline";
    root.querySelector("textarea")?.focus();
  });
}

export interface Asked { readonly done: Promise<Me | null>; close(): void }

// signInOver asks again over the view, which stays as it is. fixed: there is no way around it.
export function signInOver(title: string, why: string, fixed: boolean): Asked {
  let me: Me | null = null;
  const d = open(title, [h("p", null, why), form((m) => { me = m; d.close(); }, "")], { fixed, class: "signin-dialog" });
  d.body.querySelector("textarea")?.focus();
  return { done: d.closed.then(() => me), close: () => d.close() };
}
