// How does a voice sound? Asks the service qwen-audio: node tone.js FILE [HOST:PORT]
// FILE is a sound or a video. Reads the .proto files of this repository; PROTOS names another folder of them.
// For a service with TLS or a token: MERRFLOW_TLS_CA, and for mTLS MERRFLOW_TLS_CERT and MERRFLOW_TLS_KEY, are PEM
// files; MERRFLOW_TOKEN is the token.
const fs = require("node:fs");
const path = require("node:path");
const { setTimeout: sleep } = require("node:timers/promises");
const grpc = require("@grpc/grpc-js");
const protoLoader = require("@grpc/proto-loader");

const PROTOS = process.env.PROTOS || path.join(__dirname, "../../../protos");
const CHUNK = 1 << 19; // bytes of a streamed file in one message
const PASSES = [grpc.status.UNAVAILABLE, grpc.status.RESOURCE_EXHAUSTED, grpc.status.DEADLINE_EXCEEDED];

const { merrflow } = grpc.loadPackageDefinition(
  protoLoader.loadSync(["merrflow/common/v1/common.proto", "merrflow/qwen_audio/v1/qwen_audio.proto"], {
    includeDirs: [PROTOS],
    keepCase: true,
    enums: String,
    longs: Number,
    defaults: true,
  }),
);

const inSeconds = (seconds) => ({ deadline: Date.now() + seconds * 1000 });

// A call with one answer, as a promise.
function unary(client, rpc, request, seconds) {
  return new Promise((resolve, reject) =>
    client[rpc](request, new grpc.Metadata({ waitForReady: true }), inSeconds(seconds), (error, reply) =>
      error ? reject(error) : resolve(reply),
    ),
  );
}

// A file too large for one message: the request first, then the file in chunks.
function streamed(client, request, file, seconds) {
  return new Promise((resolve, reject) => {
    const call = client.DescribeStream(inSeconds(seconds), (error, reply) =>
      error ? reject(error) : resolve(reply.response),
    );
    call.write({ request });
    fs.createReadStream(file, { highWaterMark: CHUNK })
      .on("error", (error) => (call.cancel(), reject(error)))
      .on("end", () => call.end())
      .on("data", function (chunk) {
        if (!call.write({ chunk })) {
          this.pause(); // until what is on its way has left
          call.once("drain", () => this.resume());
        }
      });
  });
}

// What the service says of itself, once its model is loaded.
async function waitUntilReady(engine, seconds = 600) {
  for (const end = Date.now() + seconds * 1000; Date.now() < end; await sleep(1000)) {
    const info = await unary(engine, "Info", {}, 30);
    if (info.ready) return info;
    // Such as weights that are missing: the text says what to do.
    if (info.problem) throw new Error(`${info.service} cannot work: ${info.problem}`);
    console.error(`${info.service}: ${info.doing}`);
  }
  throw new Error("the service did not become ready");
}

// Calls, and again where the service is full, restarts or is slow; other errors are final.
async function tryAgain(call, tries = 6) {
  for (let attempt = 1; ; attempt++) {
    try {
      return await call();
    } catch (error) {
      if (!PASSES.includes(error.code) || attempt === tries) throw error;
      await sleep(1000 * 2 ** (attempt - 1) * (0.2 + 0.3 * Math.random()));
    }
  }
}

function credentialsOf({ MERRFLOW_TLS_CA: ca, MERRFLOW_TLS_KEY: key, MERRFLOW_TLS_CERT: cert, MERRFLOW_TOKEN: token }) {
  if (!ca) return grpc.credentials.createInsecure(); // then a token would be readable on its way
  const read = (file) => (file ? fs.readFileSync(file) : null);
  const tls = grpc.credentials.createSsl(read(ca), read(key), read(cert));
  if (!token) return tls;
  const signed = (_, done) => {
    const metadata = new grpc.Metadata();
    metadata.set("authorization", `Bearer ${token}`);
    done(null, metadata);
  };
  return grpc.credentials.combineChannelCredentials(tls, grpc.credentials.createFromMetadataGenerator(signed));
}

async function main(file, address = "127.0.0.1:50053") {
  const credentials = credentialsOf(process.env);
  const options = { "grpc.max_send_message_length": -1 };
  const engine = new merrflow.common.v1.Engine(address, credentials);
  const client = new merrflow.qwen_audio.v1.ToneDescriber(address, credentials, options);
  let tone;
  try {
    const info = await waitUntilReady(engine);
    const request = { clip: path.parse(file).name };
    const small = fs.statSync(file).size < info.limits.max_message_bytes - 1024;
    tone = await tryAgain(() =>
      small
        ? unary(client, "Describe", { ...request, audio: { data: fs.readFileSync(file) } }, 300)
        : streamed(client, request, file, 300),
    );
  } finally {
    engine.close();
    client.close();
  }
  console.log(tone.text);
  console.log(`content: ${tone.content}`);
  for (const { name, value, unit } of tone.measurements) console.log(`${name}: ${value.toFixed(2)} ${unit}`);
  console.log(`by ${tone.engine.engine} (${tone.engine.model}): ${tone.engine.note}`);
}

main(...process.argv.slice(2)).catch((error) => {
  // INVALID_ARGUMENT: this file can never be described.
  console.error(error.details ? `${grpc.status[error.code]}: ${error.details}` : error.message);
  process.exitCode = 1;
});
