using Nibble.Core.Formats;

namespace Nibble.Quantization.Evaluation;

/// <summary>
/// What a format did to the weights of a tensor, summed row by row: errors in double, and how the codes were used.
/// </summary>
/// <param name="format">Bound to the rows, with its table.</param>
public sealed class TensorError(Format format)
{
    private readonly long[] _codes = new long[Math.Max(1, format.CodeCount)];
    private readonly ushort[] _block = new ushort[format.CodeCount == 0 ? 0 : format.BlockSize / format.Stride];
    private double _squaredError, _power;

    /// <summary>So many weights tell enough of how codes are used.</summary>
    private const long Enough = 1 << 18;

    private long _counted;

    /// <summary>Of a tensor of this size, every how many-th row's codes are to be counted: every one up to half a million weights.</summary>
    public static int Stride(long rows, long columns) => (int)Math.Max(1, rows * columns / Enough);

    /// <summary>Weights seen.</summary>
    public long Weights { get; private set; }

    /// <summary>Weights that lay beyond the levels of their block by more than half a step, so that rounding cut them.</summary>
    public long Clipped { get; private set; }

    /// <summary>The largest distance between a weight and what it became.</summary>
    public double MaxError { get; private set; }

    public double ClippedShare => _counted == 0 ? 0 : (double)Clipped / _counted;

    /// <summary>Sum of squared errors over sum of squares; 0 for a tensor of zeros kept as zeros.</summary>
    public double RelativeMse => _squaredError == 0 ? 0 : _squaredError / _power;

    /// <summary>Signal to quantization noise in decibels; infinite if nothing was lost.</summary>
    public double SqnrDecibel => -10 * Math.Log10(RelativeMse);

    /// <summary>The share of the format's codes that occur; null where a format's codes cannot be told apart.</summary>
    public double? CodesUsed => format.CodeCount == 0 ? null : (double)_codes.Count(c => c > 0) / format.CodeCount;

    /// <summary>The entropy of the codes, in bits a code: what an ideal entropy coder without context would need; null as above.</summary>
    public double? CodeEntropy
    {
        get
        {
            if (format.CodeCount == 0) return null;
            double all = _codes.Sum();
            return -_codes.Where(c => c > 0).Sum(c => c / all * Math.Log2(c / all));
        }
    }

    /// <summary>Counts a row: the weights, the bytes they were stored as, and what these decode to.</summary>
    /// <param name="countCodes">Whether to look at codes and clipping too, which costs more than the errors.</param>
    public void Add(ReadOnlySpan<float> original, ReadOnlySpan<byte> stored, ReadOnlySpan<float> decoded, bool countCodes = true)
    {
        for (int i = 0; i < original.Length; i++)
        {
            double error = (double)original[i] - decoded[i];
            _squaredError += error * error;
            _power += (double)original[i] * original[i];
            MaxError = Math.Max(MaxError, Math.Abs(error));
        }
        Weights += original.Length;
        if (!countCodes) return;
        _counted += original.Length;
        int group = Math.Min(original.Length, format.Group > 0 ? format.Group : format.BlockSize);
        if (group > format.Stride && format.Family != FormatFamily.Float)
            for (int at = 0; at < original.Length; at += group)
                Clipped += CountClipped(original[at..Math.Min(original.Length, at + group)], decoded[at..Math.Min(original.Length, at + group)]);
        CountCodes(stored);
    }

    /// <summary>Adds what another has seen of the same tensor.</summary>
    public void Merge(TensorError other)
    {
        (_squaredError, _power, Weights, Clipped) = (_squaredError + other._squaredError, _power + other._power, Weights + other.Weights, Clipped + other.Clipped);
        _counted += other._counted;
        MaxError = Math.Max(MaxError, other.MaxError);
        for (int c = 0; c < _codes.Length; c++) _codes[c] += other._codes[c];
    }

    private void CountCodes(ReadOnlySpan<byte> stored)
    {
        if (format.CodeCount == 0) return;
        for (; stored.Length >= format.BlockBytes; stored = stored[format.BlockBytes..])
        {
            format.ReadCodes(stored[..format.BlockBytes], _block);
            foreach (ushort code in _block) _codes[code]++;
        }
    }

    /// <summary>
    /// The levels of a block are what its weights became; beyond the outermost of them, a weight is cut if it lies more
    /// than half the distance to the next level further out.
    /// </summary>
    private static int CountClipped(ReadOnlySpan<float> original, ReadOnlySpan<float> decoded)
    {
        float low = float.PositiveInfinity, high = float.NegativeInfinity;
        foreach (float d in decoded) (low, high) = (Math.Min(low, d), Math.Max(high, d));
        float aboveLow = high, belowHigh = low;
        foreach (float d in decoded)
        {
            if (d > low) aboveLow = Math.Min(aboveLow, d);
            if (d < high) belowHigh = Math.Max(belowHigh, d);
        }
        if (low == high) return 0;
        double below = low - (aboveLow - low) / 2.0, above = high + (high - belowHigh) / 2.0;
        int clipped = 0;
        foreach (float w in original)
            if (w < below || w > above) clipped++;
        return clipped;
    }
}
