using System.Text.Json;
using Nibble.Core.Threading;
using Nibble.Models;
using Nibble.Models.Decoder;

namespace Nibble.Tests.Decoder;

/// <summary>The two trained models against their golden continuations.</summary>
public class TrainedModelTests
{
    [Theory]
    [InlineData("models/small")]
    [InlineData("models/base")]
    public void First_logits_and_greedy_continuations_agree_with_transformers(string name)
    {
        string folder = SharedData.Path(name);
        using ModelSource source = ModelSource.Open(folder);
        using var pool = new WorkerPool(1);
        using var model = new DecoderModel(source, pool);
        using JsonDocument golden = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(folder, "golden.json")));
        foreach (JsonElement prompt in golden.RootElement.GetProperty("prompts").EnumerateArray())
        {
            int[] ids = Ints(prompt, "prompt_ids"), greedy = Ints(prompt, "greedy_ids");
            float[] logits = GoldenArchitectureTests.AllLogits(model, ids);
            ReadOnlySpan<float> last = logits.AsSpan(logits.Length - model.Config.Vocabulary);
            foreach (JsonElement entry in prompt.GetProperty("first_logits").EnumerateArray())
                GoldenArchitectureTests.AssertClose([entry.GetProperty("logit").GetSingle()], [last[entry.GetProperty("id").GetInt32()]], name);
            Assert.Equal(greedy, GoldenArchitectureTests.Continue(model, ids, greedy.Length));
        }
    }

    private static int[] Ints(JsonElement root, string key) => [.. root.GetProperty(key).EnumerateArray().Select(e => e.GetInt32())];
}
