// The speed of llama.cpp (prebuilt, from npm), asked and answered as llama-bench does, for bench/against-llama-cpp:
//
//   LLAMA_BENCH="node tests/peer/bench.mjs" bench/against-llama-cpp model.gguf
//
// -m MODEL -p PROMPT -n GENERATE -t THREADS -r REPEATS [-fa 1]: two results as JSON, of prompts and of single tokens, each with
// `avg_ts` and `samples_ts` in tokens a second; -p 0 or -n 0 leaves one out. Tokens are any, for speed does not depend on them.
// Prompts are measured as llama-bench does. Each generated token passes the library's sampler and scheduler besides, which llama-bench
// does not have: of single tokens the figures are the library's, not llama.cpp's.
import {getLlama, LlamaLogLevel} from "node-llama-cpp";

const options = {m: null, p: 512, n: 128, t: 1, r: 5, fa: 0};
for (let i = 2; i + 1 < process.argv.length; i += 2) {
    const name = process.argv[i].replace(/^-+/, "");
    if (name in options) options[name] = name === "m" ? process.argv[i + 1] : Number(process.argv[i + 1]);
}

const llama = await getLlama({
    gpu: false, build: "never", usePrebuiltBinaries: true, skipDownload: true, maxThreads: options.t,
    logLevel: LlamaLogLevel.error, logger: (level, message) => process.stderr.write(`${message}\n`)
});
const model = await llama.loadModel({modelPath: options.m, gpuLayers: 0});
const context = await model.createContext({
    contextSize: options.p + options.n + 8, batchSize: 512, sequences: 1, threads: options.t, flashAttention: options.fa === 1
});
const sequence = context.getSequence();
const token = (i) => 1000 + i * 7919 % 20000;

const results = [];
if (options.p > 0) results.push(await measure(options.p, () => sequence.controlledEvaluate(promptOf(options.p))));
if (options.n > 0) results.push(await measure(options.n, generate));
process.stdout.write(`${JSON.stringify(results, null, 1)}\n`);
await llama.dispose();

// A first run is not counted.
async function measure(tokens, run) {
    const samples = [];
    for (let i = 0; i <= options.r; i++) {
        await sequence.clearHistory();
        const start = performance.now();
        await run();
        if (i > 0) samples.push(tokens * 1000 / (performance.now() - start));
    }
    return {n_prompt: run === generate ? 0 : tokens, n_gen: run === generate ? tokens : 0, avg_ts: samples.reduce((a, b) => a + b) / samples.length, samples_ts: samples};
}

// Logits are wanted of the last token only.
function promptOf(count) {
    return Array.from({length: count}, (_, i) => i < count - 1 ? token(i) : [token(i), {generateNext: {token: true}}]);
}

async function generate() {
    for (let i = 0; i < options.n; i++)
        await sequence.controlledEvaluate([[token(i), {generateNext: {token: true, options: {temperature: 0}}}]]);
}
