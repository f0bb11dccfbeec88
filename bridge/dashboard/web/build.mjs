// Builds the dashboard into ../dist: a small script for who signs in, one for the page at work, what both share, and a style sheet, with
// hashed names; the page that names them, the licences of what is bundled, and of each a compressed copy beside it. The bridge embeds that folder. Usage: node build.mjs
import { build } from "esbuild";
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename, dirname, extname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const here = dirname(fileURLToPath(import.meta.url));
const app = join(here, "app");
const dist = join(here, "..", "dist");

/** Bundles the entries and returns the files to write, by their name below dist, and which packages are in them. */
async function bundle(entries) {
  const result = await build({
    absWorkingDir: here,
    entryPoints: entries.map((name) => join("app", name)),
    outdir: dist,
    entryNames: "assets/[name]-[hash]",
    chunkNames: "assets/[name]-[hash]",
    assetNames: "assets/[name]-[hash]",
    bundle: true,
    splitting: true,
    format: "esm",
    target: "es2022",
    conditions: ["source"],
    minify: true,
    legalComments: "none", // licences.txt has them whole
    metafile: true,
    write: false,
    logLevel: "warning",
  });
  const files = new Map(result.outputFiles.map((f) => [relative(dist, f.path), Buffer.from(f.contents)]));
  const built = new Map(), shared = new Set();
  for (const [path, made] of Object.entries(result.metafile.outputs)) {
    if (!made.entryPoint) continue;
    built.set(relative(app, join(here, made.entryPoint)), relative(dist, join(here, path)));
    for (const part of made.imports) if (part.kind === "import-statement" && !part.external) shared.add(relative(dist, join(here, part.path)));
  }
  const packages = new Set(Object.keys(result.metafile.inputs).flatMap((path) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1] ?? []));
  return { files, built, shared, packages };
}

/** Names in the page what it refers to: bundles by their hashed name, everything else as a hashed copy, and the parts that scripts import, so
    that they are asked for at once. */
async function page(files, built, shared) {
  let html = await readFile(join(app, "index.html"), "utf8");
  for (const [whole, attribute, name] of html.matchAll(/\b(href|src)="([^":/][^":]*)"/g)) {
    if (!built.has(name)) {
      const raw = await readFile(join(app, name));
      const hash = createHash("sha256").update(raw).digest("hex").slice(0, 8).toUpperCase();
      const hashed = `assets/${basename(name, extname(name))}-${hash}${extname(name)}`;
      files.set(hashed, raw);
      built.set(name, hashed);
    }
    html = html.replace(whole, `${attribute}="/${built.get(name)}"`);
  }
  const parts = [...shared].map((part) => `<link rel="modulepreload" href="/${part}">\n`).join("");
  files.set("index.html", Buffer.from(html.replace("</head>", `${parts}</head>`)));
}

/** Gathers the licences of bundled packages: they ask to go along. */
async function licences(files, packages) {
  let text = "";
  for (const name of [...packages].sort()) {
    const folder = join(here, "node_modules", name);
    const file = (await readdir(folder)).find((f) => /^licen[cs]e/i.test(f));
    if (!file) throw new Error(`${name} has no licence file, so it cannot be passed on`);
    const { version } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
    text += `${name} ${version}\n\n${await readFile(join(folder, file), "utf8")}\n`;
  }
  if (text) files.set("assets/licences.txt", Buffer.from(text));
}

/** Adds compressed copies where they are smaller. */
function compress(files) {
  for (const [name, raw] of [...files]) {
    const br = brotliCompressSync(raw, { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: raw.length } });
    const gz = gzipSync(raw, { level: 9 });
    if (br.length < raw.length) files.set(`${name}.br`, br);
    if (gz.length < raw.length) files.set(`${name}.gz`, gz);
  }
}

const { files, built, shared, packages } = await bundle(["shell/main.ts", "shell/style.css"]);
await page(files, built, shared);
await licences(files, packages);
compress(files);
for (const old of await readdir(dist)) if (old !== ".gitignore") await rm(join(dist, old), { recursive: true });
await mkdir(join(dist, "assets"), { recursive: true });
for (const [name, raw] of files) await writeFile(join(dist, name), raw);
const sent = [...files].filter(([name]) => name.endsWith(".gz")).reduce((sum, [, raw]) => sum + raw.length, 0);
console.log(`dashboard: ${files.size} files, ${(sent / 1000).toFixed(1)} kB compressed by gzip`);
