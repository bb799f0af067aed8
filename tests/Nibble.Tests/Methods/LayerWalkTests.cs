using Nibble.Core.Kernels;
using Nibble.Core.Threading;
using Nibble.Models;
using Nibble.Models.Decoder;
using Nibble.Quantization.Calibration;
using Nibble.Tests.Decoder;
using Nibble.Tests.Golden;

namespace Nibble.Tests.Methods;

/// <summary>A layer at a time is the same as all at once.</summary>
public sealed class LayerWalkTests
{
    [Fact]
    public void The_head_reads_what_it_reads_in_a_forward_pass()
    {
        using var pool = new WorkerPool(2);
        using ModelSource source = ModelSource.Open(EmbeddedModel.Folder);
        using var model = new DecoderModel(source, pool);
        int[][] texts = [[0, 5, 9, 100, 77, 3], [0, 42]];
        using var walk = new LayerWalk(model, texts);
        for (int layer = 0; layer < model.LayerCount; layer++)
        {
            walk.Probe(layer, new HeadInputs(), null, TestContext.Current.CancellationToken);
            walk.Pass(layer, cancel: TestContext.Current.CancellationToken);
        }
        var stepwise = new HeadInputs();
        walk.ProbeHead(stepwise);
        var whole = new HeadInputs();
        using KvCache cache = model.NewCache(8);
        foreach (int[] text in texts)
        {
            cache.Clear();
            model.Forward(text, cache, new float[text.Length * model.Config.Vocabulary], LogitPositions.All, whole);
        }
        Assert.Equal(whole.Values, stepwise.Values);
    }

    /// <summary>A layer with a sliding window would keep no more than the window and a batch, 12 tokens; a text passes it as one batch.</summary>
    [Fact]
    public void A_text_longer_than_a_window_and_a_batch_passes_a_layer_whole()
    {
        using var pool = new WorkerPool(1);
        using ModelSource source = ModelSource.Open(GoldenCheckpoint.Folder("mistral-sliding"));
        using var model = new DecoderModel(source, pool, new DecoderOptions { BatchSize = 4 });
        int[] text = [.. Enumerable.Range(0, 40).Select(i => 3 + i * 7 % 300)];
        var stepwise = new HeadInputs();
        using var walk = new LayerWalk(model, [text]);
        for (int layer = 0; layer < model.LayerCount; layer++) walk.Pass(layer, cancel: TestContext.Current.CancellationToken);
        walk.ProbeHead(stepwise);
        var whole = new HeadInputs();
        using KvCache cache = model.NewCache(40);
        model.Forward(text, cache, new float[40 * model.Config.Vocabulary], LogitPositions.All, whole);
        GoldenArchitectureTests.AssertClose([.. whole.Values], [.. stepwise.Values], "what the head reads");
    }

    private sealed class HeadInputs : IProbe
    {
        public List<float> Values { get; } = [];

        public void LinearInput(string name, Activation x)
        {
            if (name != "output") return;
            for (int t = 0; t < x.Tokens; t++) Values.AddRange(x.Row(t));
        }

        public void Hidden(int layer, ReadOnlySpan<float> states) { }
    }
}
