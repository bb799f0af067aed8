using Nibble.Core.Formats;
using Nibble.Quantization.Ranges;

namespace Nibble.Tests.Formats;

public class LogFormatTests
{
    [Fact]
    public void Log4_gives_these_bytes()
    {
        // l_max = 1, l_min = -2, six steps of half an octave: byte 96, since 2^(96/24 - 5) = 1/2.
        float[] row = [2, 1, 0.5f, 0.25f, -2, -1, 0, -0.5f];
        byte[] expected = [0x00, 0x00, 0x00, 0x40, 96, 0x57, 0x13, 0xDF, 0xB0];
        Format format = Format.Parse("Log4-g8-f32");
        Assert.Equal(expected, TestMatrix.Encode(format, row));
        Assert.Equal(row, TestMatrix.Decode(format, expected, 8));
    }

    [Theory]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(6)]
    [InlineData(8)]
    public void A_code_counts_steps_of_the_logarithm_from_the_least_magnitude(int bits)
    {
        float[] row = Rows.Gaussian(64, seed: bits);
        Format format = Format.Parse($"Log{bits}-f32");
        byte[] block = TestMatrix.Encode(format, row, new MinMaxRange());
        int top = (1 << (bits - 1)) - 2;
        double lMax = Math.Log2(row.Max(Math.Abs)), exactStep = (lMax - Math.Log2(row.Min(Math.Abs))) / top;
        double step = Math.Pow(2, block[4] / 24.0 - 5), lMin = lMax - top * step;
        Assert.InRange(step / exactStep, Math.Pow(2, -1 / 48.0) - 1e-6, Math.Pow(2, 1 / 48.0) + 1e-6);

        var codes = new ushort[64];
        format.ReadCodes(block, codes);
        for (int i = 0; i < 64; i++)
        {
            double place = (Math.Log2(Math.Abs(row[i])) - lMin) / step;
            if (Math.Abs(place - Math.Floor(place) - 0.5) < 1e-4) continue;
            int q = (int)Math.Round(place);
            Assert.Equal(q < 0 ? 0 : 1 + q + (row[i] < 0 ? 1 << (bits - 1) : 0), codes[i]);
        }
    }

    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(8)]
    public void The_search_beats_the_extremes_and_comes_near_the_best_of_a_grid(int bits)
    {
        Format format = Format.Parse($"Log{bits}-f32");
        double allFound = 0, allBest = 0;
        for (int seed = 0; seed < 5; seed++)
        {
            float[] row = Rows.Gaussian(64, seed);
            double found = Rows.RelativeError(row, TestMatrix.RoundTrip(format, row));
            Assert.True(found <= Rows.RelativeError(row, TestMatrix.RoundTrip(format, row, new MinMaxRange())) * 1.0001);
            double best = double.PositiveInfinity;
            for (int top = 40; top <= 110; top++)
                for (int step = 0; step < 256; step += 4)
                {
                    var given = new Given(row.Max(Math.Abs) * top / 100f, (float)(Math.Pow(2, step / 24.0 - 5) * ((1 << (bits - 1)) - 2)));
                    best = Math.Min(best, Rows.RelativeError(row, TestMatrix.RoundTrip(format, row, given)));
                }
            allFound += found;
            allBest += best;
        }
        Assert.InRange(allFound, 0, 1.10 * allBest);
    }

    /// <summary>An interval of magnitudes that ends at a given one and is so many octaves wide.</summary>
    private sealed class Given(float high, float octaves) : DynamicRange
    {
        public override string Name => "given";

        public override (float Low, float High) Choose(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, IQuantizerLevels levels) =>
            (high * MathF.Pow(2, -octaves), high);
    }
}
