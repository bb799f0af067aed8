using System.CommandLine;
using System.Globalization;
using Nibble.Core;
using Nibble.Files.Gguf;
using Spectre.Console;

namespace Nibble.Cli.Commands;

/// <summary>Makes one GGUF file of shards.</summary>
internal sealed class MergeCommand : Verb
{
    private readonly Argument<string> _input = new("FIRST.gguf") { Description = "The first shard, NAME-00001-of-0000N.gguf, beside the others." };
    private readonly Option<string> _output = new("--output", "-o") { Description = "The file to write.", HelpName = "OUT", Required = true };
    private readonly Option<bool> _force = new("--force") { Description = "Replace an existing output." };

    public MergeCommand() : base("merge", "Make one GGUF file of shards.", "nibble merge model-00001-of-00003.gguf -o model.gguf")
    {
        Add(_input);
        AddOptions(_output, _force);
    }

    protected override void Execute(Invocation run)
    {
        string input = run.Get(_input)!, output = run.Get(_output)!;
        using var source = new GgufFile(input);
        if (source.Shards.Count == 1) throw new UnusableInputException($"{input}: is one file already; there is nothing to merge");
        GgufSplit.Merge(source, output, run.Get(_force), run.Cancellation);
        var result = new MergeResult(output, new FileInfo(output).Length, source.Shards.Count, source.Tensors.Count);
        run.Print(result, ResultJson.Written.MergeResult, r => run.Terminal.Markup(string.Create(CultureInfo.InvariantCulture,
            $"  [bold]{Markup.Escape(r.Output)}[/]: {r.Tensors} tensors of {r.Shards} shards, {Quantity.Bytes(r.Bytes)}")));
    }
}

internal sealed record MergeResult(string Output, long Bytes, int Shards, int Tensors);
