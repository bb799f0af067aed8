using System.Runtime.Intrinsics;

namespace Nibble.Core.Kernels;

/// <summary>
/// The inputs' codes in the order that a product with many tokens reads them, one sequential stream for four tokens:
/// [groups of four tokens, steps, 4 tokens, 4 columns].
/// </summary>
internal static unsafe class InputCodes
{
    /// <summary>Tokens of a group; those beyond the last repeat it.</summary>
    public const int Tokens = 4;

    /// <param name="x">With codes.</param>
    /// <param name="target">Room for whole groups.</param>
    public static void Arrange(Activation x, byte* target)
    {
        nint row = (nint)x.Chunks * Activation.Chunk;
        for (int token = 0; token < x.Tokens; token += Tokens)
        {
            uint* a = Row(x, token), b = Row(x, token + 1), c = Row(x, token + 2), d = Row(x, token + 3);
            for (nint i = 0; i < row / 4; i += 4, target += 64)
                Square.Turn(Vector128.Load(a + i), Vector128.Load(b + i), Vector128.Load(c + i), Vector128.Load(d + i), target, 16);
        }
    }

    private static uint* Row(Activation x, int token) =>
        (uint*)(x.Codes + (nint)Math.Min(token, x.Tokens - 1) * x.Chunks * Activation.Chunk);
}
