using System.Globalization;
using System.Runtime.InteropServices;

namespace Nibble.Cli;

/// <summary>The entry point: connects the process's streams and signals to <see cref="CommandLine"/>.</summary>
public static class Program
{
    public static int Main(string[] args)
    {
        // Numbers are printed as they are typed, also where the environment switches cultures on.
        CultureInfo.CurrentCulture = CultureInfo.DefaultThreadCurrentCulture = CultureInfo.InvariantCulture;
        using var cancellation = new CancellationTokenSource();
        using PosixSignalRegistration interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Cancel);
        using PosixSignalRegistration terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Cancel);
        return CommandLine.Run(args, Terminal.OfProcess(), cancellation.Token);

        // The first signal asks the work to stop where nothing is half-written; a second one ends the process at once.
        void Cancel(PosixSignalContext signal)
        {
            signal.Cancel = !cancellation.IsCancellationRequested;
            cancellation.Cancel();
        }
    }
}
