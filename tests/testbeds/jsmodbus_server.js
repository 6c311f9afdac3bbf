// A jsmodbus server for tests: `node jsmodbus_server.js`. Listens on a free port of 127.0.0.1, prints it as a line of
// JSON, and ends when its standard input closes. It answers for every unit, one buffer for all:
//   holding register a   a, but register 0 counts the reads of holding registers; writes stay
//   input register a     65535 - a
//   coil a               1 where a is divisible by 3;  discrete input a   1 where a is odd
const net = require("net");
const modbus = require("jsmodbus");

const COUNT = 1000;
const sockets = new net.Server();
const server = new modbus.server.TCP(sockets, {
  coils: Buffer.alloc(COUNT / 8), discrete: Buffer.alloc(COUNT / 8), holding: Buffer.alloc(2 * COUNT), input: Buffer.alloc(2 * COUNT),
});
for (let a = 0; a < COUNT; a += 1) {
  if (a > 0) server.holding.writeUInt16BE(a, 2 * a);
  server.input.writeUInt16BE(65535 - a, 2 * a);
  if (a % 3 === 0) server.coils[a >> 3] |= 1 << (a & 7);
  if (a % 2 === 1) server.discrete[a >> 3] |= 1 << (a & 7);
}
server.on("preReadHoldingRegisters", () => server.holding.writeUInt16BE((server.holding.readUInt16BE(0) + 1) & 0xffff, 0));
sockets.on("connection", (socket) => socket.on("error", () => {}));
sockets.listen(0, "127.0.0.1", () => process.stdout.write(`${JSON.stringify({ port: sockets.address().port })}\n`));
process.stdin.resume().on("close", () => process.exit(0)).on("end", () => process.exit(0));
