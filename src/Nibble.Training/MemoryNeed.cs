using Nibble.Core;
using Nibble.Models;

namespace Nibble.Training;

/// <summary>How much memory a run will take, roughly, so that one that cannot fit is refused before it starts.</summary>
internal static class MemoryNeed
{
    /// <summary>Floats a weight: itself, its gradient, two moments, the best so far, and the quantizer's graph.</summary>
    private const int FloatsAWeight = 9;

    /// <summary>Floats a token and a unit of width that one layer keeps for the backward pass.</summary>
    private const int FloatsAHidden = 24;

    /// <exception cref="UnusableInputException">The machine has less.</exception>
    public static void Check(ModelSource source, TrainingOptions options)
    {
        long available = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes, bytes = Bytes(source, options);
        if (bytes > available)
            throw new UnusableInputException(FormattableString.Invariant(
                $"training {source.Path} takes about {bytes / 1e9:F1} GB of memory and the machine has {available / 1e9:F1} GB; a smaller --batch or --context takes less, a smaller model much less"));
    }

    private static long Bytes(ModelSource source, TrainingOptions options)
    {
        ModelConfig config = source.Config;
        bool teaches = options.NeedsTeacher;
        long weights = source.Tensors.Values.Sum(t => (long)t.Experts * t.Rows * t.Columns);
        long tokens = (long)options.Batch * options.Context, layers = config.Layers.Count;
        long activations = tokens * layers * (FloatsAHidden * config.Hidden + 4 * config.FeedForward + 3L * config.Heads * options.Context);
        long logits = tokens * config.Vocabulary * (teaches ? 7 : 4);
        return sizeof(float) * (weights * (FloatsAWeight + (teaches ? 1 : 0)) + activations + logits);
    }
}
