namespace Nibble.Models.Sampling;

/// <summary>
/// e to a power that is not above zero, from additions and multiplications only: <see cref="Math.Exp"/> is the C
/// library's and differs in the last bit from machine to machine, and one bit can change a drawn token.
/// </summary>
internal static class Exponential
{
    private const double Log2E = 1.4426950408889634, Ln2High = 0.693147180369123816490, Ln2Low = 1.90821492927058770002e-10;

    /// <summary>Within 1e-14 relative; 0 below -700.</summary>
    public static double Of(double x)
    {
        if (!(x > -700)) return 0;
        double n = Math.Round(x * Log2E);
        double r = x - n * Ln2High - n * Ln2Low;         // |r| <= ln(2) / 2, so 14 terms of the series are below one bit
        double sum = 1;
        for (int k = 14; k > 0; k--) sum = 1 + r / k * sum;
        return sum * BitConverter.Int64BitsToDouble((1023 + (long)n) << 52);
    }
}
