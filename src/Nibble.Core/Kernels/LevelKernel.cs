using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Nibble.Core.Memory;

namespace Nibble.Core.Kernels;

/// <summary>
/// The product of a <see cref="LevelMatrix"/> with one token, four rows at a time. Lanes are columns, so that each row may look
/// its codes up in tables of its own; both digits of a level are multiplied by the inputs as small codes are.
/// </summary>
/// <remarks>
/// 64 columns of a row are 19 operations: 3 for the codes, 4 look-ups, 4 products and 2 additions, 3 to put the digits
/// together, 3 for scales; and 5 loads, for the rows share the inputs.
/// </remarks>
public static unsafe class LevelKernel
{
    private const int TileRows = LevelMatrix.TileRows;

    /// <summary>Bytes of codes of a row in a stretch.</summary>
    private const int RowBytes = LevelMatrix.Stretch / 2;

    /// <summary>How far ahead codes are asked for; past the end that asks for nothing.</summary>
    private const int Ahead = 2048;

    [ThreadStatic] private static GrowingBuffer? t_scratch;

    /// <summary>The inputs of a stretch of 64 columns, which is two chunks: the lower 128 bits are of the first.</summary>
    private struct Inputs
    {
        /// <summary>Columns 0 to 15 of both chunks, then 16 to 31.</summary>
        public Vector256<sbyte> First, Second;

        /// <summary>The scales.</summary>
        public Vector256<float> Scale;

        /// <summary>In the first lane of each chunk, what the bias of the levels adds.</summary>
        public Vector256<float> Bias;
    }

    /// <summary>Writes rows [4 fromTile, 4 toTile) of y = W x.</summary>
    /// <param name="w">[rows, columns].</param>
    /// <param name="x">One token, with codes.</param>
    /// <param name="y">[rows].</param>
    /// <param name="fromTile">The first tile.</param>
    /// <param name="toTile">The tile after the last.</param>
    /// <param name="portable">Without AVX2 even where it is there, for tests.</param>
    public static void Multiply(LevelMatrix w, Activation x, float* y, int fromTile, int toTile, bool portable = false)
    {
        GrowingBuffer scratch = t_scratch ??= new GrowingBuffer();
        scratch.Reserve((nint)w.Stretches * sizeof(Inputs));
        var inputs = (Inputs*)scratch.Pointer;
        Arrange(x, w.Stretches, inputs);
        float* sums = stackalloc float[TileRows];
        for (int tile = fromTile; tile < toTile; tile++)
        {
            nint at = (nint)tile * w.Stretches * TileRows;
            byte* codes = w.Codes + at * RowBytes;
            if (Avx2.IsSupported && !portable) Dot(codes, w.Scales + at, w.Numbers + at, w.Tables, inputs, w.Stretches, sums);
            else
                for (int r = 0; r < TileRows; r++) sums[r] = DotPortable(codes + r * RowBytes, w.Scales + at + r, w.Numbers + at + r, w.Tables, x);
            int rows = Math.Min(TileRows, w.Rows - tile * TileRows);
            new ReadOnlySpan<float>(sums, rows).CopyTo(new Span<float>(y + tile * TileRows, rows));
        }
    }

    private static void Arrange(Activation x, int stretches, Inputs* inputs)
    {
        sbyte* codes = x.Codes;
        for (int s = 0, c = 0; s < stretches; s++, c += 2, codes += LevelMatrix.Stretch)
        {
            inputs[s].First = Vector256.Create(Vector128.Load(codes), Vector128.Load(codes + 32));
            inputs[s].Second = Vector256.Create(Vector128.Load(codes + 16), Vector128.Load(codes + 48));
            inputs[s].Scale = Vector256.Create(Vector128.Create(x.Scales[c]), Vector128.Create(x.Scales[c + 1]));
            inputs[s].Bias = Vector256.Create(Vector128.CreateScalar(Bias(x, c)), Vector128.CreateScalar(Bias(x, c + 1)));
        }
    }

    private static float Bias(Activation x, int chunk) => -LevelMatrix.Bias * x.Scales[chunk] * (x.Sums[2 * chunk] + x.Sums[2 * chunk + 1]);

    private static void Dot(byte* codes, float* scales, byte* numbers, byte* tables, Inputs* inputs, int stretches, float* sums)
    {
        Vector256<float> a = default, b = default, c = default, d = default;
        for (Inputs* end = inputs + stretches; inputs < end; inputs++)
        {
            for (int line = 0; line < TileRows * RowBytes; line += 64) Sse.Prefetch0(codes + Ahead + line);
            Vector256<sbyte> first = inputs->First, second = inputs->Second;
            a = AddRow(a, codes, scales, tables + (nint)numbers[0] * LevelMatrix.TableBytes, first, second, inputs);
            b = AddRow(b, codes + RowBytes, scales + 1, tables + (nint)numbers[1] * LevelMatrix.TableBytes, first, second, inputs);
            c = AddRow(c, codes + 2 * RowBytes, scales + 2, tables + (nint)numbers[2] * LevelMatrix.TableBytes, first, second, inputs);
            d = AddRow(d, codes + 3 * RowBytes, scales + 3, tables + (nint)numbers[3] * LevelMatrix.TableBytes, first, second, inputs);
            codes += TileRows * RowBytes;
            scales += TileRows;
            numbers += TileRows;
        }
        (sums[0], sums[1], sums[2], sums[3]) = (Vector256.Sum(a), Vector256.Sum(b), Vector256.Sum(c), Vector256.Sum(d));
    }

    /// <summary>Adds a stretch of one row to its sums.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> AddRow(
        Vector256<float> sum, byte* codes, float* scale, byte* table, Vector256<sbyte> firstInputs, Vector256<sbyte> secondInputs, Inputs* inputs)
    {
        var nibble = Vector256.Create((byte)15);
        Vector256<byte> upper = Avx2.BroadcastVector128ToVector256(table), lower = Avx2.BroadcastVector128ToVector256(table + 16);
        Vector256<byte> pair = Vector256.Load(codes), first = pair & nibble, second = (pair.AsUInt16() >>> 4).AsByte() & nibble;
        // A lane is four products of at most 63 * 127, which 16 bits hold.
        Vector256<short> h = Avx2.MultiplyAddAdjacent(Avx2.Shuffle(upper, first), firstInputs)
            + Avx2.MultiplyAddAdjacent(Avx2.Shuffle(upper, second), secondInputs);
        Vector256<short> l = Avx2.MultiplyAddAdjacent(Avx2.Shuffle(lower, first), firstInputs)
            + Avx2.MultiplyAddAdjacent(Avx2.Shuffle(lower, second), secondInputs);
        Vector256<int> dot = Avx2.MultiplyAddAdjacent(h, Vector256.Create((short)64)) + Avx2.MultiplyAddAdjacent(l, Vector256<short>.One);
        Vector256<float> scaled = Vector256.FusedMultiplyAdd(Vector256.ConvertToSingle(dot), inputs->Scale, inputs->Bias);
        return Vector256.FusedMultiplyAdd(scaled, Vector256.Create(*scale), sum);
    }

    private static float DotPortable(byte* codes, float* scales, byte* numbers, byte* tables, Activation x)
    {
        float sum = 0;
        for (int chunk = 0; chunk < x.Chunks; chunk++)
        {
            int stretch = chunk / 2 * TileRows;
            byte* table = tables + numbers[stretch] * LevelMatrix.TableBytes, from = codes + stretch * RowBytes + chunk % 2 * 16;
            sbyte* inputs = x.Codes + chunk * Activation.Chunk;
            int dot = 0;
            for (int j = 0; j < 16; j++)
            {
                int low = from[j] & 15, high = from[j] >> 4;
                dot += (64 * table[low] + table[16 + low] - LevelMatrix.Bias) * inputs[j];
                dot += (64 * table[high] + table[16 + high] - LevelMatrix.Bias) * inputs[j + 16];
            }
            sum += scales[stretch] * (x.Scales[chunk] * dot);
        }
        return sum;
    }
}
