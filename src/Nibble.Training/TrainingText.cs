using Nibble.Core;
using Nibble.Models.Sampling;
using Nibble.Models.Tokenizers;
using TorchSharp;
using static TorchSharp.torch;

namespace Nibble.Training;

/// <summary>
/// A text as training reads it: its last twentieth is held out, the rest is cut into pieces of one context, in another
/// order and from another start each time it is read through. A batch depends on its number and the seed alone, so a run
/// that resumes goes on with the very next one.
/// </summary>
internal sealed class TrainingText
{
    private const double HeldOutShare = 0.05;
    private const int LeastHeldOut = 32;
    private const int MostHeldOutPieces = 12;

    private readonly int[] _tokens;
    private readonly int? _bos;
    private readonly ulong _seed;
    private readonly int _pieces;
    private (long Reading, int Start, int[] Order) _order = (-1, 0, []);

    /// <param name="tokens">The whole text, nothing added.</param>
    /// <param name="bos">What replaces a piece's first token, or null for nothing.</param>
    /// <param name="context">Tokens a piece.</param>
    /// <exception cref="UnusableInputException">The text is too short.</exception>
    public TrainingText(int[] tokens, int? bos, int context, long seed)
    {
        int heldOut = Math.Max((int)(tokens.Length * HeldOutShare), LeastHeldOut), least = context + LeastHeldOut;
        if (tokens.Length < least)
            throw new UnusableInputException($"the text has {tokens.Length} tokens; one context of {context} and {LeastHeldOut} held out need {least}: give a longer --text or a shorter --context");
        if (tokens.Length - heldOut < context) heldOut = tokens.Length - context;
        (_bos, Context, _seed) = (bos, context, (ulong)seed);
        _tokens = tokens[..^heldOut];
        _pieces = Math.Max(1, _tokens.Length / context - 1);
        int length = Math.Min(context, heldOut);
        HeldOut = [.. tokens[^heldOut..].Chunk(length).Where(c => c.Length == length).Take(MostHeldOutPieces).Select(c => Begin(c.AsSpan()))];
    }

    /// <summary>Tokenizes a text for a model.</summary>
    /// <param name="vocabulary">Of the model.</param>
    public static TrainingText Of(string text, Tokenizer tokenizer, int vocabulary, int context, long seed)
    {
        int[] tokens = tokenizer.Encode(text, addSpecial: false, parseSpecial: false);
        if (tokens.FirstOrDefault(t => t >= vocabulary) is var beyond and > 0)
            throw new UnusableInputException($"the tokenizer gives token {beyond}, but the model has embeddings for {vocabulary} only; they do not belong together");
        return new TrainingText(tokens, tokenizer.AddBos ? tokenizer.Bos : null, context, seed);
    }

    /// <summary>Tokens a piece.</summary>
    public int Context { get; }

    /// <summary>Tokens to train on.</summary>
    public int Tokens => _tokens.Length;

    /// <summary>Pieces of the held-out text, all of one length.</summary>
    public IReadOnlyList<int[]> HeldOut { get; }

    /// <summary>A batch, [count, context].</summary>
    /// <param name="number">From 0.</param>
    public int[][] Batch(long number, int count) => [.. Enumerable.Range(0, count).Select(i => Piece(number * count + i))];

    /// <summary>Pieces of one length as a tensor of 64-bit ids.</summary>
    public static Tensor ToTensor(IReadOnlyList<int[]> pieces) =>
        tensor(pieces.SelectMany(p => p).Select(t => (long)t).ToArray(), [pieces.Count, pieces[0].Length]);

    private int[] Piece(long number)
    {
        long reading = number / _pieces;
        if (reading != _order.Reading) _order = Order(reading);
        int at = _order.Start + _order.Order[number % _pieces] * Context;
        return Begin(_tokens.AsSpan(at, Context));
    }

    /// <summary>Where a reading starts, and in which order it takes the pieces.</summary>
    private (long Reading, int Start, int[] Order) Order(long reading)
    {
        var random = new Xoshiro256(_seed ^ ((ulong)reading << 20));
        int start = (int)(random.NextDouble() * (_tokens.Length - _pieces * Context + 1));
        int[] order = [.. Enumerable.Range(0, _pieces)];
        for (int i = order.Length - 1; i > 0; i--)
        {
            int other = (int)(random.NextDouble() * (i + 1));
            (order[i], order[other]) = (order[other], order[i]);
        }
        return (reading, start, order);
    }

    private int[] Begin(ReadOnlySpan<int> tokens)
    {
        int[] piece = tokens.ToArray();
        if (_bos is { } bos) piece[0] = bos;
        return piece;
    }
}
