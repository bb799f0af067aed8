using Nibble.Core;
using Nibble.Core.Formats;

namespace Nibble.Tests.Formats;

/// <summary>What every variant of the linear, logarithmic and table families keeps, whatever its words.</summary>
public class GroupedFormatTests
{
    private static readonly string[] Variants =
    [
        .. from bits in Enumerable.Range(1, 8) from kind in new[] { "-sym", "-min" }.Concat(bits > 1 ? ["-zero"] : [])
           select $"Linear{bits}{kind}",
        .. from bits in Enumerable.Range(1, 8) select $"Fixed{bits}-row",
        .. from granularity in new[] { "g32", "g64", "g128", "g256", "g12", "row", "tensor" }
           from scale in new[] { "f32", "f16", "bf16" } select $"Linear4-{granularity}-{scale}",
        "Linear3-g32-s8", "Linear3-sym-g32-s8", "Linear2-min-g16-s8", "Linear3-g12-s8row", "Linear5-tensor", "Linear3-sym-row", "Fixed8", "Fixed4-tensor",
        .. from bits in Enumerable.Range(2, 7) from kind in new[] { "Log", "Pot", "Apot" } select $"{kind}{bits}",
        .. from table in new[] { "NF4", "FP4", "F8_E4M3", "F8_E5M2", "Log4", "Log4-b2", "Pot4", "Apot4" }
           from words in new[] { "row", "tensor", "g32-s8", "g12-f32", "g128-bf16", "g96-s8row", "row-p2" } select $"{table}-{words}",
        "Log5-b1.5", "Log8-b1.0625-row",
    ];

    public static TheoryData<string> Names => new(Variants);

    [Theory, MemberData(nameof(Names))]
    public void Names_are_read_back(string name)
    {
        string canonical = Format.Parse(name).Name;
        Assert.Equal(canonical, Format.Parse(canonical).Name);
        Assert.Equal(canonical, Format.Parse(name.ToUpperInvariant()).Name);
        Assert.Equal(TestMatrix.Encode(TestMatrix.Learned(name, Rows.Gaussian(768, 1)), Rows.Gaussian(768, 1)),
            TestMatrix.Encode(TestMatrix.Learned(canonical, Rows.Gaussian(768, 1)), Rows.Gaussian(768, 1)));
    }

    [Theory, MemberData(nameof(Names))]
    public void Fit_and_put_give_what_encode_and_decode_give(string name)
    {
        float[] row = Rows.Gaussian(768, seed: 2);
        Format format = TestMatrix.Learned(name, row);
        byte[] encoded = TestMatrix.Encode(format, row), put = new byte[encoded.Length];
        float[] decoded = TestMatrix.Decode(format, encoded, row.Length), rounded = new float[row.Length];
        for (int b = 0; b < row.Length / format.BlockSize; b++)
        {
            Span<byte> block = put.AsSpan(b * format.BlockBytes, format.BlockBytes);
            format.Fit(row.AsSpan(b * format.BlockSize, format.BlockSize), default, block);
            for (int i = format.BlockSize - 1; i >= 0; i--)
                format.Put(block, i, row.AsSpan(b * format.BlockSize + i, 1), rounded.AsSpan(b * format.BlockSize + i, 1));
        }
        Assert.Equal(encoded, put);
        Assert.Equal(decoded, rounded);
    }

    [Fact]
    public void A_tensor_shares_one_table_that_can_be_stored()
    {
        float[] weights = Rows.Gaussian(4 * 96, seed: 5);
        Format learned = TestMatrix.Learned("Linear4-tensor", weights, rows: 4);
        Format stored = Format.Parse("Linear4-tensor").ForColumns(96).WithShared(learned.Shared);
        Assert.Equal(3, learned.SharedBytes);
        Assert.Equal(48, learned.RowBytes(96));
        float[] row = weights[96..192];
        Assert.Equal(TestMatrix.RoundTrip(learned, row), TestMatrix.RoundTrip(stored, row));
        Assert.Throws<UnusableInputException>(() => stored.WithShared(new byte[4]));
    }

    [Theory, MemberData(nameof(Names))]
    public void Integer_codes_times_scales_plus_offsets_are_the_weights(string name)
    {
        float[] row = Rows.Gaussian(768, seed: 4);
        Format format = TestMatrix.Learned(name, row);
        if (format.Group == 0) return;
        byte[] encoded = TestMatrix.Encode(format, row);
        float[] decoded = TestMatrix.Decode(format, encoded, row.Length);
        var codes = new sbyte[format.BlockSize];
        float[] scales = new float[format.BlockSize / format.Group], offsets = new float[scales.Length];
        for (int b = 0; b < row.Length / format.BlockSize; b++)
        {
            format.Unpack(encoded.AsSpan(b * format.BlockBytes, format.BlockBytes), codes, scales, offsets);
            for (int i = 0; i < codes.Length; i++)
                Assert.Equal(decoded[b * codes.Length + i], scales[i / format.Group] * codes[i] + offsets[i / format.Group], 1e-5f);
            Assert.True(format.Levels.IsEmpty || codes.All(c => format.Levels.ToArray().Contains(c)));
            Assert.True(format.HasOffsets || offsets.All(o => o == 0));
            Assert.True(!format.HalfScales || scales.Concat(offsets).All(s => s / format.ScaleFactor == (float)(Half)(s / format.ScaleFactor)));
        }
    }

    [Theory, MemberData(nameof(Names))]
    public void Zeros_constants_denormals_and_outliers_stay_finite_and_close(string name)
    {
        foreach (float value in new[] { 0f, 1f, -3f, 1e-41f, 1e30f })
        {
            float[] row = new float[768];
            Array.Fill(row, value);
            Format format = TestMatrix.Learned(name, row);
            float[] decoded = TestMatrix.RoundTrip(format, row);
            Assert.All(decoded, d => Assert.True(float.IsFinite(d)));
            if (value == 0) Assert.All(decoded, d => Assert.Equal(0, d));
            if (Math.Abs(value) is 1 or 3) Assert.InRange(Rows.RelativeError(row, decoded), 0, format.ErrorBudget);
        }
    }
}
