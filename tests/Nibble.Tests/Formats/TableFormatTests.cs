using Nibble.Core.Formats;

namespace Nibble.Tests.Formats;

public class TableFormatTests
{
    [Fact]
    public void Fp4_gives_these_bytes() => AssertBytes("FP4-g8",
        [0, 0.5f, 1, 1.5f, -2, 3, 4, -6],
        // scale 1; codes 0 1 2 3 12 5 6 15
        [0x00, 0x3C, 0x10, 0x32, 0x5C, 0xF6]);

    [Fact]
    public void Nf4_gives_these_bytes() => AssertBytes("NF4-g8-f32",
        [-1, -0.6961928f, 0, 1, 0.0795803f, 0.44070983f, -0.091050036f, 0.72295684f],
        // scale 1; codes 0 1 7 15 8 12 6 14
        [0x00, 0x00, 0x80, 0x3F, 0x10, 0xF7, 0xC8, 0xE6]);

    [Fact]
    public void Powers_of_two_give_these_bytes() => AssertBytes("Pot3-g8",
        [1, -1, 0.5f, -0.5f, 0.25f, -0.25f, 0, 1],
        // scale 1; codes 3 7 2 6 1 5 0 3, three bits each: 30516273 in octal
        [0x00, 0x3C, 0xBB, 0x9C, 0x62]);

    [Theory]
    [InlineData("Pot4", new[] { 0, 1 / 64.0, 1 / 32.0, 1 / 16.0, 1 / 8.0, 1 / 4.0, 1 / 2.0, 1 })]
    [InlineData("Log3-b3", new[] { 0, 1 / 9.0, 1 / 3.0, 1 })]
    // A first term of two bits, {0, 1/2, 1/4, 1/16}, plus a second of one, {0, 1/8}.
    [InlineData("Apot4", new[] { 0, 1 / 16.0, 1 / 8.0, 3 / 16.0, 1 / 4.0, 3 / 8.0, 1 / 2.0, 5 / 8.0 })]
    // {0, 1/2, 1/8, 1/32} plus {0, 1/4, 1/16, 1/64}: the sums of the paper's 4-bit example.
    [InlineData("Apot5", new[] { 0, 1 / 64.0, 2 / 64.0, 3 / 64.0, 4 / 64.0, 6 / 64.0, 8 / 64.0, 9 / 64.0, 12 / 64.0, 16 / 64.0, 18 / 64.0, 24 / 64.0, 32 / 64.0, 33 / 64.0, 36 / 64.0, 48 / 64.0 })]
    public void A_code_is_a_sign_and_a_magnitude(string name, double[] magnitudes)
    {
        Format format = Format.Parse(name + "-g32-f32");
        int bits = format.BlockBytes - 4 == 32 * 3 / 8 ? 3 : format.BlockBytes - 4 == 16 ? 4 : 5;
        var block = new byte[format.BlockBytes];
        BitConverter.TryWriteBytes(block, 1f);
        for (int code = 0; code < 1 << bits; code++) BitPacking.Write(block.AsSpan(4), code, bits, code);
        float[] decoded = TestMatrix.Decode(format, block, 32)[..(1 << bits)];
        double[] expected = [.. magnitudes, .. magnitudes.Select(m => -m)];
        for (int code = 0; code < expected.Length; code++) Assert.Equal(expected[code], decoded[code], 1e-7);
    }

    [Theory]
    [InlineData("NF4")]
    [InlineData("FP4")]
    [InlineData("Apot6")]
    [InlineData("F8_E4M3-row")]
    public void A_weight_becomes_the_nearest_level(string name)
    {
        float[] row = Rows.Gaussian(512, seed: 1);
        Format format = TestMatrix.Learned(name + "-f32", row);
        byte[] bytes = TestMatrix.Encode(format, row);
        float[] decoded = TestMatrix.Decode(format, bytes, row.Length);
        // Every code of the first block, decoded under the block's own scale.
        float scale = BitConverter.ToSingle(bytes);
        var levels = new List<float>();
        var block = bytes[..format.BlockBytes];
        for (int code = 0; code < format.CodeCount; code++)
        {
            BitPacking.Write(block.AsSpan(4), 0, (int)Math.Log2(format.CodeCount), code);
            levels.Add(TestMatrix.Decode(format, block, format.BlockSize)[0]);
        }
        Assert.Contains(levels, l => l == levels.Max() && scale > 0);
        for (int i = 0; i < format.BlockSize; i++)
            Assert.Equal(levels.Min(l => Math.Abs((double)l - row[i])), Math.Abs((double)decoded[i] - row[i]), 1e-7);
    }

    [Fact]
    public void E5m2_is_the_upper_byte_of_a_half()
    {
        byte[] codes = [.. Enumerable.Range(0, 256).Select(c => (byte)c)];
        float[] decoded = TestMatrix.Decode(FloatFormat.F8_E5M2, codes, 256);
        for (int c = 0; c < 256; c++)
            Assert.Equal((float)BitConverter.UInt16BitsToHalf((ushort)(c << 8)), decoded[c]);
    }

    [Theory]
    [InlineData(1, 0x38)]
    [InlineData(448, 0x7E)]
    [InlineData(1e6, 0x7E)]
    [InlineData(-0.001953125, 0x81)]
    [InlineData(0.015625, 0x08)]
    [InlineData(1.0625, 0x38)]
    [InlineData(1.1875, 0x3A)]
    [InlineData(float.NaN, 0x7F)]
    public void E4m3_encodes_as_the_paper_says(float weight, byte code) =>
        Assert.Equal(code, TestMatrix.Encode(FloatFormat.F8_E4M3, [weight])[0] & (float.IsNaN(weight) ? 0x7F : 0xFF));

    [Theory]
    [InlineData("F8_E4M3")]
    [InlineData("F8_E5M2")]
    public void An_8_bit_float_is_the_nearest_there_is(string name)
    {
        Format format = Format.Parse(name);
        byte[] codes = [.. Enumerable.Range(0, 256).Select(c => (byte)c)];
        float[] all = [.. TestMatrix.Decode(format, codes, 256).Where(float.IsFinite)];
        Assert.Equal(codes.Where(c => float.IsFinite(TestMatrix.Decode(format, [c], 1)[0])),
            all.Select(v => TestMatrix.Encode(format, [v])[0]));
        foreach (float w in Rows.Gaussian(2000, seed: 3).Select((g, i) => g * MathF.Pow(2, i % 20 - 12)))
            Assert.Equal(all.Min(v => Math.Abs((double)v - w)), Math.Abs((double)TestMatrix.RoundTrip(format, [w])[0] - w));
    }

    private static void AssertBytes(string name, float[] row, byte[] expected)
    {
        Format format = Format.Parse(name);
        Assert.Equal(expected, TestMatrix.Encode(format, row));
        Assert.Equal(row, TestMatrix.Decode(format, expected, row.Length));
    }
}
