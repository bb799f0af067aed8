using System.Globalization;
using System.Text;

namespace Nibble.Models.Chat.Jinja;

/// <summary>What every template can call.</summary>
internal static class Globals
{
    private const long LongestRange = 100_000;           // Jinja's sandbox has the same limit

    public static Callable? Find(string name, Run run) => name switch
    {
        "range" => new Callable(name, Range),
        "namespace" => new Callable(name, MakeNamespace),
        "dict" => new Callable(name, MakeDict),
        "raise_exception" => new Callable(name, a => throw new JinjaException(Printer.Text(a.Get(0, "message"))) { Refused = true }),
        "strftime_now" => new Callable(name, a => Format(run.Now, Printer.Text(a.Need(0, "format")))),
        _ => null,
    };

    private static List<object?> Range(Arguments arguments)
    {
        bool one = arguments.Positional.Count == 1;
        long start = one ? 0 : Operators.ToLong(arguments.Need(0, "start")), stop = Operators.ToLong(arguments.Need(one ? 0 : 1, "stop"));
        long step = Operators.ToLong(arguments.Get(2, "step", 1L));
        if (step == 0) throw new JinjaException("range's step is zero");
        var numbers = new List<object?>();
        for (Int128 i = start; step > 0 ? i < stop : i > stop; i += step)
        {
            if (numbers.Count == LongestRange) throw new JinjaException($"a range has more than {LongestRange} numbers");
            numbers.Add((long)i);
        }
        return numbers;
    }

    private static Namespace MakeNamespace(Arguments arguments)
    {
        var space = new Namespace();
        if (arguments.Positional is [JinjaDict dict]) foreach ((object key, object? value) in dict) space.Values[Printer.Text(key)] = value;
        foreach ((string key, object? value) in arguments.Named) space.Values[key] = value;
        return space;
    }

    private static JinjaDict MakeDict(Arguments arguments)
    {
        var dict = new JinjaDict();
        if (arguments.Positional is [JinjaDict source]) foreach ((object key, object? value) in source) dict[key] = value;
        else if (arguments.Positional is [var pairs])
        {
            foreach (object? pair in Sequences.Iterate(pairs))
                dict[Sequences.At(pair, 0).Value ?? throw new JinjaException("none cannot be a key")] = Sequences.At(pair, 1).Value;
        }
        foreach ((string key, object? value) in arguments.Named) dict[key] = value;
        return dict;
    }

    /// <summary>C's strftime, in English.</summary>
    private static string Format(DateTime time, string format)
    {
        var result = new StringBuilder();
        for (int i = 0; i < format.Length; i++)
        {
            if (format[i] != '%' || i + 1 == format.Length)
            {
                result.Append(format[i]);
                continue;
            }
            bool unpadded = format[i + 1] == '-' && i + 2 < format.Length;
            string part = Part(time, format[i += unpadded ? 2 : 1]);
            if (unpadded && part.TrimStart('0', ' ') is var bare) part = bare.Length == 0 ? "0" : bare;
            result.Append(part);
        }
        return result.ToString();
    }

    private static string Part(DateTime time, char code) => code switch
    {
        'A' => time.ToString("dddd", CultureInfo.InvariantCulture),
        'a' => time.ToString("ddd", CultureInfo.InvariantCulture),
        'B' => time.ToString("MMMM", CultureInfo.InvariantCulture),
        'b' => time.ToString("MMM", CultureInfo.InvariantCulture),
        'd' => time.ToString("dd", CultureInfo.InvariantCulture),
        'e' => $"{time.Day,2}",
        'F' => time.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture),
        'H' => time.ToString("HH", CultureInfo.InvariantCulture),
        'I' => time.ToString("hh", CultureInfo.InvariantCulture),
        'j' => time.DayOfYear.ToString("000", CultureInfo.InvariantCulture),
        'M' => time.ToString("mm", CultureInfo.InvariantCulture),
        'm' => time.ToString("MM", CultureInfo.InvariantCulture),
        'p' => time.Hour < 12 ? "AM" : "PM",
        'S' => time.ToString("ss", CultureInfo.InvariantCulture),
        'T' => time.ToString("HH:mm:ss", CultureInfo.InvariantCulture),
        'Y' => time.ToString("yyyy", CultureInfo.InvariantCulture),
        'y' => time.ToString("yy", CultureInfo.InvariantCulture),
        '%' => "%",
        _ => throw new JinjaException($"the date format %{code} is not supported"),
    };
}
