using System.Numerics.Tensors;
using Nibble.Core.Threading;
using Nibble.Models;
using Nibble.Models.Decoder;
using Nibble.Tests.Golden;
using Nibble.Tests.Memory;

namespace Nibble.Tests.Decoder;

public class AllocationTests
{
    public static TheoryData<string> Decoders => GoldenArchitectureTests.Decoders;

    [Theory, MemberData(nameof(Decoders))]
    public void A_decoded_token_allocates_nothing(string name)
    {
        using ModelSource source = ModelSource.Open(GoldenCheckpoint.Folder(name));
        using var pool = new WorkerPool(1);
        using var model = new DecoderModel(source, pool);
        using KvCache cache = model.NewCache(120);
        var logits = new float[model.Config.Vocabulary];
        var token = new int[1];
        model.Forward([1, 2, 3], cache, logits, LogitPositions.Last);
        Decode(60);
        Assert.Equal(0, Allocations.Of(() => Decode(50), between: cache.Clear));

        void Decode(int count)
        {
            for (int i = 0; i < count; i++)
            {
                token[0] = TensorPrimitives.IndexOfMax<float>(logits);
                model.Forward(token, cache, logits, LogitPositions.Last);
            }
        }
    }
}
