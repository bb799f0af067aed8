// Asks llama.cpp (prebuilt, from npm) what GGUF files say. One JSON request on standard input, one JSON answer on
// standard output:
//
//   echo '[{"path": "a.gguf", "texts": ["to tokenize"],
//           "prompts": [{"text": "Once upon", "count": 32}, {"tokens": [0, 467], "follow": [925, 501]}]}]' | node generate.mjs
//
//   [{"path", "tokenizations": [[ids]], "continuations": [{"tokens", "text", "margins", "behind"}]} or {"path", "error"}]
//
// Decoding is greedy. `tokens` are llama.cpp's choices and `margins` their lead over the second best logit. Where a
// prompt has `follow`, those ids are fed whatever llama.cpp chooses, and `behind` says by how much each one's logit
// trails its choice (0 where they agree), so every step is compared and not only those before the first difference.
// A question without prompts is about the vocabulary alone, and its file needs no tensors.
import {getLlama, LlamaLogLevel} from "node-llama-cpp";

const request = JSON.parse(await new Response(process.stdin).text());
const llama = await getLlama({
    gpu: false, build: "never", usePrebuiltBinaries: true, skipDownload: true, maxThreads: 1,
    logLevel: LlamaLogLevel.error, logger: (level, message) => process.stderr.write(`${message}\n`)
});

const answers = [];
for (const question of request) answers.push(await ask(question));
process.stdout.write(`${JSON.stringify(answers)}\n`);
await llama.dispose();

async function ask({path, texts = [], prompts = []}) {
    try {
        const model = await llama.loadModel({modelPath: path, gpuLayers: 0, checkTensors: true, vocabOnly: prompts.length === 0});
        try {
            const continuations = [];
            for (const prompt of prompts) continuations.push(await decode(model, prompt));
            return {path, tokenizations: texts.map((text) => [...model.tokenize(text)]), continuations};
        } finally {
            await model.dispose();
        }
    } catch (error) {
        return {path, error: String(error?.message ?? error)};
    }
}

async function decode(model, {text, tokens, follow, count = 32}) {
    const prompt = tokens ?? withBos(model, model.tokenize(text));
    const steps = follow?.length ?? count;
    const context = await model.createContext({
        contextSize: prompt.length + steps, sequences: 1, threads: 1, flashAttention: false,
        experimentalKvCacheKeyType: "F32", experimentalKvCacheValueType: "F32"
    });
    try {
        const sequence = context.getSequence();
        const continuation = {tokens: [], margins: [], behind: follow && []};
        let input = prompt;
        for (let step = 0; step < steps; step++) {
            const scores = await nextLogProbabilities(sequence, input);
            const [[best, top], [, second]] = scores;
            continuation.tokens.push(best);
            continuation.margins.push(top - second);
            continuation.behind?.push(top - scores.get(follow[step]));
            input = [follow?.[step] ?? best];
        }
        return {...continuation, text: model.detokenize(continuation.tokens)};
    } finally {
        await context.dispose();
    }
}

// Log-probabilities of what may follow the input, best first; their differences are those of the logits.
async function nextLogProbabilities(sequence, input) {
    const last = [input.at(-1), {generateNext: {probabilities: true}}];
    const output = await sequence.controlledEvaluate([...input.slice(0, -1), last]);
    return new Map([...output.at(-1).next.probabilities].map(([token, probability]) => [token, Math.log(probability)]));
}

function withBos(model, tokens) {
    return model.tokens.shouldPrependBosToken ? [model.tokens.bos, ...tokens] : [...tokens];
}
