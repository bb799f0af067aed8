namespace Nibble.Core.Formats;

/// <summary>
/// A format whose codes hold runs of weights (<see cref="Format.Stride"/>) that are chosen together: vectors and rings. Where
/// it is known how much each weight matters, the choice heeds it (<see cref="VectorImportance"/>).
/// </summary>
public abstract class StrideFormat : Format
{
    /// <summary>As <see cref="Format.Put"/>, for one stride.</summary>
    /// <param name="importance">How much the error of each weight counts, or empty.</param>
    protected abstract void Put(Span<byte> block, int at, ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, Span<float> rounded);

    public sealed override void Put(Span<byte> block, int at, ReadOnlySpan<float> weights, Span<float> rounded) =>
        Put(block, at, weights[..Stride], default, rounded);

    public sealed override void Encode(ReadOnlySpan<float> row, in FitOptions options, Span<byte> bytes)
    {
        Span<float> rounded = stackalloc float[Stride], tempered = stackalloc float[Stride];
        for (int from = 0; from < row.Length; from += BlockSize, bytes = bytes[BlockBytes..])
        {
            FitOptions own = options.Slice(from, BlockSize);
            Span<byte> block = bytes[..BlockBytes];
            block.Clear();
            Fit(row.Slice(from, BlockSize), own, block);
            for (int at = 0; at < BlockSize; at += Stride)
                Put(block, at, row.Slice(from + at, Stride), VectorImportance.Temper(own.Importance, at, tempered), rounded);
        }
    }
}
