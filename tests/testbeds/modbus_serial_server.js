// A modbus-serial server for tests: `node modbus_serial_server.js`. Listens on a free port of 127.0.0.1, prints it as a
// line of JSON, and ends when its standard input closes, so that it never outlives its parent.
//   unit 1   holding and input register a of scan n hold (1000 n + a) mod 65536, where n counts the reads of register 0:
//            no two scans agree anywhere, and a value tells which scan it is of; registers 60000 and 60001 hold when
//            scan n was, in milliseconds since 1970 modulo 2^32
//   unit 2   holding register a holds what was written to it, a at first; coils alike, false at first
//   unit 7   throws "busy" (exception 6) for registers 100 to 109 on every read, and "device failure" (4) on every second
//   unit 9   answers after 1.5 s
//   others   are silent
// (The port is text, since the library takes the number 0 for none.)
const Modbus = require("modbus-serial");

let scan = 0;
let scannedAt = 0;
let failures = 0;
const written = new Map();
const coils = new Set();
const slow = (value) => new Promise((resolve) => setTimeout(() => resolve(value), 1500));
const walking = (address) => {
  if (address === 0) {
    scan += 1;
    scannedAt = Date.now();
  }
  if (address === 60000) return Math.floor(scannedAt / 65536) & 0xffff;
  if (address === 60001) return scannedAt & 0xffff;
  return (1000 * scan + address) & 0xffff;
};
const register = (address, unit) => {
  if (unit === 1) return walking(address);
  if (unit === 2) return written.has(address) ? written.get(address) : address;
  if (unit === 9) return slow(address);
  if (unit !== 7) return new Promise(() => {});
  if (address >= 100 && address < 110) throw { modbusErrorCode: 6, msg: "busy" };
  if (address === 0 && (failures += 1) % 2 === 0) throw { modbusErrorCode: 4, msg: "device failure" };
  return address;
};
const server = new Modbus.ServerTCP({
  getHoldingRegister: register,
  getInputRegister: register,
  getCoil: (address, unit) => (unit === 9 ? slow(address % 3 === 0) : unit === 2 ? coils.has(address) : address % 3 === 0),
  getDiscreteInput: (address) => address % 2 === 1,
  setRegister: (address, value) => { written.set(address, value); },
  setCoil: (address, value) => { if (value) coils.add(address); else coils.delete(address); },
  readDeviceIdentification: () => ({ 0: "Forebay", 1: "press", 2: "1.0" }),
}, { host: "127.0.0.1", port: "0", debug: false, unitID: 255 });
server.on("socketError", () => {});
server.on("serverError", (error) => { process.stderr.write(`${error}\n`); process.exit(1); });
const tell = () => process.stdout.write(`${JSON.stringify({ port: server._server.address().port })}\n`);
if (server._server.listening) tell(); else server._server.once("listening", tell);
process.stdin.resume().on("close", () => process.exit(0)).on("end", () => process.exit(0));
