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

    private static readonly (string Word, long Bytes)[] Units =
    [
        ("KiB", 1L << 10), ("MiB", 1L << 20), ("GiB", 1L << 30), ("KB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000),
        ("K", 1_000), ("M", 1_000_000), ("G", 1_000_000_000), ("B", 1), ("", 1),
    ];

    /// <summary>Reads "500M", "20 MB" or "4G", decimal units as above, "1.5GiB", or plain bytes.</summary>
    /// <exception cref="UnusableInputException">It is none of these, or not above zero.</exception>
    public static long ParseBytes(string option, string text)
    {
        (string word, long unit) = Units.First(u => text.EndsWith(u.Word, StringComparison.OrdinalIgnoreCase));
        bool isNumber = decimal.TryParse(text[..^word.Length].TrimEnd(), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out decimal number);
        return isNumber && number > 0 && number <= long.MaxValue / unit && number * unit >= 1 ? (long)(number * unit)
            : throw new UnusableInputException($"{option} {text}: give a number of bytes, for example 500M, 20MB or 1.5GiB");
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
