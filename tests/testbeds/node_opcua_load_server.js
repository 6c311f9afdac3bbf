// A node-opcua server with many variables: `node node_opcua_load_server.js PORT STATE_DIRECTORY COUNT [mixed]`.
// Each variable counts how often it was sampled, so that whoever hears of it can prove to have heard of every sample.
// All are Doubles; with `mixed` they are Double, Int32, UInt32 and Float in turns. Prints one line of JSON when it is up.
const path = require("path");
const opcua = require("node-opcua");

const [port, state, count] = [Number(process.argv[2]), process.argv[3], Number(process.argv[4])];
const TYPES = process.argv[5] === "mixed" ? ["Double", "Int32", "UInt32", "Float"] : ["Double"];

async function main() {
  const certificates = new opcua.OPCUACertificateManager({ rootFolder: path.join(state, "pki") });
  await certificates.initialize();
  const server = new opcua.OPCUAServer({
    port, host: "127.0.0.1", hostname: "127.0.0.1", serverCertificateManager: certificates,
    nodeset_filename: [opcua.nodesets.standard],
    securityPolicies: [opcua.SecurityPolicy.None], securityModes: [opcua.MessageSecurityMode.None],
    serverCapabilities: {
      maxMonitoredItems: 10 * count, maxMonitoredItemsPerSubscription: 10 * count,
      operationLimits: { maxNodesPerRead: 10000, maxMonitoredItemsPerCall: 10000 },
    },
  });
  await server.initialize();
  const space = server.engine.addressSpace;
  const ns = space.registerNamespace("urn:forebay:load");
  const folder = ns.addFolder(space.rootFolder.objects, { browseName: "Load" });
  for (let i = 0; i < count; i += 1) {
    let sampled = 0;
    const dataType = TYPES[i % TYPES.length];
    ns.addVariable({
      organizedBy: folder, browseName: `V${i}`, nodeId: `s=V${i}`, dataType, minimumSamplingInterval: 100,
      value: { get: () => new opcua.Variant({ dataType: opcua.DataType[dataType], value: (sampled += 1) }) },
    });
  }
  await server.start();
  process.stdout.write(JSON.stringify({ port }) + "\n");
  process.stdin.resume().on("close", () => process.exit(0));
}

main().catch((error) => {
  process.stderr.write(String(error && error.stack) + "\n");
  process.exit(1);
});
