// Uses one listener as mqtt.js does: QoS 0, 1 and 2, a retained message, a will, and a session that is taken up again.
// Arguments: URL, protocol version (4 or 5), file of the authority or "-". Prints "ok" and exits 0, or says what went wrong.
import fs from "node:fs";
import mqtt from "mqtt";

const [url, version, ca] = process.argv.slice(2);
const base = { protocolVersion: Number(version), reconnectPeriod: 0, connectTimeout: 10000 };
if (ca !== "-") base.ca = fs.readFileSync(ca);
const topic = `js/${version}/${new URL(url).protocol.replace(":", "")}`;
const limit = setTimeout(() => fail("timeout"), 20000);

function fail(why) {
  console.error(`${url} version ${version}: ${why}`);
  process.exit(1);
}

function open(clientId, more) {
  return mqtt.connectAsync(url, { ...base, clientId, ...more });
}

// until resolves with the first n messages that come.
function until(client, n) {
  return new Promise((resolve) => {
    const all = [];
    client.on("message", (t, payload, packet) => {
      all.push({ topic: t, text: payload.toString(), qos: packet.qos, retain: packet.retain, dup: packet.dup });
      if (all.length === n) resolve(all);
    });
  });
}

function equal(got, want, what) {
  if (JSON.stringify(got) !== JSON.stringify(want)) fail(`${what}: got ${JSON.stringify(got)}, want ${JSON.stringify(want)}`);
}

const sub = await open(`sub-${topic}`);
const pub = await open(`pub-${topic}`);
await sub.subscribeAsync(`${topic}/live/#`, { qos: 2 });
let wait = until(sub, 3);
for (const qos of [0, 1, 2]) await pub.publishAsync(`${topic}/live/${qos}`, `message ${qos}`, { qos });
equal((await wait).map((m) => [m.text, m.qos, m.retain]), [0, 1, 2].map((q) => [`message ${q}`, q, false]), "live");

await pub.publishAsync(`${topic}/kept/a/b`, "kept", { qos: 1, retain: true });
const late = await open(`late-${topic}`);
wait = until(late, 1);
await late.subscribeAsync(`${topic}/kept/a/b/#`, { qos: 1 });
equal((await wait).map((m) => [m.text, m.qos, m.retain]), [["kept", 1, true]], "retained");

const lasting = version === "5" ? { clean: false, properties: { sessionExpiryInterval: 60 } } : { clean: false };
const away = await open(`away-${topic}`, lasting);
await away.subscribeAsync(`${topic}/queue`, { qos: 1 });
await away.endAsync();
for (let i = 0; i < 20; i++) await pub.publishAsync(`${topic}/queue`, `${i}`, { qos: 1 });
const back = mqtt.connect(url, { ...base, clientId: `away-${topic}`, ...lasting });
const waited = await until(back, 20);
equal(waited.map((m) => [m.text, m.dup]), Array.from({ length: 20 }, (_, i) => [`${i}`, false]), "what waited");

const dying = await open(`dying-${topic}`, { will: { topic: `${topic}/live/will`, payload: Buffer.from("gone"), qos: 1, retain: false } });
wait = until(sub, 1);
dying.stream.destroy();
equal((await wait).map((m) => [m.text, m.qos]), [["gone", 1]], "will");

for (const client of [sub, pub, late, back]) await client.endAsync();
clearTimeout(limit);
console.log("ok");
process.exit(0);
