namespace Nibble.Core.Formats;

/// <summary>How the scales of groups are stored.</summary>
public enum ScaleType
{
    F32,
    F16,
    BF16,
    /// <summary>8 bits a scale under one F32 super-scale for 256 weights (double quantization).</summary>
    Byte,
    /// <summary>8 bits a scale under one F32 super-scale for the row.</summary>
    ByteRow,
    /// <summary>One signed byte, the exponent of two: fixed point.</summary>
    PowerOfTwo,
}

/// <summary>The words for scale types in the names of formats.</summary>
public static class ScaleTypes
{
    private static readonly (string Word, ScaleType Type)[] Words =
    [
        ("f32", ScaleType.F32), ("f16", ScaleType.F16), ("bf16", ScaleType.BF16),
        ("s8", ScaleType.Byte), ("s8row", ScaleType.ByteRow), ("p2", ScaleType.PowerOfTwo),
    ];

    public static string Word(this ScaleType type) => Array.Find(Words, w => w.Type == type).Word;

    public static bool TryParse(ReadOnlySpan<char> word, out ScaleType type)
    {
        foreach ((string known, ScaleType t) in Words)
        {
            if (!word.SequenceEqual(known)) continue;
            type = t;
            return true;
        }
        type = default;
        return false;
    }

    /// <summary>True for the two that quantize the scales again.</summary>
    public static bool IsDouble(this ScaleType type) => type is ScaleType.Byte or ScaleType.ByteRow;
}
