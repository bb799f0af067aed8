namespace Nibble.Core.Kernels;

/// <summary>In which order a kernel wants the <see cref="InputNumbers"/> of an input.</summary>
/// <param name="Tokens">Tokens of the input.</param>
/// <param name="Size">Tokens of a group, which a kernel takes at once; at most <paramref name="Tokens"/>.</param>
/// <param name="Parts">Of a chunk, 1 or 2.</param>
/// <param name="Bias">What must be added to a weight as the dot product sees it.</param>
/// <param name="Scaled">Whether the sum of codes is multiplied by the scale.</param>
internal readonly record struct InputGroups(int Tokens, int Size, int Parts, int Bias, bool Scaled)
{
    public int Count => (Tokens + Size - 1) / Size;

    /// <summary>The first token of a group: the last group begins early enough to be as large as the others.</summary>
    public int First(int group) => Math.Min(group * Size, Tokens - Size);

    /// <summary>Numbers of a group of an input of so many chunks.</summary>
    public nint Numbers(int chunks) => (nint)chunks * Parts * InputNumbers.Kinds * Size;
}
