using Nibble.Core.Threading;
using Nibble.Models;
using Nibble.Models.Decoder;
using Nibble.Models.Sampling;
using Nibble.Models.Tokenizers;
using Nibble.Quantization;
using Nibble.Quantization.Recipes;

namespace Nibble.Tests.Docs;

/// <summary>The example of README.md, line by line, with other names for its files.</summary>
internal static class ReadmeExample
{
    public static void Run(string folder, string small, Action<string> write)
    {
        using var pool = new WorkerPool();
        using (var original = new QuantizationSource(folder, output: small))
        {
            var quantizer = new ModelQuantizer(original, pool);
            QuantizationPlan plan = quantizer.Plan(Recipe.Parse("Q4_K_M"), new PlanOptions(), allowRequantize: false);
            quantizer.Write(small, plan, new QuantizeOptions { Force = true }, CancellationToken.None);
        }
        using var source = ModelSource.Open(small);
        using var model = new DecoderModel(source, pool, new DecoderOptions { Fast = true });
        var tokenizer = Tokenizer.Of(source);
        int[] prompt = tokenizer.Encode("The old man looked out over the sea and");
        new TextGenerator(model, tokenizer).Generate(prompt, new GenerationOptions(64, SamplingOptions.Greedy, []), write, CancellationToken.None);
    }
}
