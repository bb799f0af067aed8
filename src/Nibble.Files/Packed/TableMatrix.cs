using Nibble.Core.Formats;
using Nibble.Core.Memory;

namespace Nibble.Files.Packed;

/// <summary>A matrix in a format with a fixed table, taken apart into what other programs' layouts store: codes, scales.</summary>
internal sealed class TableMatrix
{
    /// <param name="weight">In a <see cref="TableFormat"/> with a scale for each group.</param>
    public TableMatrix(Weight weight)
    {
        var format = (TableFormat)weight.Format;
        int groups = weight.Columns / format.BlockSize, codeBytes = BitPacking.Bytes(format.BlockSize, format.Bits);
        Codes = new byte[(long)weight.Rows * groups * codeBytes];
        Scales = new float[weight.Rows * groups];
        Parallel.For(0, weight.Rows, row =>
        {
            ReadOnlySpan<byte> stored = weight.Row(row);
            for (int group = row * groups; group < (row + 1) * groups; group++, stored = stored[format.BlockBytes..])
            {
                Scales[group] = format.LevelsAt(stored, 0).Scale;
                stored[(format.BlockBytes - codeBytes)..format.BlockBytes].CopyTo(Codes.AsSpan(group * codeBytes, codeBytes));
            }
        });
    }

    /// <summary>[rows, columns], in a dense run.</summary>
    public byte[] Codes { get; }

    /// <summary>[rows, groups].</summary>
    public float[] Scales { get; }
}
