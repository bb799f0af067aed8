using System.Collections.Frozen;
using Nibble.Core.Formats;

namespace Nibble.Files.Safetensors;

/// <summary>The element types of safetensors.</summary>
internal static class SafetensorsType
{
    private static readonly FrozenDictionary<string, int> Bits = new Dictionary<string, int>
    {
        ["F4"] = 4,
        ["F6_E2M3"] = 6,
        ["F6_E3M2"] = 6,
        ["BOOL"] = 8,
        ["U8"] = 8,
        ["I8"] = 8,
        ["F8_E5M2"] = 8,
        ["F8_E4M3"] = 8,
        ["F8_E8M0"] = 8,
        ["I16"] = 16,
        ["U16"] = 16,
        ["F16"] = 16,
        ["BF16"] = 16,
        ["I32"] = 32,
        ["U32"] = 32,
        ["F32"] = 32,
        ["F64"] = 64,
        ["I64"] = 64,
        ["U64"] = 64,
        ["C64"] = 64,
    }.ToFrozenDictionary();

    public static string Names { get; } = string.Join(' ', Bits.Keys.Order(StringComparer.Ordinal));

    public static bool Exists(string type) => Bits.ContainsKey(type);

    /// <summary>The bytes of a tensor, or null if they are no whole number, or more than 2^63.</summary>
    public static long? Bytes(string type, ReadOnlySpan<long> shape)
    {
        Int128 bits = (Int128)(TensorInfo.Product(shape) ?? -1) * Bits[type];
        return bits >= 0 && bits % 8 == 0 && bits / 8 <= long.MaxValue ? (long)(bits / 8) : null;
    }

    /// <summary>The format of the weights, or null for a type that holds none. A format of one number has the type's name.</summary>
    public static Format? FormatOf(string type) =>
        Format.All.FirstOrDefault(f => f.Name == type && f.Family == FormatFamily.Float && 8 * f.BlockBytes == Bits[type] * f.BlockSize);
}
