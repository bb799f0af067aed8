using Nibble.Core.Kernels;
using Nibble.Core.Threading;
using Nibble.Models;
using Nibble.Models.Decoder;
using Nibble.Training.Model;
using TorchSharp;
using static TorchSharp.torch;

namespace Nibble.Training.Tests;

/// <summary>Models small enough to train in a test, and the oracle for what they compute.</summary>
internal static class TinyModel
{
    /// <summary>Tokens without a pattern, the same for the same seed.</summary>
    public static int[] Tokens(int count, int vocabulary, int seed = 1)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => random.Next(vocabulary))];
    }

    /// <param name="options">Null computes every product in float32, whatever the format of the weights.</param>
    public static float[] DecoderLogits(ModelSource source, int[] tokens, DecoderOptions? options = null)
    {
        using var pool = new WorkerPool(1);
        using var decoder = new DecoderModel(source, pool, options ?? new DecoderOptions { InputRounding = InputRounding.None });
        return DecoderLogits(decoder, tokens);
    }

    public static float[] DecoderLogits(DecoderModel decoder, int[] tokens)
    {
        using KvCache cache = decoder.NewCache(tokens.Length);
        var logits = new float[tokens.Length * decoder.Config.Vocabulary];
        decoder.Forward(tokens, cache, logits, LogitPositions.All);
        return logits;
    }

    public static float[] TorchLogits(TorchDecoder model, int[] tokens)
    {
        using var off = no_grad();
        using var scope = NewDisposeScope();
        return FloatMatrix.Floats(model.Forward(TrainingText.ToTensor([tokens])));
    }

    /// <summary>Within 1e-4, or 1e-5 of the largest logit where that is more.</summary>
    public static void AssertClose(float[] expected, float[] actual)
    {
        Assert.Equal(expected.Length, actual.Length);
        float tolerance = Math.Max(1e-4f, 1e-5f * expected.Max(MathF.Abs));
        for (int i = 0; i < expected.Length; i++)
            Assert.True(MathF.Abs(expected[i] - actual[i]) <= tolerance, $"number {i}: {expected[i]} expected, {actual[i]} found");
    }
}
