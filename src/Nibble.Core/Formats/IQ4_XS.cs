using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Nibble.Core.Formats;

/// <summary>
/// The levels of <see cref="IQ4_NL"/> for eight groups of 32 weights, each under a 6-bit scale of its own:
/// weight = d * (s - 32) * level[code]. Layout: ggml's block_iq4_xs.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct IQ4_XS : IBlock<IQ4_XS>
{
    public Half D;
    /// <summary>Bits 4 and 5 of the scale of group g, at bit 2g.</summary>
    public ushort ScalesHigh;
    /// <summary>Bits 0 to 3 of the scales, two groups a byte.</summary>
    public Bytes4 ScalesLow;
    /// <summary>16 bytes a group: byte j holds weight j in its low half and weight j + 16 in its high half.</summary>
    public Bytes128 Q;

    public static string Name => "IQ4_XS";
    public static FormatFamily Family => FormatFamily.Table;
    public static uint? GgufType => 23;
    public static int Size => 256;
    public static int Group => 32;
    public static bool HasUnits => true;
    public static ReadOnlySpan<sbyte> Levels => IQ4Levels.Values;
    public static IReadOnlyList<CodePlanes> CodePlanes => [new(8, 4, 16)];
    public static double ErrorBudget => 0.006;
    public static IReadOnlyList<BlockParameter> BlockParameters =>
        [.. Enumerable.Range(0, 8).Select(g => BlockParameter.OfBits(new(4 + g / 2, g % 2 * 4, 4), new(2 + g / 4, g % 4 * 2, 2), zero: 32)), BlockParameter.OfHalf(0)];

    private const int Groups = 8;

    [SkipLocalsInit]
    public static void Fit(ref IQ4_XS block, ReadOnlySpan<float> weights, in FitOptions options)
    {
        Span<float> errorWeights = stackalloc float[256];
        BlockSearch.ErrorWeights(options.Importance, errorWeights);
        var search = new Search(weights, errorWeights, stackalloc float[Groups], stackalloc float[Groups]);
        search.Run(ref block, options);
    }

    public static void Put(ref IQ4_XS block, int at, ReadOnlySpan<float> weights, Span<float> rounded)
    {
        float scale = Scale(in block, at / 32);
        int code = IQ4Levels.Nearest(scale == 0 ? 0 : weights[0] * (1 / scale));
        int place = at / 32 * 16 + (at & 15), shift = (at & 16) == 0 ? 0 : 4;
        block.Q[place] = (byte)((block.Q[place] & (0xF0 >> shift)) | (code << shift));
        rounded[0] = scale * IQ4Levels.Values[code];
    }

    public static void Encode(ref IQ4_XS block, ReadOnlySpan<float> weights, in FitOptions options)
    {
        Fit(ref block, weights, options);
        for (int g = 0; g < Groups; g++)
            IQ4Levels.Encode(weights.Slice(32 * g, 32), Scale(in block, g), block.Q[(16 * g)..(16 * g + 16)]);
    }

    public static (float Scale, float Offset) Units(in IQ4_XS block) => ((float)block.D, 0);

    public static void Unpack(in IQ4_XS block, Span<sbyte> codes, Span<float> scales, Span<float> offsets)
    {
        for (int g = 0; g < Groups; g++)
        {
            IQ4Levels.Unpack(block.Q[(16 * g)..(16 * g + 16)], codes.Slice(32 * g, 32));
            scales[g] = Scale(in block, g);
            offsets[g] = 0;
        }
    }

    private static float Scale(in IQ4_XS block, int group)
    {
        int low = (block.ScalesLow[group / 2] >> (4 * (group & 1))) & 15;
        int high = (block.ScalesHigh >> (2 * group)) & 3;
        return (float)block.D * ((low | (high << 4)) - 32);
    }

    /// <summary>
    /// d and the eight scales together. Each group's best scale comes first, as a real number; then several d that put
    /// the largest on a whole number are compared by what they lose after all groups have rounded theirs, and the best is
    /// settled by least squares over the levels that were chosen.
    /// </summary>
    private readonly ref struct Search(ReadOnlySpan<float> weights, ReadOnlySpan<float> errorWeights, Span<float> ideal, Span<float> curvature)
    {
        private readonly ReadOnlySpan<float> _weights = weights;
        private readonly ReadOnlySpan<float> _errorWeights = errorWeights;
        private readonly Span<float> _ideal = ideal;
        private readonly Span<float> _curvature = curvature;

        public void Run(ref IQ4_XS block, in FitOptions options)
        {
            for (int g = 0; g < Groups; g++)
            {
                ReadOnlySpan<float> group = _weights.Slice(32 * g, 32);
                (_ideal[g], _curvature[g]) = IQ4Levels.BestScale(group, _errorWeights.Slice(32 * g, 32));
                if (BlockSearch.HasRule(options))
                    _ideal[g] = BlockSearch.ScaleByRule(options.Slice(32 * g, 32), group, IQ4Levels.Ranged);
            }
            float largest = IntegerCodes.Extreme(_ideal);
            if (IntegerCodes.ToHalf(largest / 32) == (Half)0) { block = default; return; }
            Half best = default;
            float least = float.PositiveInfinity;
            for (int whole = -32; whole <= 31; whole++)
            {
                if (Math.Abs(whole) < 20) continue;
                Half d = IntegerCodes.ToHalf(largest / whole);
                float loss = Loss(ref d);
                if (loss < least) (least, best) = (loss, d);
            }
            Settle(ref block, best);
        }

        /// <summary>What all groups lose by rounding their scales to multiples of d, to second order; d improves by least squares.</summary>
        private float Loss(ref Half d)
        {
            float step = (float)d, up = 0, down = 0;
            for (int g = 0; g < Groups; g++)
            {
                float multiple = Multiple(_ideal[g] / step);
                up += _curvature[g] * _ideal[g] * multiple;
                down += _curvature[g] * multiple * multiple;
            }
            if (down > 0) d = IntegerCodes.ToHalf(up / down);
            step = (float)d;
            float loss = 0;
            for (int g = 0; g < Groups; g++)
            {
                float miss = _ideal[g] - Multiple(_ideal[g] / step) * step;
                loss += _curvature[g] * miss * miss;
            }
            return loss;
        }

        private static float Multiple(float ratio) => Math.Clamp(MathF.Round(ratio), -32, 31);

        /// <summary>Chooses each group's multiple by its true error.</summary>
        private void Settle(ref IQ4_XS block, Half d)
        {
            block.D = d;
            block.ScalesHigh = 0;
            block.ScalesLow = default;
            for (int g = 0; g < Groups; g++)
            {
                int near = (int)Multiple(_ideal[g] / (float)d), chosen = near;
                float least = float.PositiveInfinity;
                for (int s = Math.Max(near - 1, -32); s <= Math.Min(near + 1, 31); s++)
                {
                    float error = IQ4Levels.Error(_weights.Slice(32 * g, 32), _errorWeights.Slice(32 * g, 32), (float)d * s);
                    if (error < least) (least, chosen) = (error, s);
                }
                int bits = chosen + 32;
                block.ScalesLow[g / 2] |= (byte)((bits & 15) << (4 * (g & 1)));
                block.ScalesHigh |= (ushort)((bits >> 4) << (2 * g));
            }
        }
    }
}
