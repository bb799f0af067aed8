using System.CommandLine;
using System.Globalization;
using Nibble.Core;
using Nibble.Files.Gguf;
using Spectre.Console;

namespace Nibble.Cli.Commands;

/// <summary>Cuts a GGUF file into shards.</summary>
internal sealed class SplitCommand : Verb
{
    private readonly Argument<string> _input = new("IN.gguf") { Description = "The file to cut; the first shard, where it is cut already." };
    private readonly Option<string> _output = new("--output", "-o") { Description = "The shards become PREFIX-00001-of-0000N.gguf and so on.", HelpName = "PREFIX", Required = true };
    private readonly Option<string?> _maxSize = new("--max-size") { Description = "The most bytes of tensors a shard may hold: 500M, 4G. A larger tensor has a shard to itself.", HelpName = "BYTES" };
    private readonly Option<int?> _maxTensors = new("--max-tensors") { Description = "The most tensors a shard may hold.", HelpName = "N" };
    private readonly Option<bool> _force = new("--force") { Description = "Replace existing shards." };

    public SplitCommand() : base("split", "Cut a GGUF file into shards, which every verb reads as one model.",
        "nibble split model.gguf -o model --max-size 4G", "nibble split model.gguf -o model --max-tensors 128 --json")
    {
        Add(_input);
        AddOptions(_output, _maxSize, _maxTensors, _force);
    }

    protected override void Execute(Invocation run)
    {
        (string? size, int? tensors) = (run.Get(_maxSize), run.Get(_maxTensors));
        if (size is null && tensors is null) throw new UnusableInputException("say how large the shards may be: --max-size 4G or --max-tensors 128");
        if (tensors is < 1) throw new UnusableInputException("--max-tensors: a shard holds at least 1 tensor");
        long bytes = size is null ? long.MaxValue : Quantity.ParseBytes("--max-size", size);
        using var source = new GgufFile(run.Get(_input)!);
        IReadOnlyList<string> shards = GgufSplit.Split(source, run.Get(_output)!, bytes, tensors ?? int.MaxValue, run.Get(_force), run.Cancellation);
        var result = new SplitResult(shards, shards.Sum(s => new FileInfo(s).Length), source.Tensors.Count);
        run.Print(result, ResultJson.Written.SplitResult, r => run.Terminal.Markup(string.Create(CultureInfo.InvariantCulture,
            $"  {r.Tensors} tensors in {r.Output.Count} shards, {Quantity.Bytes(r.Bytes)}; the first, [bold]{Markup.Escape(r.Output[0])}[/], opens them all")));
    }
}

/// <param name="Output">The shards, in order.</param>
internal sealed record SplitResult(IReadOnlyList<string> Output, long Bytes, int Tensors);
