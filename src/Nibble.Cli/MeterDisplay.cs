using Spectre.Console;
using Spectre.Console.Rendering;

namespace Nibble.Cli;

/// <summary>Shows a meter: as a moving bar on a terminal, as an occasional line elsewhere.</summary>
internal static class MeterDisplay
{
    private static readonly TimeSpan BetweenLines = TimeSpan.FromSeconds(5);

    /// <summary>A bar that is cleared when the work is done.</summary>
    public static T Live<T>(IAnsiConsole console, Meter meter, Func<Meter, T> work) =>
        new Progress(console)
            .AutoClear(true)
            .HideCompleted(true)
            .Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new MeterColumn(meter))
            .Start(context =>
            {
                ProgressTask task = context.AddTask(meter.What.EscapeMarkup(), maxValue: 1);
                using var timer = new Timer(_ => task.Value = Math.Min(meter.Done / meter.Total, 0.9999), null, 100, 100);
                return work(meter);
            });

    public static T Lines<T>(TextWriter writer, Meter meter, Func<Meter, T> work)
    {
        using var timer = new Timer(_ => writer.WriteLine(meter), null, BetweenLines, BetweenLines);
        return work(meter);
    }

    private sealed class MeterColumn(Meter meter) : ProgressColumn
    {
        protected override bool NoWrap => true;

        public override IRenderable Render(RenderOptions options, ProgressTask task, TimeSpan deltaTime) =>
            new Text(meter.Done > 0 ? $"{meter.Rate}, {meter.TimeLeft}" : "");
    }
}
