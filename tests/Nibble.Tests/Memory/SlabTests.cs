using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Tests.Memory;

public sealed unsafe class SlabTests
{
    /// <summary>Also where one is larger than a slab, and what was written stays while others are written.</summary>
    [Fact]
    public void What_is_allocated_is_aligned_and_nobody_elses()
    {
        using var pool = new WorkerPool(2);
        var kept = new List<(nint At, int Bytes, Slab Owner)>();
        foreach (int bytes in (int[])[1, 63, 64, 65, 5 << 20, 3 << 20, 300 << 20, 1000])
        {
            byte* at = Slab.Allocate(bytes, pool, out Slab owner);
            Assert.Equal(0, (nint)at % 64);
            at[0] = at[bytes - 1] = (byte)(kept.Count + 1);
            kept.Add(((nint)at, bytes, owner));
        }
        for (int i = 0; i < kept.Count; i++)
        {
            Assert.Equal(i + 1, ((byte*)kept[i].At)[0]);
            Assert.Equal(i + 1, ((byte*)kept[i].At)[kept[i].Bytes - 1]);
            for (int j = 0; j < i; j++) Assert.True(kept[j].At + kept[j].Bytes <= kept[i].At || kept[i].At + kept[i].Bytes <= kept[j].At);
        }
        GC.KeepAlive(kept);
    }
}
