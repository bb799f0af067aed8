using System.Globalization;
using System.Xml;

namespace Nibble.Quantization.Reports;

/// <summary>
/// Writes HTML and SVG that are well-formed XML too; text and attributes are escaped, whatever a model's file is called.
/// </summary>
internal sealed class Markup(XmlWriter writer)
{
    private static readonly HashSet<string> WithoutEnd = ["meta", "br", "rect", "line", "path", "circle", "polyline"];

    /// <summary>An element and what is in it.</summary>
    public void Element(string name, Action content, params ReadOnlySpan<(string Name, string Value)> attributes)
    {
        Start(name, attributes);
        content();
        // An empty element must have an end tag in HTML, unless it never has one.
        writer.WriteFullEndElement();
    }

    /// <summary>An element with a text in it.</summary>
    public void Text(string name, string text, params ReadOnlySpan<(string Name, string Value)> attributes)
    {
        Start(name, attributes);
        writer.WriteString(text);
        writer.WriteFullEndElement();
    }

    /// <summary>An element with nothing in it.</summary>
    public void Empty(string name, params ReadOnlySpan<(string Name, string Value)> attributes)
    {
        Start(name, attributes);
        if (WithoutEnd.Contains(name)) writer.WriteEndElement();
        else writer.WriteFullEndElement();
    }

    public void Write(string text) => writer.WriteString(text);

    /// <summary>Text that holds nothing to escape: a style sheet.</summary>
    public void Raw(string text) => writer.WriteRaw(text);

    private void Start(string name, ReadOnlySpan<(string Name, string Value)> attributes)
    {
        writer.WriteStartElement(name);
        foreach ((string attribute, string value) in attributes) writer.WriteAttributeString(attribute, value);
    }

    /// <summary>A coordinate, to a hundredth.</summary>
    public static string N(double value) => Math.Round(value, 2).ToString(CultureInfo.InvariantCulture);
}
