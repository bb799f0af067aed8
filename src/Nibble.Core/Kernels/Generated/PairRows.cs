using System.Collections.Concurrent;

namespace Nibble.Core.Kernels.Generated;

/// <summary>
/// The product of a few rows of 16-bit floats with one to eight tokens in bfloat16, straight from the stored weights: lanes are
/// pairs of columns. Generated at run time for each number of tokens; <see cref="PairPanel"/> is for more of them.
/// </summary>
/// <remarks>
/// Few tokens wait for memory. The processor reads ahead of plain loads, but the more is computed on a line the less it does so; and a
/// line asked for into the first cache holds one of its few places for misses until it comes, which is slower still. So the rows after
/// these are asked for into the second cache, in the order in which they lie. docs/performance-log.md has what each way costs.
/// </remarks>
public sealed unsafe class PairRows
{
    /// <summary>Most tokens that are met at once.</summary>
    public const int MostTokens = 8;

    /// <summary>Columns of a line of the cache, the unit of the inputs.</summary>
    public const int LineColumns = 32;

    /// <summary>Products that are summed at once at most, each in a register.</summary>
    public const int MostSums = 24;

    /// <summary>What the generated code is told. Its fields are read by their offsets.</summary>
    public struct Arguments
    {
        /// <summary>The first row.</summary>
        public byte* Weights;

        /// <summary>Bytes from a row to the next.</summary>
        public nint Stride;

        /// <summary>[lines, tokens, 32 columns], bfloat16.</summary>
        public ushort* Inputs;

        /// <summary>What will be read next: as many bytes as the rows have.</summary>
        public byte* Next;

        /// <summary>[rows, tokens, 16 lanes], overwritten; of F16 then 16 lanes with the bits of all weights as float32.</summary>
        public float* Sums;

        /// <summary>Lines of a row, at least 1.</summary>
        public nint Lines;

        /// <summary><see cref="Constants"/>.</summary>
        public ushort* Constants;

        /// <summary>Of F16: not 0 to multiply the bits that bfloat16 has no room for in place of the others.</summary>
        public nint Rests;
    }

    private static readonly ConcurrentDictionary<(bool, int), Lazy<PairRows?>> s_rows = new();

    private readonly delegate* unmanaged<Arguments*, void> _code;

    /// <param name="code">The address of a function that takes a pointer to <see cref="Arguments"/>.</param>
    /// <param name="tokens">That it was made for.</param>
    internal PairRows(nint code, int tokens)
    {
        _code = (delegate* unmanaged<Arguments*, void>)code;
        Tokens = tokens;
    }

    public int Tokens { get; }

    /// <summary>Rows that are met at once.</summary>
    public int Rows => RowsOf(Tokens);

    /// <summary>The places of the upper halves of 32 floats, then the mask of an upper half.</summary>
    public static ReadOnlySpan<ushort> Constants =>
    [
        1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31, 33, 35, 37, 39, 41, 43, 45, 47, 49, 51, 53, 55, 57, 59, 61, 63, 0, 0xFFFF,
    ];

    /// <summary>Rows that are met at once by so many tokens: as the registers allow.</summary>
    public static int RowsOf(int tokens) => Math.Min(8, MostSums / tokens);

    /// <summary>The code for so many tokens, or null where it cannot run.</summary>
    /// <param name="halves">Whether weights are F16, else BF16.</param>
    public static PairRows? For(bool halves, int tokens) =>
        s_rows.GetOrAdd((halves, tokens), static key => new Lazy<PairRows?>(() => Load(key.Item1, key.Item2))).Value;

    public void Multiply(ref Arguments arguments)
    {
        fixed (Arguments* a = &arguments) _code(a);
    }

    private static PairRows? Load(bool halves, int tokens)
    {
        if (!Avx512BFloat16.IsSupported) return null;
        nint code = ExecutableMemory.Load(PairRowsCode.Assemble(halves, tokens, OperatingSystem.IsWindows()));
        return code == 0 ? null : new PairRows(code, tokens);
    }
}
