// Decodes Sparkplug B payloads with the reference implementation's JavaScript codec: a base64 line in, a line of JSON out.
// 64-bit integers come as text, bytes as base64.
const readline = require("node:readline");
const Long = require("long");
const { decodePayload } = require("sparkplug-payload/lib/sparkplugbpayload");

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const bytes = new Uint8Array(Buffer.from(line, "base64"));
  const walk = (value) => {
    if (Long.isLong(value)) return value.toString();
    if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
    if (Array.isArray(value)) return value.map(walk);
    if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, walk(v)]));
    return value;
  };
  process.stdout.write(JSON.stringify(walk(decodePayload(bytes))) + "\n");
});
