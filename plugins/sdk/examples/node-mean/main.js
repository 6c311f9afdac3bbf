// A plugin of the Forebay gateway, with nothing but gRPC: mean of all good numbers of a window, its longest text, and how many bytes it
// holds. What the messages mean stands in plugin.proto.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const BAD = 0x80000000;
const PROTO = "proto/forebay/v1/plugin.proto";

// ValueType -> bytes of a value, and how it is read.
const NUMBERS = {
  1: [1, (buffer, at) => buffer.readUInt8(at)],
  2: [1, (buffer, at) => buffer.readInt8(at)],
  3: [1, (buffer, at) => buffer.readUInt8(at)],
  4: [2, (buffer, at) => buffer.readInt16LE(at)],
  5: [2, (buffer, at) => buffer.readUInt16LE(at)],
  6: [4, (buffer, at) => buffer.readInt32LE(at)],
  7: [4, (buffer, at) => buffer.readUInt32LE(at)],
  8: [8, (buffer, at) => Number(buffer.readBigInt64LE(at))],
  9: [8, (buffer, at) => Number(buffer.readBigUInt64LE(at))],
  10: [4, (buffer, at) => buffer.readFloatLE(at)],
  11: [8, (buffer, at) => buffer.readDoubleLE(at)],
};
const STRING = 12;

// The folder `proto` beside this file, or of a folder above it.
function protoRoot(folder) {
  if (fs.existsSync(path.join(folder, PROTO))) return path.join(folder, "proto");
  const above = path.dirname(folder);
  if (above === folder) throw new Error(`${PROTO} is not beside this file, nor above it`);
  return protoRoot(above);
}

function service() {
  const root = protoRoot(__dirname);
  const definition = loader.loadSync(path.join(root, "forebay/v1/plugin.proto"), {
    includeDirs: [root],
    keepCase: true,
    longs: String, // times in nanoseconds are no JavaScript numbers
    defaults: true,
    oneofs: true,
  });
  return grpc.loadPackageDefinition(definition).forebay.v1.PluginHost;
}

// Good values of one series in rows [first, first + count).
function* good(series, input, first, count) {
  const size = NUMBERS[input.type]?.[0];
  for (let row = first; row < first + count; row++) {
    if (series.quality.length && series.quality.readUInt32LE(4 * row) >= BAD) continue;
    if (size) yield NUMBERS[input.type][1](series.values, size * row);
    else yield input.type === STRING ? series.texts[row] : series.blobs[row];
  }
}

// What lies in one window; `ranges` are [first, count] on each axis.
function lookAt(ranges, work, setup) {
  let rows = 0, sum = 0, numbers = 0, longest = null, bytes = 0;
  for (const series of work.series) {
    const [first, count] = ranges[series.axis];
    rows += count;
    for (const value of good(series, setup.inputs[series.input], first, count)) {
      if (typeof value === "number") {
        if (Number.isFinite(value)) { sum += value; numbers += 1; }
      } else if (typeof value === "string") {
        if (longest === null || value.length > longest.length) longest = value;
      } else {
        bytes += value.length;
      }
    }
  }
  return { rows, mean: numbers ? sum / numbers : null, longest, bytes };
}

// Results of all windows of a work: a column for each output, which says of which window each row is.
function answer(work, setup) {
  const { rows, begin_ns } = work.windows, axes = work.axes.length;
  const failures = [], found = { mean: [], longest: [], bytes: [] };
  for (let window = 0; window < begin_ns.length / 8; window++) {
    const at = (axis) => 8 * (window * axes + axis);
    const ranges = work.axes.map((_, axis) => [rows.readUInt32LE(at(axis)), rows.readUInt32LE(at(axis) + 4)]);
    const seen = lookAt(ranges, work, setup);
    if (seen.rows === 0) failures.push({ window, reason: "no rows" });
    else for (const name in found) if (seen[name] !== null) found[name].push([window, seen[name]]);
  }
  const column = (name, more) => ({
    output: setup.outputs.findIndex((output) => output.name === name),
    windows: numbers(4, found[name].map(([window]) => window), "writeUInt32LE"),
    ...more(found[name].map(([, value]) => value)),
  });
  return {
    work_id: work.id,
    failures,
    columns: [
      column("mean", (values) => ({ values: numbers(8, values, "writeDoubleLE") })),
      column("longest", (texts) => ({ texts })),
      column("bytes", (values) => ({ values: numbers(4, values, "writeUInt32LE") })),
    ].filter((one) => one.windows.length),
  };
}

function numbers(size, values, write) {
  const buffer = Buffer.alloc(size * values.length);
  values.forEach((value, place) => buffer[write](value, size * place));
  return buffer;
}

function main() {
  const { FOREBAY_PLUGIN_SOCKET: socket, FOREBAY_PLUGIN_TOKEN: token } = process.env;
  if (!socket || !token) {
    console.error("a plugin is started by the gateway: FOREBAY_PLUGIN_SOCKET is not set");
    process.exit(2);
  }
  const client = new (service())(`unix:${socket}`, grpc.credentials.createInsecure(), {
    "grpc.max_receive_message_length": 256 * 1024 * 1024, // 4 MiB otherwise, and works may be larger
    "grpc.max_send_message_length": -1,
  });
  const call = client.attach();
  let setup = null;
  call.on("data", (message) => {
    if (message.setup) {
      setup = message.setup;
      call.write({ ready: { detail: `Node.js ${process.version}`, facts: { tags: String(setup.inputs.length) } } });
    } else if (message.work) {
      call.write({ results: answer(message.work, setup) });
    } else if (message.ping) {
      call.write({ pong: { id: message.ping.id } });
    } else if (message.stop) {
      call.end(); // what was written before goes out first, then the host ends the stream
    }
  });
  call.on("end", () => process.exit(0));
  call.on("error", (error) => {
    console.error(`the host ended the stream: ${error.message}`);
    process.exit(1);
  });
  process.on("SIGTERM", () => process.exit(0));
  call.write({ hello: { protocol: 1, token, sdk: "node-mean 0.1.0" } });
}

main();
