using Nibble.Core.Kernels;
using Nibble.Core.Threading;
using Nibble.Models;
using Nibble.Models.Decoder;
using Nibble.Models.Tokenizers;

namespace Nibble.Quantization.Evaluation;

/// <summary>How often each expert of a mixture is chosen while the model reads a text.</summary>
public sealed class ExpertUse : IProbe
{
    private readonly Dictionary<int, long[]> _counts = [];
    private readonly int _experts;

    private ExpertUse(int experts) => _experts = experts;

    /// <summary>Tokens that were read.</summary>
    public long Tokens { get; private set; }

    /// <summary>The layers that have experts, with the choices of each expert: a token chooses several.</summary>
    public IEnumerable<(int Layer, IReadOnlyList<long> Chosen)> Layers => _counts.OrderBy(l => l.Key).Select(l => (l.Key, (IReadOnlyList<long>)l.Value));

    /// <summary>Reads a text in chunks of the context (512 tokens, or the model's if shorter), a last partial one too.</summary>
    /// <returns>Null for a model without experts.</returns>
    public static ExpertUse? Of(ModelSource source, Tokenizer tokenizer, string text, WorkerPool pool, Action<string> warn, CancellationToken cancellation)
    {
        if (source.Config.Experts is not { } experts) return null;
        int[] tokens = tokenizer.Encode(text);
        int context = Math.Min(512, source.Config.ContextLength);
        using var model = new DecoderModel(source, pool, new DecoderOptions { Warn = warn });
        using KvCache cache = model.NewCache(context);
        var use = new ExpertUse(experts.Count);
        foreach (int[] chunk in tokens.Chunk(context))
        {
            cancellation.ThrowIfCancellationRequested();
            cache.Clear();
            model.Forward(chunk, cache, [], LogitPositions.None, use);
            use.Tokens += chunk.Length;
        }
        return use;
    }

    void IProbe.LinearInput(string name, Activation x) { }

    void IProbe.Hidden(int layer, ReadOnlySpan<float> states) { }

    void IProbe.Routed(int layer, ReadOnlySpan<int> experts)
    {
        if (!_counts.TryGetValue(layer, out long[]? counts)) _counts[layer] = counts = new long[_experts];
        foreach (int expert in experts) counts[expert]++;
    }
}
