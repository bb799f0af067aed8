using System.Runtime.Intrinsics;

namespace Nibble.Core.Formats;

/// <summary>
/// Chooses everything in a block of a lattice format: d, the scales, the points, the signs. For each few weights the hull
/// of the lattice (<see cref="LatticeHulls"/>) tells the least error at any scale, so the error of a whole block is a
/// function of d alone: each group takes the best of its scales. Several d are tried, and the best is settled by least
/// squares in turn with new choices of scales and points. A rule for the dynamic range has no say here: a lattice has no
/// range to lay over the weights.
/// </summary>
internal sealed class LatticeFit
{
    private const int Size = 256;

    [ThreadStatic] private static LatticeFit? t_ofThread;

    private readonly LatticeHulls _hulls = new();
    private readonly float[] _weights = new float[Size], _errorWeights = new float[Size], _weighted = new float[Size];
    private readonly float[] _ideal = new float[16];
    private readonly int[] _firstHull = new int[32], _variants = new int[32];
    private LatticeShape _shape = null!;
    private float _norm;

    /// <summary>The block's d.</summary>
    public Half D { get; private set; }

    /// <summary>The scale of each group.</summary>
    public byte[] Scales { get; } = new byte[16];

    /// <summary>The point of each 8 or 4 weights.</summary>
    public ushort[] Points { get; } = new ushort[64];

    /// <summary>For each eight weights, a bit for each negative; in a shifted format 1 where the shift is down.</summary>
    public byte[] Signs { get; } = new byte[32];

    /// <summary>The fit of a block; valid until this thread fits the next.</summary>
    /// <returns>Null if d would be zero.</returns>
    public static LatticeFit? Fit(LatticeShape shape, ReadOnlySpan<float> weights, in FitOptions options)
    {
        LatticeFit fit = t_ofThread ??= new LatticeFit();
        return fit.Run(shape, weights, options) ? fit : null;
    }

    private bool Run(LatticeShape shape, ReadOnlySpan<float> weights, in FitOptions options)
    {
        _shape = shape;
        _norm = IntegerCodes.LargestMagnitude(weights);
        if (!(_norm > 1e-30f)) return false;
        BlockSearch.ErrorWeights(options.Importance, _errorWeights);
        for (int i = 0; i < Size; i++)
        {
            float x = weights[i] / _norm;
            if (shape.Down is not null) _weights[i] = x;
            else
            {
                _weights[i] = MathF.Abs(x);
                int bit = 1 << (i & 7);
                Signs[i / 8] = (byte)(x < 0 ? Signs[i / 8] | bit : Signs[i / 8] & ~bit);
            }
            _weighted[i] = _errorWeights[i] * _weights[i];
        }
        _hulls.Clear();
        for (int g = 0; g < Size / shape.Group; g++) AddGroup(g);
        D = BestD();
        if (D == (Half)0) return false;
        Choose();
        return true;
    }

    // ---- hulls ----

    private void AddGroup(int group)
    {
        ReadOnlySpan<float> w = _errorWeights.AsSpan(group * _shape.Group, _shape.Group);
        ReadOnlySpan<float> wx = _weighted.AsSpan(group * _shape.Group, _shape.Group);
        ReadOnlySpan<float> x = _weights.AsSpan(group * _shape.Group, _shape.Group);
        float power = 1e-12f, weight = 0;
        for (int i = 0; i < x.Length; i++) (power, weight) = (power + wx[i] * x[i], weight + w[i]);
        float scale = MathF.Sqrt(power / weight) / _shape.TypicalNorm;
        // Where one weight stands out, its group may want a scale that does not clip it.
        float low = 0.65f * scale, high = MathF.Max(1.7f * scale, 1.1f * IntegerCodes.LargestMagnitude(x) / _shape.Lattice.Largest);
        Vector128<float> trials = Vector128.Create(low) + Vector128.Create(0, 0.24f, 0.56f, 1) * (high - low);
        int units = _shape.Group / _shape.UnitSize;
        for (int u = 0; u < units; u++)
        {
            int unit = group * units + u;
            _firstHull[unit] = _hulls.Count;
            AddUnit(unit, wx.Slice(u * _shape.UnitSize, _shape.UnitSize), w.Slice(u * _shape.UnitSize, _shape.UnitSize), trials);
        }
        _ideal[group] = IdealScale(group, low, high);
    }

    private void AddUnit(int unit, ReadOnlySpan<float> wx, ReadOnlySpan<float> w, Vector128<float> trials)
    {
        // With an odd number of signs one is stored wrong: in one of the parts, each a variant. So is each shift.
        int dimensions = _shape.Lattice.Dimensions, parts = _shape.HullsPerUnit;
        bool odd = _shape.Signs == LatticeSigns.Even && EvenSigns.IsOdd(Signs[unit]);
        _variants[unit] = odd ? parts : _shape.Down is null ? 1 : 2;
        for (int v = 0; v < _variants[unit]; v++)
        {
            Lattice lattice = v == 1 && _shape.Down is not null ? _shape.Down : _shape.Lattice;
            for (int part = 0; part < parts; part++)
            {
                _hulls.Add(lattice, wx.Slice(part * dimensions, dimensions), w.Slice(part * dimensions, dimensions), trials,
                    flip: odd && part == v);
            }
        }
    }

    // ---- scales ----

    /// <summary>The scale at which a group loses least, were it free.</summary>
    private float IdealScale(int group, float low, float high)
    {
        Vector256<float> scales = Vector256.Create(low) + Vector256.Create(0f, 1, 2, 3, 4, 5, 6, 7) * ((high - low) / 7);
        int lane = BlockSearch.LargestLane(GroupGain(group, scales));
        float dot = 0, square = 0;
        int units = _shape.Group / _shape.UnitSize;
        for (int u = group * units; u < (group + 1) * units; u++) AddSums(u, scales[lane], ref dot, ref square);
        return dot > 0 ? dot / square : 0;
    }

    /// <summary>By how much 8 scales reduce a group's error below Σwx².</summary>
    private Vector256<float> GroupGain(int group, Vector256<float> scales)
    {
        int units = _shape.Group / _shape.UnitSize;
        Vector256<float> sum = default, half = scales * 0.5f;
        for (int u = group * units; u < (group + 1) * units; u++)
        {
            Vector256<float> most = UnitScore(u, 0, half);
            if (_variants[u] > 1) most = Vector256.MaxNative(most, UnitScore(u, 1, half));
            sum += most;
        }
        return sum * (scales + scales);
    }

    private Vector256<float> UnitScore(int unit, int variant, Vector256<float> halfScales)
    {
        int hull = _firstHull[unit] + variant * _shape.HullsPerUnit;
        Vector256<float> sum = _hulls.Most(hull, halfScales);
        for (int h = 1; h < _shape.HullsPerUnit; h++) sum += _hulls.Most(hull + h, halfScales);
        return sum;
    }

    private int BestVariant(int unit, float scale)
    {
        if (_variants[unit] == 1) return 0;
        Vector256<float> half = Vector256.Create(scale / 2);
        return UnitScore(unit, 1, half)[0] > UnitScore(unit, 0, half)[0] ? 1 : 0;
    }

    private Half BestD()
    {
        float largest = 0;
        for (int g = 0; g < Size / _shape.Group; g++) largest = MathF.Max(largest, _ideal[g]);
        float top = largest / (_shape.Unit * (2 * _shape.ScaleCount - 1));
        float most = 0;
        Half best = default;
        for (float factor = 0.8f; factor < 1.5f; factor *= 1.06f)
        {
            Half d = IntegerCodes.ToHalf(top * factor * _norm);
            float gain = BlockGain(d);
            if (gain > most) (most, best) = (gain, d);
        }
        for (int round = 0; round < 4 && best != (Half)0; round++)
        {
            BlockGain(best);
            Half d = Settle(best);
            float gain = BlockGain(d);
            if (!(gain > most)) break;
            (most, best) = (gain, d);
        }
        BlockGain(best);
        return best;
    }

    /// <summary>By how much this d reduces the block's error below Σwx²; leaves the scales in <see cref="Scales"/>.</summary>
    private float BlockGain(Half d)
    {
        float unit = (float)d / _norm * _shape.Unit, sum = 0;
        if (unit == 0) return 0;
        for (int g = 0; g < Size / _shape.Group; g++)
        {
            // eight lanes: the scales around the ideal one
            int near = (int)MathF.Min((_ideal[g] / unit - 1) / 2 + 0.5f, _shape.ScaleCount);
            int first = Math.Clamp(near - 4, 0, _shape.ScaleCount - 8);
            Vector256<float> scales = (Vector256.Create(2f * first + 1) + Vector256.Create(0f, 2, 4, 6, 8, 10, 12, 14)) * unit;
            Vector256<float> gains = GroupGain(g, scales);
            int lane = BlockSearch.LargestLane(gains);
            sum += gains[lane];
            Scales[g] = (byte)(first + lane);
        }
        return sum;
    }

    /// <summary>The d of least squares for the scales in <see cref="Scales"/> and the points that are best with them.</summary>
    private Half Settle(Half d)
    {
        float dot = 0, square = 0;
        int units = _shape.Group / _shape.UnitSize;
        for (int g = 0; g < Size / _shape.Group; g++)
        {
            float multiple = _shape.Unit * (2 * Scales[g] + 1), groupDot = 0, groupSquare = 0;
            for (int u = g * units; u < (g + 1) * units; u++)
                AddSums(u, (float)d / _norm * multiple, ref groupDot, ref groupSquare);
            dot += multiple * groupDot;
            square += multiple * multiple * groupSquare;
        }
        return IntegerCodes.ToHalf(dot / square * _norm);
    }

    /// <summary>Adds Σwxg and Σwg² of the points that are best at a scale.</summary>
    private void AddSums(int unit, float scale, ref float dot, ref float square)
    {
        int hull = _firstHull[unit] + BestVariant(unit, scale) * _shape.HullsPerUnit;
        for (int h = 0; h < _shape.HullsPerUnit; h++)
        {
            (_, float a, float b) = _hulls.Best(hull + h, scale / 2);
            dot += a;
            square += b;
        }
    }

    // ---- codes ----

    private void Choose()
    {
        int unitsPerGroup = _shape.Group / _shape.UnitSize, hullsPerUnit = _shape.HullsPerUnit;
        for (int u = 0; u < Size / _shape.UnitSize; u++)
        {
            float scale = (float)D / _norm * _shape.Unit * (2 * Scales[u / unitsPerGroup] + 1);
            int variant = BestVariant(u, scale);
            for (int h = 0; h < hullsPerUnit; h++)
            {
                int at = u * hullsPerUnit + h, point = _hulls.Best(_firstHull[u] + variant * hullsPerUnit + h, scale / 2).Point;
                if (_shape.Down is not null) Signs[at] = (byte)variant;
                else if (h == variant) MakeEven(u, h, point);
                Points[at] = (ushort)point;
            }
        }
    }

    /// <summary>Where the signs are odd but must not be, changes the one that costs least with this part's point.</summary>
    private void MakeEven(int eight, int part, int point)
    {
        if (_shape.Signs != LatticeSigns.Even || !EvenSigns.IsOdd(Signs[eight])) return;
        int dimensions = _shape.Lattice.Dimensions, at = part * dimensions;
        int flip = _shape.Lattice.CheapestFlip(point, _weighted.AsSpan(8 * eight + at, dimensions));
        Signs[eight] ^= (byte)(1 << (at + flip));
    }
}
