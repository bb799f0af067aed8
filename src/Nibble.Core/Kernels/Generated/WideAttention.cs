using System.Collections.Concurrent;
using Nibble.Core.Formats;

namespace Nibble.Core.Kernels.Generated;

/// <summary>How keys and values of a head lie.</summary>
/// <param name="Halves">Whether numbers are stored as F16, else as F32.</param>
/// <param name="KeySize">Numbers of a key, a multiple of <see cref="WideAttention.Lanes"/>.</param>
/// <param name="ValueSize">Numbers of a value, likewise.</param>
/// <param name="ValueStride">Numbers from a value to the next: more than its size where it is the beginning of a key.</param>
public readonly record struct StoredShape(bool Halves, int KeySize, int ValueSize, int ValueStride);

/// <summary>
/// The two products of attention over few rows at 512 bits, with keys and values where they are stored: .NET has no instruction that
/// widens halves. Generated at run time for each shape.
/// </summary>
/// <remarks>
/// Sixteen numbers of a key or value are loaded once for four rows: a conversion and four multiply-adds, of which the processor begins
/// one a cycle at 512 bits. The products of 16 pairs of a row and a key are added across lanes together, by 45 instructions beside
/// the 64 multiply-adds of heads of 64, on other ports.
/// </remarks>
public sealed unsafe class WideAttention
{
    /// <summary>Numbers of a vector.</summary>
    public const int Lanes = 16;

    /// <summary>Rows that share what is loaded.</summary>
    public const int MostRows = 4;

    /// <summary>Keys that are scored at once, so that there are 16 pairs; up to 15 more than asked for are read, and scored.</summary>
    /// <param name="rows">1 to <see cref="MostRows"/>.</param>
    public static int KeysOf(int rows) => rows switch { 1 => 16, 2 => 8, _ => 4 };

    /// <summary>What the generated code is told. Its fields are read by their offsets.</summary>
    public struct Arguments
    {
        /// <summary>Queries, [rows, key size]; or weights, [rows, <see cref="Attention.KeyBlock"/>].</summary>
        public float* Rows;

        /// <summary>The first key or value.</summary>
        public byte* Stored;

        /// <summary>What is asked of memory meanwhile, as many bytes; may be what is read.</summary>
        public byte* Next;

        /// <summary>Scores, [rows, <see cref="Attention.KeyBlock"/>], overwritten; or sums, [rows, value size], shrunk and added to.</summary>
        public float* Results;

        /// <summary>Keys, as many groups of <see cref="KeysOf"/>; or values. At least 1.</summary>
        public nint Count;

        /// <summary>1 to <see cref="MostRows"/>.</summary>
        public nint RowCount;

        /// <summary>For each row, what its sums are multiplied with before. Scores need none.</summary>
        public float* Shrink;
    }

    private static readonly ConcurrentDictionary<StoredShape, Lazy<WideAttention?>> s_shapes = new();

    private readonly StoredShape _shape;
    private readonly delegate* unmanaged<Arguments*, void> _scores, _sums;

    /// <param name="scores">The address of a function that takes a pointer to <see cref="Arguments"/>.</param>
    /// <param name="sums">Likewise.</param>
    internal WideAttention(StoredShape shape, nint scores, nint sums)
    {
        _shape = shape;
        _scores = (delegate* unmanaged<Arguments*, void>)scores;
        _sums = (delegate* unmanaged<Arguments*, void>)sums;
    }

    /// <summary>The code for so stored keys and values, or null where it cannot run or they are stored otherwise.</summary>
    /// <param name="valueSize">Numbers of a value, the beginning of a key if there are no stored ones.</param>
    internal static WideAttention? For(KeyValueRows stored, int valueSize)
    {
        bool halves = stored.KeyFormat == FloatFormat.F16;
        if (!Avx512Vnni.IsSupported || !(halves || stored.KeyFormat == FloatFormat.F32) || (stored.KeySize | valueSize) % Lanes != 0) return null;
        var shape = new StoredShape(halves, stored.KeySize, valueSize, stored.ValueSize == 0 ? stored.KeySize : stored.ValueSize);
        return s_shapes.GetOrAdd(shape, static shape => new Lazy<WideAttention?>(() => Load(shape))).Value;
    }

    /// <summary>scores[r, j] = queries[r] · keys[j].</summary>
    /// <param name="queries">[rows, key size].</param>
    /// <param name="scores">[rows, <see cref="Attention.KeyBlock"/>], overwritten.</param>
    /// <param name="rows">At least 1.</param>
    public void Score(float* queries, byte* keys, byte* next, int count, float* scores, int rows)
    {
        for (int r = 0; r < rows; r += MostRows)
        {
            int together = Math.Min(MostRows, rows - r), keysAtOnce = KeysOf(together);
            var arguments = new Arguments
            {
                Rows = queries + r * _shape.KeySize,
                Stored = keys,
                Next = next,
                Results = scores + r * Attention.KeyBlock,
                Count = (count + keysAtOnce - 1) / keysAtOnce,
                RowCount = together,
            };
            _scores(&arguments);
        }
    }

    /// <summary>sums[r] = shrink[r] sums[r] + Σ weights[r, j] values[j].</summary>
    /// <param name="weights">[rows, <see cref="Attention.KeyBlock"/>].</param>
    /// <param name="shrink">[rows].</param>
    /// <param name="sums">[rows, value size].</param>
    public void AddValues(float* weights, byte* values, byte* next, int count, float* shrink, float* sums, int rows)
    {
        for (int r = 0; r < rows; r += MostRows)
        {
            var arguments = new Arguments
            {
                Rows = weights + r * Attention.KeyBlock,
                Stored = values,
                Next = next,
                Results = sums + r * _shape.ValueSize,
                Count = count,
                RowCount = Math.Min(MostRows, rows - r),
                Shrink = shrink + r,
            };
            _sums(&arguments);
        }
    }

    private static WideAttention? Load(StoredShape shape)
    {
        nint scores = ExecutableMemory.Load(WideAttentionCode.Scores(shape, OperatingSystem.IsWindows()));
        nint sums = ExecutableMemory.Load(WideAttentionCode.Sums(shape, OperatingSystem.IsWindows()));
        return scores == 0 || sums == 0 ? null : new WideAttention(shape, scores, sums);
    }
}
