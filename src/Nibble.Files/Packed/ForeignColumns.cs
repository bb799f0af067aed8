using System.Runtime.InteropServices;

namespace Nibble.Files.Packed;

/// <summary>The <c>g_idx</c> of a method that quantized columns in another order: each column's group.</summary>
internal static class ForeignColumns
{
    /// <summary>The columns sorted by group, or null where they are so already.</summary>
    /// <param name="part">I32 [columns].</param>
    public static int[]? Order(ForeignPart part, in ForeignGrid grid)
    {
        int columns = grid.Columns, size = grid.Group;
        var groups = new int[columns];
        bool inOrder = true;
        ReadOnlySpan<int> stored = MemoryMarshal.Cast<byte, int>(part.All());
        for (int i = 0; i < columns; i++)
        {
            groups[i] = stored[i];
            if (groups[i] < 0 || groups[i] >= grid.Groups) throw part.Wrong($"gives column {i} the group {groups[i]}, but there are {grid.Groups}");
            inOrder &= groups[i] == i / size;
        }
        if (inOrder) return null;
        int[] order = [.. Enumerable.Range(0, columns)];
        Array.Sort(groups, order); // by keys
        for (int i = 0; i < columns; i++)
            if (groups[i] != i / size) throw part.Wrong($"gives groups of unequal size; each has {size} columns");
        return order;
    }
}
