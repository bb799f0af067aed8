using Nibble.Core;
using Nibble.Core.Threading;
using Nibble.Files;
using Nibble.Models;
using Nibble.Models.Decoder;
using Nibble.Models.Tokenizers;

namespace Nibble.Cli;

/// <summary>A model that is ready to predict tokens, with its tokenizer.</summary>
internal sealed class LoadedModel : IDisposable
{
    private LoadedModel(ModelSource source, DecoderModel decoder, Tokenizer tokenizer) => (Source, Decoder, Tokenizer) = (source, decoder, tokenizer);

    public ModelSource Source { get; }

    public DecoderModel Decoder { get; }

    public Tokenizer Tokenizer { get; }

    /// <summary>What a text is cut into tokens by.</summary>
    public (ModelSource, Tokenizer) Cutter => (Source, Tokenizer);

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
            source.CheckPredicts();
            foreach (string notice in source.Notices) terminal.Warn(notice);
            var tokenizer = Tokenizer.Of(source);
            foreach (string warning in tokenizer.Warnings) terminal.Warn($"{path}: {warning}");
            var decoder = new DecoderModel(source, pool, options ?? new DecoderOptions { Warn = terminal.Warn });
            (source.File as MappedTensors)?.LetGo();
            return new LoadedModel(source, decoder, tokenizer);
        }
        catch
        {
            source.Dispose();
            throw;
        }
    }

    public void Dispose()
    {
        Decoder.Dispose();
        Source.Dispose();
    }
}
