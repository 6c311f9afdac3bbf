// A node-opcua server for tests: `node node_opcua_server.js PORT STATE_DIRECTORY [EXTRA_NAMESPACES]`.
// Prints one line of JSON when it is up, then obeys one line of JSON each on stdin:
//   {"set": "Level", "value": 1.5, "status": "UncertainSensorNotAccurate", "time": "2026-01-02T03:04:05.678Z"}
//   {"ramp": "Fast", "from": 0, "count": 1000}    a burst of changes, one each millisecond
//   {"event": "door open", "severity": 300}       an event of Press
//   {"sessions": 2}                               how many sessions it serves
//   {"forget": "subscriptions"}                   all subscriptions are gone, and nobody is told
// and answers each with {"done": true}. EXTRA_NAMESPACES are registered first, so that ours gets another index.
const path = require("path");
const readline = require("readline");
const opcua = require("node-opcua");

const [port, state, extra] = [Number(process.argv[2]), process.argv[3], Number(process.argv[4] || 0)];
const { DataType, StatusCodes, Variant, VariantArrayType } = opcua;
const tell = (message) => process.stdout.write(JSON.stringify(message) + "\n");

const SCALARS = {
  Level: ["Double", 0.5], Fast: ["Double", 0], Flag: ["Boolean", true], Small: ["SByte", -5], Octet: ["Byte", 200],
  Short: ["Int16", -300], Word: ["UInt16", 60000], Int: ["Int32", -70000], UInt: ["UInt32", 4000000000],
  Long: ["Int64", [0, 7]], ULong: ["UInt64", [0, 9]], Single: ["Float", 1.25], Text: ["String", "press 1 \u00e4"],
  When: ["DateTime", new Date(0)],
};

async function main() {
  const certificates = new opcua.OPCUACertificateManager({
    rootFolder: path.join(state, "pki"), automaticallyAcceptUnknownCertificate: false,
  });
  await certificates.initialize();
  const users = new opcua.OPCUACertificateManager({
    rootFolder: path.join(state, "users"), automaticallyAcceptUnknownCertificate: false,
  });
  await users.initialize();
  const server = new opcua.OPCUAServer({
    port, host: "127.0.0.1", hostname: "127.0.0.1", serverCertificateManager: certificates,
    userCertificateManager: users,
    nodeset_filename: [opcua.nodesets.standard],
    securityPolicies: [
      opcua.SecurityPolicy.None, opcua.SecurityPolicy.Basic256Sha256,
      opcua.SecurityPolicy.Aes128_Sha256_RsaOaep, opcua.SecurityPolicy.Aes256_Sha256_RsaPss,
    ],
    securityModes: [
      opcua.MessageSecurityMode.None, opcua.MessageSecurityMode.Sign, opcua.MessageSecurityMode.SignAndEncrypt,
    ],
    allowAnonymous: true,
    userManager: { isValidUser: (user, password) => user === "operator" && password === "secret" },
    serverInfo: { applicationUri: "urn:forebay:test-server" },
    serverCapabilities: {
      maxSessions: 50, operationLimits: { maxNodesPerRead: 40, maxNodesPerBrowse: 100, maxMonitoredItemsPerCall: 40,
        maxNodesPerHistoryReadData: 2,
      },
    },
  });
  await server.initialize();
  const space = server.engine.addressSpace;
  for (let i = 0; i < extra; i += 1) space.registerNamespace(`urn:forebay:extra-${i}`);
  const ns = space.registerNamespace("urn:forebay:press");
  const press = ns.addObject({
    organizedBy: space.rootFolder.objects, browseName: "Press", nodeId: "s=Press",
    eventSourceOf: space.rootFolder.objects.server, eventNotifier: 1,
  });
  const variables = {};
  const add = (name, options) => {
    variables[name] = ns.addVariable({
      componentOf: press, browseName: name, nodeId: `s=${name}`, minimumSamplingInterval: 10, ...options,
    });
    return variables[name];
  };
  for (const [name, [dataType, value]] of Object.entries(SCALARS)) {
    const arrayType = VariantArrayType.Scalar; // said aloud, since a 64-bit integer is a pair here
    add(name, { dataType }).setValueFromSource({ dataType: DataType[dataType], arrayType, value });
  }
  add("Array", { dataType: "Double", valueRank: 1 }).setValueFromSource(
    new Variant({ dataType: DataType.Double, arrayType: VariantArrayType.Array, value: new Float64Array([1, 2, 3]) }),
  );
  add("Matrix", { dataType: "Int32", valueRank: 2, arrayDimensions: [2, 3] }).setValueFromSource(
    new Variant({
      dataType: DataType.Int32, arrayType: VariantArrayType.Matrix, dimensions: [2, 3],
      value: new Int32Array([11, 12, 13, 21, 22, 23]),
    }),
  );
  const analog = (name) => {
    variables[name] = ns.addAnalogDataItem({
      componentOf: press, browseName: name, nodeId: `s=${name}`, description: `${name} of the press`, dataType: "Double",
      engineeringUnits: opcua.standardUnits.degree_celsius, engineeringUnitsRange: { low: 0, high: 200 },
      minimumSamplingInterval: 10,
    });
    variables[name].setValueFromSource({ dataType: DataType.Double, value: 50 });
    return variables[name];
  };
  for (const name of ["Logged", "Logged2", "Logged3"]) {
    space.installHistoricalDataNode(analog(name), { maxOnlineValues: 5000 });
  }
  space.installAlarmsAndConditionsService();
  ns.instantiateExclusiveLimitAlarm("ExclusiveLimitAlarmType", {
    componentOf: press, conditionSource: press, browseName: "TempAlarm", conditionName: "TempAlarm",
    inputNode: analog("Temp"), highHighLimit: 120, highLimit: 100, lowLimit: 10, lowLowLimit: 0,
  });
  const adder = ns.addMethod(press, {
    browseName: "Add", nodeId: "s=Add",
    inputArguments: [{ name: "a", dataType: DataType.Int32 }, { name: "b", dataType: DataType.Double }],
    outputArguments: [{ name: "sum", dataType: DataType.Double }],
  });
  let calls = 0;
  adder.bindMethod((inputs, _context, done) => {
    calls += 1;
    const [a, b] = inputs.map((input) => input.value);
    if (a < 0) return done(null, { statusCode: StatusCodes.BadOutOfRange });
    return done(null, { statusCode: StatusCodes.Good, outputArguments: [{ dataType: DataType.Double, value: a + b }] });
  });
  add("Structure", { dataType: "Argument" }).setValueFromSource({
    dataType: DataType.ExtensionObject, value: new opcua.Argument({ name: "a", description: "x" }),
  });
  for (let i = 0; i < 200; i += 1) {
    add(`V${i}`, { dataType: "Double" }).setValueFromSource({ dataType: DataType.Double, value: i });
  }
  const types = Object.fromEntries(Object.entries(SCALARS).map(([name, [dataType]]) => [name, dataType]));
  const put = (name, value, status, time) => {
    const dataType = DataType[types[name] || "Double"];
    variables[name].setValueFromSource({ dataType, value }, StatusCodes[status || "Good"], time && new Date(time));
  };
  const ramp = async (name, from, count) => {
    for (let i = 0; i < count; i += 1) {
      put(name, from + i);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  };
  readline.createInterface({ input: process.stdin }).on("line", async (line) => {
    const order = JSON.parse(line);
    if (order.set) put(order.set, order.value, order.status, order.time);
    if (order.event) {
      press.raiseEvent("BaseEventType", {
        message: { dataType: DataType.LocalizedText, value: { text: order.event } },
        severity: { dataType: DataType.UInt16, value: order.severity },
      });
    }
    if (order.ramp) await ramp(order.ramp, order.from, order.count);
    if (order.sessions) server.engine.serverCapabilities.maxSessions = order.sessions;
    if (order.forget) {
      for (const session of Object.values(server.engine._sessions)) {
        for (const { id } of [...session.publishEngine.subscriptions]) session.deleteSubscription(id);
      }
    }
    tell({ done: true, calls });
  }).on("close", () => process.exit(0));
  await server.start();
  tell({ port, namespace: ns.index, certificate: server.certificateFile, pki: path.join(state, "pki"),
    users: path.join(state, "users") });
}

main().catch((error) => {
  process.stderr.write(String(error && error.stack) + "\n");
  process.exit(1);
});
