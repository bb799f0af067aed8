using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;

namespace Nibble.Tests.Docs;

/// <summary>Who embeds a library knows its arguments, not the options of our program.</summary>
public class MessageTests
{
    [Theory]
    [InlineData("Nibble.Core")]
    [InlineData("Nibble.Files")]
    [InlineData("Nibble.Models")]
    [InlineData("Nibble.Quantization")]
    public void A_library_names_no_option_but_in_a_whole_command(string library)
    {
        string folder = PathOf($"../../../src/{library}");
        IEnumerable<string> sources = Directory.EnumerateFiles(folder, "*.cs", SearchOption.AllDirectories)
            .Where(f => !f.Contains($"{Path.DirectorySeparatorChar}obj{Path.DirectorySeparatorChar}", StringComparison.Ordinal));
        Assert.Empty(sources.SelectMany(f => File.ReadLines(f).Where(NamesOption).Select(line => $"{f}: {line.Trim()}")));

        static bool NamesOption(string line) =>
            !line.TrimStart().StartsWith("//", StringComparison.Ordinal) && Regex.IsMatch(Regex.Replace(line, "'nibble [^']*'", ""), "\".*(?<![\\w-])(--[a-z]|-[nop]\\b)");
    }

    private static string PathOf(string path, [CallerFilePath] string here = "") => Path.Combine(Path.GetDirectoryName(here)!, path);
}
