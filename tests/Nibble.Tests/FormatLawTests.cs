using Nibble.Core.Formats;

namespace Nibble.Tests;

/// <summary>What every format of the list must keep.</summary>
public class FormatLawTests
{
    public static TheoryData<string> Formats => new(Format.All.Select(f => f.Name));

    [Theory, MemberData(nameof(Formats))]
    public void Nearest_rounding_stays_within_the_error_budget(string name)
    {
        Format format = Format.Parse(name);
        float[] row = Gaussian(4096, seed: 1);
        var bytes = new byte[format.RowBytes(row.Length)];
        format.Encode(row, default, bytes);
        var decoded = new float[row.Length];
        format.Decode(bytes, decoded);
        double error = 0, power = 0;
        for (int i = 0; i < row.Length; i++)
        {
            error += Math.Pow(row[i] - decoded[i], 2);
            power += Math.Pow(row[i], 2);
        }
        Assert.InRange(error / power, 0, format.ErrorBudget);
    }

    private static float[] Gaussian(int count, int seed)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ =>
            (float)(Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble())))];
    }
}
