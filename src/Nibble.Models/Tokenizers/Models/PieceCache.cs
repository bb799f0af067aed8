using System.Collections.Concurrent;

namespace Nibble.Models.Tokenizers.Models;

/// <summary>The ids of pieces seen before: text repeats its words. Bounded, and safe from several threads.</summary>
internal sealed class PieceCache
{
    private const int MostPieces = 1 << 16, LongestPiece = 128;
    private readonly ConcurrentDictionary<string, int[]> _ids = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, int[]>.AlternateLookup<ReadOnlySpan<char>> _bySpan;
    private int _count;

    public PieceCache() => _bySpan = _ids.GetAlternateLookup<ReadOnlySpan<char>>();

    public bool TryGet(ReadOnlySpan<char> piece, out int[] ids) => _bySpan.TryGetValue(piece, out ids!);

    public void Add(ReadOnlySpan<char> piece, ReadOnlySpan<int> ids)
    {
        // Reading Count of a concurrent dictionary locks it, so the count is kept here, a little too high at worst.
        if (piece.Length <= LongestPiece && _count < MostPieces && _bySpan.TryAdd(piece, ids.ToArray())) Interlocked.Increment(ref _count);
    }
}
