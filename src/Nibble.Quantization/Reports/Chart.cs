using static Nibble.Quantization.Reports.Markup;

namespace Nibble.Quantization.Reports;

/// <summary>A chart of two axes, as inline SVG that grows with the page. Colours are classes, so that the style sheet chooses them.</summary>
internal sealed class Chart
{
    public const double Width = 480, Height = 320;

    private const double Left = 58, Right = 14, Top = 12, Bottom = 46;

    private readonly Markup _markup;
    private readonly Axis _x, _y;

    private Chart(Markup markup, Axis x, Axis y) => (_markup, _x, _y) = (markup, x, y);

    /// <summary>Draws the frame, then what is in it.</summary>
    /// <param name="label">What the chart shows, for those who cannot see it.</param>
    /// <param name="ticks">The numbers along x, or null for round ones.</param>
    public static void Draw(Markup markup, string label, Axis x, Axis y, Action<Chart> content, IEnumerable<(double Value, string Text)>? ticks = null)
    {
        var chart = new Chart(markup, x, y);
        markup.Element("svg", () =>
        {
            chart.Frame(ticks ?? x.Ticks().Select(t => (t, Axis.Text(t))));
            content(chart);
        }, ("viewBox", $"0 0 {N(Width)} {N(Height)}"), ("role", "img"), ("aria-label", label));
    }

    public double X(double value) => Left + _x.Place(value) * (Width - Left - Right);

    public double Y(double value) => Height - Bottom - _y.Place(value) * (Height - Top - Bottom);

    /// <summary>The y of the x axis.</summary>
    public const double Floor = Height - Bottom;

    private void Frame(IEnumerable<(double Value, string Text)> ticks)
    {
        foreach (double tick in _y.Ticks())
        {
            Line(Left, Y(tick), Width - Right, Y(tick), "grid");
            Label(Left - 6, Y(tick) + 4, Axis.Text(tick), "tick end");
        }
        foreach ((double value, string text) in ticks)
        {
            Line(X(value), Floor, X(value), Floor + 4, "axis");
            Label(X(value), Floor + 17, text, "tick middle");
        }
        Line(Left, Floor, Width - Right, Floor, "axis");
        Label((Left + Width - Right) / 2, Height - 8, _x.Title, "title middle");
        _markup.Text("text", _y.Title, ("class", "title middle"), ("transform", $"translate(13 {N((Top + Floor) / 2)}) rotate(-90)"));
    }

    public void Line(double x1, double y1, double x2, double y2, string style) =>
        _markup.Empty("line", ("x1", N(x1)), ("y1", N(y1)), ("x2", N(x2)), ("y2", N(y2)), ("class", style));

    public void Label(double x, double y, string text, string style) => _markup.Text("text", text, ("x", N(x)), ("y", N(y)), ("class", style));

    /// <summary>A line through the points that the axes can show.</summary>
    public void Path(IEnumerable<(double X, double Y)> points, string style)
    {
        string[] places = [.. points.Where(p => _x.Shows(p.X) && _y.Shows(p.Y)).Select(p => $"{N(X(p.X))},{N(Y(p.Y))}")];
        if (places.Length > 1) _markup.Empty("polyline", ("points", string.Join(' ', places)), ("class", style));
    }

    /// <summary>A mark whose shape tells the series apart without colour.</summary>
    public void Mark(double x, double y, int series, string tip)
    {
        if (!_x.Shows(x) || !_y.Shows(y)) return;
        _markup.Element("path", () => _markup.Text("title", tip), ("d", Shape(series, X(x), Y(y), 4.5)), ("class", $"mark c{series % Palette.Colors}"));
    }

    /// <summary>A mark that belongs to no series of the report.</summary>
    public void Cross(double x, double y, string tip)
    {
        const double R = 4;
        if (!_x.Shows(x) || !_y.Shows(y)) return;
        (double left, double top) = (X(x) - R, Y(y) - R);
        _markup.Element("path", () => _markup.Text("title", tip), ("d", $"M{N(left)} {N(top)}l{N(2 * R)} {N(2 * R)}m0 {N(-2 * R)}l{N(-2 * R)} {N(2 * R)}"), ("class", "cross"));
    }

    /// <summary>A circle, square, diamond or triangle.</summary>
    public static string Shape(int series, double x, double y, double r) => (series % 4) switch
    {
        0 => $"M{N(x - r)} {N(y)}a{N(r)} {N(r)} 0 1 0 {N(2 * r)} 0a{N(r)} {N(r)} 0 1 0 {N(-2 * r)} 0z",
        1 => $"M{N(x - r)} {N(y - r)}h{N(2 * r)}v{N(2 * r)}h{N(-2 * r)}z",
        2 => $"M{N(x)} {N(y - 1.3 * r)}l{N(1.3 * r)} {N(1.3 * r)}l{N(-1.3 * r)} {N(1.3 * r)}l{N(-1.3 * r)} {N(-1.3 * r)}z",
        _ => $"M{N(x)} {N(y - 1.2 * r)}l{N(1.2 * r)} {N(2.2 * r)}h{N(-2.4 * r)}z",
    };

    /// <summary>A dot in the chart's own coordinates, at the end of a line.</summary>
    public void Tip(double x, double y, string tip) =>
        _markup.Element("circle", () => _markup.Text("title", tip), ("cx", N(x)), ("cy", N(y)), ("r", "3"), ("class", "tip"));

    /// <summary>A bar from the floor up.</summary>
    public void Bar(double from, double to, double height, string style)
    {
        double top = Y(height);
        _markup.Empty("rect", ("x", N(X(from))), ("y", N(top)), ("width", N(Math.Max(0.1, X(to) - X(from)))), ("height", N(Math.Max(0, Floor - top))), ("class", style));
    }
}
