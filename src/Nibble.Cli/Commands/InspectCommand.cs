using System.CommandLine;
using System.Globalization;
using Nibble.Core;
using Nibble.Files;
using Nibble.Files.Gguf;
using Nibble.Models;
using Spectre.Console;

namespace Nibble.Cli.Commands;

/// <summary>Shows what a model is made of, without loading a weight.</summary>
internal sealed class InspectCommand : Verb
{
    private readonly Argument<string?> _model = ModelArgument();

    public InspectCommand() : base("inspect", "Show architecture, tensors, formats, size and tokenizer of a model.",
        "nibble inspect", "nibble inspect model.gguf --json")
    {
        Add(_model);
        AddOptions();
    }

    protected override void Execute(Invocation run)
    {
        using ModelSource source = ModelSource.Open(ModelPath.Resolve(run.Get(_model)));
        if (source.File is GgufFile { BytesBehind: > 0 and long behind })
            run.Terminal.Warn($"{source.Path}: {behind} bytes follow the last tensor and mean nothing; they do no harm");
        foreach (string notice in source.Notices) run.Terminal.Warn(notice);
        run.Print(InspectResult.Of(source), ResultJson.Written.InspectResult, r => Print(r, run.Terminal));
    }

    private static void Print(InspectResult r, Terminal terminal)
    {
        Grid grid = new Grid().AddColumn(new GridColumn().NoWrap()).AddColumn();
        grid.AddRow("model", Markup.Escape(r.Model));
        grid.AddRow("architecture", Markup.Escape(r.Architecture));
        grid.AddRow("parameters", Quantity.Count(r.Parameters));
        grid.AddRow("weights", string.Create(CultureInfo.InvariantCulture, $"{Quantity.Bytes(r.Bytes)}, {r.BitsPerWeight:F2} bits per weight"));
        grid.AddRow("shape", $"{r.Layers} layers, width {r.Hidden}, feed-forward {r.FeedForward}, {r.Heads} heads, {r.KvHeads} KV heads");
        grid.AddRow("context", $"{r.ContextLength} tokens");
        grid.AddRow("tokenizer", Markup.Escape(r.Tokenizer));
        terminal.Write(grid);
        Table table = new Table().Border(TableBorder.Simple).AddColumn("tensor").AddColumn(new TableColumn("shape").RightAligned())
            .AddColumn("format").AddColumn(new TableColumn("bytes").RightAligned());
        foreach (TensorRow t in r.Tensors)
            table.AddRow(Markup.Escape(t.Name), string.Join(" x ", t.Shape), Markup.Escape(t.Format), t.Bytes.ToString("#,0", CultureInfo.InvariantCulture));
        terminal.Write(table);
    }
}

internal sealed record InspectResult(
    string Model, string Architecture, long Parameters, long Bytes, double BitsPerWeight, int Layers, int Hidden, int FeedForward, int Heads,
    int KvHeads, int ContextLength, int Vocabulary, string Tokenizer, IReadOnlyList<TensorRow> Tensors)
{
    public static InspectResult Of(ModelSource source)
    {
        TensorInfo[] weights = [.. source.File.Tensors.Where(t => t.Format is not null)];
        long parameters = weights.Sum(t => t.Elements), bytes = weights.Sum(t => t.BytesWithTable);
        ModelConfig config = source.Config;
        return new InspectResult(
            source.Path, config.Architecture, parameters, bytes, 8.0 * bytes / Math.Max(parameters, 1), config.Layers.Count, config.Hidden,
            config.FeedForward, config.Heads, config.KvHeads, config.ContextLength, config.Vocabulary, TokenizerOf(source),
            [.. source.File.Tensors.Select(t => new TensorRow(t.Name, t.Shape, t.Format?.Name ?? t.Type, t.BytesWithTable))]);
    }

    /// <summary>What the tokenizer is, or why there is none: a model can be looked at without it.</summary>
    private static string TokenizerOf(ModelSource source)
    {
        try
        {
            return LoadedModel.OpenTokenizer(source).Description;
        }
        catch (UnusableInputException e)
        {
            return e.Message;
        }
    }
}

internal sealed record TensorRow(string Name, IReadOnlyList<long> Shape, string Format, long Bytes);
