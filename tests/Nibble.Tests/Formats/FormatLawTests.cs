using Nibble.Core.Formats;
using Nibble.Quantization.Ranges;

namespace Nibble.Tests.Formats;

/// <summary>What every format of the list must keep.</summary>
public class FormatLawTests
{
    private const int Columns = 4096;

    public static TheoryData<string> Names => new(Format.All.Select(f => f.Name));

    [Theory, MemberData(nameof(Names))]
    public void Nearest_rounding_stays_within_the_error_budget(string name)
    {
        Format format = Bound(name);
        float[] row = Rows.Gaussian(Columns, seed: 1);
        Assert.InRange(Rows.RelativeError(row, RoundTrip(format, row)), 0, format.ErrorBudget);
    }

    [Theory, MemberData(nameof(Names))]
    public void Encoding_decoded_weights_again_stays_within_the_error_budget(string name)
    {
        Format format = Bound(name);
        float[] once = RoundTrip(format, Rows.Gaussian(Columns, seed: 2));
        Assert.InRange(Rows.RelativeError(once, RoundTrip(format, once)), 0, format.ErrorBudget);
    }

    [Theory, MemberData(nameof(Names))]
    public void Put_says_what_decode_reads(string name)
    {
        Format format = Bound(name);
        int size = format.BlockSize;
        float[] row = Rows.Gaussian(Columns, seed: 3);
        format = format.Learn(new TestMatrix(row), new LearnOptions());
        var bytes = new byte[format.BlockBytes];
        float[] decoded = new float[size], said = new float[size];
        for (int block = 0; block + size <= Math.Min(Columns, 4 * size); block += size)
        {
            ReadOnlySpan<float> weights = row.AsSpan(block, size);
            format.Fit(weights, default, bytes);
            // Any order will do, and a place may be put twice: last to first, then the first half again.
            for (int at = size - format.Stride; at >= 0; at -= format.Stride)
                format.Put(bytes, at, weights.Slice(at, format.Stride), said.AsSpan(at, format.Stride));
            for (int at = 0; at < size / 2; at += format.Stride)
                format.Put(bytes, at, weights.Slice(at, format.Stride), said.AsSpan(at, format.Stride));
            format.Decode(bytes, decoded);
            Assert.Equal(said, decoded);
        }
    }

    [Theory, MemberData(nameof(Names))]
    public void The_integer_form_is_what_decode_reads(string name)
    {
        Format format = Bound(name);
        if (format.Group == 0) return;
        float[] row = Rows.Gaussian(format.BlockSize, seed: 4);
        var bytes = new byte[format.BlockBytes];
        format.Encode(row, default, bytes);
        var decoded = new float[format.BlockSize];
        format.Decode(bytes, decoded);

        var codes = new sbyte[format.BlockSize];
        float[] scales = new float[format.BlockSize / format.Group], offsets = new float[scales.Length];
        format.Unpack(bytes, codes, scales, offsets);
        for (int i = 0; i < decoded.Length; i++)
        {
            float product = scales[i / format.Group] * codes[i], offset = offsets[i / format.Group];
            float rounding = 1e-6f * (Math.Abs(product) + Math.Abs(offset));
            Assert.InRange(product + offset, decoded[i] - rounding, decoded[i] + rounding);
            if (!format.Levels.IsEmpty) Assert.Contains(codes[i], format.Levels.ToArray());
            if (!format.HasOffsets) Assert.Equal(0, offset);
        }
        if (format.HalfScales) Assert.All(scales.Concat(offsets), s => Assert.Equal(s / format.ScaleFactor, (float)(Half)(s / format.ScaleFactor)));
    }

    /// <summary>Importance that was measured may be zero for a column, a block or a row: then any bits will do, but no NaN.</summary>
    [Theory, MemberData(nameof(Names))]
    public void Columns_that_do_not_matter_break_nothing(string name)
    {
        float[] row = Rows.Gaussian(Columns, seed: 6);
        Format format = TestMatrix.Learned(name, row);
        float[] importance = [.. Enumerable.Range(0, Columns).Select(c => c < Columns / 2 || c % 3 == 0 ? 0f : 1f)];
        var bytes = new byte[format.RowBytes(Columns)];
        foreach (float[] known in (float[][])[importance, new float[Columns]])
        {
            format.Encode(row, new FitOptions { Importance = known }, bytes);
            float[] decoded = TestMatrix.Decode(format, bytes, Columns);
            Assert.All(decoded, w => Assert.InRange(w, -1e3f, 1e3f));
        }
    }

    /// <summary>A rule for the range that a format would pass over in silence must be known to have no say.</summary>
    [Theory, MemberData(nameof(Names))]
    public void A_range_changes_the_bits_or_the_format_says_that_it_has_none(string name)
    {
        float[] row = Rows.Gaussian(Columns, seed: 7);
        byte[][] ways = [.. new[] { null, new MinMaxRange(), (DynamicRange)new PercentileRange(90) }.Select(range =>
            TestMatrix.Encode(Format.Parse(name).ForColumns(Columns).Learn(new TestMatrix(row), new LearnOptions { Range = range }), row, range))];
        Assert.Equal(Format.Parse(name).HasRange, ways.DistinctBy(Convert.ToHexString).Count() > 1);
    }

    [Theory, MemberData(nameof(Names))]
    public void Zeros_stay_zeros(string name)
    {
        Assert.All(RoundTrip(Bound(name), new float[Columns]), w => Assert.Equal(0, w));
    }

    [Theory, MemberData(nameof(Names))]
    public void A_row_of_one_value_keeps_it_within_the_error_budget(string name)
    {
        Format format = Bound(name);
        foreach (float value in (float[])[0.73f, -0.021f, 7])
        {
            float[] row = Enumerable.Repeat(value, Columns).ToArray();
            Assert.InRange(Rows.RelativeError(row, RoundTrip(format, row)), 0, format.ErrorBudget + 1e-9);
        }
    }

    [Theory, MemberData(nameof(Names))]
    public void No_finite_weight_becomes_infinite_or_not_a_number(string name)
    {
        Format format = Bound(name);
        float[] importance = Rows.Gaussian(Columns, seed: 6).Select(Math.Abs).ToArray();
        foreach (float size in (float[])[float.Epsilon, 1e-40f, 1e-20f, 1e-6f, 1e4f, 1e30f])
        {
            float[] row = Rows.Gaussian(Columns, seed: 5);
            for (int i = 0; i < Columns; i += 100) row[i] *= size;
            if (format.Family == FormatFamily.Float && size > 1e4f) continue; // a float format says what its own range is
            Assert.All(RoundTrip(format, row), w => Assert.True(float.IsFinite(w), $"{w} at {size}"));
            Assert.All(RoundTrip(format, row, importance), w => Assert.True(float.IsFinite(w), $"{w} at {size}"));
            for (int i = 0; i < Columns; i++) row[i] = size * (i % 7 - 3);
            Assert.All(RoundTrip(format, row), w => Assert.True(float.IsFinite(w), $"{w} at {size}"));
        }
    }

    [Theory, MemberData(nameof(Names))]
    public void Importance_that_is_zero_or_uneven_still_gives_sane_weights(string name)
    {
        Format format = Bound(name);
        float[] row = Rows.Gaussian(Columns, seed: 7);
        Assert.InRange(Rows.RelativeError(row, RoundTrip(format, row, new float[Columns])), 0, 2 * format.ErrorBudget);
        float[] half = Enumerable.Range(0, Columns).Select(i => i % 2 == 0 ? 1e-12f : 1e12f).ToArray();
        Assert.InRange(Rows.RelativeError(row, RoundTrip(format, row, half)), 0, 4 * format.ErrorBudget);
    }

    public static TheoryData<string> Parameterized => [.. Format.All.Select(f => Bound(f.Name)).Where(f => f.BlockParameters.Count > 0).Select(f => f.Name), "Linear3-min-g32", "Linear4-row"];

    /// <summary>Each moves its weights along a line and leaves the codes; together they reach every weight that is not 0.</summary>
    [Theory, MemberData(nameof(Parameterized))]
    public void Weights_are_linear_in_each_parameter(string name)
    {
        Format format = Bound(name);
        byte[] bytes = new byte[format.BlockBytes], before;
        format.Encode(Rows.Gaussian(format.BlockSize, seed: 8), default, bytes);
        before = [.. bytes];
        float[] start = new float[format.BlockSize], near = new float[format.BlockSize], far = new float[format.BlockSize];
        var reached = new bool[format.BlockSize];
        format.Decode(bytes, start);
        foreach (BlockParameter parameter in format.BlockParameters)
        {
            double at = parameter.Read(bytes), step = parameter.WriteOther(bytes) - at;
            Assert.Equal(at + step, parameter.Read(bytes));
            format.Decode(bytes, near);
            double twice = parameter.Write(bytes, at + 2 * step) - at;
            format.Decode(bytes, far);
            for (int i = 0; i < start.Length; i++)
            {
                reached[i] |= near[i] != start[i];
                Assert.Equal(start[i] + (near[i] - start[i]) * twice / step, far[i], 1e-5);
            }
            parameter.Write(bytes, at);
            Assert.Equal(before, bytes);
        }
        Assert.DoesNotContain(start.Zip(reached), weight => weight is { First: not 0, Second: false });
        // Of ternary ones, the largest of which is 1, most are 0.
        Assert.True(reached.Count(r => r) > 0.6 * reached.Length || format.Levels.Length == 3);
    }

    private static Format Bound(string name) => Format.Parse(name).ForColumns(Columns);

    private static float[] RoundTrip(Format format, float[] row, float[]? importance = null)
    {
        format = format.Learn(new TestMatrix(row), new LearnOptions { Importance = importance });
        var bytes = new byte[format.RowBytes(row.Length)];
        format.Encode(row, new FitOptions { Importance = importance }, bytes);
        var decoded = new float[row.Length];
        format.Decode(bytes, decoded);
        return decoded;
    }
}
