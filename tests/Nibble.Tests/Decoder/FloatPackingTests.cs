using System.Numerics.Tensors;
using Nibble.Core.Kernels.Generated;
using Nibble.Core.Threading;
using Nibble.Models;
using Nibble.Models.Decoder;

namespace Nibble.Tests.Decoder;

/// <summary>Weights of bfloat16 that are packed while a text gets long.</summary>
public class FloatPackingTests
{
    /// <summary>
    /// Sums in another order, rounded to another bfloat16 once in a while, differ after some layers nearly as much as that rounding
    /// itself makes them differ from float32; by no more.
    /// </summary>
    [Fact]
    public void A_long_text_packs_them_and_goes_on_alike()
    {
        if (FloatTile.For(1) is null) Assert.Skip("the processor has no products of bfloat16");
        using ModelSource source = ModelSource.Open(EmbeddedModel.Folder), other = ModelSource.Open(EmbeddedModel.Folder), third = ModelSource.Open(EmbeddedModel.Folder);
        using var pool = new WorkerPool(2);
        using var model = new DecoderModel(source, pool, new DecoderOptions { Fast = true });
        using var packed = new DecoderModel(other, pool, new DecoderOptions { Fast = true });
        using var exact = new DecoderModel(third, pool);
        packed.PackFloats();
        Assert.All(packed.LinearsAndHead, l => Assert.NotNull(l.Weight.FloatTiles));
        using KvCache cache = model.NewCache(100), packedCache = packed.NewCache(100), exactCache = exact.NewCache(100);
        float[] logits = new float[model.Config.Vocabulary], packedLogits = [.. logits], exactLogits = [.. logits];
        double difference = 0, rounding = 0;
        for (int t = 0; t < 90; t++)
        {
            model.Forward([t * 37 + 1], cache, logits, LogitPositions.Last);
            packed.Forward([t * 37 + 1], packedCache, packedLogits, LogitPositions.Last);
            exact.Forward([t * 37 + 1], exactCache, exactLogits, LogitPositions.Last);
            difference += TensorPrimitives.Distance(logits, packedLogits);
            rounding += TensorPrimitives.Distance(logits, exactLogits);
            int made = model.LinearsAndHead.Count(l => l.Weight.FloatTiles is not null);
            if (t < 64) Assert.Equal(0, made);
            else if (t < 70) Assert.InRange(made, 1, model.LinearsAndHead.Count() - 1);
            else if (t >= 80) Assert.Equal(model.LinearsAndHead.Count(), made);
        }
        Assert.InRange(difference, 0, rounding);
    }

    [Fact]
    public void A_decoder_that_measures_packs_nothing()
    {
        using ModelSource source = ModelSource.Open(EmbeddedModel.Folder);
        using var pool = new WorkerPool(1);
        using var model = new DecoderModel(source, pool);
        model.PackFloats();
        Assert.All(model.LinearsAndHead, l => Assert.Null(l.Weight.FloatTiles));
    }
}
