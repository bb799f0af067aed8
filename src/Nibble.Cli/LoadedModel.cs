using Nibble.Core;
using Nibble.Core.Threading;
using Nibble.Files.Gguf;
using Nibble.Models;
using Nibble.Models.Decoder;
using Nibble.Models.Tokenizers;

namespace Nibble.Cli;

/// <summary>A model that is ready to run, with its tokenizer.</summary>
internal sealed class LoadedModel : IDisposable
{
    private LoadedModel(ModelSource source, DecoderModel decoder, Tokenizer tokenizer) => (Source, Decoder, Tokenizer) = (source, decoder, tokenizer);

    public ModelSource Source { get; }

    public DecoderModel Decoder { get; }

    public Tokenizer Tokenizer { get; }

    /// <param name="path">A file or folder that exists.</param>
    /// <param name="pool">Must outlive the model.</param>
    /// <param name="terminal">Gets warnings.</param>
    /// <param name="options">How it runs; by default as a verb without options runs it.</param>
    /// <exception cref="UnusableInputException">One line says what is wrong with the model.</exception>
    public static LoadedModel Open(string path, WorkerPool pool, Terminal terminal, DecoderOptions? options = null)
    {
        ModelSource source = ModelSource.Open(path);
        try
        {
            foreach (string notice in source.Notices) terminal.Warn(notice);
            Tokenizer tokenizer = OpenTokenizer(source);
            foreach (string warning in tokenizer.Warnings) terminal.Warn($"{path}: {warning}");
            if (tokenizer.VocabularySize > source.Config.Vocabulary)
                throw new UnusableInputException(
                    $"{path}: the tokenizer has {tokenizer.VocabularySize} tokens, but the model has embeddings for {source.Config.Vocabulary}; they do not belong together");
            return new LoadedModel(source, new DecoderModel(source, pool, options ?? new DecoderOptions { Warn = terminal.Warn }), tokenizer);
        }
        catch
        {
            source.Dispose();
            throw;
        }
    }

    /// <summary>The tokenizer that stands beside the weights, or in the same file.</summary>
    public static Tokenizer OpenTokenizer(ModelSource source) =>
        source.File is GgufFile gguf ? Tokenizer.FromGguf(gguf.Metadata)
        : Tokenizer.FromFolder(Directory.Exists(source.Path) ? source.Path : Path.GetDirectoryName(Path.GetFullPath(source.Path))!);

    public void Dispose()
    {
        Decoder.Dispose();
        Source.Dispose();
    }
}
