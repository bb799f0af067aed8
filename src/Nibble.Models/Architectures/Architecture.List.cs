namespace Nibble.Models.Architectures;

public abstract partial class Architecture
{
    /// <summary>Every architecture. Adding one is a file in this folder and a line here.</summary>
    public static IReadOnlyList<Architecture> All { get; } =
    [
        new Llama(),
        new Mistral(),
        new Mixtral(),
        new Qwen2(),
        new Qwen3(),
        new Qwen3Moe(),
        new Gemma2(),
        new Gemma3(),
        new Phi3(),
        new SmolLm3(),
        new Olmo2(),
        new Granite(),
        new Cohere2(),
        new Glm4(),
        new GptOss(),
        new DeepSeek3(),
        new StableLm(),
        new Starcoder2(),
        new GptNeoX(),
        new Gpt2(),
        new Bert(),
        new ModernBert(),
    ];
}
