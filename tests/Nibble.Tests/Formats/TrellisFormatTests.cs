using System.Runtime.InteropServices;
using Nibble.Core;
using Nibble.Core.Formats;

namespace Nibble.Tests.Formats;

public class TrellisFormatTests
{
    /// <summary>What no code of as many bits can do better than is 4^-bits; scalar codes stay 2.7 decibels and more above it.</summary>
    [Theory, InlineData(1, 1.25), InlineData(2, 1.26), InlineData(3, 1.29), InlineData(4, 1.36)]
    public void Gaussian_weights_lose_little_more_than_any_code_must(int bits, double share)
    {
        Format format = TrellisFormat.OfBits(bits).ForColumns(1024);
        double error = 0;
        for (int seed = 0; seed < 8; seed++)
        {
            float[] row = Rows.Gaussian(1024, seed);
            error += Rows.RelativeError(row, RoundTrip(format, row)) / 8;
        }
        Assert.InRange(error, Math.Pow(4, -bits), share * Math.Pow(4, -bits));
    }

    /// <summary>The page docs/format.md says what a ring means in other words; this is that, word by word.</summary>
    [Theory, InlineData(1), InlineData(2), InlineData(3), InlineData(4)]
    public void The_bytes_mean_what_the_page_says(int bits)
    {
        Format format = TrellisFormat.OfBits(bits).ForColumns(128);
        var bytes = new byte[2 + 2 * 8 * bits];
        new Random(bits).NextBytes(bytes);
        MemoryMarshal.Write(bytes, (Half)0.5);
        var decoded = new float[128];
        format.Decode(bytes, decoded);
        for (int i = 0; i < 128; i++)
        {
            byte[] ring = bytes[(2 + i / 64 * 8 * bits)..(2 + (i / 64 + 1) * 8 * bits)];
            uint state = 0;
            for (int b = 0; b < 12; b++)
            {
                int bit = (i % 64 * bits + b) % (64 * bits);
                state |= (uint)(ring[bit / 8] >> (bit % 8) & 1) << b;
            }
            uint hash = unchecked(0xF3F4745B * state + 0xC9920667);
            int sum = 0;
            for (int k = 0; k < 4; k++) sum += (int)(hash >> (8 * k)) & 63;
            Assert.Equal(0.5f * (sum - 126), decoded[i]);
        }
    }

    [Fact]
    public void Names_are_read_as_they_are_written()
    {
        foreach (string name in (string[])["Trellis1", "Trellis2-g128", "Trellis3-f32", "Trellis4-g64-bf16", "Trellis2-h", "Trellis3-g128-h256"])
            Assert.Equal(name, Format.Parse(name.ToLowerInvariant()).Name);
        foreach (string name in (string[])["Trellis5", "Trellis2-g96", "Trellis2-tensor", "Trellis2-s8", "Trellis2-h100", "F16-h", "Trellis2-h-h", "Trellis2" + string.Concat(Enumerable.Repeat("-h", 100_000))])
            Assert.Throws<UnusableInputException>(() => Format.Parse(name));
    }

    [Fact]
    public void A_row_that_rings_do_not_divide_is_refused()
    {
        Assert.Contains("64", Assert.Throws<UnusableInputException>(() => TrellisFormat.OfBits(2).ForColumns(96)).Message);
        Assert.False(TrellisFormat.OfBits(2).Divides(96));
        Assert.True(TrellisFormat.OfBits(2).Divides(128));
    }

    private static float[] RoundTrip(Format format, float[] row)
    {
        var bytes = new byte[format.RowBytes(row.Length)];
        format.Encode(row, default, bytes);
        return TestMatrix.Decode(format, bytes, row.Length);
    }
}
