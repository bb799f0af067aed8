using Spectre.Console;

namespace Nibble.Cli.Commands;

/// <summary>Prints what quantizing did, as a person likes to read it.</summary>
internal static class QuantizeReport
{
    public static void Print(QuantizeResult result, Terminal terminal)
    {
        if (result.Evaluation is { } evaluation)
        {
            terminal.Write(Compare(result, evaluation));
            terminal.Markup($"  [bold]{Markup.Escape(result.Output)}[/] is written, {Quantity.Bytes(result.Bytes)}. Now run it:");
            terminal.Markup($"  {Markup.Escape(CommandLine.Name)} run {Markup.Escape(result.Output)} -p \"The old man looked out over the sea and\"");
            return;
        }
        terminal.Write(Formats(result));
        string size = $"{Quantity.Bytes(result.Bytes)}, {result.BitsPerWeight:F2} bits per weight";
        terminal.Markup(result.DryRun
            ? $"  [bold]{Markup.Escape(result.Output)}[/] would have {size}{Expected(result)}; nothing was written"
            : $"  [bold]{Markup.Escape(result.Output)}[/]: {size}, in {result.Seconds:F1} s with at most {Quantity.Bytes(result.PeakMemoryBytes)} of memory");
        if (result.Rotation is { } rotation) terminal.Markup($"  the residual stream is rotated ({Markup.Escape(rotation)})");
        if (result.Statistics is { } use) terminal.Markup($"  {Markup.Escape($"{use}")}");
    }

    private static string Expected(QuantizeResult result) => result is not { ExpectedSeconds: { } seconds, ExpectedPeakMemoryBytes: { } bytes } ? ""
        : $", in about {(seconds < 100 ? $"{seconds:F0} s" : $"{seconds / 60:F0} min")} with at most about {Quantity.Bytes(bytes)} of memory";

    /// <summary>A row a format: how many tensors, how many bytes, and how much was lost, which nobody knows before.</summary>
    private static Table Formats(QuantizeResult result)
    {
        Table table = new Table().Border(TableBorder.Simple).AddColumn("format").AddColumn(Right("tensors")).AddColumn(Right("size"));
        if (!result.DryRun) table.AddColumn(Right("relative error")).AddColumn(Right("worst tensor"));
        foreach (IGrouping<string, QuantizedRow> format in result.Tensors.GroupBy(t => t.Format).OrderByDescending(g => g.Sum(t => t.Bytes)))
        {
            string[] row = [format.Key, $"{format.Count()}", Quantity.Bytes(format.Sum(t => t.Bytes))];
            table.AddRow(result.DryRun ? row : [.. row, Error(format.Average(t => t.RelativeMse)), Error(format.Max(t => t.RelativeMse))]);
        }
        return table;

        static string Error(double error) => error == 0 ? "0" : $"{100 * error:0.####} %";
    }

    private static Table Compare(QuantizeResult result, BeforeAndAfter e)
    {
        Table table = new Table().Border(TableBorder.Simple).AddColumn("")
            .AddColumn(Right(Markup.Escape(e.Before.Name))).AddColumn(Right($"[bold]{result.Recipe}[/]")).AddColumn("");
        Row("weights", Quantity.Bytes(e.Before.Bytes), Quantity.Bytes(e.After.Bytes), $"{100.0 * e.After.Bytes / e.Before.Bytes:F0} %");
        Row("bits per weight", $"{e.Before.BitsPerWeight:F2}", $"{e.After.BitsPerWeight:F2}", "");
        Row("perplexity", $"{e.Before.Perplexity:F2}", $"{e.After.Perplexity:F2}", $"{100 * (e.After.Perplexity / e.Before.Perplexity - 1):+0.0;-0.0} %");
        Row("KL divergence", "0", $"{e.Kld.Mean:F4}", "nats a token");
        Row("same likeliest token", "100 %", $"{100 * e.Top1Agreement:F1} %", $"of {e.Tokens} tokens");
        Row("decode speed", $"{e.Before.DecodeTokensPerSecond:F0}", $"{e.After.DecodeTokensPerSecond:F0}", $"tokens a second, {e.Threads} threads");
        return table.Caption($"written in {result.Seconds:F1} s, measured in {e.Seconds:F1} s");

        void Row(string name, string before, string after, string remark) =>
            table.AddRow(name, before, $"[bold]{after}[/]", $"[grey]{remark}[/]");
    }

    private static TableColumn Right(string header) => new TableColumn(header).RightAligned();
}
