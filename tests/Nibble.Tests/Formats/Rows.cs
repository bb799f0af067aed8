namespace Nibble.Tests.Formats;

/// <summary>Rows of weights to test with, and the error between two.</summary>
internal static class Rows
{
    public static float[] Gaussian(int count, int seed)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ =>
            (float)(Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble())))];
    }

    /// <summary>Weighted square error over weighted square; the importance repeats from row to row.</summary>
    public static double RelativeError(ReadOnlySpan<float> weights, ReadOnlySpan<float> decoded, ReadOnlySpan<float> importance = default)
    {
        double error = 0, power = 0;
        for (int i = 0; i < weights.Length; i++)
        {
            double w = importance.IsEmpty ? 1 : importance[i % importance.Length];
            error += w * Math.Pow((double)weights[i] - decoded[i], 2);
            power += w * Math.Pow(weights[i], 2);
        }
        return power == 0 ? error : error / power;
    }
}
