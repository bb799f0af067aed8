using Nibble.Core;

namespace Nibble.Models.Decoder;

public sealed unsafe partial class DecoderModel
{
    /// <summary>
    /// Appends a token to each of several sequences and computes the logits after it. All products take the tokens together,
    /// so that each weight is read once for all sequences; attention is each sequence's own.
    /// </summary>
    /// <param name="tokens">One a sequence, at least one.</param>
    /// <param name="caches">One a sequence, each a cache of its own that this decoder made; they may be of any length.</param>
    /// <param name="logits">[sequences, vocabulary], overwritten.</param>
    /// <exception cref="UnusableInputException">A token is not in the vocabulary, or the model has no positions for so long a text.</exception>
    /// <exception cref="ArgumentException">
    /// There is no token, a cache is full, another decoder's or comes twice, or there are not as many caches and logits as tokens.
    /// </exception>
    /// <exception cref="InvalidOperationException">The model is an encoder, or another thread computes with it or a cache.</exception>
    /// <exception cref="ObjectDisposedException">The decoder or a cache was disposed.</exception>
    public void Forward(ReadOnlySpan<int> tokens, ReadOnlySpan<KvCache> caches, Span<float> logits)
    {
        if (_head is null) throw new InvalidOperationException($"{Config.Architecture} is an encoder and has no logits");
        if (tokens.IsEmpty) throw new ArgumentException("there must be at least one token", nameof(tokens));
        if (caches.Length != tokens.Length) throw new ArgumentException($"{tokens.Length} tokens need as many caches, not {caches.Length}", nameof(caches));
        if (logits.Length != (long)tokens.Length * Config.Vocabulary)
            throw new ArgumentException($"there must be {tokens.Length} x {Config.Vocabulary} logits, not {logits.Length} floats", nameof(logits));
        CheckDiffer(caches);
        _turn.Take(this);
        int taken = 0;
        try
        {
            for (; taken < caches.Length; taken++) caches[taken].Take(this);
            Continue(tokens, caches, logits);
        }
        finally
        {
            while (taken > 0) caches[--taken].GiveBack();
            GiveBack();
        }
    }

    private static void CheckDiffer(ReadOnlySpan<KvCache> caches)
    {
        for (int s = 0; s < caches.Length; s++)
        {
            ArgumentNullException.ThrowIfNull(caches[s], nameof(caches));
            for (int other = 0; other < s; other++)
                if (caches[other] == caches[s]) throw new ArgumentException($"sequences {other} and {s} have the same cache", nameof(caches));
        }
    }

    private void Continue(ReadOnlySpan<int> tokens, ReadOnlySpan<KvCache> caches, Span<float> logits)
    {
        for (int s = 0; s < caches.Length; s++) Check(tokens.Slice(s, 1), caches[s]);
        foreach (KvCache cache in caches)
            if (Switches(cache, cache.Length + 1)) Repeat(cache, cache.Length + 1);
        _work.Begin(caches);
        for (int s = 0; s < caches.Length; s++) caches[s].Append(tokens.Slice(s, 1), caches[s].Length + 1);
        try
        {
            RunLayers(tokens);
        }
        catch
        {
            foreach (KvCache cache in caches) cache.TakeBack(1);
            throw;
        }
        Head(0, tokens.Length, logits, probe: null);
        _floats?.PackSome(_work.Pool);
    }
}
