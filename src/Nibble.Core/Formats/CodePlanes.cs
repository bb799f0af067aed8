namespace Nibble.Core.Formats;

/// <summary>
/// Where some bits of a block's codes lie: in runs of bytes, one after the other, each 8 / bits planes of as many codes as it
/// has bytes (see <see cref="BitPlanes"/>). Four bits in runs of 16 bytes have codes i and i + 16 in byte i. Or codes follow each
/// other (see <see cref="BitPacking"/>).
/// </summary>
/// <param name="At">The first byte in the block.</param>
/// <param name="Bits">Bits of each code: 1, 2, 4, or 8, which are signed in planes; 1 to 8 but 7 where codes follow each other.</param>
/// <param name="Run">Bytes of a run: 32, or of 4 bits 8, 16, 32 or 64; those of 32 codes where these follow each other.</param>
/// <param name="InOrder">Whether codes follow each other.</param>
public readonly record struct CodePlanes(int At, int Bits, int Run, bool InOrder = false)
{
    /// <summary>Codes that follow each other.</summary>
    public static CodePlanes Dense(int at, int bits) => new(at, bits, 4 * bits, InOrder: true);
}
