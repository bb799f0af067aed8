namespace Nibble.Models.Tokenizers.Gguf;

/// <summary>llama.cpp's kinds of tokens, as <c>tokenizer.ggml.token_type</c> numbers them.</summary>
internal enum GgufTokenType
{
    Normal = 1,
    Unknown = 2,
    Control = 3,
    UserDefined = 4,
    Unused = 5,
    Byte = 6,
}
