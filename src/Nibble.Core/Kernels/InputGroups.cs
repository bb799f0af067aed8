namespace Nibble.Core.Kernels;

/// <summary>In which order a kernel wants the <see cref="InputNumbers"/> of an input: tokens that it takes at once are a group.</summary>
/// <param name="Tokens">Tokens of the input.</param>
/// <param name="Count">Groups, at most <paramref name="Tokens"/>; their sizes differ by one at most.</param>
/// <param name="Parts">Of a chunk, 1 or 2.</param>
/// <param name="Bias">What must be added to a weight as the dot product sees it.</param>
/// <param name="Scaled">Whether the sum of codes is multiplied by the scale.</param>
internal readonly record struct InputGroups(int Tokens, int Count, int Parts, int Bias, bool Scaled)
{
    /// <summary>The first token of a group, or the token after the last group.</summary>
    public int First(int group) => (int)((long)group * Tokens / Count);

    /// <summary>Tokens of a group.</summary>
    public int Size(int group) => First(group + 1) - First(group);

    /// <summary>Numbers of a token with so many chunks.</summary>
    public nint Numbers(int chunks) => (nint)chunks * Parts * InputNumbers.Kinds;
}
