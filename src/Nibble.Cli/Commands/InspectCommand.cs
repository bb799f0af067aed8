using System.CommandLine;
using System.Globalization;
using Nibble.Core;
using Nibble.Core.Threading;
using Nibble.Files;
using Nibble.Files.Gguf;
using Nibble.Models;
using Nibble.Models.Tokenizers;
using Nibble.Quantization.Evaluation;
using Spectre.Console;

namespace Nibble.Cli.Commands;

/// <summary>Shows what a model is made of, without loading a weight.</summary>
internal sealed class InspectCommand : Verb
{
    private readonly Argument<string?> _model = ModelArgument();
    private readonly Option<string?> _text = new("--text") { Description = "Of a mixture of experts: read this text, and show how often each expert is used.", HelpName = "FILE" };

    public InspectCommand() : base("inspect", "Show architecture, tensors, formats, size and tokenizer of a model.",
        "nibble inspect", "nibble inspect model.gguf --json", "nibble inspect gpt-oss-20b --text book.txt")
    {
        Add(_model);
        AddOptions(_text);
    }

    protected override void Execute(Invocation run)
    {
        using ModelSource source = ModelSource.Open(ModelPath.Resolve(run.Get(_model)));
        if (source.File is GgufFile { BytesBehind: > 0 and long behind })
            run.Terminal.Warn($"{source.Path}: {behind} bytes follow the last tensor and mean nothing; they do no harm");
        foreach (string notice in source.Notices) run.Terminal.Warn(notice);
        InspectResult result = InspectResult.Of(source) with { Experts = run.Get(_text) is { } text ? Read(run, source, text) : null };
        run.Print(result, ResultJson.Written.InspectResult, r => Print(r, run.Terminal));
    }

    /// <summary>Reads a text and counts the experts that are chosen.</summary>
    private static ExpertsResult Read(Invocation run, ModelSource source, string text)
    {
        if (source.Config.Experts is null)
            throw new UnusableInputException($"--text: shows how experts are used, and {source.Path} is no mixture of experts");
        using WorkerPool pool = run.NewPool();
        return ExpertsResult.Of(ExpertUse.Of(source, Tokenizer.Of(source), TextFile.Read(text), pool, run.Terminal.Warn, run.Cancellation)!);
    }

    private static void Print(ExpertsResult experts, Terminal terminal)
    {
        const int MostShown = 16;
        static string Percent(double rate) => rate.ToString("P1", CultureInfo.InvariantCulture);
        Table table = new Table().Border(TableBorder.Simple).Title($"use of experts over {experts.Tokens} tokens: share of tokens sent to each").AddColumn("layer")
            .AddColumn("never").AddColumn("least").AddColumn("most").AddColumn("experts in order");
        foreach (LayerExperts layer in experts.Layers)
        {
            int[] order = [.. Enumerable.Range(0, layer.Rates.Count).OrderBy(e => layer.Rates[e])];
            string Named(int expert) => $"{expert}: {Percent(layer.Rates[expert])}";
            string all = layer.Rates.Count <= MostShown ? string.Join("  ", layer.Rates.Select(Percent)) : "";
            table.AddRow(layer.Layer.ToString(CultureInfo.InvariantCulture), layer.Rates.Count(r => r == 0).ToString(CultureInfo.InvariantCulture),
                Named(order[0]), Named(order[^1]), all);
        }
        terminal.Write(table);
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
        if (r.Experts is { } experts) Print(experts, terminal);
        Table table = new Table().Border(TableBorder.Simple).AddColumn("tensor").AddColumn(new TableColumn("shape").RightAligned())
            .AddColumn("format").AddColumn(new TableColumn("bytes").RightAligned());
        foreach (TensorRow t in r.Tensors)
            table.AddRow(Markup.Escape(t.Name), string.Join(" x ", t.Shape), Markup.Escape(t.Format), t.Bytes.ToString("#,0", CultureInfo.InvariantCulture));
        terminal.Write(table);
    }
}

/// <summary>How often experts are used: the share of tokens that are sent to each.</summary>
internal sealed record ExpertsResult(long Tokens, IReadOnlyList<LayerExperts> Layers)
{
    public static ExpertsResult Of(ExpertUse use) =>
        new(use.Tokens, [.. use.Layers.Select(l => new LayerExperts(l.Layer, [.. l.Chosen.Select(n => (double)n / Math.Max(use.Tokens, 1))]))]);
}

/// <param name="Rates">For each expert the share of tokens that are sent to it; a token is sent to several.</param>
internal sealed record LayerExperts(int Layer, IReadOnlyList<double> Rates);

internal sealed record InspectResult(
    string Model, string Architecture, long Parameters, long Bytes, double BitsPerWeight, int Layers, int Hidden, int FeedForward, int Heads,
    int KvHeads, int ContextLength, int Vocabulary, string Tokenizer, IReadOnlyList<TensorRow> Tensors,
    ExpertsResult? Experts = null)
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
            return Models.Tokenizers.Tokenizer.Of(source).Description;
        }
        catch (UnusableInputException e)
        {
            return e.Message;
        }
    }
}

internal sealed record TensorRow(string Name, IReadOnlyList<long> Shape, string Format, long Bytes);
