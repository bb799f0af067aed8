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

    /// <summary>Ranges that are read side by side at most.</summary>
    public const int MostRanges = 3;

    /// <summary>Bytes that are asked for at once; whoever waits must see soon that the wait is over.</summary>
    private const int Step = 4 * CacheLines.Line;

    /// <summary>What a worker has left to ask for, of which range and expectation; a cache line apart.</summary>
    [StructLayout(LayoutKind.Sequential, Size = CacheLines.Line)]
    private struct Rest
    {
        public nint At, End, Left;
        public int Range, Version;
    }

    private readonly Rest[] _rests = new Rest[workers];
    private readonly MemoryRange[] _expected = new MemoryRange[MostRanges];
    private int _version;

    /// <summary>Says what comes next, some ranges side by side. A worker that looks at the same time may take it for half the old: it is a hint.</summary>
    public void Expect(ReadOnlySpan<MemoryRange> ranges)
    {
        for (int i = 0; i < _expected.Length; i++) _expected[i] = i < ranges.Length ? ranges[i] : default;
        Volatile.Write(ref _version, _version + 1);
    }

    /// <summary>Asks for a few lines more.</summary>
    /// <returns>False if there is nothing left to ask for.</returns>
    public bool Ask(int worker)
    {
        ref Rest rest = ref _rests[worker];
        int version = Volatile.Read(ref _version);
        if (rest.Version != version) rest = new Rest { Version = version, Left = Most };
        while (rest.At >= rest.End)
        {
            if (rest.Range == _expected.Length || !Sse.IsSupported) return false;
            Begin(ref rest, worker);
        }
        CacheLines.Ask((byte*)rest.At, Step);
        rest.At += Step;
        return true;
    }

    /// <summary>Takes the next range.</summary>
    private void Begin(ref Rest rest, int worker)
    {
        MemoryRange range = _expected[rest.Range++];
        (int from, int to) = ParallelRows.Share(range.Units, worker, workers);
        nint bytes = Math.Min((to - from) * range.UnitBytes, rest.Left);
        rest.At = range.Start + from * range.UnitBytes;
        rest.End = rest.At + bytes;
        rest.Left -= bytes;
    }
}
