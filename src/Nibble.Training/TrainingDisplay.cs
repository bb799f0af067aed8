using System.Diagnostics;
using System.Globalization;
using Nibble.Quantization.Reports;
using Spectre.Console;

namespace Nibble.Training;

/// <summary>
/// Shows a run on standard error: on a terminal a live line with the loss curve, else a line for every look at the
/// held-out text, and one in between where that takes long.
/// </summary>
internal sealed class TrainingDisplay(IAnsiConsole console, bool isTerminal)
{
    private const string Bars = "▁▂▃▄▅▆▇█";
    private const int CurveWidth = 40;
    private static readonly TimeSpan LineInterval = TimeSpan.FromSeconds(30), LiveInterval = TimeSpan.FromSeconds(0.25);

    private readonly List<double> _losses = [];
    private readonly long _started = Stopwatch.GetTimestamp();
    private long _shown = Stopwatch.GetTimestamp();
    private LossPoint? _last;
    private LiveDisplayContext? _live;

    /// <summary>Does the work while the display lives.</summary>
    public T Show<T>(Func<T> work)
    {
        if (!isTerminal) return work();
        return console.Live(new Text("")).Start(context =>
        {
            _live = context;
            return work();
        });
    }

    /// <summary>A remark that stays.</summary>
    public void Note(string line) => console.MarkupLine($"[grey]{line.EscapeMarkup()}[/]");

    public void Update(long step, double loss, double done)
    {
        _losses.Add(loss);
        if (Stopwatch.GetElapsedTime(_shown) < (isTerminal ? LiveInterval : LineInterval)) return;
        _shown = Stopwatch.GetTimestamp();
        if (_live is null) Line($"update {step}  loss {Mean():F4}  {100 * done:F0} %");
        else _live.UpdateTarget(new Text(Invariant($"update {step}  loss {Mean():F4}  held out {_last?.HeldOut ?? double.NaN:F4}  {100 * done:F0} %, {Left(done)} left\n{Curve()}")));
    }

    public void Look(LossPoint point)
    {
        _last = point;
        if (isTerminal) return;
        _shown = Stopwatch.GetTimestamp();
        Line($"update {point.Step}  loss {point.Loss:F4}  held out {point.HeldOut:F4}  {point.Seconds:F0} s");
    }

    /// <summary>The mean of the last updates.</summary>
    private double Mean() => _losses.TakeLast(20).Average();

    private string Left(double done)
    {
        double seconds = Stopwatch.GetElapsedTime(_started).TotalSeconds;
        return done <= 0 ? "?" : TimeSpan.FromSeconds(seconds / done - seconds).ToString(@"h\:mm\:ss", CultureInfo.InvariantCulture);
    }

    /// <summary>The whole curve so far, as many updates a bar as it takes.</summary>
    private string Curve()
    {
        int each = (_losses.Count + CurveWidth - 1) / CurveWidth;
        double[] means = [.. _losses.Chunk(Math.Max(1, each)).Select(c => c.Average())];
        double low = means.Min(), high = means.Max();
        return string.Concat(means.Select(m => Bars[high > low ? (int)((m - low) / (high - low) * (Bars.Length - 1)) : 0]));
    }

    private void Line(FormattableString line) => console.WriteLine(Invariant(line));

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
