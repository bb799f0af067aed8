using System.Numerics.Tensors;
using System.Runtime.Intrinsics;

namespace Nibble.Core.Formats;

/// <summary>The levels of a logarithm, laid over an interval of magnitudes: the ends are 2^l_min and 2^l_max.</summary>
internal sealed class LogLevels : IQuantizerLevels
{
    /// <summary>A magnitude below this counts as zero.</summary>
    public const float Least = 1e-37f;

    /// <summary>Stored steps are in the ratio 2^(1/24), counted from 2^-5 octaves.</summary>
    private const float StepsAnOctave = 24, FirstStep = -5;

    private static readonly LogLevels?[] Made = new LogLevels?[2 * 9];

    private readonly bool _powerOfTwo;
    private readonly int _bits;
    private readonly LevelTable?[] _tables = new LevelTable?[256];

    private LogLevels(int bits, bool powerOfTwo)
    {
        _bits = bits;
        _powerOfTwo = powerOfTwo;
        Count = (1 << (bits - 1)) - 1;
    }

    /// <summary>The levels of so many bits a code, made once: their tables are shared by all formats of that width.</summary>
    public static LogLevels OfBits(int bits, bool powerOfTwo) => Made[2 * bits + (powerOfTwo ? 1 : 0)] ??= new LogLevels(bits, powerOfTwo);

    /// <summary>Different magnitudes above zero.</summary>
    public int Count { get; }

    public bool Symmetric => false;

    /// <summary>The step, in octaves, that a stored byte stands for.</summary>
    public static float Step(byte stored) => MathF.Pow(2, stored / StepsAnOctave + FirstStep);

    /// <summary>The levels of a stored step, the largest being one.</summary>
    public LevelTable Table(byte step) => _tables[step] ??= MakeTable(Step(step));

    private LevelTable MakeTable(float step)
    {
        float[] magnitudes = [0, .. Enumerable.Range(1, Count).Select(m => (float)Math.Pow(2, (m - Count) * (double)step))];
        return new LevelTable([.. magnitudes, .. magnitudes.Select(m => m == 0 ? 0 : -m)], geometric: true);
    }

    /// <summary>The scale and the stored step of the levels over [low, high]; an interval without a lower end takes a step of one octave.</summary>
    public (float Scale, byte Step) Lay(float low, float high)
    {
        if (!(high > 0)) return (0, 0);
        if (_powerOfTwo) high = MathF.ScaleB(1, ScaleArray.ExponentAtLeast(high));
        float octaves = low > 0 && low < high ? MathF.Log2(high / low) : Count - 1;
        if (Count == 1) return (high, 0);
        float stored = (MathF.Log2(octaves / (Count - 1)) - FirstStep) * StepsAnOctave;
        return (high, (byte)MathF.Round(Math.Clamp(stored, 0, 255)));
    }

    public float Round(float weight, float low, float high)
    {
        (float scale, byte step) = Lay(low, high);
        return Table(step).Round(weight, scale);
    }

    /// <summary>
    /// A grid of steps, for few levels also of upper ends (with more, the largest weights need not be given up), then ever
    /// smaller moves about the best.
    /// </summary>
    public (float Low, float High) LeastSquares(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance)
    {
        (float low, float high) = RangeSearch.Extremes(weights);
        if (!importance.IsEmpty && TensorPrimitives.Max(importance) <= 0) importance = [];
        double least = Error(weights, importance, low, high);
        if (least == 0) return (low, high);
        const int Stride = 12, HighParts = 8;
        (float High, int Step) best = (high, Lay(low, high).Step);
        int widest = best.Step, narrowest = Lay(high / 2, high).Step;
        for (int part = HighParts; part > (_bits <= 4 ? 2 : HighParts - 1); part--)
            for (int step = widest; step >= narrowest; step -= Stride) Try(high * part / HighParts, step, weights, importance);
        for (int move = Stride / 2; move > 0; move /= 2)
        {
            (float high0, int step0) = best;
            Try(high0, step0 - move, weights, importance);
            Try(high0, step0 + move, weights, importance);
            float part = (float)move / Stride / HighParts;
            (high0, step0) = best;
            Try(high0 * (1 - part), step0, weights, importance);
            Try(high0 * (1 + part), step0, weights, importance);
        }
        return (best.High * MathF.Pow(2, -(Count - 1) * Step((byte)best.Step)), best.High);

        void Try(float candidate, int step, ReadOnlySpan<float> weights, ReadOnlySpan<float> importance)
        {
            if (step is < 0 or > 255) return;
            double error = Error(weights, importance, candidate * MathF.Pow(2, -(Count - 1) * Step((byte)step)), candidate);
            if (error < least) (least, best) = (error, (candidate, step));
        }
    }

    public double Error(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, float low, float high)
    {
        (float scale, byte step) = Lay(low, high);
        return _bits <= 4 || !Vector256.IsHardwareAccelerated
            ? Table(step).Error(weights, importance, scale)
            : ErrorByFormula(weights, importance, scale, Step(step));
    }

    /// <summary>
    /// The same with the logarithm itself, where a table would not fit in registers. It may differ in the last place from
    /// what the table makes of a weight on a boundary, which a search does not mind.
    /// </summary>
    private double ErrorByFormula(ReadOnlySpan<float> magnitudes, ReadOnlySpan<float> importance, float scale, float step)
    {
        const float NaturalLog2 = 0.693147181f;
        var top = Vector256.Create(MathF.Log2(scale));
        var inverse = Vector256.Create(1 / step);
        double sum = 0;
        Span<float> w = stackalloc float[8], matter = stackalloc float[8];
        for (int i = 0; i < magnitudes.Length; i += 8)
        {
            // The last lanes may be beyond the end: zeros, which lose nothing.
            int lanes = Math.Min(8, magnitudes.Length - i);
            w.Clear();
            magnitudes.Slice(i, lanes).CopyTo(w);
            var x = Vector256.Create((ReadOnlySpan<float>)w);
            // Steps below the top: 0 to Count - 1 are levels, more is zero.
            Vector256<float> down = Vector256.Round((top - Vector256.Log2(x)) * inverse);
            Vector256<float> level = Vector256.Create(scale) * Vector256.Exp(Vector256.Max(down, Vector256<float>.Zero) * Vector256.Create(-step * NaturalLog2));
            Vector256<float> e = x - Vector256.ConditionalSelect(Vector256.LessThan(down, Vector256.Create((float)Count)), level, default);
            if (!importance.IsEmpty)
            {
                importance.Slice(i, lanes).CopyTo(matter);
                sum += Vector256.Sum(e * e * Vector256.Create((ReadOnlySpan<float>)matter));
            }
            else sum += Vector256.Sum(e * e);
        }
        return sum;
    }
}
