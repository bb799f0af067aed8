using Nibble.Core.Kernels;
using Nibble.Core.Threading;
using Nibble.Models;
using Nibble.Models.Decoder;
using Nibble.Quantization.Calibration;

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
