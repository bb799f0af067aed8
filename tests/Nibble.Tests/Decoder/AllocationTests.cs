using System.Numerics.Tensors;
using Nibble.Core.Threading;
using Nibble.Models;
using Nibble.Models.Decoder;
using Nibble.Tests.Golden;

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
        Assert.Equal(0, AllocatedBy(50));

        // A collection, which any thread may cause, counts what was left of this thread's buffer as allocated; one that has been
        // counted already may do so a little later, so the same must be seen twice without one.
        long AllocatedBy(int count)
        {
            for (int attempt = 1, undisturbed = 0; ; attempt++)
            {
                int collections = GC.CollectionCount(0);
                long before = GC.GetAllocatedBytesForCurrentThread();
                Decode(count);
                long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
                if (collections == GC.CollectionCount(0)) undisturbed++;
                if (allocated == 0 || undisturbed == 2 || attempt == 20) return allocated;
                cache.Clear();
            }
        }

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
