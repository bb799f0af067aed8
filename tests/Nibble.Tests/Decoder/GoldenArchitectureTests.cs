using System.Numerics.Tensors;
using Nibble.Core.Threading;
using Nibble.Models;
using Nibble.Models.Architectures;
using Nibble.Models.Decoder;
using Nibble.Tests.Golden;

namespace Nibble.Tests.Decoder;

/// <summary>Every architecture against what transformers computes, in float32.</summary>
public class GoldenArchitectureTests
{
    public static TheoryData<string> Decoders => [
        "cohere2", "deepseek-v3", "gemma2", "gemma3", "glm4", "gpt-neox", "gpt-oss", "gpt2", "granite", "llama", "llama-linear",
        "llama-tied-bias-rope-llama3", "llama-yarn", "mistral-sliding", "mixtral", "olmo2", "phi3", "phi3-longrope", "qwen2", "qwen3",
        "qwen3-moe", "smollm3", "stablelm", "starcoder2",
    ];

    [Theory, MemberData(nameof(Decoders))]
    public void Logits_greedy_continuation_and_likelihood_agree_with_transformers(string name)
    {
        string folder = GoldenCheckpoint.Folder(name);
        var golden = GoldenArchitecture.Read(folder);
        using ModelSource source = ModelSource.Open(folder);
        using var pool = new WorkerPool(1);
        using var model = new DecoderModel(source, pool);
        int vocabulary = model.Config.Vocabulary;
        float[] logits = AllLogits(model, golden.InputIds);
        for (int i = 0; i < golden.Positions.Length; i++)
            AssertClose(golden.Logits[i], logits.AsSpan(golden.Positions[i] * vocabulary, vocabulary), $"{name}, position {golden.Positions[i]}");
        Assert.Equal(golden.NllMean, MeanNll(logits, golden.InputIds, vocabulary), 1e-4);
        Assert.Equal(golden.Greedy, Continue(model, golden.InputIds, golden.Greedy.Length));
    }

    [Theory]
    [InlineData("bert")]
    [InlineData("modernbert")]
    public void Last_hidden_states_of_encoders_agree_with_transformers(string name)
    {
        string folder = GoldenCheckpoint.Folder(name);
        var golden = GoldenArchitecture.Read(folder);
        using ModelSource source = ModelSource.Open(folder);
        using var pool = new WorkerPool(1);
        using var model = new DecoderModel(source, pool);
        int hidden = model.Config.Hidden;
        var states = new float[golden.InputIds.Length * hidden];
        model.Encode(golden.InputIds, states);
        for (int t = 0; t < golden.HiddenStates.Length; t++)
            AssertClose(golden.HiddenStates[t], states.AsSpan(t * hidden, hidden), $"{name}, position {t}");
    }

    /// <summary>Within 2e-4, or 5e-4 of the value where that is more.</summary>
    internal static void AssertClose(ReadOnlySpan<float> expected, ReadOnlySpan<float> actual, string place)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (int i = 0; i < expected.Length; i++)
            Assert.True(Math.Abs(expected[i] - actual[i]) <= Math.Max(2e-4f, 5e-4f * Math.Abs(expected[i])),
                $"{place}, number {i}: expected {expected[i]}, got {actual[i]}");
    }

    internal static float[] AllLogits(DecoderModel model, int[] tokens)
    {
        using KvCache cache = model.NewCache(tokens.Length);
        var logits = new float[tokens.Length * model.Config.Vocabulary];
        model.Forward(tokens, cache, logits, LogitPositions.All);
        return logits;
    }

    internal static int[] Continue(DecoderModel model, int[] prompt, int count)
    {
        using KvCache cache = model.NewCache(prompt.Length + count);
        var logits = new float[model.Config.Vocabulary];
        var continuation = new int[count];
        model.Forward(prompt, cache, logits, LogitPositions.Last);
        for (int i = 0; i < count; i++)
        {
            continuation[i] = TensorPrimitives.IndexOfMax<float>(logits);
            if (i < count - 1) model.Forward([continuation[i]], cache, logits, LogitPositions.Last);
        }
        return continuation;
    }

    private static double MeanNll(float[] logits, int[] tokens, int vocabulary)
    {
        double sum = 0;
        for (int t = 0; t + 1 < tokens.Length; t++)
        {
            ReadOnlySpan<float> row = logits.AsSpan(t * vocabulary, vocabulary);
            double largest = TensorPrimitives.Max(row), total = 0;
            foreach (float z in row) total += Math.Exp(z - largest);
            sum += largest + Math.Log(total) - row[tokens[t + 1]];
        }
        return sum / (tokens.Length - 1);
    }
}
