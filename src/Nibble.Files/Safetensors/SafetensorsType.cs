using System.Collections.Frozen;
using Nibble.Core.Formats;

namespace Nibble.Files.Safetensors;

/// <summary>The element types of safetensors.</summary>
internal static class SafetensorsType
{
    private static readonly FrozenDictionary<string, int> Sizes = new Dictionary<string, int>
    {
        ["BOOL"] = 1,
        ["U8"] = 1,
        ["I8"] = 1,
        ["F8_E5M2"] = 1,
        ["F8_E4M3"] = 1,
        ["I16"] = 2,
        ["U16"] = 2,
        ["F16"] = 2,
        ["BF16"] = 2,
        ["I32"] = 4,
        ["U32"] = 4,
        ["F32"] = 4,
        ["F64"] = 8,
        ["I64"] = 8,
        ["U64"] = 8,
    }.ToFrozenDictionary();

    public static string Names { get; } = string.Join(' ', Sizes.Keys.Order(StringComparer.Ordinal));

    /// <summary>Bytes an element, or 0 for a type that safetensors does not have.</summary>
    public static int Size(string type) => Sizes.GetValueOrDefault(type);

    /// <summary>The format of the weights, or null for a type that holds none. A format of one number has the type's name.</summary>
    public static Format? FormatOf(string type) =>
        type[0] is 'F' or 'B' ? Format.All.FirstOrDefault(f => f.Name == type && f.BlockSize == 1) : null;
}
