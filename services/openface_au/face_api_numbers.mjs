// What the two networks of npm's @vladmandic/face-api 1.7.15 give for three drawn pictures, computed by the package
// itself (TensorFlow.js, CPU). The ONNX files are held to these numbers by tests/services/openface_au.
//
//     npm pack @vladmandic/face-api@1.7.15 && tar xzf vladmandic-face-api-1.7.15.tgz
//     node services/openface_au/face_api_numbers.mjs package > tests/services/openface_au/face_api_numbers.json
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const root = path.resolve(process.argv[2]);
// The bundle has no loader of Node's modules, so that it must take Node for a browser.
Object.defineProperty(process, "versions", { value: {} });
globalThis.window = globalThis;
globalThis.document = { createElement: () => ({ getContext: () => null }) };
const api = await import(pathToFileURL(path.join(root, "dist", "face-api.esm.js")));
const Absent = class {};
const kinds = ["Canvas", "CanvasRenderingContext2D", "Image", "ImageData", "Video"];
api.env.setEnv(Object.fromEntries(kinds.map((kind) => [kind, Absent])));
await api.tf.setBackend("cpu");

function picture(number, side) {
  const values = new Float32Array(side * side * 3);
  for (let y = 0, at = 0; y < side; y++)
    for (let x = 0; x < side; x++)
      for (let channel = 0; channel < 3; channel++)
        values[at++] = (x * (number + 3) + y * (5 - number) + 70 * channel + ((x * y) % 17) * 8 * number) % 256;
  return api.tf.tensor4d(values, [1, side, side, 3]);
}

const found = {};
for (const [name, Network, side] of [
  ["expression", api.FaceExpressionNet, 112],
  ["recognition", api.FaceRecognitionNet, 150],
]) {
  const file = path.join(root, "model", `face_${name}_model`);
  const [{ weights }] = JSON.parse(fs.readFileSync(`${file}-weights_manifest.json`));
  const bytes = new Uint8Array(fs.readFileSync(`${file}.bin`));
  const network = new Network();
  network.loadFromWeightMap(api.tf.io.decodeWeights(bytes.buffer, weights));
  found[name] = [];
  for (let number = 0; number < 3; number++) {
    const result = network.forwardInput(await api.toNetInput(picture(number, side)));
    found[name].push(Array.from(result.dataSync(), (value) => Number(value.toPrecision(8))));
  }
}
console.log(JSON.stringify(found));
