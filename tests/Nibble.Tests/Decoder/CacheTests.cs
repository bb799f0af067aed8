using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Core.Kernels;
using Nibble.Core.Threading;
using Nibble.Models;
using Nibble.Models.Decoder;
using Nibble.Tests.Golden;

namespace Nibble.Tests.Decoder;

/// <summary>However the tokens are dealt out, the logits are those of the text.</summary>
public class CacheTests
{
    public static TheoryData<string> Folders => GoldenArchitectureTests.Decoders;

    [Theory, MemberData(nameof(Folders))]
    public void Token_by_token_and_in_small_batches_the_logits_are_those_of_one_prefill(string name)
    {
        string folder = GoldenCheckpoint.Folder(name);
        using ModelSource source = ModelSource.Open(folder);
        using var pool = new WorkerPool(1);
        int[] tokens = GoldenArchitecture.Read(folder).InputIds;
        using var whole = new DecoderModel(source, pool);
        float[] expected = GoldenArchitectureTests.AllLogits(whole, tokens);
        foreach (int batch in new[] { 1, 3, 16 })
        {
            // A small batch size makes the ring buffers of windowed layers wrap.
            using var model = new DecoderModel(source, pool, new DecoderOptions { BatchSize = batch });
            using KvCache cache = model.NewCache(tokens.Length);
            var last = new float[model.Config.Vocabulary];
            for (int start = 0; start < tokens.Length; start += batch)
                model.Forward(tokens.AsSpan(start, Math.Min(batch, tokens.Length - start)), cache, last, LogitPositions.Last);
            GoldenArchitectureTests.AssertClose(expected.AsSpan(expected.Length - last.Length), last, $"{name}, batches of {batch}");
            GoldenArchitectureTests.AssertClose(expected, GoldenArchitectureTests.AllLogits(model, tokens), $"{name}, one call in batches of {batch}");
        }
    }

    [Fact]
    public void A_layer_with_a_window_keeps_no_more_than_its_window_and_a_batch()
    {
        using ModelSource source = ModelSource.Open(GoldenCheckpoint.Folder("mistral-sliding"));
        using var pool = new WorkerPool(1);
        using var model = new DecoderModel(source, pool, new DecoderOptions { BatchSize = 4 });
        using KvCache cache = model.NewCache(100_000);
        // 2 layers, keys and values, 2 heads of 16 floats, window 8 and batch 4.
        Assert.Equal(2 * 2 * 2 * 16 * sizeof(float) * (8 + 4), cache.Bytes);
    }

    [Fact]
    public void A_text_longer_than_trained_is_warned_of_once_and_computed()
    {
        using ModelSource source = ModelSource.Open(GoldenCheckpoint.Folder("mistral-sliding"));
        using var pool = new WorkerPool(1);
        var warnings = new List<string>();
        using var model = new DecoderModel(source, pool, new DecoderOptions { BatchSize = 50, Warn = warnings.Add });
        using KvCache cache = model.NewCache(700);
        var logits = new float[model.Config.Vocabulary];
        for (int i = 0; i < 7; i++)
            model.Forward([.. Enumerable.Range(0, 100).Select(t => (7 * t + i) % 320)], cache, logits, LogitPositions.Last);
        Assert.All(logits, z => Assert.True(float.IsFinite(z)));
        Assert.Contains("256", Assert.Single(warnings));
    }

    [Fact]
    public void A_truncated_cache_goes_on_as_if_the_rest_had_never_been()
    {
        using ModelSource source = ModelSource.Open(GoldenCheckpoint.Folder("llama"));
        using var pool = new WorkerPool(1);
        using var model = new DecoderModel(source, pool);
        using KvCache cache = model.NewCache(20);
        float[] expected = new float[model.Config.Vocabulary], actual = new float[model.Config.Vocabulary];
        model.Forward([5, 6, 7, 8], cache, expected, LogitPositions.Last);
        cache.Truncate(2);
        model.Forward([9, 10, 11], cache, actual, LogitPositions.None);
        cache.Truncate(2);
        model.Forward([7, 8], cache, actual, LogitPositions.Last);
        Assert.Equal([5, 6, 7, 8], cache.Tokens.ToArray());
        GoldenArchitectureTests.AssertClose(expected, actual, "after truncation");
    }

    /// <summary>All angles change where a text passes the original context; they change back where it is cut.</summary>
    [Fact]
    public void A_cache_that_is_truncated_below_the_original_context_is_rotated_as_a_short_text()
    {
        using ModelSource source = ModelSource.Open(GoldenCheckpoint.Folder("phi3-longrope"));
        using var pool = new WorkerPool(1);
        using var model = new DecoderModel(source, pool);
        int original = source.Config.Layers[0].Rotary!.SwitchLength!.Value;
        int[] tokens = [.. Enumerable.Range(0, original + 8).Select(i => 3 + i * 7 % 300)];
        float[] expected = new float[model.Config.Vocabulary], actual = new float[model.Config.Vocabulary];
        using KvCache cut = model.NewCache(tokens.Length), fresh = model.NewCache(tokens.Length);
        model.Forward(tokens, cut, actual, LogitPositions.Last);
        cut.Truncate(original - 8);
        model.Forward([5], cut, actual, LogitPositions.Last);
        model.Forward([.. tokens[..(original - 8)], 5], fresh, expected, LogitPositions.Last);
        GoldenArchitectureTests.AssertClose(expected, actual, "after truncation");
    }

    /// <summary>Window 8 and batch 4: 12 positions are kept.</summary>
    [Fact]
    public void A_cache_with_a_window_can_be_truncated_as_far_as_the_window_is_still_there()
    {
        using ModelSource source = ModelSource.Open(GoldenCheckpoint.Folder("mistral-sliding"));
        using var pool = new WorkerPool(1);
        using var model = new DecoderModel(source, pool, new DecoderOptions { BatchSize = 4 });
        int[] tokens = [.. Enumerable.Range(0, 40).Select(i => 3 + i * 7 % 300)];
        float[] expected = new float[model.Config.Vocabulary], actual = new float[model.Config.Vocabulary];
        using KvCache cut = model.NewCache(40), fresh = model.NewCache(40);
        model.Forward(tokens, cut, actual, LogitPositions.Last);
        cut.Truncate(36);
        Assert.Throws<InvalidOperationException>(() => cut.Truncate(35));
        model.Forward([5, 6], cut, actual, LogitPositions.Last);
        Assert.Throws<InvalidOperationException>(() => cut.Truncate(35));
        model.Forward([.. tokens[..36], 5, 6], fresh, expected, LogitPositions.Last);
        GoldenArchitectureTests.AssertClose(expected, actual, "after truncation");
        cut.Truncate(0);
        model.Forward([5], cut, [], LogitPositions.None);
        cut.Truncate(1);
    }

    [Fact]
    public void An_encoder_takes_a_text_whole_that_is_longer_than_a_window_and_a_batch()
    {
        string folder = GoldenCheckpoint.Folder("modernbert");
        using ModelSource source = ModelSource.Open(folder);
        using var pool = new WorkerPool(1);
        using var model = new DecoderModel(source, pool, new DecoderOptions { BatchSize = 1 });
        int[] tokens = GoldenArchitecture.Read(folder).InputIds;
        Assert.True(tokens.Length > source.Config.Layers.Max(l => l.Window) + 1);
        var alone = new LastStates();
        model.Encode(tokens, new float[tokens.Length * model.Config.Hidden], alone);
        var cached = new LastStates();
        using KvCache cache = model.NewCache(tokens.Length);
        model.Forward(tokens, cache, [], LogitPositions.None, cached);
        GoldenArchitectureTests.AssertClose(alone.Values, cached.Values, "the last layer");
    }

    private sealed class LastStates : IProbe
    {
        public float[] Values { get; private set; } = [];

        public void LinearInput(string name, Activation x) { }

        public void Hidden(int layer, ReadOnlySpan<float> states) => Values = states.ToArray();
    }

    [Theory, MemberData(nameof(Folders))]
    public void A_rotated_cache_gives_the_same_logits(string name)
    {
        string folder = GoldenCheckpoint.Folder(name);
        using ModelSource source = ModelSource.Open(folder);
        using var pool = new WorkerPool(1);
        int[] tokens = GoldenArchitecture.Read(folder).InputIds;
        using var plain = new DecoderModel(source, pool);
        using var rotated = new DecoderModel(source, pool, new DecoderOptions { RotateCache = true });
        GoldenArchitectureTests.AssertClose(GoldenArchitectureTests.AllLogits(plain, tokens), GoldenArchitectureTests.AllLogits(rotated, tokens), name);
    }

    [Theory]
    [InlineData("F32", 32 * 4)]
    [InlineData("F16", 32 * 2)]
    [InlineData("Q8_0", 34)]
    [InlineData("Q4_0", 18)]
    public void The_cache_is_stored_in_its_format(string format, int bytesOfAHead)
    {
        using ModelSource source = ModelSource.Open(EmbeddedModel.Folder);
        using var pool = new WorkerPool(1);
        foreach (bool rotate in (bool[])[false, true])
        {
            using var model = new DecoderModel(source, pool, new DecoderOptions { CacheFormat = Format.Parse(format), RotateCache = rotate });
            using KvCache cache = model.NewCache(100);
            // 6 layers, keys and values, 4 heads of 32 numbers.
            Assert.Equal(100L * model.Config.Layers.Count * 2 * model.Config.KvHeads * (model.Config.HeadSize / 32) * bytesOfAHead, cache.Bytes);
            Assert.Equal(cache.Bytes, model.CacheBytes(100));
        }
    }

    [Fact]
    public void Without_a_format_it_is_F32_and_for_answers_what_is_read_fastest()
    {
        Assert.Equal(FloatFormat.F32, new DecoderOptions().FormatOfCache);
        Assert.Equal(KeyValueRows.Fastest, new DecoderOptions { Fast = true }.FormatOfCache);
        Assert.Equal(FloatFormat.F32, new DecoderOptions { Fast = true, CacheFormat = FloatFormat.F32 }.FormatOfCache);
        Assert.Equal(KeyValueRows.Fastest.Name, Cli.CommandRun.Of("run", "-p", "a", "-n", "1", "--json").Json.GetProperty("kv").GetString());
    }

    [Fact]
    public void A_format_that_does_not_divide_a_head_is_refused()
    {
        using ModelSource source = ModelSource.Open(GoldenCheckpoint.Folder("mistral-sliding"));
        using var pool = new WorkerPool(1);
        using var model = new DecoderModel(source, pool, new DecoderOptions { CacheFormat = Format.Parse("Q4_0") });
        Assert.Contains("keys of 16", Assert.Throws<UnusableInputException>(() => model.NewCache(10)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("F16", 0.05)]
    [InlineData("Q8_0", 0.5)]
    public void A_cache_of_fewer_bits_changes_the_logits_a_little(string format, double tolerance)
    {
        string folder = GoldenCheckpoint.Folder("llama-tied-bias-rope-llama3");
        using ModelSource source = ModelSource.Open(folder);
        using var pool = new WorkerPool(1);
        int[] tokens = GoldenArchitecture.Read(folder).InputIds;
        using var exact = new DecoderModel(source, pool);
        using var rounded = new DecoderModel(source, pool, new DecoderOptions { CacheFormat = Format.Parse(format) });
        float[] expected = GoldenArchitectureTests.AllLogits(exact, tokens), actual = GoldenArchitectureTests.AllLogits(rounded, tokens);
        double worst = expected.Zip(actual, (a, b) => Math.Abs(a - b)).Max();
        Assert.InRange(worst, 1e-7, tolerance);
    }
}
