using System.Globalization;
using Nibble.Core.Formats;
using Spectre.Console;

namespace Nibble.Cli.Commands;

/// <summary>Lists every format.</summary>
internal sealed class FormatsCommand : Verb
{
    public FormatsCommand() : base("formats", "List every format: bits per weight, block, family and GGUF type number.",
        "nibble formats", "nibble formats --json")
    {
        AddOptions();
    }

    protected override void Execute(Invocation run)
    {
        var result = new FormatsResult([.. Format.All.Select(f => new FormatRow(
            f.Name, f.BitsPerWeight, f.BlockSize, f.BlockBytes, f.Family.ToString().ToLowerInvariant(), f.GgufType))]);
        run.Print(result, ResultJson.Written.FormatsResult, r => run.Terminal.Write(Table(r)));
    }

    private static Table Table(FormatsResult result)
    {
        Table table = new Table().Border(TableBorder.Simple)
            .AddColumn("format").AddColumn(new TableColumn("bits per weight").RightAligned())
            .AddColumn(new TableColumn("block").RightAligned()).AddColumn(new TableColumn("bytes").RightAligned())
            .AddColumn("family").AddColumn(new TableColumn("GGUF type").RightAligned());
        foreach (FormatRow f in result.Formats)
            table.AddRow(f.Name, f.BitsPerWeight.ToString("0.####", CultureInfo.InvariantCulture), $"{f.BlockSize}", $"{f.BlockBytes}",
                f.Family, f.GgufType?.ToString(CultureInfo.InvariantCulture) ?? "");
        return table;
    }
}

internal sealed record FormatsResult(IReadOnlyList<FormatRow> Formats);

internal sealed record FormatRow(string Name, double BitsPerWeight, int BlockSize, int BlockBytes, string Family, uint? GgufType);
