namespace Nibble.Models.Architectures;

public abstract partial class Architecture
{
    /// <summary>Every architecture. Adding one is a file in this folder and a line here.</summary>
    public static IReadOnlyList<Architecture> All { get; } =
    [
        new Llama(),
        new Mistral(),
        new Qwen2(),
    ];
}
