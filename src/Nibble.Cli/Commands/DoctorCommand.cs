using System.Runtime;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Spectre.Console;

namespace Nibble.Cli.Commands;

/// <summary>Says what the machine offers, what Nibble uses of it, and what is missing.</summary>
internal sealed class DoctorCommand : Verb
{
    public DoctorCommand() : base("doctor", "Show processor, instruction sets in use, memory and threads, and what is missing.",
        "nibble doctor", "nibble doctor --json")
    {
        AddOptions();
    }

    protected override void Execute(Invocation run)
    {
        var result = new DoctorResult(
            Version: typeof(DoctorCommand).Assembly.GetName().Version?.ToString(3) ?? "unknown",
            Processor: Processor.Name(),
            Architecture: RuntimeInformation.ProcessArchitecture.ToString().ToLowerInvariant(),
            InstructionSets: Processor.InstructionSetsInUse(),
            VectorBits: Processor.VectorBits,
            MemoryBytes: GC.GetGCMemoryInfo().TotalAvailableMemoryBytes,
            Threads: run.Threads > 0 ? run.Threads : Environment.ProcessorCount,
            Runtime: RuntimeInformation.FrameworkDescription,
            OperatingSystem: RuntimeInformation.OSDescription,
            NativeAot: !RuntimeFeature.IsDynamicCodeSupported,
            Gc: GCSettings.IsServerGC ? "server" : "workstation",
            EmbeddedModel: ModelPath.Embedded(),
            Missing: Missing());
        run.Print(result, ResultJson.Written.DoctorResult, r => Print(r, run.Terminal));
    }

    private static List<string> Missing()
    {
        List<string> missing = Processor.InstructionSetsMissing();
        if (ModelPath.Embedded() is null)
            missing.Add("the embedded model models/nibble-5m was not found: set NIBBLE_HOME to the folder that holds models/, or name a model");
        return missing;
    }

    private static void Print(DoctorResult result, Terminal terminal)
    {
        Grid grid = new Grid().AddColumn(new GridColumn().NoWrap()).AddColumn();
        grid.AddRow("nibble", result.Version);
        grid.AddRow("processor", Markup.Escape(result.Processor));
        grid.AddRow("instruction sets", string.Join(' ', result.InstructionSets));
        grid.AddRow("vectors", $"{result.VectorBits} bits");
        grid.AddRow("threads", $"{result.Threads}");
        grid.AddRow("memory", Quantity.Bytes(result.MemoryBytes));
        grid.AddRow("runtime", $"{result.Runtime}, {(result.NativeAot ? "compiled ahead of time" : "compiled at run time")}, {result.Gc} GC");
        grid.AddRow("system", Markup.Escape(result.OperatingSystem));
        grid.AddRow("embedded model", Markup.Escape(result.EmbeddedModel ?? "not found"));
        terminal.Write(grid);
        foreach (string line in result.Missing) terminal.Markup($"[yellow]missing:[/] {Markup.Escape(line)}");
        if (result.Missing.Count == 0) terminal.Markup("[green]nothing is missing[/]");
    }
}

internal sealed record DoctorResult(
    string Version, string Processor, string Architecture, IReadOnlyList<string> InstructionSets, int VectorBits, long MemoryBytes, int Threads,
    string Runtime, string OperatingSystem, bool NativeAot, string Gc, string? EmbeddedModel, IReadOnlyList<string> Missing);
