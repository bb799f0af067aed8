using System.Globalization;
using Nibble.Core;

namespace Nibble.Cli;

/// <summary>Numbers as a person reads them.</summary>
internal static class Quantity
{
    /// <summary>Decimal units, as file managers and disks count: "59.0 MB".</summary>
    public static string Bytes(double bytes) => bytes switch
    {
        >= 1e9 => Format(bytes / 1e9, "0.00", "GB"),
        >= 1e6 => Format(bytes / 1e6, "0.0", "MB"),
        >= 1e3 => Format(bytes / 1e3, "0.0", "kB"),
        _ => Format(bytes, "0", "bytes"),
    };

    /// <summary>Reads "500M" or "4G", decimal units as above, or plain bytes.</summary>
    /// <exception cref="UnusableInputException">It is neither, or not above zero.</exception>
    public static long ParseBytes(string option, string text)
    {
        long unit = text.Length == 0 ? 1 : char.ToUpperInvariant(text[^1]) switch { 'K' => 1_000, 'M' => 1_000_000, 'G' => 1_000_000_000, _ => 1 };
        bool isNumber = decimal.TryParse(unit == 1 ? text : text[..^1], NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out decimal number);
        return isNumber && number > 0 && number <= long.MaxValue / unit && number * unit >= 1 ? (long)(number * unit)
            : throw new UnusableInputException($"{option} {text}: give a number of bytes, for example 500M or 4G");
    }

    /// <summary>"5.77 M".</summary>
    public static string Count(double count) => count switch
    {
        >= 1e9 => Format(count / 1e9, "0.00", "B"),
        >= 1e6 => Format(count / 1e6, "0.00", "M"),
        _ => count.ToString("#,0", CultureInfo.InvariantCulture),
    };

    private static string Format(double value, string format, string unit) =>
        $"{value.ToString(format, CultureInfo.InvariantCulture)} {unit}";
}
