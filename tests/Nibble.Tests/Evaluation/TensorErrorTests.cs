using Nibble.Core.Formats;
using Nibble.Quantization.Evaluation;
using Nibble.Quantization.Ranges;
using Nibble.Tests.Formats;

namespace Nibble.Tests.Evaluation;

public class TensorErrorTests
{
    [Fact]
    public void Counts_by_hand()
    {
        Format format = Format.Parse("Linear2-min-g8-f32");
        float[] original = [0, 1, 2, 3, 0.25f, 1, 1, 1];
        byte[] stored = TestMatrix.Encode(format, original, new MinMaxRange());
        var error = new TensorError(format);
        error.Add(original, stored, TestMatrix.Decode(format, stored, 8));
        Assert.Equal(8, error.Weights);
        Assert.Equal(0.25, error.MaxError);
        Assert.Equal(0.0625 / (1 + 4 + 9 + 0.0625 + 3), error.RelativeMse, 1e-12);
        Assert.Equal(-10 * Math.Log10(error.RelativeMse), error.SqnrDecibel);
        Assert.Equal(0, error.Clipped);
        Assert.Equal(1, error.CodesUsed);
        // Codes 0 1 2 3 0 1 1 1: shares 2/8, 4/8, 1/8, 1/8.
        Assert.Equal(0.25 * 2 + 0.5 * 1 + 2 * 0.125 * 3, error.CodeEntropy!.Value, 1e-12);
    }

    [Fact]
    public void Weights_beyond_the_outermost_level_are_clipped()
    {
        float[] original = [-1, -0.5f, 0, 0.5f, 1, 0.25f, 5, -0.75f];
        Format format = Format.Parse("Linear4-g8-f32");
        byte[] stored = TestMatrix.Encode(format, [.. original.Select(w => Math.Min(w, 1))], new MinMaxRange());
        var error = new TensorError(format);
        error.Add(original, stored, TestMatrix.Decode(format, stored, 8));
        Assert.Equal(1 / 8.0, error.ClippedShare);
    }

    [Fact]
    public void Formats_that_lose_nothing_have_infinite_signal_to_noise()
    {
        float[] original = Rows.Gaussian(64, 1);
        var error = new TensorError(FloatFormat.F32);
        error.Add(original, TestMatrix.Encode(FloatFormat.F32, original), original);
        Assert.Equal(double.PositiveInfinity, error.SqnrDecibel);
        Assert.Null(error.CodeEntropy);
    }

    public static TheoryData<string> Formats => [.. Format.All.Select(f => f.Name)];

    [Theory, MemberData(nameof(Formats))]
    public void Every_format_says_how_its_codes_were_used_or_that_it_cannot(string name)
    {
        float[] original = Rows.Gaussian(2048, 3);
        Format format = TestMatrix.Learned(name, original, 2);
        var error = new TensorError(format);
        foreach (float[] row in original.Chunk(1024))
        {
            byte[] stored = TestMatrix.Encode(format, row);
            error.Add(row, stored, TestMatrix.Decode(format, stored, row.Length));
        }
        if (format.Family == FormatFamily.Float) return;
        Assert.InRange(error.ClippedShare, 0, 0.2);
        if (format.CodeCount == 0) Assert.Null(error.CodeEntropy);
        else Assert.InRange(error.CodeEntropy!.Value, 0, Math.Log2(Math.Ceiling(format.CodeCount * error.CodesUsed!.Value)) + 1e-9);
    }
}
