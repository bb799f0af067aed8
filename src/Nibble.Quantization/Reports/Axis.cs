using System.Globalization;

namespace Nibble.Quantization.Reports;

/// <summary>An axis of a chart: which numbers it shows, where, and which of them are written beside it.</summary>
internal sealed class Axis
{
    private const int Wanted = 5;

    private Axis(string title, double from, double to, bool isLogarithmic) => (Title, From, To, IsLogarithmic) = (title, from, to, isLogarithmic);

    public string Title { get; }
    public double From { get; }
    public double To { get; }
    public bool IsLogarithmic { get; }

    /// <summary>An axis with exactly these ends.</summary>
    public static Axis Linear(string title, double from, double to) => new(title, from, to > from ? to : from + 1, false);

    /// <summary>A linear axis that shows all values with some room around them.</summary>
    public static Axis LinearAround(string title, IEnumerable<double> values)
    {
        double[] all = [.. values];
        double low = all.Min(), high = all.Max(), room = 0.08 * Math.Max(high - low, 1e-6 + 0.1 * Math.Abs(high));
        return new(title, low - room, high + room, false);
    }

    /// <summary>A logarithmic axis over the values above 0.</summary>
    public static Axis LogarithmicAround(string title, IEnumerable<double> values)
    {
        double[] all = [.. values.Where(v => v > 0)];
        (double low, double high) = all.Length == 0 ? (0.001, 1) : (all.Min(), all.Max());
        return new(title, low / 1.5, high * 1.5, true);
    }

    /// <summary>True if the axis can show a value at all: a logarithmic one has no place for 0.</summary>
    public bool Shows(double value) => !IsLogarithmic || value > 0;

    /// <summary>0 at the beginning of the axis, 1 at its end.</summary>
    public double Place(double value) => IsLogarithmic
        ? Math.Log(value / From) / Math.Log(To / From)
        : (value - From) / (To - From);

    /// <summary>Round numbers, about five of them.</summary>
    public IEnumerable<double> Ticks() => IsLogarithmic ? LogarithmicTicks() : LinearTicks();

    private IEnumerable<double> LinearTicks()
    {
        double rough = (To - From) / Wanted, unit = Math.Pow(10, Math.Floor(Math.Log10(rough)));
        double step = unit * ((rough / unit) switch { < 1.5 => 1, < 3.5 => 2, < 7.5 => 5, _ => 10 });
        for (double k = Math.Ceiling(From / step - 1e-9); k * step <= To + 1e-9 * step; k++) yield return Math.Round(k * step, 12) + 0.0;
    }

    private IEnumerable<double> LogarithmicTicks()
    {
        double decades = Math.Log10(To / From);
        int[] digits = decades > 2.5 ? [1] : decades > 1.2 ? [1, 3] : [1, 2, 3, 5, 7];
        int every = (int)Math.Ceiling(decades / (Wanted + 1));
        for (int power = (int)Math.Floor(Math.Log10(From)); power <= Math.Ceiling(Math.Log10(To)); power++)
            foreach (int digit in digits)
            {
                double tick = digit * Math.Pow(10, power);
                if (tick >= From && tick <= To && (decades <= 2.5 || power % every == 0)) yield return tick;
            }
    }

    public static string Text(double value) =>
        value == 0 || Math.Abs(value) is >= 1e-3 and < 1e5
            ? Math.Round(value, 6).ToString("G6", CultureInfo.InvariantCulture)
            : value.ToString("0.#e0", CultureInfo.InvariantCulture);
}
