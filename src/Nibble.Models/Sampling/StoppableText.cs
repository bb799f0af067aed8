using System.Text;

namespace Nibble.Models.Sampling;

/// <summary>A growing text that ends where one of the stop texts begins; what may still become one is held back.</summary>
internal sealed class StoppableText(IReadOnlyList<string> stops, Action<string> onText)
{
    private readonly StringBuilder _shown = new();
    private string _held = "";

    /// <summary>Adds a piece; true if a stop text came.</summary>
    public bool Push(string piece)
    {
        _held += piece;
        int first = stops.Select(stop => _held.IndexOf(stop, StringComparison.Ordinal)).Where(at => at >= 0).DefaultIfEmpty(-1).Min();
        Show(first >= 0 ? first : _held.Length - HeldBack());
        return first >= 0;
    }

    /// <summary>Shows what was held back.</summary>
    public void Finish() => Show(_held.Length);

    public override string ToString() => _shown.ToString();

    /// <summary>The length of the longest end of the text that begins a stop text.</summary>
    private int HeldBack()
    {
        for (int length = _held.Length; length > 0; length--)
            if (stops.Any(stop => stop.AsSpan().StartsWith(_held.AsSpan(_held.Length - length), StringComparison.Ordinal)))
                return length;
        return 0;
    }

    private void Show(int length)
    {
        if (length == 0) return;
        string text = _held[..length];
        _held = _held[length..];
        _shown.Append(text);
        onText(text);
    }
}
