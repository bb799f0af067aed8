using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Nibble.Core.Memory;

namespace Nibble.Core.Kernels;

/// <summary>
/// The product of a <see cref="LevelMatrix"/> with one token, row by row. Lanes are columns, so that each row may look its
/// codes up in tables of its own; both digits of a level are multiplied by the inputs as small codes are.
/// </summary>
/// <remarks>
/// 64 columns are 19 operations: 3 for the codes, 4 look-ups, 4 products and 2 additions, 3 to put the digits together, 3
/// for scales.
/// </remarks>
public static unsafe class LevelKernel
{
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

    /// <summary>Writes rows [from, to) of y = W x.</summary>
    /// <param name="w">[rows, columns].</param>
    /// <param name="x">One token, with codes.</param>
    /// <param name="y">[rows].</param>
    /// <param name="from">The first row.</param>
    /// <param name="to">The row after the last.</param>
    /// <param name="portable">Without AVX2 even where it is there, for tests.</param>
    public static void Multiply(LevelMatrix w, Activation x, float* y, int from, int to, bool portable = false)
    {
        GrowingBuffer scratch = t_scratch ??= new GrowingBuffer();
        scratch.Reserve((nint)w.Stretches * sizeof(Inputs));
        var inputs = (Inputs*)scratch.Pointer;
        Arrange(x, w.Stretches, inputs);
        for (int r = from; r < to; r++)
        {
            nint at = (nint)r * w.Stretches;
            byte* codes = w.Codes + at * (LevelMatrix.Stretch / 2);
            y[r] = Avx2.IsSupported && !portable
                ? Dot(codes, w.Scales + at, w.Numbers + at, w.Tables, inputs, w.Stretches)
                : DotPortable(codes, w.Scales + at, w.Numbers + at, w.Tables, x);
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

    private static float Dot(byte* codes, float* scales, byte* numbers, byte* tables, Inputs* inputs, int stretches)
    {
        const int Ahead = 2048;
        var nibble = Vector256.Create((byte)15);
        var upperDigit = Vector256.Create((short)64);
        Vector256<float> sum = default;
        for (int s = 0; s < stretches; s++, codes += LevelMatrix.Stretch / 2, inputs++)
        {
            if ((s & 1) == 0) Sse.Prefetch0(codes + Ahead);
            byte* table = tables + numbers[s] * LevelMatrix.TableBytes;
            Vector256<byte> upper = Avx2.BroadcastVector128ToVector256(table), lower = Avx2.BroadcastVector128ToVector256(table + 16);
            Vector256<byte> pair = Vector256.Load(codes), first = pair & nibble, second = (pair.AsUInt16() >>> 4).AsByte() & nibble;
            Vector256<short> h = Products(upper, first, second, inputs), l = Products(lower, first, second, inputs);
            Vector256<int> dot = Avx2.MultiplyAddAdjacent(h, upperDigit) + Avx2.MultiplyAddAdjacent(l, Vector256<short>.One);
            Vector256<float> scaled = Vector256.FusedMultiplyAdd(Vector256.ConvertToSingle(dot), inputs->Scale, inputs->Bias);
            sum = Vector256.FusedMultiplyAdd(scaled, Vector256.Create(scales[s]), sum);
        }
        return Vector256.Sum(sum);
    }

    /// <summary>A lane is four products of at most 63 * 127, which 16 bits hold.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<short> Products(Vector256<byte> digits, Vector256<byte> first, Vector256<byte> second, Inputs* x) =>
        Avx2.MultiplyAddAdjacent(Avx2.Shuffle(digits, first), x->First) + Avx2.MultiplyAddAdjacent(Avx2.Shuffle(digits, second), x->Second);

    private static float DotPortable(byte* codes, float* scales, byte* numbers, byte* tables, Activation x)
    {
        float sum = 0;
        for (int chunk = 0; chunk < x.Chunks; chunk++, codes += 16)
        {
            byte* table = tables + numbers[chunk / 2] * LevelMatrix.TableBytes;
            sbyte* inputs = x.Codes + chunk * Activation.Chunk;
            int dot = 0;
            for (int j = 0; j < 16; j++)
            {
                int low = codes[j] & 15, high = codes[j] >> 4;
                dot += (64 * table[low] + table[16 + low] - LevelMatrix.Bias) * inputs[j];
                dot += (64 * table[high] + table[16 + high] - LevelMatrix.Bias) * inputs[j + 16];
            }
            sum += scales[chunk / 2] * (x.Scales[chunk] * dot);
        }
        return sum;
    }
}
