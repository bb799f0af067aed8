using System.Text.Json;
using Nibble.Tests.Files;
using Nibble.Tests.Golden;

namespace Nibble.Tests.Cli;

/// <summary><c>inspect --text</c>: how often each expert is used.</summary>
public sealed class ExpertUseTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    [Theory]
    [InlineData("mixtral", 2, 2)]
    [InlineData("gpt-oss", 2, 2)]
    [InlineData("deepseek-v3", 2, 2)]
    public void The_shares_of_a_layers_experts_add_up_to_the_experts_a_token_uses(string name, int layers, int used)
    {
        JsonElement experts = CommandRun.Of("inspect", WithTokenizer(name), "--text", Text(), "--json").Json.GetProperty("experts");
        Assert.True(experts.GetProperty("tokens").GetInt64() > 100);
        JsonElement[] rows = [.. experts.GetProperty("layers").EnumerateArray()];
        Assert.Equal(layers, rows.Length);
        foreach (JsonElement row in rows)
        {
            double[] rates = [.. row.GetProperty("rates").EnumerateArray().Select(r => r.GetDouble())];
            Assert.All(rates, r => Assert.InRange(r, 0, 1));
            Assert.Equal(used, rates.Sum(), 1e-9);
        }
    }

    [Fact]
    public void The_table_names_the_least_and_the_most_used_expert()
    {
        CommandRun run = CommandRun.Of("inspect", WithTokenizer("mixtral"), "--text", Text());
        Assert.Equal(0, run.ExitCode);
        Assert.Contains("use of experts over", run.Output, StringComparison.Ordinal);
    }

    [Fact]
    public void A_model_without_experts_is_told_so() => Assert.Contains("is no mixture of experts",
        CommandRun.Of("inspect", GoldenCheckpoint.Folder("llama"), "--text", Text()).ErrorLine(2), StringComparison.Ordinal);

    public void Dispose() => _folder.Dispose();

    private string Text() => _folder.Write("text.txt", System.Text.Encoding.UTF8.GetBytes(string.Concat(Enumerable.Repeat("The quick brown fox jumps over the lazy dog. ", 40))));

    private string WithTokenizer(string name) => GoldenCheckpoint.WithTokenizer(name, _folder.PathOf(name));
}
