using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;
using Nibble.Core.Memory;

namespace Nibble.Core.Threading;

/// <summary>Units that lie one behind the other in memory, of which each worker will read its <see cref="ParallelRows.Share"/>.</summary>
/// <param name="Start">The address of the first.</param>
/// <param name="UnitBytes">Bytes of a unit.</param>
/// <param name="Units">How many there are; none where it is not known what will be read.</param>
public readonly record struct MemoryRange(nint Start, nint UnitBytes, int Units);

/// <summary>
/// What workers do while they wait: they ask memory for the beginning of what they will read next, so that memory is not idle
/// while one thread computes something short between two jobs. It is a hint: nothing is read, and no address can be wrong.
/// </summary>
internal sealed unsafe class ReadAhead(int workers)
{
    /// <summary>What a worker asks for at most: half of a second cache, for what the job in between needs must stay there too.</summary>
    private const nint Most = 512 << 10;

    /// <summary>Bytes that are asked for at once; whoever waits must see soon that the wait is over.</summary>
    private const int Step = 4 * CacheLines.Line;

    /// <summary>What a worker has left to ask for, and of which expectation; a cache line apart.</summary>
    [StructLayout(LayoutKind.Sequential, Size = CacheLines.Line)]
    private struct Rest
    {
        public nint At, End;
        public int Version;
    }

    private readonly Rest[] _rests = new Rest[workers];
    private MemoryRange _expected;
    private int _version;

    /// <summary>Says what comes next. A worker that looks at the same time may take it for half the old: it is a hint.</summary>
    public void Expect(MemoryRange range)
    {
        _expected = range;
        Volatile.Write(ref _version, _version + 1);
    }

    /// <summary>Asks for a few lines more.</summary>
    /// <returns>False if there is nothing left to ask for.</returns>
    public bool Ask(int worker)
    {
        ref Rest rest = ref _rests[worker];
        int version = Volatile.Read(ref _version);
        if (rest.Version != version) rest = Begin(worker, version);
        if (rest.At >= rest.End || !Sse.IsSupported) return false;
        CacheLines.Ask((byte*)rest.At, Step);
        rest.At += Step;
        return true;
    }

    private Rest Begin(int worker, int version)
    {
        MemoryRange range = _expected;
        (int from, int to) = ParallelRows.Share(range.Units, worker, workers);
        nint start = range.Start + from * range.UnitBytes;
        return new Rest { At = start, End = start + Math.Min((to - from) * range.UnitBytes, Most), Version = version };
    }
}
