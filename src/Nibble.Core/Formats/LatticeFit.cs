using System.Runtime.Intrinsics;

namespace Nibble.Core.Formats;

/// <summary>How a lattice format stores what is not in the lattice: signs, or a shift of all points.</summary>
internal enum LatticeSigns
{
    /// <summary>A sign for each weight.</summary>
    Free,
    /// <summary>Seven signs for eight weights, an even number negative.</summary>
    Even,
    /// <summary>The lattice has the signs; its points g become 8g + 1 or 8g - 1, one choice for eight weights.</summary>
    ShiftOfEight,
    /// <summary>As before, one choice for all weights that share a scale.</summary>
    ShiftOfGroup,
}

/// <summary>What the lattice formats have in common: 256 weights, a 16-bit d, and groups with scales d * unit * (2 l + 1).</summary>
/// <param name="Lattice">The points.</param>
/// <param name="Signs">How signs are stored.</param>
/// <param name="Group">Weights that share a scale.</param>
/// <param name="ScaleCount">Scales l from 0 below this.</param>
/// <param name="Unit">A scale in units of d is this times an odd number.</param>
/// <param name="TypicalNorm">The root mean square of the coordinates of points in use, to start the search.</param>
internal sealed record LatticeShape(Lattice Lattice, LatticeSigns Signs, int Group, int ScaleCount, float Unit, float TypicalNorm)
{
    public bool Shifted => Signs is LatticeSigns.ShiftOfEight or LatticeSigns.ShiftOfGroup;

    /// <summary>Codes that are chosen together: eight weights, or a whole group where it has one shift.</summary>
    public int UnitSize => Signs == LatticeSigns.ShiftOfGroup ? Group : 8;

    /// <summary>Hulls whose errors add up to that of a unit.</summary>
    public int HullsPerUnit => UnitSize / Lattice.Dimensions;
}

/// <summary>
/// Chooses everything in a block of a lattice format: d, the scales, the points, the signs. For each few weights the hull
/// of the lattice (<see cref="LatticeHulls"/>) tells the least error at any scale, so the error of a whole block is a
/// function of d alone: each group takes the best of its scales. Several d are tried, and the best is settled by least
/// squares in turn with new choices of scales and points.
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
            if (shape.Shifted) _weights[i] = x;
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
        Span<float> trials = [0.6f * scale, 0.85f * scale, 1.2f * scale, 1.8f * scale];
        int units = _shape.Group / _shape.UnitSize;
        for (int u = 0; u < units; u++)
        {
            int unit = group * units + u;
            _firstHull[unit] = _hulls.Count;
            AddUnit(unit, wx.Slice(u * _shape.UnitSize, _shape.UnitSize), w.Slice(u * _shape.UnitSize, _shape.UnitSize), trials);
        }
        _ideal[group] = IdealScale(group, scale);
    }

    private void AddUnit(int unit, ReadOnlySpan<float> wx, ReadOnlySpan<float> w, ReadOnlySpan<float> trials)
    {
        Lattice lattice = _shape.Lattice;
        int dimensions = lattice.Dimensions;
        _variants[unit] = 1;
        if (_shape.Signs == LatticeSigns.ShiftOfEight)
        {
            _hulls.ProjectShifted(lattice, wx, w);
            _hulls.AddHull(0, 2 * lattice.Count, trials);
        }
        else if (_shape.Signs == LatticeSigns.ShiftOfGroup)
        {
            _variants[unit] = 2;
            for (int shift = 0; shift < 2; shift++)
            {
                for (int at = 0; at < wx.Length; at += 8)
                {
                    _hulls.ProjectShifted(lattice, wx.Slice(at, 8), w.Slice(at, 8));
                    _hulls.AddHull(shift * lattice.Count, lattice.Count, trials);
                }
            }
        }
        else
        {
            // With an odd number of signs one is stored wrong: in one of the parts, each a variant.
            bool odd = _shape.Signs == LatticeSigns.Even && EvenSigns.IsOdd(Signs[unit]);
            int parts = _shape.HullsPerUnit;
            if (odd) _variants[unit] = parts;
            for (int v = 0; v < _variants[unit]; v++)
            {
                for (int part = 0; part < parts; part++)
                {
                    _hulls.Add(lattice, wx.Slice(part * dimensions, dimensions), w.Slice(part * dimensions, dimensions), trials,
                        flip: odd && part == v);
                }
            }
        }
    }

    // ---- scales ----

    /// <summary>The scale at which a group loses least, were it free.</summary>
    private float IdealScale(int group, float typical)
    {
        Vector256<float> scales = Vector256.Create(0.55f, 0.66f, 0.79f, 0.95f, 1.14f, 1.37f, 1.64f, 2) * typical;
        int lane = LowestLane(GroupError(group, scales));
        float dot = 0, square = 0;
        int units = _shape.Group / _shape.UnitSize;
        for (int u = group * units; u < (group + 1) * units; u++) AddSums(u, scales[lane], ref dot, ref square);
        return dot > 0 ? dot / square : 0;
    }

    /// <summary>What a group loses at 8 scales, less its Σwx².</summary>
    private Vector256<float> GroupError(int group, Vector256<float> scales)
    {
        int units = _shape.Group / _shape.UnitSize;
        Vector256<float> sum = default;
        for (int u = group * units; u < (group + 1) * units; u++)
        {
            Vector256<float> least = UnitError(u, 0, scales);
            if (_variants[u] > 1) least = Vector256.MinNative(least, UnitError(u, 1, scales));
            sum += least;
        }
        return sum * scales;
    }

    private Vector256<float> UnitError(int unit, int variant, Vector256<float> scales)
    {
        int hull = _firstHull[unit] + variant * _shape.HullsPerUnit;
        Vector256<float> sum = _hulls.Least(hull, scales);
        for (int h = 1; h < _shape.HullsPerUnit; h++) sum += _hulls.Least(hull + h, scales);
        return sum;
    }

    private int BestVariant(int unit, float scale)
    {
        if (_variants[unit] == 1) return 0;
        Vector256<float> scales = Vector256.Create(scale);
        return UnitError(unit, 1, scales)[0] < UnitError(unit, 0, scales)[0] ? 1 : 0;
    }

    private Half BestD()
    {
        float largest = 0;
        for (int g = 0; g < Size / _shape.Group; g++) largest = MathF.Max(largest, _ideal[g]);
        float top = largest / (_shape.Unit * (2 * _shape.ScaleCount - 1));
        float least = float.PositiveInfinity;
        Half best = default;
        for (float factor = 0.8f; factor < 1.5f; factor *= 1.04f)
        {
            Half d = IntegerCodes.ToHalf(top * factor * _norm);
            float error = BlockError(d);
            if (error < least) (least, best) = (error, d);
        }
        for (int round = 0; round < 4; round++)
        {
            BlockError(best);
            Half d = Settle(best);
            float error = BlockError(d);
            if (!(error < least)) break;
            (least, best) = (error, d);
        }
        BlockError(best);
        return best;
    }

    /// <summary>What the block loses with this d, less its Σwx²; leaves the scales in <see cref="Scales"/>.</summary>
    private float BlockError(Half d)
    {
        float unit = (float)d / _norm * _shape.Unit, sum = 0;
        if (unit == 0) return 0;
        for (int g = 0; g < Size / _shape.Group; g++)
        {
            // eight lanes: the scales around the ideal one
            int near = (int)MathF.Min((_ideal[g] / unit - 1) / 2 + 0.5f, _shape.ScaleCount);
            int first = Math.Clamp(near - 4, 0, _shape.ScaleCount - 8);
            Vector256<float> scales = (Vector256.Create(2f * first + 1) + Vector256.Create(0f, 2, 4, 6, 8, 10, 12, 14)) * unit;
            Vector256<float> errors = GroupError(g, scales);
            int lane = LowestLane(errors);
            sum += errors[lane];
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
            (_, float a, float b) = _hulls.Best(hull + h, scale);
            dot += a;
            square += b;
        }
    }

    private static int LowestLane(Vector256<float> values)
    {
        int lane = 0;
        for (int i = 1; i < 8; i++)
            if (values[i] < values[lane]) lane = i;
        return lane;
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
                int at = u * hullsPerUnit + h, point = _hulls.Best(_firstHull[u] + variant * hullsPerUnit + h, scale).Point;
                if (_shape.Signs == LatticeSigns.ShiftOfEight)
                {
                    Signs[at] = (byte)(point >= _shape.Lattice.Count ? 1 : 0);
                    point %= _shape.Lattice.Count;
                }
                else if (_shape.Signs == LatticeSigns.ShiftOfGroup) Signs[at] = (byte)variant;
                else if (_variants[u] > 1 || hullsPerUnit == 1) FlipIfOdd(u, h, variant, point);
                Points[at] = (ushort)point;
            }
        }
    }

    private void FlipIfOdd(int eight, int part, int variant, int point)
    {
        if (_shape.Signs != LatticeSigns.Even || part != variant || !EvenSigns.IsOdd(Signs[eight])) return;
        int dimensions = _shape.Lattice.Dimensions, at = part * dimensions;
        int flip = _shape.Lattice.CheapestFlip(point, _weighted.AsSpan(8 * eight + at, dimensions));
        Signs[eight] ^= (byte)(1 << (at + flip));
    }
}
