using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Nibble.Core.Formats;

/// <summary>
/// The 4-bit float E2M1 of the OCP microscaling formats, as ggml keeps it: values doubled to whole numbers (scales are
/// halved in return), bit 3 the sign. Two values equally near give the one nearer to zero, and negative zero is not used.
/// </summary>
internal static class Fp4
{
    public static ReadOnlySpan<sbyte> Values => [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

    public static ReadOnlySpan<sbyte> Levels => [-12, -8, -6, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6, 8, 12];

    /// <summary>Of each code, where its value stands among the levels.</summary>
    public static ReadOnlySpan<byte> Places => [7, 8, 9, 10, 11, 12, 13, 14, 7, 6, 5, 4, 3, 2, 1, 0];

    /// <summary>The levels for a rule that chooses a range.</summary>
    public static readonly TableLevels Ranged = RangedBy(powerOfTwo: false), RangedByPowers = RangedBy(powerOfTwo: true);

    // The midpoints between magnitudes as a search tree, breadth first: the root, then 2 and 4 nodes.
    private const float Root = 3.5f;
    private static Vector256<float> Nodes2 => Vector256.Create(1.5f, 7, 0, 0, 0, 0, 0, 0);
    private static Vector256<float> Nodes4 => Vector256.Create(0.5f, 2.5f, 5, 10, 0, 0, 0, 0);
    private static Vector256<float> Magnitudes => Vector256.Create(0f, 1, 2, 3, 4, 6, 8, 12);

    private static TableLevels RangedBy(bool powerOfTwo) => new(new LevelTable([.. Values.ToArray().Select(v => (float)v)]), powerOfTwo);

    /// <summary>The code of the value nearest to weight / scale.</summary>
    public static int Nearest(float weight, float scale) => Code(Vector256.Create(weight), Vector256.Create(scale))[0];

    /// <summary>Codes of an even number of groups of 8: the first half of the weights in the low halves of the bytes.</summary>
    public static void Encode(ReadOnlySpan<float> weights, float scale, Span<byte> codes)
    {
        Vector256<float> d = Vector256.Create(scale);
        int half = weights.Length / 2;
        for (int i = 0; i < half; i += 8)
        {
            Vector256<int> both = Code(BlockSearch.Load(weights, i), d) | (Code(BlockSearch.Load(weights, i + half), d) << 4);
            Vector128<ushort> words = Vector128.Narrow(both.GetLower(), both.GetUpper()).AsUInt16();
            Vector64.Narrow(words.GetLower(), words.GetUpper()).CopyTo(codes[i..]);
        }
    }

    /// <summary>Σ w (x - scale * value)² over the weights, a multiple of 8.</summary>
    public static float Error(ReadOnlySpan<float> weights, ReadOnlySpan<float> errorWeights, float scale)
    {
        Vector256<float> d = Vector256.Create(scale), sum = default;
        for (int i = 0; i < weights.Length; i += 8)
        {
            Vector256<float> magnitude = Vector256.Abs(BlockSearch.Load(weights, i));
            Vector256<float> miss = magnitude - Vector256.ShuffleNative(Magnitudes, Index(magnitude, d)) * d;
            sum += miss * miss * BlockSearch.Load(errorWeights, i);
        }
        return BlockSearch.Sum(sum);
    }

    /// <summary>The codes of <see cref="Encode"/>, as values.</summary>
    public static void Unpack(ReadOnlySpan<byte> codes, Span<sbyte> values)
    {
        Vector128<sbyte> table = Vector128.Create(Values);
        int half = codes.Length;
        for (int i = 0; i < half; i += 8)
        {
            // Of 64 bits, which go through memory as a vector of their own.
            Vector128<byte> packed = Vector128.CreateScalar(BinaryPrimitives.ReadUInt64LittleEndian(codes[i..])).AsByte();
            Vector128<sbyte> low = Vector128.ShuffleNative(table, (packed & Vector128.Create((byte)15)).AsSByte());
            Vector128<sbyte> high = Vector128.ShuffleNative(table, (packed >>> 4).AsSByte());
            MemoryMarshal.Cast<sbyte, ulong>(values.Slice(i, 8))[0] = low.AsUInt64()[0];
            MemoryMarshal.Cast<sbyte, ulong>(values.Slice(half + i, 8))[0] = high.AsUInt64()[0];
        }
    }

    /// <summary>8 lanes of weights -> 8 lanes of codes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Code(Vector256<float> weight, Vector256<float> scale)
    {
        Vector256<int> index = Index(Vector256.Abs(weight), scale);
        Vector256<int> sign = Vector256.LessThan(weight, Vector256<float>.Zero).AsInt32() & Vector256.Create(8);
        return index | Vector256.AndNot(sign, Vector256.Equals(index, Vector256<int>.Zero));
    }

    /// <summary>
    /// 8 lanes of magnitudes -> 8 lanes of places among the values: three steps down the tree. A midpoint times a scale of
    /// few bits is exact, a quotient would not be.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Index(Vector256<float> magnitude, Vector256<float> scale)
    {
        Vector256<int> node = -Vector256.GreaterThan(magnitude, scale * Root).AsInt32();
        node = node + node - Vector256.GreaterThan(magnitude, scale * Vector256.ShuffleNative(Nodes2, node)).AsInt32();
        node = node + node - Vector256.GreaterThan(magnitude, scale * Vector256.ShuffleNative(Nodes4, node)).AsInt32();
        return Vector256.AndNot(node, Vector256.Equals(scale, Vector256<float>.Zero).AsInt32());
    }
}
