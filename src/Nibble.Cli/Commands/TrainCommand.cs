using System.ComponentModel;
using System.Diagnostics;
using Nibble.Core;

namespace Nibble.Cli.Commands;

/// <summary>
/// Quantization-aware training, done by a program of its own, nibble-train, so that this one carries no libtorch. All
/// arguments go to it as they are, --help included, and its exit code is this program's.
/// </summary>
internal sealed class TrainCommand : Verb
{
    public const string Word = "train";

    private static readonly string[] Trainer = ["src", "Nibble.Training", "bin", "Release", "net10.0", "nibble-train.dll"];

    /// <summary>How long a trainer that was told to stop may take for its last checkpoint.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    public TrainCommand() : base(Word, "Train a model so that it keeps its quality in few bits (a program of its own).") { }

    /// <summary>Runs the trainer with these arguments and returns its exit code.</summary>
    /// <exception cref="UnusableInputException">The trainer is not built, or there is no dotnet to run it.</exception>
    public static int Start(ReadOnlySpan<string> arguments, CancellationToken cancellation)
    {
        string program = ModelPath.Find(Trainer) ?? throw new UnusableInputException(
            "the trainer is not built, for it downloads libtorch (0.2 GB): 'dotnet build src/Nibble.Training -c Release' in the Nibble checkout does it");
        var start = new ProcessStartInfo(DotNet());
        start.ArgumentList.Add(program);
        foreach (string argument in arguments) start.ArgumentList.Add(argument);
        try
        {
            using Process process = Process.Start(start)!;
            Wait(process, cancellation);
            return process.ExitCode;
        }
        catch (Win32Exception e)
        {
            throw new UnusableInputException($"{start.FileName}: cannot be run ({e.Message}); the trainer needs the .NET 10 runtime: https://dot.net has it", e);
        }
    }

    /// <summary>Ctrl+C reaches the trainer too, which stops with a checkpoint; one that does not is ended.</summary>
    private static void Wait(Process process, CancellationToken cancellation)
    {
        using CancellationTokenRegistration stop = cancellation.Register(() =>
        {
            if (!process.WaitForExit(Patience)) process.Kill();
        });
        process.WaitForExit();
    }

    private static string DotNet()
    {
        if (Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") is { Length: > 0 } host) return host;
        return Environment.ProcessPath is { } self && Path.GetFileNameWithoutExtension(self) == "dotnet" ? self : "dotnet";
    }

    protected override void Execute(Invocation run) => throw new UnreachableException("CommandLine starts the trainer before it parses.");
}
