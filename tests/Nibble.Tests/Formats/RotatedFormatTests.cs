using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Core.Kernels;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Tests.Formats;

public sealed unsafe class RotatedFormatTests
{
    private const int Columns = 768;

    [Fact]
    public void A_rotation_taken_back_is_what_was()
    {
        foreach (int width in (int[])[2, 64, 256])
        {
            var rotation = new ColumnRotation(Columns, width);
            float[] row = Rows.Gaussian(Columns, seed: 1), rotated = [.. row];
            rotation.Rotate(rotated);
            Assert.True(Rows.RelativeError(row, rotated) > 0.1);
            rotation.RotateBack(rotated);
            Assert.InRange(Rows.RelativeError(row, rotated), 0, 1e-12);
        }
    }

    [Fact]
    public void A_rotation_keeps_products()
    {
        var rotation = new ColumnRotation(Columns, 256);
        float[] x = Rows.Gaussian(Columns, seed: 1), w = Rows.Gaussian(Columns, seed: 2);
        double before = Dot(x, w);
        rotation.Rotate(x);
        rotation.Rotate(w);
        Assert.Equal(before, Dot(x, w), 1e-3);
    }

    [Fact]
    public void Rotations_need_a_power_of_two_that_divides_the_row()
    {
        Assert.Throws<UnusableInputException>(() => new ColumnRotation(Columns, 512));
        Assert.Throws<UnusableInputException>(() => new ColumnRotation(Columns, 96));
        Assert.False(Format.Parse("Linear4-h512").Divides(Columns));
        Assert.True(Format.Parse("Linear4-h").Divides(Columns));
    }

    /// <summary>One column takes the range from the others of its group, unless it is spread over all.</summary>
    [Fact]
    public void An_outlier_costs_less_once_it_is_spread()
    {
        float[] row = Rows.Gaussian(Columns, seed: 3);
        for (int i = 0; i < Columns; i += 64) row[i] *= 12;
        Assert.True(Error("Linear3-h", row) < 0.6 * Error("Linear3", row));
    }

    [Theory, InlineData("Linear4-h"), InlineData("Linear3-sym-row-h256"), InlineData("Trellis2-h"), InlineData("Vector8-E8-h"), InlineData("Q4_K-h"), InlineData("NF4-h64")]
    public void Put_says_what_decode_reads(string name)
    {
        Format format = Format.Parse(name).ForColumns(Columns);
        float[] row = Rows.Gaussian(Columns, seed: 4), said = new float[Columns];
        var bytes = new byte[format.RowBytes(Columns)];
        format.Fit(row, default, bytes);
        format.Put(bytes, 0, row, said);
        Assert.Equal(said, TestMatrix.Decode(format, bytes, Columns));
        Assert.InRange(Rows.RelativeError(row, said), 0, format.ErrorBudget);
    }

    [Theory, InlineData("Linear4-h", 1), InlineData("Trellis3-h", 3), InlineData("Q4_K-h", 2), InlineData("NF4-h64", 5)]
    public void The_product_is_decode_and_multiply(string name, int tokens)
    {
        const int Height = 20;
        using var pool = new WorkerPool(2);
        float[] weights = Rows.Gaussian(Height * Columns, seed: 5);
        Weight weight = Weight.Allocate("w", Format.Parse(name), Height, Columns);
        for (int r = 0; r < Height; r++) weight.Format.Encode(weights.AsSpan(r * Columns, Columns), default, weight.Row(r));
        using var x = new Activation();
        x.Resize(tokens, Columns);
        for (int t = 0; t < tokens; t++) Rows.Gaussian(Columns, seed: 6 + t).CopyTo(x.Row(t));
        float[] y = new float[tokens * Height], row = new float[Columns];
        fixed (float* p = y) MatrixProduct.Multiply(weight, x, p, pool, InputRounding.None);
        for (int r = 0; r < Height; r++)
        {
            weight.ReadRow(r, row);
            for (int t = 0; t < tokens; t++) Assert.Equal(Dot(x.Row(t), row), y[t * Height + r], 2e-3);
        }
    }

    private static double Dot(ReadOnlySpan<float> a, ReadOnlySpan<float> b)
    {
        double sum = 0;
        for (int i = 0; i < a.Length; i++) sum += (double)a[i] * b[i];
        return sum;
    }

    private static double Error(string name, float[] row)
    {
        Format format = Format.Parse(name).ForColumns(row.Length);
        var bytes = new byte[format.RowBytes(row.Length)];
        format.Encode(row, default, bytes);
        return Rows.RelativeError(row, TestMatrix.Decode(format, bytes, row.Length));
    }
}
