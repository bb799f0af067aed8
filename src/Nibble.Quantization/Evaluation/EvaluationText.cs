using Nibble.Core;
using Nibble.Models.Tokenizers;

namespace Nibble.Quantization.Evaluation;

/// <summary>
/// A text cut as llama.cpp's llama-perplexity cuts it: tokenized once, with BOS in front where the tokenizer adds one, then
/// chunks of the context's length; a last partial chunk is dropped. Each chunk's first token is replaced by BOS, and only
/// the tokens of its second half are scored.
/// </summary>
public sealed class EvaluationText
{
    private const int ShortestContext = 8;
    private readonly int[] _tokens;
    private readonly int? _bos;

    /// <param name="tokens">The whole text, BOS in front if <paramref name="bos"/> is given.</param>
    /// <param name="bos">What replaces a chunk's first token, or null for nothing.</param>
    /// <param name="context">Tokens a chunk.</param>
    /// <param name="limit">At most so many chunks.</param>
    /// <param name="name">The text's, for messages, such as its path.</param>
    /// <param name="mayShorten">Whether a shorter context can be asked for.</param>
    /// <exception cref="UnusableInputException">The text has less than one chunk, or the context is too short.</exception>
    /// <exception cref="ArgumentOutOfRangeException">No chunk is allowed.</exception>
    public EvaluationText(int[] tokens, int? bos, int context, int limit = int.MaxValue, string? name = null, bool mayShorten = true)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(limit, 1);
        if (context < ShortestContext) throw new UnusableInputException($"a context of {context} tokens is too short to score; give at least {ShortestContext}");
        if (tokens.Length < context)
            throw new UnusableInputException(
                $"{(name is null ? "the text" : $"{name}:")} has {tokens.Length} tokens, which is less than one context of {context}; give a longer text{(mayShorten ? $" or a shorter {nameof(context)}" : "")}")
            { Argument = mayShorten ? nameof(context) : null };
        (_tokens, _bos, Context) = (tokens, bos, context);
        Chunks = Math.Min(tokens.Length / context, limit);
    }

    public static EvaluationText Of(string text, Tokenizer tokenizer, int context, int limit = int.MaxValue, string? name = null, bool mayShorten = true) =>
        new(tokenizer.Encode(text, addSpecial: true, parseSpecial: false), tokenizer.AddBos ? tokenizer.Bos : null, context, limit, name, mayShorten);

    /// <summary>Tokens a chunk.</summary>
    public int Context { get; }

    public int Chunks { get; }

    /// <summary>The first position of a chunk whose prediction of the next token is scored.</summary>
    public int FirstScored => Context / 2;

    /// <summary>Scored predictions a chunk; the last position has no next token in its chunk.</summary>
    public int Scored => Context - 1 - FirstScored;

    /// <summary>The tokens of a chunk.</summary>
    public int[] Chunk(int index)
    {
        int[] chunk = _tokens.AsSpan(index * Context, Context).ToArray();
        if (_bos is { } bos) chunk[0] = bos;
        return chunk;
    }
}
