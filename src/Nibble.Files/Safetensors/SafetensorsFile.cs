using Nibble.Core;

namespace Nibble.Files.Safetensors;

/// <summary>One .safetensors file.</summary>
public sealed unsafe class SafetensorsFile : MappedTensors
{
    /// <exception cref="UnusableInputException">The file is missing or damaged.</exception>
    public SafetensorsFile(string path) : this(path, new MappedFile(path)) { }

    private SafetensorsFile(string path, MappedFile file) : this(path, file, SafetensorsHeader.Read(file)) { }

    private SafetensorsFile(string path, MappedFile file, SafetensorsHeader header) : base(path, [file], header.Places) =>
        Metadata = header.Metadata;

    /// <summary>What the file says of itself (<c>__metadata__</c>), in its order.</summary>
    public IReadOnlyDictionary<string, string> Metadata { get; }

    /// <summary>True if the content begins as a safetensors file does: a length that fits, then a brace.</summary>
    internal static bool IsOne(MappedFile file) =>
        file.Length > 8 && *(ulong*)file.Pointer <= (ulong)file.Length - 8 && file.Pointer[8] == '{';
}
