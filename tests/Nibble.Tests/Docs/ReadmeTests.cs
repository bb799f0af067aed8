using System.Runtime.CompilerServices;
using Nibble.Tests.Cli;
using Nibble.Tests.Files;

namespace Nibble.Tests.Docs;

/// <summary>What README.md tells a developer to write is what stands in <see cref="ReadmeExample"/>, which runs.</summary>
public class ReadmeTests
{
    [Fact]
    public void The_example_of_the_readme_runs()
    {
        string written = File.ReadAllText(PathOf("../../../README.md")).Split("```csharp\n")[1].Split("```")[0];
        string compiled = File.ReadAllText(PathOf("ReadmeExample.cs"));
        Assert.All(
            written.Split('\n', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries),
            line => Assert.Contains(line.Replace("\"models/nibble-5m\"", "folder", StringComparison.Ordinal)
                .Replace("\"small.gguf\"", "small", StringComparison.Ordinal).Replace("Console.Write", "write", StringComparison.Ordinal), compiled, StringComparison.Ordinal));

        using var folder = new TemporaryFolder();
        var text = new System.Text.StringBuilder();
        ReadmeExample.Run(EmbeddedModel.Folder, folder.PathOf("small.gguf"), piece => text.Append(piece));
        string prompt = "The old man looked out over the sea and";
        Assert.Equal(CommandRun.Of("run", folder.PathOf("small.gguf"), "-p", prompt, "-n", "64", "--temperature", "0", "--json").Json.GetProperty("text").GetString(), text.ToString());
    }

    private static string PathOf(string file, [CallerFilePath] string here = "") => Path.Combine(Path.GetDirectoryName(here)!, file);
}
