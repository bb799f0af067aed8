using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Quantization.Ranges;

namespace Nibble.Tests.Formats;

public class LinearFormatTests
{
    [Fact]
    public void Zero_points_give_these_bytes() => AssertBytes("Linear4-g8",
        [-5, -4, 0, 1, 2, 3, 9, 10],
        // step 15/15 = 1 in F16, zero point 5, codes 0 1 5 6 7 8 14 15
        [0x00, 0x3C, 0x05, 0x10, 0x65, 0x87, 0xFE]);

    [Fact]
    public void Symmetric_codes_give_these_bytes() => AssertBytes("Linear3-sym-g8-f32",
        [-4, -3, -2, -1, 0, 1, 2, 3],
        // scale 1 in F32, codes 0 to 7
        [0x00, 0x00, 0x80, 0x3F, 0x88, 0xC6, 0xFA]);

    [Fact]
    public void A_symmetric_block_whose_largest_weight_is_above_zero_has_a_negative_scale() => AssertBytes("Linear4-sym-g8",
        [8, 4, 0, -1, -7, 2, 1, 3],
        // scale -1: codes 8 - w
        [0x00, 0xBC, 0x40, 0x98, 0x6F, 0x57]);

    [Fact]
    public void One_bit_is_a_sign_and_a_scale() => AssertBytes("Linear1-g8-bf16",
        [2, -2, -2, 2, 2, 2, -2, 2],
        // 2.0 in BF16, then a one for each weight above zero
        [0x00, 0x40, 0b1011_1001]);

    [Fact]
    public void Minimums_give_these_bytes() => AssertBytes("Linear2-min-g8",
        [10, 10.5f, 11, 11.5f, 11.5f, 11, 10.5f, 10],
        // step 0.5, minimum 10, codes 0 1 2 3 3 2 1 0
        [0x00, 0x38, 0x00, 0x49, 0b11_10_01_00, 0b00_01_10_11]);

    [Fact]
    public void Fixed_point_stores_the_exponent() => AssertBytes("Fixed8-g8",
        [-0.5f, 0.25f, 0.0078125f, 0, 0.4921875f, -0.25f, 0.125f, -0.00390625f],
        // 2^-8 covers 128 steps of 1/256; the codes are 128 + 256 w, the positive end is inside
        [0xF8, 0, 192, 130, 128, 254, 64, 160, 127]);

    [Fact]
    public void Eight_bit_scales_share_a_super_scale()
    {
        float[] row = new float[256];
        for (int g = 0; g < 2; g++)
            for (int i = 0; i < 128; i++) row[128 * g + i] = (i % 16 - 8) * (g == 0 ? 254 : 508);
        byte[] bytes = TestMatrix.Encode(Format.Parse("Linear4-sym-g128-s8"), row);
        Assert.Equal(4 + 2 + 128, bytes.Length);
        // The larger scale, 508, is 127 times the super-scale 4; the smaller is 63.5 times it, rounded to even.
        Assert.Equal([0x00, 0x00, 0x80, 0x40, 64, 127], bytes[..6]);
    }

    [Fact]
    public void The_step_is_the_interval_over_its_number_of_steps_and_the_zero_point_is_whole()
    {
        float[] row = Rows.Gaussian(64, seed: 3);
        for (int bits = 2; bits <= 8; bits++)
        {
            byte[] block = TestMatrix.Encode(Format.Parse($"Linear{bits}-f32"), row, new MinMaxRange());
            double step = BitConverter.ToSingle(block), expected = ((double)row.Max() - row.Min()) / ((1 << bits) - 1);
            Assert.Equal(expected, step, expected * 1e-7);
            Assert.Equal((int)Math.Round(-row.Min() / step), block[4]);
            Assert.All(TestMatrix.Decode(Format.Parse($"Linear{bits}-f32"), block, 64), w => Assert.Equal(Math.Round(w / step), w / step, 1e-4));
        }
    }

    [Theory]
    [InlineData("Linear4-g64-f16", "Linear4")]
    [InlineData("linear4-f32-sym", "Linear4-sym-f32")]
    [InlineData("Linear8-sym-p2-row", "Fixed8-row")]
    [InlineData("Linear1", "Linear1")]
    public void Names_leave_out_what_goes_without_saying(string name, string canonical) => Assert.Equal(canonical, Format.Parse(name).Name);

    /// <summary>Eight groups are searched side by side.</summary>
    [Theory, InlineData("Linear4-f32"), InlineData("Linear3-sym-f32"), InlineData("Linear2-g32-f32")]
    public void Groups_of_any_magnitude_lose_no_more_beside_each_other_than_alone(string name)
    {
        var format = (LinearFormat)Format.Parse(name);
        int size = format.GroupSize;
        float[] row = Rows.Gaussian(8 * size, seed: 3);
        for (int i = 0; i < row.Length; i++) row[i] *= MathF.Pow(10, 10 * (i / size) - 34);
        float[] together = TestMatrix.Decode(format, TestMatrix.Encode(format, row), row.Length);
        for (int g = 0; g < row.Length; g += size)
            Assert.Equal(TestMatrix.Decode(format, TestMatrix.Encode(format, row[g..(g + size)]), size), together[g..(g + size)]);
        // Squares of such numbers do not fit a float.
        Assert.InRange(Rows.RelativeError([.. row.Select(Near)], [.. together.Select(Near)]), 0, format.ErrorBudget);

        float Near(float weight, int at) => (float)(weight / Math.Pow(10, 10 * (at / size) - 34));
    }

    [Theory]
    [InlineData("Linear9")]
    [InlineData("Linear4-g1")]
    [InlineData("Linear4-sum")]
    [InlineData("Linear1-zero")]
    [InlineData("Linear4-p2")]
    [InlineData("Linear4-row-s8")]
    [InlineData("Linear4-g48-s8")]
    [InlineData("Linear4sym")]
    public void A_name_that_means_nothing_is_refused_in_one_line(string name) =>
        Assert.DoesNotContain('\n', Assert.Throws<UnusableInputException>(() => Format.Parse(name)).Message);

    private static void AssertBytes(string name, float[] row, byte[] expected)
    {
        Format format = Format.Parse(name);
        Assert.Equal(expected, TestMatrix.Encode(format, row));
        Assert.Equal(row, TestMatrix.Decode(format, expected, row.Length));
    }
}
