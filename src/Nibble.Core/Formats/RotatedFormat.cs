using System.Globalization;

namespace Nibble.Core.Formats;

/// <summary>
/// Another format whose columns are mixed by a rotation before they are stored (<see cref="ColumnRotation"/>), so that no
/// column holds outliers and the weights are near Gaussian (QuIP#, arXiv:2402.04396). The inputs of a product are rotated
/// instead of the weights: x W^T = (x R) (W R)^T. A block is a row of the inner format.
/// </summary>
/// <remarks>
/// A method that corrects columns one after the other works on <see cref="Inner"/>, with weights and moments rotated by
/// <see cref="Rotation"/>; to all others this is a format whose code holds a whole row.
/// </remarks>
public sealed class RotatedFormat : Format
{
    private readonly int _width;

    private RotatedFormat(Format inner, int width, int columns)
    {
        (Inner, _width, BlockSize) = (inner, width, columns);
        Name = width == 0 ? $"{inner.Name}-h" : $"{inner.Name}-h{width}";
        if (columns == 0) return;
        Rotation = new ColumnRotation(columns, width == 0 ? Kernels.Hadamard.BlockOf(columns) : width);
        BlockBytes = checked((int)inner.RowBytes(columns));
    }

    /// <param name="inner">What the rotated columns are stored in.</param>
    /// <param name="width">Columns that are mixed with each other, a power of two; 0 for as many as divide the row.</param>
    public static RotatedFormat Of(Format inner, int width = 0) => new(inner, width, 0);

    /// <summary>What the rotated columns are stored in.</summary>
    public Format Inner { get; }

    /// <summary>How they are rotated; null while the row's length is unknown.</summary>
    public ColumnRotation? Rotation { get; }

    public override string Name { get; }
    public override FormatFamily Family => Inner.Family;
    public override int BlockSize { get; }
    public override int BlockBytes { get; }
    public override int Stride => Math.Max(1, BlockSize);
    public override double ErrorBudget => Inner.ErrorBudget;
    public override bool HasRange => Inner.HasRange;
    public override ReadOnlyMemory<byte> Shared => Inner.Shared;
    public override long SharedBytes => Inner.SharedBytes;

    public override bool Divides(long columns) => Inner.Divides(columns) && (_width == 0 || columns % _width == 0);

    public override Format ForColumns(int columns) => columns == BlockSize ? this : new RotatedFormat(Inner.ForColumns(columns), _width, columns);

    public override Format WithShared(ReadOnlyMemory<byte> shared) => new RotatedFormat(Inner.WithShared(shared), _width, BlockSize);

    public override Format Learn(IWeightSource source, LearnOptions options) =>
        new RotatedFormat(Inner.Learn(new RotatedWeights(source, Bound()), options with { Importance = default }), _width, BlockSize);

    private ColumnRotation Bound() => Rotation ?? throw new InvalidOperationException($"{Name} is not bound to a row.");

    private float[] Rotated(ReadOnlySpan<float> weights)
    {
        float[] rotated = weights.ToArray();
        Bound().Rotate(rotated);
        return rotated;
    }

    /// <summary>The importance of rotated columns: a rotation spreads it evenly within its width, nearly.</summary>
    private FitOptions Even(in FitOptions options)
    {
        if (options.Importance.IsEmpty) return options;
        float[] even = options.Importance.ToArray();
        for (int at = 0; at < even.Length; at += Bound().Width)
        {
            Span<float> own = even.AsSpan(at, Bound().Width);
            float sum = 0;
            foreach (float importance in own) sum += importance / own.Length;
            own.Fill(sum);
        }
        return new FitOptions { Importance = even, Range = options.Range };
    }

    public override void Fit(ReadOnlySpan<float> weights, in FitOptions options, Span<byte> block)
    {
        float[] rotated = Rotated(weights);
        FitOptions even = Even(options);
        for (int at = 0; at < rotated.Length; at += Inner.BlockSize)
            Inner.Fit(rotated.AsSpan(at, Inner.BlockSize), even.Slice(at, Inner.BlockSize), InnerBlock(block, at));
    }

    public override void Put(Span<byte> block, int at, ReadOnlySpan<float> weights, Span<float> rounded)
    {
        float[] rotated = Rotated(weights);
        for (int i = 0; i < rotated.Length; i += Inner.Stride)
            Inner.Put(InnerBlock(block, i), i % Inner.BlockSize, rotated.AsSpan(i, Inner.Stride), rounded.Slice(i, Inner.Stride));
        Bound().RotateBack(rounded);
    }

    private Span<byte> InnerBlock(Span<byte> block, int at) => block.Slice(at / Inner.BlockSize * Inner.BlockBytes, Inner.BlockBytes);

    public override void Encode(ReadOnlySpan<float> row, in FitOptions options, Span<byte> bytes)
    {
        FitOptions even = Even(options);
        for (int at = 0; at < row.Length; at += BlockSize, bytes = bytes[BlockBytes..])
            Inner.Encode(Rotated(row.Slice(at, BlockSize)), even.Slice(at, BlockSize), bytes[..BlockBytes]);
    }

    public override void Decode(ReadOnlySpan<byte> bytes, Span<float> weights)
    {
        Inner.Decode(bytes, weights);
        for (int at = 0; at < weights.Length; at += BlockSize) Bound().RotateBack(weights.Slice(at, BlockSize));
    }

    public override int CodeCount => 0;

    /// <summary>The format that a name ending in <c>-h</c> or <c>-h256</c> describes, or null if it does not end so.</summary>
    /// <exception cref="UnusableInputException">It does, but what stands before is no format, or the width is no power of two.</exception>
    public static RotatedFormat? TryParse(string name)
    {
        int dash = name.LastIndexOf('-');
        if (dash < 0 || dash + 1 == name.Length || name[dash + 1] is not ('h' or 'H')) return null;
        int width = 0;
        if (name.Length > dash + 2 && (!int.TryParse(name.AsSpan(dash + 2), NumberStyles.None, CultureInfo.InvariantCulture, out width) || width is < 2 or > 1 << 20 || !int.IsPow2(width)))
            throw new UnusableInputException($"there is no format '{name}': after -h stands a power of two, the columns that are mixed, or nothing");
        // A chain of -h -h ... is refused here, before it becomes a chain of calls.
        ReadOnlySpan<char> within = name.AsSpan(0, dash), last = within[(within.LastIndexOf('-') + 1)..];
        bool again = last.Length < within.Length && last.StartsWith("h", StringComparison.OrdinalIgnoreCase);
        return !again && Parse(name[..dash]) is { Family: not FormatFamily.Float } inner ? Of(inner, width)
            : throw new UnusableInputException($"there is no format '{name}': {within} is not rotated");
    }
}
