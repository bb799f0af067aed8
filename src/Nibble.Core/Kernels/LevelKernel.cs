using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Nibble.Core.Kernels.Generated;
using Nibble.Core.Memory;

namespace Nibble.Core.Kernels;

/// <summary>
/// The product of a <see cref="LevelMatrix"/> with one token, four rows at a time. Lanes are columns, so that each row may look
/// its codes up in tables of its own; both digits of a level are multiplied by the inputs as small codes are.
/// </summary>
/// <remarks>
/// With AVX2, 64 columns of a row of small codes are 19 operations: 3 for the codes, 4 look-ups, 4 products and 2 additions, 3
/// to put the digits together, 3 for scales; and few loads, for the rows share the inputs. <see cref="WideLevels"/> takes them at
/// 512 bits.
/// </remarks>
public static unsafe class LevelKernel
{
    private const int TileRows = LevelMatrix.TileRows, Stretch = LevelMatrix.Stretch;

    /// <summary>How far ahead codes are asked for; past the end that asks for nothing.</summary>
    private const int Ahead = 2048;

    [ThreadStatic] private static GrowingBuffer? t_scratch;

    /// <summary>Writes rows [4 fromTile, 4 toTile) of y = W x.</summary>
    /// <param name="w">[rows, columns].</param>
    /// <param name="x">One token, with codes.</param>
    /// <param name="y">[rows].</param>
    /// <param name="fromTile">The first tile.</param>
    /// <param name="toTile">The tile after the last.</param>
    public static void Multiply(LevelMatrix w, Activation x, float* y, int fromTile, int toTile) =>
        Multiply(w, x, y, fromTile, toTile, WideLevels.For(w.IsSmall), portable: false);

    /// <param name="wide">The generated code that takes them, or null.</param>
    /// <param name="portable">Without AVX2 even where it is there.</param>
    internal static void Multiply(LevelMatrix w, Activation x, float* y, int fromTile, int toTile, WideLevels? wide, bool portable)
    {
        GrowingBuffer scratch = t_scratch ??= new GrowingBuffer();
        scratch.Reserve(WideLevels.SumBytes + (nint)w.Stretches * sizeof(LevelInput));
        var arguments = new WideLevels.Arguments
        {
            Sums = (float*)scratch.Pointer,
            Inputs = (LevelInput*)(scratch.Pointer + WideLevels.SumBytes),
            Tables = w.Tables,
            Stretches = w.Stretches,
        };
        LevelInput.Arrange(x, w.Stretches, w.Digits.Bias, arguments.Inputs);
        for (int tile = fromTile; tile < toTile; tile++)
        {
            nint at = (nint)tile * w.Stretches;
            arguments.Codes = w.Codes + at * w.TileBytes;
            arguments.Scales = w.Scales + at * TileRows;
            arguments.Numbers = w.Numbers + at * TileRows;
            if (portable || !Avx2.IsSupported)
                for (int r = 0; r < TileRows; r++) arguments.Sums[r] = DotPortable(w, arguments, r);
            else if (wide is not null) wide.Multiply(ref arguments);
            else Dot(w.LevelBits, arguments);
            int rows = Math.Min(TileRows, w.Rows - tile * TileRows);
            new ReadOnlySpan<float>(arguments.Sums, rows).CopyTo(new Span<float>(y + tile * TileRows, rows));
        }
    }

    private static void Dot(int levelBits, in WideLevels.Arguments a)
    {
        switch (levelBits)
        {
            case <= 4: Dot<Levels16>(a); break;
            case 5: Dot<Magnitudes16>(a); break;
            case 6: Dot<Magnitudes32>(a); break;
            case 7: Dot<Magnitudes64>(a); break;
            default: Dot<Magnitudes128>(a); break;
        }
    }

    private static void Dot<TLevels>(in WideLevels.Arguments arguments) where TLevels : struct, ILevels
    {
        Vector256<float> a = default, b = default, c = default, d = default;
        byte* codes = arguments.Codes, numbers = arguments.Numbers, tables = arguments.Tables;
        float* scales = arguments.Scales;
        LevelInput* input = arguments.Inputs, end = input + arguments.Stretches;
        for (; input < end; input++)
        {
            for (int line = 0; line < 2 * TLevels.PairBytes; line += 64) Sse.Prefetch0(codes + Ahead + line);
            AddPair<TLevels>(ref a, ref b, codes, scales, tables + (nint)numbers[0] * TLevels.TableBytes, tables + (nint)numbers[1] * TLevels.TableBytes, input);
            AddPair<TLevels>(ref c, ref d, codes + TLevels.PairBytes, scales + 2, tables + (nint)numbers[2] * TLevels.TableBytes, tables + (nint)numbers[3] * TLevels.TableBytes, input);
            codes += 2 * TLevels.PairBytes;
            scales += TileRows;
            numbers += TileRows;
        }
        float* sums = arguments.Sums;
        (sums[0], sums[1], sums[2], sums[3]) = (Vector256.Sum(a), Vector256.Sum(b), Vector256.Sum(c), Vector256.Sum(d));
    }

    /// <summary>Adds a stretch of two rows to their sums.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddPair<TLevels>(ref Vector256<float> a, ref Vector256<float> b, byte* codes, float* scales, byte* tableA, byte* tableB, LevelInput* input)
        where TLevels : struct, ILevels
    {
        Vector256<byte> first = Vector256.Load(codes), second = Vector256.Load(codes + 32);
        a = AddRow<TLevels>(a, TLevels.First(first), TLevels.First(second), scales, tableA, input);
        (first, second) = (TLevels.Second(first, codes + Stretch), TLevels.Second(second, codes + Stretch + 32));
        b = AddRow<TLevels>(b, first, second, scales + 1, tableB, input);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> AddRow<TLevels>(Vector256<float> sum, Vector256<byte> first, Vector256<byte> second, float* scale, byte* table, LevelInput* input)
        where TLevels : struct, ILevels
    {
        Vector256<sbyte> x = TLevels.Sign(Vector256.Load(input->Codes), first), x2 = TLevels.Sign(Vector256.Load(input->Codes + 32), second);
        // A lane is four products of at most 63 * 127, which 16 bits hold.
        Vector256<short> h = Avx2.MultiplyAddAdjacent(TLevels.LookUp(table, first), x)
            + Avx2.MultiplyAddAdjacent(TLevels.LookUp(table, second), x2);
        table += TLevels.TableBytes / 2;
        Vector256<short> l = Avx2.MultiplyAddAdjacent(TLevels.LookUp(table, first), x)
            + Avx2.MultiplyAddAdjacent(TLevels.LookUp(table, second), x2);
        Vector256<int> dot = Avx2.MultiplyAddAdjacent(h, Vector256.Create((short)64)) + Avx2.MultiplyAddAdjacent(l, Vector256<short>.One);
        Vector256<float> scaled = Vector256.FusedMultiplyAdd(Vector256.ConvertToSingle(dot), Vector256.Load(input->Scale), Vector256.Load(input->Bias));
        return Vector256.FusedMultiplyAdd(scaled, Vector256.Create(*scale), sum);
    }

    private static float DotPortable(LevelMatrix w, in WideLevels.Arguments a, int row)
    {
        float sum = 0;
        for (int s = 0; s < w.Stretches; s++)
        {
            byte* codes = a.Codes + (nint)s * w.TileBytes + (w.IsSmall ? row / 2 : row) * Stretch;
            byte* table = w.Tables + a.Numbers[s * TileRows + row] * w.Digits.TableBytes;
            LevelInput* input = a.Inputs + s;
            for (int chunk = 0; chunk < 2; chunk++)
            {
                int dot = 0;
                for (int j = 32 * chunk; j < 32 * chunk + 32; j++)
                {
                    int place = LevelMatrix.Place(j), code = codes[place];
                    bool negative = !w.IsSmall && code > 127;
                    code = w.IsSmall ? (code >> (row % 2 * 4)) & 15 : code & 127;
                    int number = 64 * table[code] + table[w.Digits.DigitBytes + code] - w.Digits.Bias;
                    dot += (negative ? -number : number) * input->Codes[place];
                }
                sum += a.Scales[s * TileRows + row] * (input->Scale[4 * chunk] * dot);
            }
        }
        return sum;
    }
}
