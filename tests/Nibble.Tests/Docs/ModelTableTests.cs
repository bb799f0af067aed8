using System.Globalization;
using System.Runtime.CompilerServices;
using Nibble.Core.Threading;
using Nibble.Models;
using Nibble.Models.Architectures;
using Nibble.Models.Decoder;
using Nibble.Tests.Decoder;

namespace Nibble.Tests.Docs;

/// <summary>
/// The table in docs/models.md is made from the list of architectures and from what their golden checkpoints measure.
/// <c>NIBBLE_WRITE_DOCS=1 dotnet test</c> writes it anew.
/// </summary>
public class ModelTableTests
{
    private static readonly string[] Checkpoints =
    [
        "llama", "llama-linear", "llama-yarn", "llama-tied-bias-rope-llama3", "mistral-sliding", "mixtral", "qwen2", "qwen3", "qwen3-moe", "gemma2",
        "gemma3", "phi3", "phi3-longrope", "smollm3", "olmo2", "granite", "cohere2", "glm4", "gpt-oss", "deepseek-v3", "stablelm", "starcoder2",
        "gpt-neox", "gpt2", "bert", "modernbert",
    ];

    [Fact]
    public void The_table_of_models_is_what_the_code_does()
    {
        string folder = SharedData.Path("golden/architectures"), path = DocumentPath();
        (string Text, double Error)[] rows = [.. Checkpoints.Select(name => Row(Path.Combine(folder, name)))];
        string text = File.Exists(path) ? File.ReadAllText(path) : "";
        if (Environment.GetEnvironmentVariable("NIBBLE_WRITE_DOCS") == "1")
        {
            int at = text.IndexOf(Head, StringComparison.Ordinal);
            text = $"{(at < 0 ? text : text[..at])}{Head}\n{string.Concat(rows.Select(r => $"{r.Text}{Bound(r.Error)} |\n"))}";
            File.WriteAllText(path, text);
        }
        string[] written = text[text.IndexOf(Head, StringComparison.Ordinal)..].Split('\n')[2..^1];
        Assert.Equal(rows.Select(r => r.Text), written.Select(w => w[..(w.TrimEnd(' ', '|').LastIndexOf('|') + 2)]));
        foreach (((string row, double error), string line) in rows.Zip(written))
            Assert.True(error <= double.Parse(line.TrimEnd(' ', '|').Split(' ')[^1], CultureInfo.InvariantCulture), $"{row} the error is {error}");
    }

    [Fact]
    public void Every_architecture_of_the_list_has_a_golden_checkpoint()
    {
        string folder = SharedData.Path("golden/architectures");
        var covered = Checkpoints.Select(name => Open(Path.Combine(folder, name), source => source.Architecture)).ToHashSet();
        Assert.Equal(Architecture.All.ToHashSet(), covered);
    }

    private const string Head =
        "| checkpoint | `model_type` | GGUF | what it needs | safetensors | GGUF | quantizes | golden error |\n|---|---|---|---|---|---|---|---|";

    private static (string Text, double Error) Row(string folder)
    {
        double direct = Error(folder, folder);
        using var file = new GgufRoundTripTests.TemporaryGguf(folder);
        double gguf = Error(file.Path, folder);
        return Open(folder, source =>
        {
            string types = string.Join(", ", source.Architecture.ModelTypes.Select(t => $"`{t}`"));
            bool quantizes = source.GgufTensors().Any(t => t.IsLinear);
            return ($"| {Path.GetFileName(folder)} | {types} | `{source.Architecture.Name}` | {string.Join(", ", ModelFeatures.Of(source))} " +
                $"| {Mark(direct)} | {Mark(gguf)} | {(quantizes ? "yes" : "no")} | ", Math.Max(direct, gguf));
        });
    }

    private static string Mark(double error) => error <= 1 ? "yes" : "no";

    /// <summary>A round number above, so that another processor's last bits do not change the table.</summary>
    private static string Bound(double error) => error <= 0.05 ? "0.1" : error <= 0.5 ? "1" : "wrong";

    /// <summary>The largest difference to transformers, as a share of what the golden tests allow at most: 2e-4, or 5e-4 of the value.</summary>
    private static double Error(string model, string folder)
    {
        var golden = GoldenArchitecture.Read(folder);
        return Open(model, source =>
        {
            using var pool = new WorkerPool(1);
            using var decoder = new DecoderModel(source, pool);
            int width = decoder.Config.Causal ? decoder.Config.Vocabulary : decoder.Config.Hidden;
            var output = new float[golden.InputIds.Length * width];
            if (decoder.Config.Causal) output = GoldenArchitectureTests.AllLogits(decoder, golden.InputIds);
            else decoder.Encode(golden.InputIds, output);
            float[][] expected = decoder.Config.Causal ? golden.Logits : golden.HiddenStates;
            double worst = 0;
            for (int i = 0; i < expected.Length; i++)
                for (int j = 0; j < width; j++)
                {
                    float value = output[(decoder.Config.Causal ? golden.Positions[i] : i) * width + j];
                    worst = Math.Max(worst, Math.Abs(value - expected[i][j]) / Math.Max(2e-4, 5e-4 * Math.Abs(expected[i][j])));
                }
            return worst;
        });
    }

    private static T Open<T>(string path, Func<ModelSource, T> use)
    {
        using ModelSource source = ModelSource.Open(path);
        return use(source);
    }

    private static string DocumentPath([CallerFilePath] string here = "") =>
        Path.GetFullPath(Path.Combine(Path.GetDirectoryName(here)!, "../../../docs/models.md"));
}
