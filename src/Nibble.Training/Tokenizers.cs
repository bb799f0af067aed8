using Nibble.Core;
using Nibble.Files.Gguf;
using Nibble.Models;
using Nibble.Models.Tokenizers;

namespace Nibble.Training;

/// <summary>Finds the tokenizer of a model.</summary>
internal static class Tokenizers
{
    /// <summary>The tokenizer that stands beside the weights, or in the same file.</summary>
    /// <exception cref="UnusableInputException">There is none, or it is of another model.</exception>
    public static Tokenizer Of(ModelSource source)
    {
        Tokenizer tokenizer = source.File is GgufFile gguf ? Tokenizer.FromGguf(gguf.Metadata) : Tokenizer.FromFolder(Folder(source));
        if (tokenizer.VocabularySize > source.Config.Vocabulary)
            throw new UnusableInputException(
                $"{source.Path}: the tokenizer has {tokenizer.VocabularySize} tokens, but the model has embeddings for {source.Config.Vocabulary}; they do not belong together");
        return tokenizer;
    }

    /// <summary>The folder of a Hugging Face model.</summary>
    public static string Folder(ModelSource source) =>
        Directory.Exists(source.Path) ? source.Path : Path.GetDirectoryName(Path.GetFullPath(source.Path))!;
}
