using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Numerics;

namespace Nibble.Cli;

/// <summary>
/// Reads what stands on the command line more strictly than the library does, which takes <c>0,5</c> for 5 (a comma between
/// thousands) and an option that it does not know for a model.
/// </summary>
internal static class ArgumentReader
{
    /// <summary>Makes an option of a number refuse what is none, in words.</summary>
    public static void ReadNumbers(Option option)
    {
        switch (option)
        {
            case Option<int> whole: whole.CustomParser = Whole<int>; break;
            case Option<int?> whole: whole.CustomParser = result => Whole<int>(result); break;
            case Option<ulong?> whole: whole.CustomParser = result => Whole<ulong>(result); break;
            case Option<long> whole: whole.CustomParser = Whole<long>; break;
            case Option<long?> whole: whole.CustomParser = result => Whole<long>(result); break;
            case Option<double> number: number.CustomParser = Decimal; break;
            case Option<double?> number: number.CustomParser = result => Decimal(result); break;
        }
    }

    /// <summary>Makes an argument refuse what begins as an option does; a file of such a name can be given as <c>./-name</c>.</summary>
    public static void RefuseOptions(Argument argument) => argument.Validators.Add(result =>
    {
        if (result.Tokens.FirstOrDefault(t => t.Value.StartsWith('-') && t.Value.Length > 1) is { } option) result.AddError($"there is no option '{option.Value}'");
    });

    /// <summary>What is wrong with a command line: a mistyped option, before the word behind it that is one too many.</summary>
    public static string Cause(ParseResult parsed) => (parsed.Errors.FirstOrDefault(e => e.SymbolResult is not CommandResult) ?? parsed.Errors[0]).Message;

    private static T Whole<T>(ArgumentResult result) where T : struct, IBinaryInteger<T>, IMinMaxValue<T> =>
        Number<T>(result, NumberStyles.AllowLeadingSign, $"a whole number from {T.MinValue} to {T.MaxValue}");

    private static double Decimal(ArgumentResult result) => Number<double>(result, NumberStyles.Float, "a number, with a point and not a comma in it");

    private static T Number<T>(ArgumentResult result, NumberStyles style, string what) where T : struct, INumber<T>
    {
        // An option whose value may be left out.
        if (result.Tokens.Count == 0) return default;
        string text = result.Tokens[^1].Value;
        if (T.TryParse(text, style, CultureInfo.InvariantCulture, out T number)) return number;
        result.AddError($"{((OptionResult)result.Parent!).IdentifierToken?.Value} {text}: must be {what}");
        return default;
    }
}
