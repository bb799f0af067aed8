using Nibble.Core.Kernels;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Models.Decoder;

/// <summary>
/// Makes <see cref="FloatTiles"/> of the weights of 16 bits when a text gets long, a part with each token: to pack all takes as
/// long as some 30 tokens save, or 160 where the system itself must be given the memory first; too long for a short text, and
/// for one token to wait.
/// </summary>
internal sealed class FloatPacking
{
    /// <summary>Tokens before the first that packs, and those among which the weights are shared.</summary>
    private const int Before = 64, Tokens = 16;

    private readonly Weight[] _weights;
    private readonly long _bytes;
    private long _packed;
    private int _next, _tokens;

    /// <param name="linears">Of which those are packed whose products are of bfloat16.</param>
    public FloatPacking(IEnumerable<Linear> linears)
    {
        _weights = [.. linears.Where(l => l.InputRounding?.MakesPairs(l.Weight, 1) == true).Select(l => l.Weight).Where(FloatTiles.CanPack).Distinct()];
        _bytes = _weights.Sum(w => w.Bytes);
        // What lies in a file can be let go of when memory is short; what is packed cannot.
        if (_bytes > GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 2) _weights = [];
    }

    /// <summary>Packs what is due with another token, if anything is left.</summary>
    public void PackSome(WorkerPool pool)
    {
        if (_next < _weights.Length && ++_tokens > Before) PackUntil(_bytes / Tokens * (_tokens - Before), pool);
    }

    /// <summary>Packs what is left.</summary>
    public void PackAll(WorkerPool pool) => PackUntil(long.MaxValue, pool);

    private void PackUntil(long due, WorkerPool pool)
    {
        for (; _next < _weights.Length && _packed < due; _next++)
        {
            _weights[_next].PackFloats(pool);
            _packed += _weights[_next].Bytes;
        }
    }
}
