using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using Nibble.Core;

namespace Nibble.Models.Tokenizers.Normalizers;

/// <summary>
/// SentencePiece's precompiled character map: a double-array trie (Aoe 1989; Darts' layout) from UTF-8 sequences to
/// places in a block of zero-terminated replacements.
/// </summary>
public sealed class CharacterMap : Normalizer
{
    private readonly uint[] _units;
    private readonly byte[] _replacements;

    /// <param name="map">Four bytes with the trie's length in bytes, the trie, the replacements.</param>
    /// <param name="place">The file and the place in it, for messages.</param>
    /// <exception cref="UnusableInputException">The lengths do not fit.</exception>
    public CharacterMap(ReadOnlySpan<byte> map, string place)
    {
        uint length = map.Length >= 4 ? BinaryPrimitives.ReadUInt32LittleEndian(map) : 0;
        if (length < 4 || length % 4 != 0 || length > map.Length - 4)
            throw new UnusableInputException($"{place}: the character map of {map.Length} bytes claims a trie of {length} bytes");
        _units = new uint[length / 4];
        for (int i = 0; i < _units.Length; i++) _units[i] = BinaryPrimitives.ReadUInt32LittleEndian(map[(4 + 4 * i)..]);
        _replacements = map[(4 + (int)length)..].ToArray();
    }

    /// <summary>The map again, as it is stored.</summary>
    public byte[] ToArray()
    {
        var map = new byte[4 + 4 * _units.Length + _replacements.Length];
        BinaryPrimitives.WriteInt32LittleEndian(map, 4 * _units.Length);
        for (int i = 0; i < _units.Length; i++) BinaryPrimitives.WriteUInt32LittleEndian(map.AsSpan(4 + 4 * i), _units[i]);
        _replacements.CopyTo(map, 4 + 4 * _units.Length);
        return map;
    }

    public override string Apply(string text)
    {
        var result = new StringBuilder(text.Length);
        Span<byte> bytes = stackalloc byte[8];
        for (int at = 0; at < text.Length;)
        {
            // Short clusters of letter and marks are looked up whole first, then character by character.
            int length = StringInfo.GetNextTextElementLength(text.AsSpan(at));
            ReadOnlySpan<char> cluster = text.AsSpan(at, length);
            at += length;
            if (Encoding.UTF8.GetByteCount(cluster) < 6 && Replacement(bytes[..Encoding.UTF8.GetBytes(cluster, bytes)]) is { } whole)
            {
                result.Append(whole);
                continue;
            }
            foreach (Rune rune in cluster.EnumerateRunes())
            {
                string? replacement = Replacement(bytes[..rune.EncodeToUtf8(bytes)]);
                if (replacement is null) result.Append(rune);
                else result.Append(replacement);
            }
        }
        return result.ToString();
    }

    /// <summary>The replacement of the shortest entry that the bytes begin with (the shortest, because Hugging Face takes that).</summary>
    private string? Replacement(ReadOnlySpan<byte> bytes)
    {
        uint at = Offset(_units[0]);
        foreach (byte b in bytes)
        {
            if (b == 0) return null;
            at ^= b;
            if (at >= _units.Length || (_units[at] & 0x8000_00FF) != b) return null;
            bool isEntry = (_units[at] & 0x100) != 0;
            at ^= Offset(_units[at]);
            if (!isEntry) continue;
            uint start = at < _units.Length ? _units[at] & 0x7FFF_FFFF : uint.MaxValue;
            if (start >= _replacements.Length) return null;
            ReadOnlySpan<byte> rest = _replacements.AsSpan((int)start);
            int end = rest.IndexOf((byte)0);
            return Encoding.UTF8.GetString(end < 0 ? rest : rest[..end]);
        }
        return null;
    }

    private static uint Offset(uint unit) => (unit >> 10) << (int)((unit & 0x200) >> 6);
}
