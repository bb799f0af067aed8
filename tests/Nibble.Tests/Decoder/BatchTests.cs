using System.Numerics.Tensors;
using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Core.Threading;
using Nibble.Models;
using Nibble.Models.Decoder;
using Nibble.Tests.Golden;
using Nibble.Tests.Memory;

namespace Nibble.Tests.Decoder;

/// <summary>Sequences that are decoded together are decoded as each would be alone.</summary>
public class BatchTests
{
    public static TheoryData<string> Folders => GoldenArchitectureTests.Decoders;

    [Theory, MemberData(nameof(Folders))]
    public void Sequences_of_different_lengths_have_the_logits_they_have_alone(string name) => Compare(GoldenCheckpoint.Folder(name), new DecoderOptions());

    /// <summary>
    /// What differs in the last digits may be rounded to another code, so the logits differ by a part of what the cache's rounding itself
    /// changes in them.
    /// </summary>
    [Theory]
    [InlineData("F16", false)]
    [InlineData("Q8_0", false)]
    [InlineData("Q8_0", true)]
    public void So_they_have_with_a_quantized_cache(string format, bool rotate)
    {
        string folder = GoldenCheckpoint.Folder("llama-tied-bias-rope-llama3");
        (float[] alone, float[] together) = Logits(folder, new DecoderOptions { CacheFormat = Format.Parse(format), RotateCache = rotate });
        (float[] exact, _) = Logits(folder, new DecoderOptions());
        Assert.InRange(TensorPrimitives.Distance(alone, together), 0, TensorPrimitives.Distance(alone, exact) / 2);
    }

    private static void Compare(string folder, DecoderOptions options)
    {
        (float[] alone, float[] together) = Logits(folder, options);
        GoldenArchitectureTests.AssertClose(alone, together, Path.GetFileName(folder));
    }

    /// <summary>The logits of five sequences at each of some steps, decoded one by one and as a batch.</summary>
    private static (float[] Alone, float[] Together) Logits(string folder, DecoderOptions options)
    {
        const int Sequences = 5, Steps = 12;
        using ModelSource source = ModelSource.Open(folder);
        using var pool = new WorkerPool(2);
        // A small batch size makes the ring buffers of windowed layers wrap.
        using var model = new DecoderModel(source, pool, options with { BatchSize = 4 });
        int[] text = GoldenArchitecture.Read(folder).InputIds;
        int vocabulary = model.Config.Vocabulary, step = Sequences * vocabulary;
        KvCache[] alone = [.. Enumerable.Range(0, Sequences).Select(_ => model.NewCache(40 + Steps))];
        KvCache[] together = [.. Enumerable.Range(0, Sequences).Select(_ => model.NewCache(40 + Steps))];
        float[] expected = new float[Steps * step], actual = new float[Steps * step];
        for (int s = 0; s < Sequences; s++)
            foreach (KvCache cache in (KvCache[])[alone[s], together[s]])
                model.Forward(text.AsSpan(s, 1 + 3 * s), cache, [], LogitPositions.None);
        for (int i = 0; i < Steps; i++)
        {
            int[] tokens = [.. Enumerable.Range(0, Sequences).Select(s => text[(7 * s + i) % text.Length])];
            model.Forward(tokens, together, actual.AsSpan(i * step, step));
            for (int s = 0; s < Sequences; s++)
            {
                model.Forward(tokens.AsSpan(s, 1), alone[s], expected.AsSpan(i * step + s * vocabulary, vocabulary), LogitPositions.Last);
                Assert.Equal(alone[s].Tokens.ToArray(), together[s].Tokens.ToArray());
            }
        }
        foreach (KvCache cache in alone.Concat(together)) cache.Dispose();
        return (expected, actual);
    }

    [Fact]
    public void A_step_of_a_batch_allocates_nothing()
    {
        using ModelSource source = ModelSource.Open(GoldenCheckpoint.Folder("qwen3-moe"));
        using var pool = new WorkerPool(1);
        using var model = new DecoderModel(source, pool);
        KvCache[] caches = [model.NewCache(120), model.NewCache(120), model.NewCache(120)];
        int[] tokens = [1, 2, 3];
        var logits = new float[3 * model.Config.Vocabulary];
        for (int i = 0; i < 60; i++) model.Forward(tokens, caches, logits);
        Assert.Equal(0, Allocations.Of(() =>
        {
            for (int i = 0; i < 2; i++) model.Forward(tokens, caches, logits);
        }));
        foreach (KvCache cache in caches) cache.Dispose();
    }

    [Fact]
    public void What_cannot_be_a_batch_is_refused_before_anything_changes()
    {
        using ModelSource source = ModelSource.Open(GoldenCheckpoint.Folder("llama"));
        using var pool = new WorkerPool(1);
        using var model = new DecoderModel(source, pool);
        using KvCache a = model.NewCache(4), b = model.NewCache(4), full = model.NewCache(1);
        var logits = new float[2 * model.Config.Vocabulary];
        model.Forward([1], full, [], LogitPositions.None);
        Assert.Throws<ArgumentException>(() => model.Forward([1, 2], [a, a], logits));
        Assert.Throws<ArgumentException>(() => model.Forward([1, 2], [a, full], logits));
        Assert.Throws<ArgumentException>(() => model.Forward([1, 2], [a], logits));
        Assert.Throws<ArgumentException>(() => model.Forward([1, 2], [a, b], logits.AsSpan(1)));
        Assert.Throws<UnusableInputException>(() => model.Forward([1, 1 << 30], [a, b], logits));
        Assert.Equal((0, 0), (a.Length, b.Length));
    }
}
