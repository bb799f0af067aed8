using System.Diagnostics;
using System.Globalization;

namespace Nibble.Cli;

/// <summary>How far a piece of work is, at what rate, and how long it still takes.</summary>
internal sealed class Meter
{
    private readonly long _started = Stopwatch.GetTimestamp();
    private readonly bool _bytes;
    private double _done;

    public Meter(string what, double total, string unit)
    {
        What = what;
        Total = total;
        Unit = unit;
        _bytes = unit == "bytes";
    }

    public string What { get; }

    public double Total { get; }

    public string Unit { get; }

    /// <summary>Units done so far; written by the worker, read by the display.</summary>
    public double Done
    {
        get => Volatile.Read(ref _done);
        set => Volatile.Write(ref _done, value);
    }

    public TimeSpan Elapsed => Stopwatch.GetElapsedTime(_started);

    public string Rate
    {
        get
        {
            double rate = Done / Math.Max(Elapsed.TotalSeconds, 1e-9);
            return _bytes
                ? string.Create(CultureInfo.InvariantCulture, $"{rate / 1e6:F0} MB/s")
                : string.Create(CultureInfo.InvariantCulture, $"{rate:G3} {Unit}/s");
        }
    }

    public string TimeLeft
    {
        get
        {
            if (Done <= 0) return "";
            double seconds = Elapsed.TotalSeconds * (Total - Done) / Done;
            return seconds < 100 ? $"{seconds:F0} s left" : $"{seconds / 60:F0} min left";
        }
    }

    /// <summary>One plain line: "evaluating: 40 of 199 chunks, 12.3 chunks/s, 13 s left".</summary>
    public override string ToString() => _bytes
        ? string.Create(CultureInfo.InvariantCulture, $"{What}: {Done / 1e6:F0} of {Total / 1e6:F0} MB, {Rate}, {TimeLeft}")
        : string.Create(CultureInfo.InvariantCulture, $"{What}: {Done:F0} of {Total:F0} {Unit}, {Rate}, {TimeLeft}");
}
