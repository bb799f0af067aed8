using System.Diagnostics;
using System.Text.Json;
using Nibble.Tests.Files;

namespace Nibble.Tests.Cli;

/// <summary>What --dry-run says a run will take, beside what it takes. Each run is a process, for memory is a process's.</summary>
public sealed class ForecastTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private static string Text => Path.Combine(EmbeddedModel.Folder, "..", "text", "eval.txt");

    [Theory]
    [InlineData("--to", "Q4_K_M")]
    [InlineData("--to", "Q4_K_M", "--calibration", "TEXT", "--calibration-chunks", "8")]
    [InlineData("--to", "Q4_0", "--method", "importance", "--calibration", "TEXT", "--calibration-chunks", "8")]
    [InlineData("--size", "2600000", "--calibration", "TEXT", "--calibration-chunks", "8")]
    public void Memory_is_kept_within_a_fifth(params string[] arguments)
    {
        string[] command = ["quantize", EmbeddedModel.Folder, "-o", _folder.PathOf("x.gguf"), "--threads", "2", "--json", .. arguments.Select(a => a == "TEXT" ? Text : a)];
        JsonElement plan = Run([.. command, "--dry-run"]);
        double expected = plan.GetProperty("expected_peak_memory_bytes").GetInt64();
        Assert.InRange(plan.GetProperty("expected_seconds").GetDouble(), 0.1, 1000);
        Assert.InRange(Run(command).GetProperty("peak_memory_bytes").GetInt64(), 0.8 * expected, 1.2 * expected);
    }

    [Fact]
    public void Of_a_large_model_too()
    {
        string[] command = ["quantize", SharedData.Path("models/base"), "-o", _folder.PathOf("x.gguf"), "--to", "Q4_K_M", "--threads", "2", "--json",
            "--calibration", SharedData.Path("data/calib.txt"), "--calibration-chunks", "12"];
        double expected = Run([.. command, "--dry-run"]).GetProperty("expected_peak_memory_bytes").GetInt64();
        Assert.InRange(Run(command).GetProperty("peak_memory_bytes").GetInt64(), 0.8 * expected, 1.2 * expected);
    }

    [Fact]
    public void A_format_that_learns_a_table_has_no_forecast()
    {
        JsonElement plan = CommandRun.Of("quantize", EmbeddedModel.Folder, "-o", _folder.PathOf("v"), "--to", "Vector4x256", "--dry-run", "--json").Json;
        Assert.Equal(JsonValueKind.Null, plan.GetProperty("expected_seconds").ValueKind);
        Assert.Equal(JsonValueKind.Null, plan.GetProperty("expected_peak_memory_bytes").ValueKind);
    }

    private static JsonElement Run(string[] arguments)
    {
        var start = new ProcessStartInfo("dotnet", ["exec", Path.Combine(AppContext.BaseDirectory, "nibble.dll"), .. arguments]) { RedirectStandardOutput = true };
        using Process process = Process.Start(start)!;
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Assert.Equal(0, process.ExitCode);
        using JsonDocument document = JsonDocument.Parse(output);
        return document.RootElement.Clone();
    }

    public void Dispose() => _folder.Dispose();
}
