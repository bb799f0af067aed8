namespace Nibble.Core.Formats;

/// <summary>
/// Where some bits of a block's codes lie: in runs of bytes, one after the other, each 8 / bits planes of as many codes as it
/// has bytes (see <see cref="BitPlanes"/>). Four bits in runs of 16 bytes have codes i and i + 16 in byte i.
/// </summary>
/// <param name="At">The first byte in the block.</param>
/// <param name="Bits">Bits of each code: 1, 2, 4, or 8, which are signed.</param>
/// <param name="Run">Bytes of a run: 32, or of 4 bits 16, 32 or 64.</param>
public readonly record struct CodePlanes(int At, int Bits, int Run);
