// Builds the examples: of each a folder with its page and one script, below OUT. Usage: node examples/build.mjs OUT
import { build } from "esbuild";
import { copyFile, mkdir } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const out = process.argv[2];
if (!out) {
  console.error("build: where to? node examples/build.mjs OUT");
  process.exit(2);
}
const entries = { vanilla: "main.ts", react: "main.tsx", vue: "main.ts" };
await build({
  absWorkingDir: here,
  entryPoints: Object.entries(entries).map(([name, main]) => ({ in: join(name, main), out: join(name, "main") })),
  outdir: resolve(out),
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  jsx: "automatic",
  conditions: ["source"], // the client of this tree; a page of your own takes the published one
  define: { "process.env.NODE_ENV": '"production"', __VUE_OPTIONS_API__: "false", __VUE_PROD_DEVTOOLS__: "false", __VUE_PROD_HYDRATION_MISMATCH_DETAILS__: "false" },
  legalComments: "none",
  logLevel: "warning",
});
for (const name of Object.keys(entries)) {
  await mkdir(join(resolve(out), name), { recursive: true });
  await copyFile(join(here, "page.html"), join(resolve(out), name, "index.html"));
}
