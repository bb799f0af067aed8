using System.Runtime.InteropServices;
using Nibble.Core.Memory;

namespace Nibble.Core.Formats;

/// <summary>
/// One code for 2, 4 or 8 weights: the number of an entry of a learned codebook, or of several whose entries are added
/// (residual and additive stages). The codebooks are the tensor's shared table.
/// </summary>
/// <remarks>
/// A block is: a byte that says which of several books serves this row, if there are several; the scale, if weights are
/// divided by one (of a group or a row); then the codes, stage by stage for each vector, in a dense run
/// (<see cref="BitPacking"/>). docs/format.md gives the bytes.
/// </remarks>
public sealed partial class VectorFormat : StrideFormat
{
    /// <summary>What a name says of a vector format.</summary>
    /// <param name="Dimension">Weights a vector: 2, 4 or 8.</param>
    /// <param name="Entries">Of a codebook: a power of two, 16 to 65,536.</param>
    /// <param name="Stages">Codebooks whose entries are added.</param>
    /// <param name="Additive">The stages are trained and searched together, not each on what the last left.</param>
    /// <param name="Parts">Codebooks that take turns along the row: a product of so many.</param>
    /// <param name="Books">Sets of codebooks, each learned from a part of the rows; a row names the one that serves it best.</param>
    /// <param name="Granularity">Which weights share a scale; with the tensor's, the codebook holds it.</param>
    /// <param name="Scale">F32, F16 or BF16.</param>
    private sealed record Shape(int Dimension, int Entries, int Stages, bool Additive, int Parts, int Books, Granularity Granularity, ScaleType Scale)
    {
        public int CodeBits => int.Log2(Entries);
        public int VectorBits => CodeBits * Stages;

        /// <summary>Floats of one codebook.</summary>
        public int CodebookSize => Entries * Dimension;

        /// <summary>Codebooks in all: book by book, part by part, stage by stage.</summary>
        public int Codebooks => Books * Parts * Stages;

        public int HeaderBytes => (Books > 1 ? 1 : 0) + ScaleBytes;
        public int ScaleBytes => Granularity.Reach == Reach.Tensor ? 0 : Scales.Bytes;
        public ScaleArray Scales => new(Scale, 1, Signed: false);
    }

    private readonly Shape _shape;
    private readonly int _columns;
    private readonly ReadOnlyMemory<byte> _shared;
    private readonly Codebook[] _codebooks;

    /// <summary>The entries of all codebooks again, each within a line of the cache, where rows are multiplied in place.</summary>
    private readonly NativeBuffer? _entries;

    private VectorFormat(Shape shape, int columns, ReadOnlyMemory<byte> shared)
    {
        _shape = shape;
        _columns = columns;
        _shared = shared;
        _codebooks = shared.Length == 0 ? [] : ReadCodebooks(shape, shared.Span);
        bool isRow = shape.Granularity.Reach == Reach.Row || shape.Books > 1;
        if (isRow && columns % shape.Dimension != 0)
            throw new UnusableInputException($"vectors of {shape.Dimension} weights do not divide a row of {columns}");
        BlockSize = isRow ? columns : shape.Granularity.Reach == Reach.Group ? shape.Granularity.Size : WholeBytes(shape);
        BlockBytes = shape.HeaderBytes + BitPacking.Bytes(BlockSize / shape.Dimension, shape.VectorBits);
        Name = MakeName();
        if (HasDot && shared.Length > 0) _entries = Aligned(_codebooks);
    }

    /// <summary>The fewest weights whose codes are a whole number of bytes, and that every part has its turn in.</summary>
    private static int WholeBytes(Shape shape)
    {
        int vectors = shape.Parts;
        while (vectors * shape.VectorBits % 8 != 0) vectors += shape.Parts;
        return vectors * shape.Dimension;
    }

    public override string Name { get; }
    public override FormatFamily Family => FormatFamily.Vector;
    public override bool HasRange => false;
    public override int BlockSize { get; }
    public override int BlockBytes { get; }
    public override int Stride => _shape.Dimension;

    public override Format ForColumns(int columns) =>
        columns == _columns || (_shape.Granularity.Reach != Reach.Row && _shape.Books == 1) ? this : new VectorFormat(_shape, columns, _shared);

    public override ReadOnlyMemory<byte> Shared => _shared;

    public override long SharedBytes => sizeof(float) + 2L * _shape.CodebookSize * _shape.Codebooks;

    public override Format WithShared(ReadOnlyMemory<byte> shared)
    {
        if (shared.Length != SharedBytes)
            throw new UnusableInputException($"{Name} shares {SharedBytes} bytes in a tensor, not {shared.Length}");
        return new VectorFormat(_shape, _columns, shared);
    }

    /// <summary>An F32 scale, then the entries as halves.</summary>
    private static Codebook[] ReadCodebooks(Shape shape, ReadOnlySpan<byte> shared)
    {
        float scale = MemoryMarshal.Read<float>(shared);
        ReadOnlySpan<Half> halves = MemoryMarshal.Cast<byte, Half>(shared[sizeof(float)..]);
        var codebooks = new Codebook[shape.Codebooks];
        for (int c = 0; c < codebooks.Length; c++)
        {
            var points = new float[shape.CodebookSize];
            for (int i = 0; i < points.Length; i++) points[i] = scale * (float)halves[c * points.Length + i];
            codebooks[c] = new Codebook(shape.Dimension, points);
        }
        return codebooks;
    }

    /// <summary>The stages that a vector at a place of the row is made of.</summary>
    private ReadOnlySpan<Codebook> StagesAt(int book, int vector)
    {
        return Codebooks.Slice((book * _shape.Parts + vector % _shape.Parts) * _shape.Stages, _shape.Stages);
    }

    /// <summary>True if a code is a byte, all rows have the same codebooks, and weights that share a scale are a row, or all.</summary>
    internal bool HasByteCodes => _shape is { CodeBits: 8, Books: 1 } && _shape.Granularity.Reach != Reach.Group;

    /// <summary>Codebooks whose entries are added: a vector has a code for each.</summary>
    internal int Stages => _shape.Stages;

    /// <summary>Bytes of a block before its codes: see <see cref="ScaleOf"/>.</summary>
    internal int HeaderBytes => _shape.HeaderBytes;

    /// <summary>Book by book, part by part, stage by stage. With one book, codes along a row take their turns.</summary>
    /// <exception cref="InvalidOperationException">None are learned.</exception>
    internal ReadOnlySpan<Codebook> Codebooks =>
        _codebooks.Length > 0 ? _codebooks : throw new InvalidOperationException($"{Name} has learned no codebook of this tensor.");

    private int BookOf(ReadOnlySpan<byte> block) => _shape.Books > 1 ? block[0] % _shape.Books : 0;

    /// <summary>What the weights of a block were divided by.</summary>
    internal float ScaleOf(ReadOnlySpan<byte> block) =>
        _shape.ScaleBytes == 0 ? 1 : _shape.Scales.Read(block[(_shape.HeaderBytes - _shape.ScaleBytes)..], 0);

    public override void Fit(ReadOnlySpan<float> weights, in FitOptions options, Span<byte> block)
    {
        if (_shape.ScaleBytes > 0)
            _shape.Scales.Write(block[(_shape.HeaderBytes - _shape.ScaleBytes)..], [RootMeanSquare(weights)]);
        if (_shape.Books > 1) block[0] = (byte)BestBook(weights, options.Importance, ScaleOf(block));
    }

    private static float RootMeanSquare(ReadOnlySpan<float> weights)
    {
        double sum = 0;
        foreach (float w in weights) sum += (double)w * w;
        return (float)Math.Sqrt(sum / weights.Length);
    }

    private int BestBook(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, float scale)
    {
        int best = 0, d = _shape.Dimension;
        double least = double.PositiveInfinity;
        Span<int> codes = stackalloc int[_shape.Stages];
        Span<float> rounded = stackalloc float[d], tempered = stackalloc float[d];
        for (int book = 0; book < _shape.Books; book++)
        {
            double error = 0;
            for (int at = 0; at < weights.Length; at += d)
            {
                ReadOnlySpan<float> matter = VectorImportance.Temper(importance, at, tempered);
                Search(weights.Slice(at, d), matter, scale, StagesAt(book, at / d), codes, rounded);
                for (int j = 0; j < d; j++) error += Math.Pow((double)weights[at + j] - rounded[j], 2) * (matter.IsEmpty ? 1 : matter[j]);
            }
            if (error < least) (least, best) = (error, book);
        }
        return best;
    }

    protected override void Put(Span<byte> block, int at, ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, Span<float> rounded)
    {
        int vector = at / _shape.Dimension;
        Span<int> codes = stackalloc int[_shape.Stages];
        Search(weights, importance, ScaleOf(block), StagesAt(BookOf(block), vector), codes, rounded);
        Span<byte> packed = block[_shape.HeaderBytes..];
        for (int s = 0; s < codes.Length; s++) BitPacking.Write(packed, vector * codes.Length + s, _shape.CodeBits, codes[s]);
    }

    /// <summary>The codes of a vector, and what it becomes.</summary>
    private void Search(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, float scale, ReadOnlySpan<Codebook> stages, Span<int> codes, Span<float> rounded)
    {
        Span<float> x = stackalloc float[weights.Length];
        float inverse = scale < 1e-37f ? 0 : 1 / scale;
        for (int j = 0; j < x.Length; j++) x[j] = weights[j] * inverse;
        if (_shape.Additive) AdditiveCode.Search(x, importance, stages, codes);
        else
            for (int s = 0; s < stages.Length; s++)
            {
                codes[s] = importance.IsEmpty ? stages[s].Nearest(x) : stages[s].Nearest(x, importance);
                ReadOnlySpan<float> entry = stages[s][codes[s]];
                for (int j = 0; j < x.Length; j++) x[j] -= entry[j];
            }
        Sum(stages, codes, scale, rounded);
    }

    /// <summary>The meaning of codes: the entries added in their order, then times the scale.</summary>
    private static void Sum(ReadOnlySpan<Codebook> stages, ReadOnlySpan<int> codes, float scale, Span<float> weights)
    {
        for (int j = 0; j < stages[0].Dimension; j++)
        {
            float sum = stages[0][codes[0]][j];
            for (int s = 1; s < stages.Length; s++) sum += stages[s][codes[s]][j];
            weights[j] = scale * sum;
        }
    }

    public override int CodeCount => _shape.Stages == 1 ? _shape.Entries : 0;

    public override void ReadCodes(ReadOnlySpan<byte> block, Span<ushort> codes)
    {
        for (int i = 0; i < BlockSize / _shape.Dimension; i++)
            codes[i] = (ushort)BitPacking.Read(block[_shape.HeaderBytes..], i, _shape.CodeBits);
    }

    /// <summary>Of b bits a weight: 2.2 times what no code can do better than, 2^-2b.</summary>
    public override double ErrorBudget => 2.2 * Math.Pow(2, -2.0 * _shape.VectorBits / _shape.Dimension);
}
