using System.Numerics.Tensors;
using Nibble.Core.Formats;
using Nibble.Core.Memory;

namespace Nibble.Quantization.Evaluation;

/// <summary>A value that a quantizer can give.</summary>
/// <param name="Value">On the histogram's axis.</param>
/// <param name="Share">Of the weights that became it.</param>
public readonly record struct Level(double Value, double Share);

/// <summary>
/// The weights of a tensor before and after quantizing, each block brought to one scale, so that the levels of all blocks
/// lie on each other: weights are divided by the scale of their group after its offset is taken off, or, where a format has no such
/// scale, by the largest magnitude of their block.
/// </summary>
public sealed class WeightHistogram
{
    private const int Bins = 96;
    private const int MostLevels = 64;
    private const long EnoughWeights = 1 << 20;

    private readonly TensorPair _pair;
    private readonly Format _format;
    private readonly Dictionary<double, long> _levels = [];
    private readonly double[] _original = new double[Bins];
    private readonly (double Sum, long Count)[] _codes;
    private long _weights;

    private WeightHistogram(TensorPair pair)
    {
        _pair = pair;
        Weight first = pair.Model(0);
        _format = first.Format;
        ReadOnlySpan<sbyte> levels = _format.Levels;
        _codes = new (double, long)[!HasScales && _format.Stride == 1 && _format.CodeCount <= MostLevels ? _format.CodeCount : 0];
        bool whole = HasScales && !levels.IsEmpty;
        // Half a step beyond the outermost levels; beyond that, weights were clipped and lie in the outermost bins.
        (From, To) = whole ? (levels[0] - 1.0, levels[^1] + 1.0) : HasScales ? (-129, 129) : (-1.1, 1.1);
    }

    public string Tensor => _pair.Name;

    public string Format => _pair.Format;

    /// <summary>The ends of the axis.</summary>
    public double From { get; }

    public double To { get; }

    /// <summary>What the axis counts.</summary>
    public string Axis => HasScales ? "weight, in steps of its group" : "weight, in largest magnitudes of its block";

    /// <summary>The share of the original weights in each of equal parts of the axis; what lies beyond is in the outermost.</summary>
    public IReadOnlyList<double> Original => _original;

    /// <summary>The values that weights became, ascending; empty where there are too many to be drawn.</summary>
    public IReadOnlyList<Level> Levels { get; private set; } = [];

    /// <summary>True if blocks have levels of their own, of which <see cref="Levels"/> are the means, code by code.</summary>
    public bool LevelsAreMeans { get; private set; }

    private bool HasScales => _format.Group > 0;

    /// <summary>Counts the weights of a tensor, of enough rows evenly.</summary>
    public static WeightHistogram Of(TensorPair pair)
    {
        var histogram = new WeightHistogram(pair);
        Weight model = pair.Model(0), reference = pair.Reference(0);
        int stride = (int)Math.Max(1, (long)model.Rows * model.Columns / EnoughWeights);
        float[] original = new float[model.Columns], rounded = new float[model.Columns];
        for (int r = 0; r < model.Rows; r += stride)
        {
            reference.ReadRow(pair.ReferenceRow(r), original);
            model.ReadRow(r, rounded);
            histogram.AddRow(original, rounded, model.Row(r));
        }
        histogram.Finish();
        return histogram;
    }

    private void AddRow(float[] original, float[] rounded, ReadOnlySpan<byte> stored)
    {
        int size = Math.Min(_format.BlockSize == 1 ? original.Length : _format.BlockSize, original.Length);
        float[] scales = new float[Math.Max(1, HasScales ? size / _format.Group : 1)], offsets = new float[scales.Length];
        var codes = new sbyte[size];
        var chosen = new ushort[_codes.Length == 0 ? 0 : size];
        for (int at = 0, block = 0; at + size <= original.Length; at += size, block++)
        {
            ReadOnlySpan<byte> bytes = stored.Slice(block * _format.BlockBytes, _format.BlockBytes);
            if (HasScales) _format.Unpack(bytes, codes, scales, offsets);
            else scales[0] = Math.Abs(TensorPrimitives.MaxMagnitude<float>(rounded.AsSpan(at, size)));
            if (chosen.Length > 0) _format.ReadCodes(bytes, chosen);
            int group = size / scales.Length;
            for (int i = 0; i < size; i++)
            {
                float scale = scales[i / group], offset = offsets[i / group];
                if (scale == 0) continue;
                double level = HasScales ? codes[i] : rounded[at + i] / (double)scale;
                Add((original[at + i] - offset) / (double)scale, level);
                if (chosen.Length > 0) _codes[chosen[i]] = (_codes[chosen[i]].Sum + level, _codes[chosen[i]].Count + 1);
            }
        }
    }

    private void Add(double original, double level)
    {
        _weights++;
        _original[Math.Clamp((int)((original - From) / (To - From) * Bins), 0, Bins - 1)]++;
        double rounded = Math.Round(level, 3);
        if (_levels.TryGetValue(rounded, out long count) || _levels.Count <= 4 * MostLevels) _levels[rounded] = count + 1;
    }

    private void Finish()
    {
        for (int i = 0; i < Bins; i++) _original[i] /= Math.Max(1, _weights);
        if (_levels.Count <= MostLevels && _format.Family != FormatFamily.Float)
            Levels = [.. _levels.OrderBy(l => l.Key).Select(l => new Level(l.Key, (double)l.Value / _weights))];
        if (Levels.Count > 0 || _codes.Length == 0) return;
        LevelsAreMeans = true;
        Levels = [.. _codes.Where(c => c.Count > 0).Select(c => new Level(c.Sum / c.Count, (double)c.Count / _weights)).OrderBy(l => l.Value)];
    }
}
