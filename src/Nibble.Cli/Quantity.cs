using System.Globalization;

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
