using System.Globalization;

namespace Nibble.Core.Formats;

/// <summary>
/// Names: <c>Vector8x256</c> is 8 weights a code and 256 entries; <c>Vector8x256x2</c> adds two entries, one for what the other
/// leaves; words after dashes: <c>add</c> (the stages are learned and searched together), <c>pq4</c> (a product: four
/// codebooks take turns along the row), <c>books4</c> (four sets of codebooks, a row names its own), then a scale as in
/// <see cref="LinearFormat"/>: <c>g64</c>, <c>row</c>, or <c>tensor</c> for none beside the codebook; <c>f32</c>,
/// <c>f16</c> or <c>bf16</c>.
/// </summary>
public sealed partial class VectorFormat
{
    private static readonly Granularity DefaultGranularity = Granularity.Tensor;

    /// <summary>The member of the family that <c>VectorDxK</c> names.</summary>
    public static VectorFormat Of(int dimension, int entries, int stages = 1) =>
        new(new Shape(dimension, entries, stages, Additive: false, Parts: 1, Books: 1, DefaultGranularity, ScaleType.F16), 0, default);

    private string MakeName()
    {
        var name = new FormatName($"Vector{_shape.Dimension}x{_shape.Entries}{(_shape.Stages > 1 ? $"x{_shape.Stages}" : "")}");
        if (_shape.Additive) name.Add("add");
        if (_shape.Parts > 1) name.Add($"pq{_shape.Parts}");
        if (_shape.Books > 1) name.Add($"books{_shape.Books}");
        if (_shape.Granularity != DefaultGranularity) name.Add(_shape.Granularity.ToString());
        if (_shape.Granularity.Reach != Reach.Tensor && _shape.Scale != ScaleType.F16) name.Add(_shape.Scale.Word());
        return name.ToString();
    }

    /// <summary>The format that a name describes, or null if it is not the name of a vector format.</summary>
    /// <exception cref="UnusableInputException">It is, but its words are unknown or do not go together.</exception>
    public static VectorFormat? TryParse(string name)
    {
        var words = new FormatName.Reader(name);
        if (!words.Takes("vector") || !words.TakesNumber(2, 8, out int dimension) || !words.Takes("x")) return null;
        if (dimension is not (2 or 4 or 8) || !words.TakesNumber(16, 1 << 16, out int entries) || !int.IsPow2(entries))
            throw new UnusableInputException($"there is no format '{name}': vectors have 2, 4 or 8 weights, codebooks 16, 32, 64, ... or 65536 entries");
        int stages = 1;
        if (words.Takes("x") && !words.TakesNumber(1, 8, out stages)) throw new UnusableInputException($"there is no format '{name}': 1 to 8 stages");
        var shape = new Shape(dimension, entries, stages, false, 1, 1, DefaultGranularity, ScaleType.F16);
        while (words.Next(out ReadOnlySpan<char> word))
        {
            if (word is "add") shape = shape with { Additive = true };
            else if (TakesCount(word, "pq", 64, out int count)) shape = shape with { Parts = count };
            else if (TakesCount(word, "books", 256, out count)) shape = shape with { Books = count };
            else if (Granularity.TryParse(word, out Granularity granularity)) shape = shape with { Granularity = granularity };
            else if (ScaleTypes.TryParse(word, out ScaleType scale)) shape = shape with { Scale = scale };
            else throw words.Unknown(word, "add, pq2, books4, g64, row, tensor, f32, f16, bf16");
        }
        return words.Make(() => new VectorFormat(Checked(shape), 0, default));
    }

    private static bool TakesCount(ReadOnlySpan<char> word, string start, int most, out int count)
    {
        count = 0;
        return word.StartsWith(start) && int.TryParse(word[start.Length..], NumberStyles.None, CultureInfo.InvariantCulture, out count) && count >= 1 && count <= most;
    }

    /// <exception cref="ArgumentException">The choices do not go together.</exception>
    private static Shape Checked(Shape shape)
    {
        if (shape.Additive && shape.Stages == 1) throw new ArgumentException("an additive code needs two stages, as in Vector8x256x2-add");
        if (shape.Scale is not (ScaleType.F32 or ScaleType.F16 or ScaleType.BF16)) throw new ArgumentException("the scale of vectors is f32, f16 or bf16");
        if (shape.Granularity.Reach != Reach.Group) return shape;
        if (shape.Books > 1) throw new ArgumentException("with several books a row has one scale or none");
        int vectors = shape.Granularity.Size / shape.Dimension;
        if (shape.Granularity.Size % shape.Dimension != 0 || vectors % shape.Parts != 0 || vectors * shape.VectorBits % 8 != 0)
            throw new ArgumentException("a group must be whole vectors, a turn of every part, and whole bytes");
        return shape;
    }
}
