using Nibble.Core;
using Nibble.Core.Kernels;
using Nibble.Core.Threading;
using Nibble.Models;
using Nibble.Models.Decoder;
using Nibble.Tests.Golden;

namespace Nibble.Tests.Decoder;

/// <summary>
/// Settings that are not the usual ones (odd head counts, windows shorter than the text, tied and untied, biases that are
/// there or not, packed weights), against what transformers computes in float32. make.py beside
/// the checkpoints made them.
/// </summary>
public sealed class OddArchitectureTests
{
    public static TheoryData<string> Folders => [.. Directory.EnumerateDirectories(GoldenCheckpoint.Root("odd")).Concat(Directory.EnumerateDirectories(GoldenCheckpoint.Root("packed")))
        .Select(folder => Path.Combine(Path.GetFileName(Path.GetDirectoryName(folder)!), Path.GetFileName(folder))).Order(StringComparer.Ordinal)];

    [Theory, MemberData(nameof(Folders))]
    public void Logits_agree_with_transformers(string name)
    {
        string folder = GoldenCheckpoint.Root(name);
        AssertGolden(folder, GoldenArchitecture.Read(folder));
    }

    /// <summary>What has no key in GGUF, by the error that says so.</summary>
    private static readonly Dictionary<string, string> Unwritable = new()
    {
        ["gpt-neox-serial"] = "has the nonlinearity Relu, for which GGUF has no key",
        ["gpt-oss-odd"] = "rounds the ends of YaRN's ramp to whole pairs, for which GGUF has no key",
        ["deepseek-v3-odd"] = "rotates other pairs than llama.cpp does for this architecture, for which GGUF has no key",
    };

    [Theory, MemberData(nameof(Folders))]
    public void Logits_agree_after_a_way_through_gguf(string name)
    {
        string folder = GoldenCheckpoint.Root(name);
        if (name.StartsWith("packed", StringComparison.Ordinal)) return;
        if (Unwritable.TryGetValue(Path.GetFileName(name), out string? why))
        {
            Assert.Contains(why, Assert.Throws<UnusableInputException>(() => new GgufRoundTripTests.TemporaryGguf(folder)).Message, StringComparison.Ordinal);
            return;
        }
        using var gguf = new GgufRoundTripTests.TemporaryGguf(folder);
        AssertGolden(gguf.Path, GoldenArchitecture.Read(folder));
    }

    private static void AssertGolden(string path, GoldenArchitecture golden)
    {
        using ModelSource source = ModelSource.Open(path);
        using var pool = new WorkerPool(1);
        using var model = new DecoderModel(source, pool, new DecoderOptions { InputRounding = InputRounding.None });
        int width = model.Config.Causal ? model.Config.Vocabulary : model.Config.Hidden;
        var states = new float[golden.InputIds.Length * width];
        if (model.Config.Causal) states = GoldenArchitectureTests.AllLogits(model, golden.InputIds);
        else model.Encode(golden.InputIds, states);
        float[][] expected = model.Config.Causal ? golden.Logits : golden.HiddenStates;
        for (int i = 0; i < expected.Length; i++)
        {
            int position = model.Config.Causal ? golden.Positions[i] : i;
            GoldenArchitectureTests.AssertClose(expected[i], states.AsSpan(position * width, width), $"{path}, position {position}");
        }
        if (golden.Greedy.Length > 0) Assert.Equal(golden.Greedy, GoldenArchitectureTests.Continue(model, golden.InputIds, golden.Greedy.Length));
    }
}
