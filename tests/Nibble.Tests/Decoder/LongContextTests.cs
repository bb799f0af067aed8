using Nibble.Core.Threading;
using Nibble.Models;
using Nibble.Models.Decoder;
using Nibble.Tests.Golden;

namespace Nibble.Tests.Decoder;

/// <summary>A text longer than the model was trained for.</summary>
public sealed class LongContextTests
{
    [Theory]
    [InlineData("llama")]
    [InlineData("mistral-sliding")]
    [InlineData("phi3-longrope")]
    [InlineData("deepseek-v3")]
    public void It_warns_once_and_goes_on(string name)
    {
        using ModelSource source = ModelSource.Open(GoldenCheckpoint.Folder(name));
        using var pool = new WorkerPool(1);
        var warnings = new List<string>();
        using var model = new DecoderModel(source, pool, new DecoderOptions { Warn = warnings.Add, BatchSize = 32 });
        int trained = source.Config.ContextLength;
        int[] tokens = [.. Enumerable.Range(0, trained + 40).Select(i => 3 + i * 7 % 300)];
        using KvCache cache = model.NewCache(tokens.Length + 1);
        var logits = new float[model.Config.Vocabulary];
        model.Forward(tokens.AsSpan(0, trained), cache, logits, LogitPositions.Last);
        Assert.Empty(warnings);
        model.Forward(tokens.AsSpan(trained), cache, logits, LogitPositions.Last);
        model.Forward([5], cache, logits, LogitPositions.Last);
        Assert.Contains($"longer than the {trained} tokens the model was trained for", Assert.Single(warnings), StringComparison.Ordinal);
        Assert.All(logits, z => Assert.True(float.IsFinite(z)));
    }
}
