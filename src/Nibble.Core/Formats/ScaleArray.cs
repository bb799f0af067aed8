using System.Buffers.Binary;

namespace Nibble.Core.Formats;

/// <summary>
/// The scales (or minimums) of a block's groups as they are stored: one after the other, and for 8-bit scales after the
/// F32 super-scale that multiplies them.
/// </summary>
/// <param name="Type">How one is stored.</param>
/// <param name="Count">How many.</param>
/// <param name="Signed">8-bit scales only: -127 to 127, else 0 to 255.</param>
public readonly record struct ScaleArray(ScaleType Type, int Count, bool Signed)
{
    private const int SuperBytes = 4;

    /// <summary>The exponent that stands for a scale of zero.</summary>
    private const int NoScale = -127;

    public int Bytes => Type switch
    {
        ScaleType.F32 => 4 * Count,
        ScaleType.F16 or ScaleType.BF16 => 2 * Count,
        ScaleType.PowerOfTwo => Count,
        _ => SuperBytes + Count,
    };

    /// <summary>The scale of a group.</summary>
    public float Read(ReadOnlySpan<byte> stored, int group) => Type switch
    {
        ScaleType.F32 => BinaryPrimitives.ReadSingleLittleEndian(stored[(4 * group)..]),
        ScaleType.F16 => ReadHalf(stored[(2 * group)..]),
        ScaleType.BF16 => BitConverter.UInt32BitsToSingle((uint)BinaryPrimitives.ReadUInt16LittleEndian(stored[(2 * group)..]) << 16),
        ScaleType.PowerOfTwo => (sbyte)stored[group] == NoScale ? 0 : MathF.ScaleB(1, (sbyte)stored[group]),
        _ => BinaryPrimitives.ReadSingleLittleEndian(stored) * (Signed ? (sbyte)stored[SuperBytes + group] : stored[SuperBytes + group]),
    };

    /// <summary>The scales of all groups of the blocks of a row.</summary>
    /// <param name="blocks">From the first block's scales on.</param>
    /// <param name="blockBytes">Bytes from a block's scales to the next one's.</param>
    /// <param name="scales">As many as groups.</param>
    public void Read(ReadOnlySpan<byte> blocks, int blockBytes, Span<float> scales)
    {
        if (Type == ScaleType.F16 && Count == 1)
        {
            for (int g = 0; g < scales.Length; g++) scales[g] = ReadHalf(blocks[(g * blockBytes)..]);
            return;
        }
        for (int g = 0; g < scales.Length; g++) scales[g] = Read(blocks[(g / Count * blockBytes)..], g % Count);
    }

    /// <summary>
    /// A finite half's bits, moved to a float's place, are too small by 2^112: less work than the general conversion. Where a half has no
    /// leading one, the float would have none either, which processors are slow with, so its bits are counted.
    /// </summary>
    private static float ReadHalf(ReadOnlySpan<byte> stored)
    {
        const float Gap = 5.192296858534828e33f, Least = 5.9604644775390625e-8f; // 2^112, 2^-24
        uint bits = BinaryPrimitives.ReadUInt16LittleEndian(stored);
        if ((bits & 0x7C00) == 0x7C00) return (float)BitConverter.UInt16BitsToHalf((ushort)bits);
        if ((bits & 0x7C00) == 0) return ((bits & 0x8000) == 0 ? 1 : -1) * (int)(bits & 0x3FF) * Least;
        return BitConverter.UInt32BitsToSingle(((bits & 0x8000) << 16) | ((bits & 0x7FFF) << 13)) * Gap;
    }

    /// <summary>Stores the scales of all groups, each rounded to what its type can hold, finite always.</summary>
    public void Write(Span<byte> stored, ReadOnlySpan<float> scales)
    {
        if (Type.IsDouble()) WriteDouble(stored, scales);
        else for (int g = 0; g < scales.Length; g++) WriteOne(stored, g, scales[g]);
    }

    private void WriteOne(Span<byte> stored, int group, float scale)
    {
        // A scale so small that its inverse overflows is no scale.
        if (MathF.Abs(scale) < 1e-37f) scale = 0;
        switch (Type)
        {
            case ScaleType.F32:
                BinaryPrimitives.WriteSingleLittleEndian(stored[(4 * group)..], scale);
                break;
            case ScaleType.F16:
                BinaryPrimitives.WriteHalfLittleEndian(stored[(2 * group)..], (Half)Math.Clamp(scale, -65504f, 65504f));
                break;
            case ScaleType.BF16:
                const float Largest = 3.3895314e38f;
                uint bits = BitConverter.SingleToUInt32Bits(Math.Clamp(scale, -Largest, Largest));
                BinaryPrimitives.WriteUInt16LittleEndian(stored[(2 * group)..], (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16));
                break;
            default:
                stored[group] = (byte)(sbyte)(scale == 0 ? NoScale : Math.Clamp(ExponentAtLeast(scale), -126, 127));
                break;
        }
    }

    private void WriteDouble(Span<byte> stored, ReadOnlySpan<float> scales)
    {
        int largestCode = Signed ? 127 : 255;
        float largest = 0;
        foreach (float s in scales) largest = MathF.Max(largest, MathF.Abs(s));
        float super = largest / largestCode;
        if (super < 1e-37f) super = 0;
        BinaryPrimitives.WriteSingleLittleEndian(stored, super);
        for (int g = 0; g < scales.Length; g++)
        {
            float code = super == 0 ? 0 : MathF.Round(scales[g] / super);
            stored[SuperBytes + g] = Signed ? (byte)(sbyte)Math.Clamp(code, -127, 127) : (byte)Math.Clamp(code, 0, 255);
        }
    }

    /// <summary>The least e with 2^e at least the scale.</summary>
    internal static int ExponentAtLeast(float scale)
    {
        int exponent = MathF.ILogB(scale);
        return MathF.ScaleB(1, exponent) < scale ? exponent + 1 : exponent;
    }
}
