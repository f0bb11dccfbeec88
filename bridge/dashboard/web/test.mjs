// Runs the unit tests: every *.test.ts below client and app, bundled one by one, by Node's own test runner. Usage: node test.mjs [PATH…]
import { build } from "esbuild";
import { spawnSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));

async function tests(folder) {
  const found = [];
  for (const entry of await readdir(join(here, folder), { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory() && entry.name !== "node_modules") found.push(...(await tests(path)));
    else if (entry.name.endsWith(".test.ts")) found.push(path);
  }
  return found;
}

const asked = process.argv.slice(2);
const entries = (await Promise.all(["client", "app"].map(tests))).flat().filter((path) => asked.length === 0 || asked.some((part) => path.includes(part)));
if (entries.length === 0) {
  console.error(`test: no *.test.ts ${asked.length ? `whose path has ${asked.join(" or ")}` : "below client and app"}`);
  process.exit(1);
}
await mkdir(join(here, ".tests"), { recursive: true });
const scratch = await mkdtemp(join(here, ".tests", "run-")); // here, so that bundled tests find node_modules
try {
  await build({
    absWorkingDir: here, entryPoints: entries, outdir: scratch, outbase: here, bundle: true, format: "esm", platform: "node",
    packages: "external", alias: { "plumbline-client": join(here, "client/src/index.ts") }, sourcemap: "inline", outExtension: { ".js": ".mjs" }, logLevel: "warning",
  });
  const files = entries.map((path) => join(scratch, path.replace(/\.ts$/, ".mjs")));
  process.exitCode = spawnSync(process.execPath, ["--enable-source-maps", "--test", ...files], { stdio: "inherit" }).status ?? 1;
} finally {
  await rm(scratch, { recursive: true, force: true });
}
