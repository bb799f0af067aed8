using System.Diagnostics;
using System.Globalization;
using Nibble.Core;
using Nibble.Models;
using Nibble.Tests.Files;
using Nibble.Tests.Golden;

namespace Nibble.Tests.Cli;

/// <summary>What is written, printed and said is the same whatever the culture of the program that embeds the library, or of the machine.</summary>
public sealed class CultureTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    [Theory]
    [InlineData("\"rms_norm_eps\": 1e-06", "\"rms_norm_eps\": -0.5", "rms_norm_eps is -0.5; it must be above 0")]
    [InlineData("\"rope_theta\": 10000.0", "\"rope_theta\": -1.5", "rope_theta is -1.5; it must be above 0")]
    [InlineData("\"rope_theta\": 10000.0", "\"partial_rotary_factor\": 0.25, \"rope_theta\": 1e4", "partial_rotary_factor is 0.25, but")]
    public void Numbers_in_messages_are_the_same_in_every_culture(string text, string other, string message)
    {
        GoldenCheckpoint.Copy("llama", _folder.Path);
        string file = _folder.PathOf("config.json");
        File.WriteAllText(file, File.ReadAllText(file).Replace(text, other, StringComparison.Ordinal));
        Assert.Contains(message, InForeignCulture(() => Assert.Throws<UnusableInputException>(() => ModelSource.Open(_folder.Path)).Message)
            .Replace("\"", "", StringComparison.Ordinal).Replace("'", "", StringComparison.Ordinal), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("quantize", "--to", "Log4-b1.5")]
    [InlineData("quantize", "--to", "Q4_K", "--range", "percentile:99.5")]
    [InlineData("report", "--context", "32", "--chunks", "1")]
    public void What_is_written_is_the_same_in_every_culture(string verb, params string[] options)
    {
        string[] arguments = [verb, EmbeddedModel.Folder, .. options, "--json"];
        string here = _folder.PathOf("here"), there = _folder.PathOf("there");
        _ = CommandRun.Of([.. arguments, "-o", here]).Json;
        _ = InForeignCulture(() => CommandRun.Of([.. arguments, "-o", there]).Json);
        string[] files = File.Exists(here) ? [""] : [.. Directory.EnumerateFiles(here).Select(f => Path.GetFileName(f))];
        Assert.All(files, f => Assert.True(File.ReadAllBytes(Path.Combine(here, f)).AsSpan().SequenceEqual(File.ReadAllBytes(Path.Combine(there, f))), f));
    }

    [Theory]
    [InlineData("de_DE")]
    [InlineData("tr_TR")]
    public void The_program_prints_and_reads_the_same_where_the_environment_switches_cultures_on(string culture)
    {
        Assert.Contains("4.69 bits per weight", Run(culture, ["quantize", "--to", "iq4_xs", "--dry-run"]), StringComparison.Ordinal);
        string[] eval = ["eval", "--text", EmbeddedModel.Text, "--context", "64", "--chunks", "2"];
        Assert.Equal(Run(null, eval).Split('\n')[..2], Run(culture, eval).Split('\n')[..2]);
    }

    /// <summary>With numbers as German and Swedish have them; the test's process knows no culture by name.</summary>
    private static T InForeignCulture<T>(Func<T> action)
    {
        CultureInfo before = CultureInfo.CurrentCulture, foreign = (CultureInfo)CultureInfo.InvariantCulture.Clone();
        foreign.NumberFormat = new NumberFormatInfo { NumberDecimalSeparator = ",", NumberGroupSeparator = ".", PercentDecimalSeparator = ",", NegativeSign = "\u2212" };
        try
        {
            CultureInfo.CurrentCulture = foreign;
            return action();
        }
        finally
        {
            CultureInfo.CurrentCulture = before;
        }
    }

    /// <summary>What a process of its own prints; skips the test where the machine has no cultures to switch on.</summary>
    private static string Run(string? culture, string[] arguments)
    {
        var start = new ProcessStartInfo("dotnet", ["exec", Path.Combine(AppContext.BaseDirectory, "nibble.dll"), .. arguments])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            Environment = { ["DOTNET_SYSTEM_GLOBALIZATION_INVARIANT"] = culture is null ? "1" : "0", ["LC_ALL"] = $"{culture ?? "C"}.UTF-8" },
        };
        using Process process = Process.Start(start)!;
        Task<string> error = process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Assert.SkipWhen(error.Result.Contains("ICU", StringComparison.Ordinal), "no cultures are installed");
        Assert.True(process.ExitCode == 0, error.Result);
        return output;
    }

    public void Dispose() => _folder.Dispose();
}
