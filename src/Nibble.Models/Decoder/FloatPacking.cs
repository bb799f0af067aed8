using Nibble.Core.Kernels;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Models.Decoder;

/// <summary>
/// Makes <see cref="FloatTiles"/> of the weights of 16 bits while tokens are decoded, a part with each of the first ones: to pack all
/// takes about as long as is saved by 20 tokens, too long for a text of few and for one of them to wait.
/// </summary>
internal sealed class FloatPacking
{
    /// <summary>Tokens among which the weights are shared.</summary>
    private const int Tokens = 16;

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
        if (_next == _weights.Length) return;
        long due = _bytes * Math.Min(Tokens, ++_tokens) / Tokens;
        for (; _next < _weights.Length && _packed < due; _next++)
        {
            _weights[_next].PackFloats(pool);
            _packed += _weights[_next].Bytes;
        }
    }
}
