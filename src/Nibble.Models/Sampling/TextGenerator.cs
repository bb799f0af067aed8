using System.Diagnostics;
using Nibble.Core;
using Nibble.Models.Decoder;
using Nibble.Models.Tokenizers;

namespace Nibble.Models.Sampling;

/// <summary>Why a text ended.</summary>
public enum StopReason
{
    /// <summary>As many tokens as were asked for.</summary>
    Length,
    /// <summary>The model ended it.</summary>
    End,
    /// <summary>One of the stop texts came.</summary>
    StopText,
    /// <summary>The model has learned positions, and no token more has one; or the cache is full: the one that was given, or all that memory holds.</summary>
    Context,
}

/// <summary>What to generate.</summary>
/// <param name="Count">The most tokens.</param>
/// <param name="Sampling">How tokens are drawn.</param>
/// <param name="StopTexts">Texts that end it when they come; none may be empty.</param>
public sealed record GenerationOptions(int Count, SamplingOptions Sampling, IReadOnlyList<string> StopTexts);

/// <summary>A generated text.</summary>
/// <param name="Text">Without the prompt, the stop text and the token that ends a text.</param>
/// <param name="Tokens">What was drawn, without the token that ends a text.</param>
/// <param name="PromptTokens">Tokens of the prompt, BOS included.</param>
/// <param name="PrefillSeconds">From the prompt to the first token's logits.</param>
/// <param name="DecodeSteps">Forward passes after that, one token each.</param>
/// <param name="DecodeSeconds">The time they took.</param>
/// <param name="Reason">Why it ended.</param>
/// <param name="CacheBytes">Memory of keys and values.</param>
/// <param name="CachedTokens">Tokens of the prompt that the cache held already, so that they were not read again.</param>
public sealed record Generation(
    string Text, IReadOnlyList<int> Tokens, int PromptTokens, double PrefillSeconds, int DecodeSteps, double DecodeSeconds, StopReason Reason,
    long CacheBytes, int CachedTokens);

/// <summary>Continues a text, a token at a time.</summary>
public sealed class TextGenerator(DecoderModel model, Tokenizer tokenizer)
{
    /// <summary>Continues a text by itself.</summary>
    /// <inheritdoc cref="Generate(int[], KvCache, GenerationOptions, Action{string}, CancellationToken)"/>
    public Generation Generate(int[] prompt, GenerationOptions options, Action<string> onText, CancellationToken cancellation)
    {
        Check(prompt, options, onText);
        if ((long)prompt.Length + options.Count > Array.MaxLength)
            throw new UnusableInputException($"{options.Count} tokens after a prompt of {prompt.Length} are more than a text can have; at most {Array.MaxLength - prompt.Length} fit");
        using KvCache cache = model.NewCache(CapacityFor(prompt.Length, options.Count));
        return Generate(prompt, cache, options, onText, cancellation);
    }

    /// <summary>Tokens to keep: of a text without a foreseeable end, as many as there are positions and memory for, which is not touched before it is needed.</summary>
    private int CapacityFor(int prompt, int count)
    {
        int wanted = prompt + count;
        if (model.Config.LearnedPositions > 0) wanted = Math.Min(wanted, model.Config.LearnedPositions);
        double share = (double)GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / model.CacheBytes(wanted);
        return Math.Max(prompt, share < 1 ? (int)(wanted * share) : wanted);
    }

    /// <summary>
    /// Continues a text whose beginning a cache may hold already, as that of a conversation: of the prompt only what comes after it is
    /// read. The cache then holds the prompt and what was drawn, but for the last token.
    /// </summary>
    /// <param name="prompt">Token ids, at least one: the whole text, whatever the cache holds of it.</param>
    /// <param name="cache">One of the model's <see cref="DecoderModel.NewCache"/>. What it holds of another text it forgets.</param>
    /// <param name="options">How much and how.</param>
    /// <param name="onText">Gets the text as it grows, in whole characters.</param>
    /// <param name="cancellation">Looked at before every token, and before every batch of the prompt.</param>
    /// <exception cref="UnusableInputException">
    /// The prompt or a stop text is empty, an option of the sampling is outside its range, the prompt is too long for the model, or the
    /// model's logits are no numbers.
    /// </exception>
    /// <exception cref="ArgumentOutOfRangeException">Less than no tokens are asked for.</exception>
    /// <exception cref="ArgumentException">The cache is another decoder's, or the prompt does not fit in it.</exception>
    /// <exception cref="InvalidOperationException">The model is an encoder, or another thread computes with it or the cache.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled; what had come until then was given to <paramref name="onText"/>.</exception>
    public Generation Generate(int[] prompt, KvCache cache, GenerationOptions options, Action<string> onText, CancellationToken cancellation)
    {
        Check(prompt, options, onText);
        ArgumentNullException.ThrowIfNull(cache);
        var sampler = new Sampler(options.Sampling, model.Config.Vocabulary);
        foreach (int token in prompt) sampler.Observe(token);
        var logits = new float[model.Config.Vocabulary];
        long started = Stopwatch.GetTimestamp();
        int cached = cache.Keep(prompt.AsSpan(0, prompt.Length - 1), model);   // the last one gives the logits
        model.ForwardBatches(prompt.AsSpan(cached), cache, logits, LogitPositions.Last, probe: null, cancellation);
        double prefill = Stopwatch.GetElapsedTime(started).TotalSeconds;

        started = Stopwatch.GetTimestamp();
        var text = new StoppableText(options.StopTexts, onText);
        var tokens = new List<int>();
        StopReason reason = Decode(logits, cache, sampler, options.Count, tokens, text, cancellation);
        double decode = Stopwatch.GetElapsedTime(started).TotalSeconds;
        return new Generation(text.ToString(), tokens, prompt.Length, prefill, cache.Length - prompt.Length, decode, reason, cache.Bytes, cached);
    }

    private static void Check(int[] prompt, GenerationOptions options, Action<string> onText)
    {
        ArgumentNullException.ThrowIfNull(prompt);
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(onText);
        ArgumentOutOfRangeException.ThrowIfNegative(options.Count, nameof(options));
        // It comes before anything else does, so nothing would ever be generated.
        if (options.StopTexts.Any(string.IsNullOrEmpty)) throw new UnusableInputException("a stop text is empty; leave it out");
        if (prompt.Length == 0) throw new UnusableInputException("the prompt is empty; give some text");
    }

    private StopReason Decode(
        float[] logits, KvCache cache, Sampler sampler, int count, List<int> tokens, StoppableText text, CancellationToken cancellation)
    {
        StreamingDecoder decoder = tokenizer.DecodeStream();
        bool ended = false, stopped = false, full = false;
        while (tokens.Count < count && !stopped)
        {
            cancellation.ThrowIfCancellationRequested();
            full = tokens.Count > 0 && (cache.Length == cache.Capacity || cache.Length == model.Config.LearnedPositions);
            if (full) break;
            if (tokens.Count > 0) model.Forward([tokens[^1]], cache, logits, LogitPositions.Last);
            int token = sampler.Next(logits);
            ended = tokenizer.IsEnd(token);
            if (ended) break;
            tokens.Add(token);
            stopped = text.Push(decoder.Push(token));
        }
        stopped = stopped || text.Push(decoder.Flush());
        if (!stopped) text.Finish();
        return stopped ? StopReason.StopText : ended ? StopReason.End : full ? StopReason.Context : StopReason.Length;
    }
}
