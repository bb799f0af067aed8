using Nibble.Core.Memory;

namespace Nibble.Files.Packed;

/// <summary>A weight that a checkpoint stores in another program's layout, and what it is in one of our formats.</summary>
internal abstract class ForeignTensor(TensorInfo info)
{
    /// <summary>Rows that are translated together: a cache line of the layouts that store a matrix by its columns.</summary>
    private const int TileRows = 16;

    /// <summary>The tensor in our format: [outputs, inputs], perhaps one such matrix an expert.</summary>
    public TensorInfo Info { get; } = info;

    /// <summary>What <see cref="Weight.ColumnOrder"/> shall be.</summary>
    public virtual int[]? ColumnOrder => null;

    /// <summary>The weight, in native memory.</summary>
    public Weight Translate(int firstRow, int rows)
    {
        Weight target = Weight.Allocate(Info.Name, Info.Format!, rows, checked((int)Info.Columns));
        Parallel.For(0, (rows + TileRows - 1) / TileRows, tile =>
            Translate(firstRow + tile * TileRows, target.Slice(Info.Name, tile * TileRows, Math.Min(TileRows, rows - tile * TileRows))));
        return ColumnOrder is { } order ? target.WithColumnOrder(order) : target;
    }

    /// <summary>Writes the rows from <paramref name="firstRow"/> on; called from several threads.</summary>
    protected abstract void Translate(int firstRow, Weight target);
}
