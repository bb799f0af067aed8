using System.Runtime.InteropServices;

namespace Nibble.Models.Tokenizers.PreTokenizers;

/// <summary>Cuts text into the pieces that a model's tokens never cross; some also rewrite it.</summary>
public abstract class PreTokenizer
{
    /// <summary>What it does, the same for two that do the same.</summary>
    public abstract string Signature { get; }

    /// <summary>Appends the pieces of a text, none of them empty.</summary>
    /// <param name="text">A piece so far.</param>
    /// <param name="first">Whether it begins the whole text.</param>
    /// <param name="pieces">Appended to.</param>
    public abstract void Split(ReadOnlyMemory<char> text, bool first, List<ReadOnlyMemory<char>> pieces);
}

/// <summary>One after the other, each on the pieces of the one before.</summary>
public sealed class PreTokenizerSequence(IReadOnlyList<PreTokenizer> steps) : PreTokenizer
{
    public IReadOnlyList<PreTokenizer> Steps => steps;

    public override string Signature => string.Join(" then ", steps.Select(s => s.Signature));

    public override void Split(ReadOnlyMemory<char> text, bool first, List<ReadOnlyMemory<char>> pieces)
    {
        List<ReadOnlyMemory<char>> current = [text];
        foreach (PreTokenizer step in steps)
        {
            first = first && current.Count > 0 && BeginsItsString(current[0]);
            var next = new List<ReadOnlyMemory<char>>(current.Count);
            for (int i = 0; i < current.Count; i++) step.Split(current[i], first && i == 0, next);
            current = next;
        }
        pieces.AddRange(current);
    }

    /// <summary>False where an earlier step removed what came before: then the piece does not begin the text.</summary>
    private static bool BeginsItsString(ReadOnlyMemory<char> piece) =>
        MemoryMarshal.TryGetString(piece, out _, out int start, out _) && start == 0;
}
