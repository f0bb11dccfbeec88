// Last values of topics in a table, by Vue. Render functions instead of templates: those would need a compiler, in the build or, with
// eval, in the page.

import { createApp, defineComponent, h, shallowRef } from "vue";
import type { PropType } from "vue";
import type { Client } from "plumbline-client";
import { describe, open } from "../sign.ts";
import { useConnection, useLatest } from "./use.ts";

const Watch = defineComponent({
  props: { client: { type: Object as PropType<Client>, required: true }, filter: { type: String, required: true } },
  setup(props) {
    const state = useConnection(props.client);
    const { values, proof, error } = useLatest(props.client, props.filter, { mode: "latest", snapshot: true });
    return () => [
      h("p", { id: "state" }, error.value ? error.value.message : describe(state.value)),
      h("p", { id: "proof" }, proof.value ? `${proof.value.complete ? "complete" : "gaps"}: ${proof.value.delivered} readings, ${proof.value.conflated} replaced by newer ones` : ""),
      h("table", h("tbody", [...values].map(([topic, value]) => h("tr", { key: topic }, [h("th", topic), h("td", value)])))),
    ];
  },
});

const App = defineComponent({
  setup() {
    const watched = shallowRef<{ client: Client; filter: string } | null>(null); // shallow: the client is no data of Vue's
    const submit = (event: Event) => {
      event.preventDefault();
      const given = new FormData(event.currentTarget as HTMLFormElement);
      const text = (name: string) => String(given.get(name));
      watched.value = { client: open({ bridge: text("bridge"), filter: text("filter"), token: text("token") }), filter: text("filter") };
    };
    const field = (name: string, type = "text") => h("input", { name, type, placeholder: name, required: true });
    return () => (watched.value ? h(Watch, watched.value) : h("form", { onSubmit: submit }, [field("bridge"), field("filter"), field("token", "password"), h("button", "Watch")]));
  },
});

createApp(App).mount("#app");
