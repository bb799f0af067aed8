using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Nibble.Core.Formats;

/// <summary>
/// The sixteen unequal levels of IQ4_NL and IQ4_XS (ggml's kvalues_iq4nl), and the search for the scale of 32 weights
/// under them.
/// </summary>
internal static class IQ4Levels
{
    public static ReadOnlySpan<sbyte> Values => [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

    /// <summary>The levels for a rule that chooses a range.</summary>
    public static readonly TableLevels Ranged = new(new LevelTable([.. Values.ToArray().Select(v => (float)v)]), powerOfTwo: false);

    // The midpoints between levels as a search tree, breadth first: the root, then 2, 4 and 8 nodes.
    private const float Root = -4.5f;
    private static Vector256<float> Nodes2 => Vector256.Create(-57f, 45.5f, 0, 0, 0, 0, 0, 0);
    private static Vector256<float> Nodes4 => Vector256.Create(-93.5f, -28.5f, 19, 79, 0, 0, 0, 0);
    private static Vector256<float> Nodes8 => Vector256.Create(-115.5f, -74, -42, -16, 7, 31.5f, 61, 101);
    private static Vector256<float> Negative => Vector256.Create(-127f, -104, -83, -65, -49, -35, -22, -10);
    private static Vector256<float> Positive => Vector256.Create(1f, 13, 25, 38, 53, 69, 89, 113);

    /// <summary>The code of the level nearest to a weight over its scale; between two, the upper.</summary>
    public static int Nearest(float value) =>
        Index(Vector256.Create(value))[0];

    /// <summary>Sixteen bytes of codes: weight j in the low half of byte j, weight j + 16 in the high half.</summary>
    public static void Encode(ReadOnlySpan<float> weights, float scale, Span<byte> codes)
    {
        Vector256<float> inverse = Vector256.Create(scale == 0 ? 0 : 1 / scale);
        for (int i = 0; i < 16; i += 8)
        {
            Vector256<int> low = Index(BlockSearch.Load(weights, i) * inverse);
            Vector256<int> high = Index(BlockSearch.Load(weights, i + 16) * inverse);
            Vector256<int> both = low | (high << 4);
            Vector128<ushort> words = Vector128.Narrow(both.GetLower(), both.GetUpper()).AsUInt16();
            Vector64<byte> bytes = Vector64.Narrow(words.GetLower(), words.GetUpper());
            bytes.CopyTo(codes[i..]);
        }
    }

    /// <summary>Sixteen bytes of codes as the values of 32 levels.</summary>
    public static void Unpack(ReadOnlySpan<byte> nibbles, Span<sbyte> values)
    {
        Vector128<byte> packed = Vector128.Create(nibbles);
        Vector128<sbyte> table = Vector128.Create(Values);
        Vector128.Shuffle(table, (packed & Vector128.Create((byte)15)).AsSByte()).CopyTo(values);
        Vector128.Shuffle(table, (packed >>> 4).AsSByte()).CopyTo(values[16..]);
    }

    /// <summary>
    /// The scale that loses least over 32 weights, and the curvature there: near it, another scale loses
    /// <c>Curvature * (scale - other)^2</c> more.
    /// </summary>
    /// <remarks>
    /// For fixed codes the best scale is that of least squares, Σwxq / Σwq²; which codes are best changes with the scale.
    /// Trial scales with the extreme weight on either end of the levels, or clipped, find the right valley; from the best
    /// of them rounding and least squares alternate.
    /// </remarks>
    [SkipLocalsInit]
    public static (float Scale, float Curvature) BestScale(ReadOnlySpan<float> weights, ReadOnlySpan<float> errorWeights)
    {
        float extreme = IntegerCodes.Extreme(weights);
        if (MathF.Abs(extreme) < 1e-30f) return (0, 0);
        Span<float> weighted = stackalloc float[32];
        for (int i = 0; i < 32; i += 8)
            (BlockSearch.Load(weights, i) * BlockSearch.Load(errorWeights, i)).CopyTo(weighted[i..]);

        var best = new LeastSquares(0, 1);
        for (int level = 96; level <= 164; level += 6)
        {
            best = best.OrBetter(Project(weights, errorWeights, weighted, level / extreme));
            best = best.OrBetter(Project(weights, errorWeights, weighted, -level / extreme));
        }
        for (int round = 0; round < 4; round++)
        {
            LeastSquares next = Project(weights, errorWeights, weighted, 1 / best.Scale);
            if (!(next.Gain > best.Gain)) break;
            best = next;
        }
        return (best.Scale, best.Qq);
    }

    /// <summary>Σ w (x - scale * level)² over 32 weights.</summary>
    public static float Error(ReadOnlySpan<float> weights, ReadOnlySpan<float> errorWeights, float scale)
    {
        Vector256<float> inverse = Vector256.Create(scale == 0 ? 0 : 1 / scale);
        Vector256<float> sum = default;
        for (int i = 0; i < 32; i += 8)
        {
            Vector256<float> x = BlockSearch.Load(weights, i);
            Vector256<float> miss = x - Level(Index(x * inverse)) * scale;
            sum += miss * miss * BlockSearch.Load(errorWeights, i);
        }
        return BlockSearch.Sum(sum);
    }

    /// <summary>The sums of least squares for the codes that an inverse scale gives.</summary>
    private static LeastSquares Project(ReadOnlySpan<float> weights, ReadOnlySpan<float> errorWeights, ReadOnlySpan<float> weighted, float inverse)
    {
        Vector256<float> qx = default, qq = default;
        for (int i = 0; i < 32; i += 8)
        {
            Vector256<float> level = Level(Index(BlockSearch.Load(weights, i) * inverse));
            qx += level * BlockSearch.Load(weighted, i);
            qq += level * level * BlockSearch.Load(errorWeights, i);
        }
        return new LeastSquares(BlockSearch.Sum(qx), BlockSearch.Sum(qq));
    }

    /// <summary>8 lanes of values -> 8 lanes of codes: four steps down the tree of midpoints.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Index(Vector256<float> value)
    {
        Vector256<int> node = -Vector256.GreaterThanOrEqual(value, Vector256.Create(Root)).AsInt32();
        node = node + node - Vector256.GreaterThanOrEqual(value, Vector256.ShuffleNative(Nodes2, node)).AsInt32();
        node = node + node - Vector256.GreaterThanOrEqual(value, Vector256.ShuffleNative(Nodes4, node)).AsInt32();
        return node + node - Vector256.GreaterThanOrEqual(value, Vector256.ShuffleNative(Nodes8, node)).AsInt32();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Level(Vector256<int> code)
    {
        Vector256<int> within = code & Vector256.Create(7);
        return Vector256.ConditionalSelect(Vector256.GreaterThan(code, Vector256.Create(7)).AsSingle(),
            Vector256.ShuffleNative(Positive, within), Vector256.ShuffleNative(Negative, within));
    }
}

/// <summary>Σwxq and Σwq²: what a choice of codes gains when its scale is that of least squares.</summary>
internal readonly record struct LeastSquares(float Qx, float Qq)
{
    public float Scale => Qx / Qq;

    /// <summary>By how much the error falls below Σwx².</summary>
    public float Gain => Qx * Qx / Qq;

    public LeastSquares OrBetter(LeastSquares other) => other.Gain > Gain ? other : this;
}
