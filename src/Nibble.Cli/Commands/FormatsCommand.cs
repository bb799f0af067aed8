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
        var result = new FormatsResult([.. Format.All.Select(Row)]);
        run.Print(result, ResultJson.Written.FormatsResult, r => run.Terminal.Write(Table(r)));
    }

    /// <summary>A block that is a row as long as it comes is shown for one of <see cref="Format.NominalRow"/> weights.</summary>
    private static FormatRow Row(Format format)
    {
        Format shown = format.BlockSize == 0 ? format.ForColumns(Format.NominalRow) : format;
        return new FormatRow(format.Name, shown.BitsPerWeight, shown.BlockSize, shown.BlockBytes, format.Family.ToString().ToLowerInvariant(), format.GgufType);
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
